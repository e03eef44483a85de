"""Build the model and the processor that a run asks for."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from tokenizers import BertWordPieceTokenizer
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoProcessor,
    AutoTokenizer,
    BertTokenizer,
    CLIPImageProcessorPil,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from configuration_2mner import load
from modeling_2mner import TwoMNERConfig, TwoMNERProcessor
from training_2mner.arguments import ModelArguments

logger = logging.getLogger(__name__)

_SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def build(
    arguments: ModelArguments, sentences: Iterable[list[str]], labels: list[str]
) -> tuple[PreTrainedModel, TwoMNERProcessor]:
    """Build model and processor: from a checkpoint, from pretrained encoders, or with new weights.

    Args:
        arguments: the run's model.
        sentences: the training sentences, read only for a `new` tokenizer.
        labels: the data set's tags, which must be the model's.

    Raises:
        ValueError: for a data set with other tags than the checkpoint, or a missing tokenizer.
    """
    if is_checkpoint(arguments.model):
        return _load_checkpoint(arguments, labels)
    changes = dict(arguments.config_changes)
    changes |= {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    tokenizer = build_tokenizer(arguments, sentences)
    if arguments.text_encoder is None:
        changes["text_config"] = {**changes.get("text_config", {}), "vocab_size": len(tokenizer)}
        config = load(arguments.model, **changes)
        model = AutoModelForTokenClassification.from_config(config)
    else:
        config = load(arguments.model, **changes)
        model = _assemble(arguments, config)
    return model, build_processor(arguments, model.config, tokenizer)


def is_checkpoint(model: str) -> bool:
    """Whether `model` is a folder with a config or a Hub id, rather than a preset or a preset's file."""
    return (Path(model) / "config.json").is_file() or (model.count("/") == 1 and not Path(model).exists())


def build_tokenizer(arguments: ModelArguments, sentences: Iterable[list[str]]) -> PreTrainedTokenizerBase:
    """The tokenizer that the run names, the text encoder's, or a `new` one learned from the sentences."""
    name = arguments.tokenizer or arguments.text_encoder
    if name is None:
        raise ValueError(
            "`tokenizer` is missing; name one, or pass `text_encoder`, or write `new` to learn a vocabulary from the "
            "training sentences."
        )
    if name != "new":
        return AutoTokenizer.from_pretrained(name, add_prefix_space=True)
    learner = BertWordPieceTokenizer(lowercase=False, strip_accents=False, clean_text=True)
    learner.train_from_iterator(
        (" ".join(words) for words in sentences),
        vocab_size=arguments.vocabulary_size,
        special_tokens=_SPECIAL_TOKENS,
        show_progress=False,
    )
    return BertTokenizer(vocab=learner.get_vocab(), do_lower_case=False, model_max_length=arguments.max_length)


def build_processor(
    arguments: ModelArguments, config: TwoMNERConfig, tokenizer: PreTrainedTokenizerBase
) -> TwoMNERProcessor:
    """The processor that fits the model: its picture sizes, its longest window, its tags."""
    vit_side, resnet_side = config.vision_config.image_size, arguments.resnet_image_size
    positions = getattr(config.text_config, "max_position_embeddings", arguments.max_length)
    return TwoMNERProcessor(
        CLIPImageProcessorPil(size={"height": vit_side, "width": vit_side}),
        CLIPImageProcessorPil(
            size={"height": resnet_side, "width": resnet_side},
            image_mean=IMAGENET_DEFAULT_MEAN,
            image_std=IMAGENET_DEFAULT_STD,
        ),
        tokenizer,
        max_length=min(arguments.max_length, positions),
        labels=[config.id2label[index] for index in range(config.num_labels)],
    )


def _load_checkpoint(arguments: ModelArguments, labels: list[str]) -> tuple[PreTrainedModel, TwoMNERProcessor]:
    config = AutoConfig.from_pretrained(arguments.model, **arguments.config_changes)
    known = [config.id2label[index] for index in range(config.num_labels)]
    if known != labels:
        raise ValueError(
            f"the checkpoint {arguments.model!r} has the tags {', '.join(known)}, the data set {', '.join(labels)}; "
            "they must be the same, in the same order."
        )
    model = AutoModelForTokenClassification.from_pretrained(arguments.model, config=config)
    return model, AutoProcessor.from_pretrained(arguments.model)


def _assemble(arguments: ModelArguments, config: TwoMNERConfig) -> PreTrainedModel:
    """Pretrained encoders under the preset's scientific choices; a branch without an encoder is left out."""
    model_class = AutoModelForTokenClassification._model_mapping[type(config)]
    settings = {
        name: value
        for name, value in config.to_diff_dict().items()
        if name in TwoMNERConfig.__annotations__ and name not in ("text_config", "vision_config", "resnet_config")
    }
    settings |= {"id2label": config.id2label, "label2id": config.label2id}
    for encoder, branch in (("vision_encoder", "use_vit"), ("resnet_encoder", "use_resnet")):
        if getattr(arguments, encoder) is None and getattr(config, branch):
            logger.info("No `%s`: the model has no such image branch.", encoder)
    settings["use_vit"] = config.use_vit and arguments.vision_encoder is not None
    settings["use_resnet"] = config.use_resnet and arguments.resnet_encoder is not None
    return model_class.from_encoders(
        arguments.text_encoder, arguments.vision_encoder, arguments.resnet_encoder, **settings
    )
