"""What the configurations of all models share: labels, decoder, and the checks of their fields."""

import copy
import difflib
import math
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_parts import check_part

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC")

# The paper's three encoders (section 5.1), used where a sub-config is missing.
MULTILINGUAL_BERT = {"model_type": "bert", "vocab_size": 119_547}
CLIP_VIT_B_32 = {"model_type": "clip_vision_model"}
RESNET_152 = {"model_type": "resnet", "depths": [3, 8, 36, 3]}

if TYPE_CHECKING:
    # Such a field accepts a dict or nothing, but then holds the config of any encoder: types cannot express that.
    SubConfig: TypeAlias = Any
else:
    SubConfig: TypeAlias = PreTrainedConfig | dict | None


def auto_map(model: str, configuration_file: str, modeling_file: str) -> dict[str, str]:
    """The `auto_map` of a checkpoint: the files and names of a model's classes."""
    return {
        "AutoConfig": f"{configuration_file}.{model}Config",
        "AutoModel": f"{modeling_file}.{model}Model",
        "AutoModelForTokenClassification": f"{modeling_file}.{model}ForTokenClassification",
    }


@strict
class TaggingConfig(PreTrainedConfig):
    """Base of all configurations: a network that assigns a tag to each word.

    Args:
        use_crf (`bool`, defaults to `True`): decode with a CRF (Eq. 15-17); otherwise softmax and cross-entropy.
        dropout (`float`, defaults to 0.1): dropout in all layers outside the encoders (section 5.1).
        crf_constrained_decoding (`bool`, defaults to `True`): Viterbi returns only valid IOB2.
        crf_constrained_likelihood (`bool`, defaults to `False`): normalise Eq. 16 only over valid
            IOB2 sequences.
        crf_temperature (`float`, defaults to 1.0): divides emissions and transitions (without a CRF, the emissions)
            where probabilities are computed: the scores of the pipeline, of prediction and of the server. It is fitted
            by `python -m training_2mner.calibrate`. Neither the loss nor Viterbi uses it, so with at most one picture
            a sentence it changes no tag; with several it can, because their posteriors are averaged.

    Raises:
        ValueError: for an unknown value, a contradiction or a misspelt field; the message says what to write instead.
    """

    keys_to_ignore_at_inference = ["logits"]  # noqa: RUF012  (transformers reads this class attribute)
    encoder_defaults: ClassVar[dict[str, dict[str, Any]]] = {}
    image_switches: ClassVar[dict[str, str]] = {}
    choices: ClassVar[dict[str, tuple[str, ...]]] = {}
    default_auto_map: ClassVar[dict[str, str]] = {}
    default_custom_pipelines = {  # noqa: RUF012
        "multimodal-ner": {
            "impl": "pipeline_2mner.TwoMNERPipeline",
            "pt": ["AutoModelForTokenClassification"],
            "type": "multimodal",
        }
    }

    if TYPE_CHECKING:  # transformers derives one from the other, so neither is `None` in a finished config
        id2label: dict[int, str] = {}
        num_labels: int = 0

    use_crf: bool = True
    dropout: float | int = 0.1
    crf_constrained_decoding: bool = True
    crf_constrained_likelihood: bool = False
    crf_temperature: float | int = 1.0

    def __post_init__(self, **kwargs: Any) -> None:
        self._refuse_misspelt(kwargs)
        if self.transformers_version is None:  # not one that was saved
            for field, spec in self.sub_configs_defaults.items():
                check_part(field, getattr(self, field), spec.model_type)
        for field, default in self.encoder_defaults.items():
            # Not `SubConfigSpec(init_kwargs=...)`: a partial dict read back from JSON would not inherit those.
            # Copied, because it may belong to the caller and is modified later.
            given = getattr(self, field)
            setattr(self, field, copy.deepcopy(default if given is None else given))
        self._name_labels(kwargs)
        kwargs.setdefault("auto_map", dict(self.default_auto_map))
        kwargs.setdefault("custom_pipelines", copy.deepcopy(self.default_custom_pipelines))
        super().__post_init__(**kwargs)
        self._apply_to_encoders()
        self.check()

    def _apply_to_encoders(self) -> None:
        """Change the encoders' configs as the fields require; nothing here."""

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs: Any) -> Any:
        """Make a config from a saved one; fields given as keywords are treated as if they had been saved.

        `PreTrainedConfig` would set them on the finished config, unchecked and without their consequences.
        """
        if "labels" in kwargs:  # what the processor calls them; `AutoProcessor` hands its settings on to the config
            kwargs |= _number_labels(kwargs.pop("labels"))
        for field, spec in cls.sub_configs_defaults.items():
            kind = getattr(config_dict.get(field), "model_type", None) or (config_dict.get(field) or {}).get(
                "model_type"
            )
            check_part(field, kwargs.get(field), kind or spec.model_type, strict=True)
        changeable = {*cls.own_fields(), "id2label", "label2id"} - set(cls.sub_configs_defaults)
        changes = {name: kwargs.pop(name) for name in changeable & set(kwargs)}
        return super().from_dict({**config_dict, **changes}, **kwargs)

    @classmethod
    def own_fields(cls) -> list[str]:
        """The fields that this project defines, including sub-configs."""
        # Not `__dataclass_fields__`, which has the variables of the class, such as `choices`, too.
        return [field.name for field in fields(cls) if field.name not in PreTrainedConfig.__dataclass_fields__]

    def to_dict(self) -> dict:
        """Return what is saved, without the folders that the encoders were loaded from, which are local paths."""
        saved = super().to_dict()
        for name in self.sub_configs_defaults:
            if saved[name] is not None:
                saved[name].pop("_name_or_path", None)
        return saved

    @property
    def uses_image(self) -> bool:
        """Whether the network uses pictures."""
        return any(getattr(self, switch) for switch in self.image_switches.values())

    @property
    def classifier_dropout(self) -> float:
        """Dropout before the classifier."""
        return self.dropout

    @property
    def num_states(self) -> int:
        """Number of labels of the decoder."""
        return self.num_labels

    @property
    def reads_words(self) -> bool:
        """Whether the network reads whole words and their characters, rather than sub-words."""
        return False

    @property
    def tags_words(self) -> bool:
        """Whether the decoder runs over words, so that its posteriors belong to words."""
        return True

    def object_crops(self, picture_size: int) -> dict[str, int]:
        """Sizes and numbers of the object crops that the network takes, named as in [`OneImageProcessor`]; none here.

        Args:
            picture_size: side of whole pictures in pixels.
        """
        return {}

    def fit_vocabulary(self, tokenizer: Any) -> None:
        """Set the size of the vocabulary to the tokenizer's, before the network is built with new weights."""
        self.text_config.vocab_size = len(tokenizer)

    @property
    def labels(self) -> list[str]:
        """The tag names in the order of their ids."""
        return [self.id2label[index] for index in range(self.num_labels)]

    def check(self) -> None:
        """Raise `ValueError` on an unknown value or a contradiction between fields."""
        for field, allowed in self.choices.items():
            if getattr(self, field) not in allowed:
                words = ", ".join(repr(choice) for choice in allowed)
                raise ValueError(f"`{field}` is {getattr(self, field)!r}; write one of {words}.")
        self._check_ranges()
        self._check_finite()
        self._check_contradictions()

    def validate_choices(self) -> None:
        """Run [`~TaggingConfig.check`] again when the config is saved (called by the strict dataclass)."""
        self.check()

    def _check_finite(self) -> None:
        for field in self.own_fields():
            value = getattr(self, field)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"`{field}` is {value}; write a finite number.")

    def _check_ranges(self) -> None:
        self._check_rate("dropout", 0.1)
        if not 0 < self.crf_temperature < math.inf:
            raise ValueError(
                f"`crf_temperature` is {self.crf_temperature}; write a finite number above 0 (1.0 changes nothing)."
            )

    def _check_rate(self, field: str, usual: float) -> None:
        if not 0 <= getattr(self, field) < 1:
            raise ValueError(
                f"`{field}` is {getattr(self, field)}; write a rate from 0 to below 1 (the paper's is {usual})."
            )

    def _check_positive(self, *fields: str) -> None:
        for field in fields:
            if getattr(self, field) is not None and getattr(self, field) < 1:
                raise ValueError(f"`{field}` is {getattr(self, field)}; write a number above 0, or leave it out.")

    def _check_contradictions(self) -> None:
        if self.crf_constrained_likelihood and not self.use_crf:
            raise ValueError("`crf_constrained_likelihood=True` needs a CRF; write `use_crf=True`.")
        if sorted(self.id2label) != list(range(len(set(self.id2label.values())))):
            raise ValueError(f"`id2label` is {self.id2label}; number distinct labels from 0 without gaps.")
        if self.label2id != {label: index for index, label in self.id2label.items()}:
            raise ValueError("`label2id` is not the inverse of `id2label`; pass both, made from one list of labels.")

    def _name_labels(self, kwargs: dict) -> None:
        if "labels" in kwargs:
            numbered = _number_labels(kwargs.pop("labels"))
            if self.id2label not in (None, numbered["id2label"]):
                raise ValueError("`labels` and `id2label` name different labels; pass one of them.")
            self.id2label = numbered["id2label"]
        if self.id2label is None:
            if kwargs.get("num_labels") not in (None, len(LABELS)):
                raise ValueError(f"`num_labels` is {kwargs['num_labels']}; pass `id2label` and `label2id` instead.")
            self.id2label = dict(enumerate(LABELS))
        if self.label2id is None:
            self.label2id = {label: int(index) for index, label in self.id2label.items()}

    def _refuse_misspelt(self, kwargs: dict) -> None:
        for name in kwargs:
            close = difflib.get_close_matches(name, self.own_fields(), n=1, cutoff=0.8)
            if close and not hasattr(type(self), name):
                raise ValueError(f"`{name}` is not a field of {type(self).__name__}; did you mean `{close[0]}`?")


def _number_labels(labels: Sequence[str]) -> dict[str, dict]:
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"`labels` is {labels!r}; pass a list of tag names in the order of the model's outputs.")
    return {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}


__all__ = ["CLIP_VIT_B_32", "LABELS", "MULTILINGUAL_BERT", "RESNET_152", "SubConfig", "TaggingConfig", "auto_map"]
