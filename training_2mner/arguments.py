"""What a run can be told, on the command line or in a YAML run file."""

from __future__ import annotations

import difflib
import json
import logging
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments
from transformers.trainer_utils import HubStrategy

from modeling_2mner.encoders import ENCODER_ALIASES, ENCODERS
from reports_2mner.push import check_id
from training_2mner.options import check_options
from training_2mner.ranges import DATA_RANGES, MODEL_RANGES, TRAINING_RANGES, check_ranges

logger = logging.getLogger(__name__)


@dataclass
class ModelArguments:
    """Which model to train, and from which weights."""

    model: str = field(
        default="2m-ner",
        metadata={
            "help": "A preset of configuration_2mner/models (see `python -m configuration_2mner`), a JSON file like "
            "them, or a checkpoint to go on from (folder or Hub id)."
        },
    )
    text_encoder: str | None = field(
        default=None, metadata={"help": "Pretrained text encoder: Hub id or folder. Left out: new weights."}
    )
    vision_encoder: str | None = field(
        default=None, metadata={"help": "Pretrained ViT, or a whole CLIP model: Hub id or folder."}
    )
    resnet_encoder: str | None = field(
        default=None, metadata={"help": "Pretrained ResNet: Hub id, folder, or file of a torchvision state dict."}
    )
    vgg_encoder: str | None = field(
        default=None,
        metadata={"help": "Pretrained VGG-16 for AdaCAN: Hub id, folder, or file of a torchvision state dict."},
    )
    word_vectors: str | None = field(
        default=None, metadata={"help": "Word vectors for the models on words: a text file of GloVe or fastText."}
    )
    max_word_vectors: int | None = field(
        default=None, metadata={"help": "Read the first so many rows of `word_vectors`, the most frequent words."}
    )
    tokenizer: str | None = field(
        default=None,
        metadata={
            "help": "Hub id or folder of the tokenizer; the text encoder's by default. `new` learns a WordPiece "
            "vocabulary from the training sentences, for an encoder with new weights."
        },
    )
    vocabulary_size: int = field(default=4000, metadata={"help": "Size of a `new` vocabulary."})
    resnet_image_size: int = field(default=224, metadata={"help": "Side of the ResNet's pictures in pixels."})
    max_length: int = field(default=512, metadata={"help": "Longest sub-word window; longer sentences get several."})
    config: str | None = field(
        default=None,
        metadata={"help": "Fields of the model's config to change, as JSON: '{\"use_vit\": false}'."},
    )
    license: str | None = field(
        default=None,
        metadata={
            "help": "Licence of the weights for the card, as the Hub writes it (apache-2.0, cc-by-nc-4.0, other). None is "
            "stated by default: it depends on the data and the pretrained encoders, too."
        },
    )

    def __post_init__(self):
        check_ranges(self, MODEL_RANGES)
        self.config_changes = _read_config_changes(self.config)


@dataclass
class DataArguments:
    """Which data to train and evaluate on."""

    dataset: str = field(
        default="mmnerd", metadata={"help": "Data set: a folder, a name in the working directory, or a Hub id."}
    )
    dataset_config: str = field(
        default="all", metadata={"help": "Languages: all, en, fr, es, de, or a pair such as en_de."}
    )
    dataset_revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of a Hub data set."})
    boxes_column: str | None = field(
        default=None,
        metadata={
            "help": "Column with the objects of each picture, for UMGF (`visual_nodes: objects`) and MKGFormer: a list of "
            "[left, top, right, bottom] in pixels, of whatever detector."
        },
    )
    small_boxes_column: str | None = field(
        default=None, metadata={"help": "The same for the smaller crops of MKGFormer."}
    )
    max_words: int | None = field(
        default=None,
        metadata={"help": "Cut training sentences to so many words; what is lost is counted and reported."},
    )
    train_part: str | None = field(
        default=None,
        metadata={
            "help": "Train on one of several random parts of the training split without overlap: 2/5 is the second of 5."
        },
    )
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on the first so many sentences."})
    max_eval_samples: int | None = field(
        default=None, metadata={"help": "Evaluate and test on the first so many sentences."}
    )

    def __post_init__(self):
        check_ranges(self, DATA_RANGES)


@dataclass
class TwoMNERTrainingArguments(TrainingArguments):
    """The arguments of transformers' Trainer, with the paper's settings (Table 4) as defaults, and a few more.

    Example:

    ```python
    >>> from training_2mner import TwoMNERTrainingArguments

    >>> arguments = TwoMNERTrainingArguments(encoder_learning_rate=1e-5, freeze=["vit"])
    >>> arguments.learning_rate, arguments.per_device_train_batch_size, arguments.freeze
    (5e-05, 16, ['vision'])
    ```
    """

    output_dir: str = field(default="runs/2m-ner", metadata={"help": "The run folder."})
    learning_rate: float = field(default=5e-5, metadata={"help": "Peak learning rate (Table 4)."})
    encoder_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the pretrained encoders; `learning_rate` by default."}
    )
    crf_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the CRF's transitions; `learning_rate` by default."}
    )
    head_learning_rate: float | None = field(
        default=None,
        metadata={"help": "Learning rate of the linear layer before the tags; `learning_rate` by default."},
    )
    plain_adam: bool = field(
        default=True, metadata={"help": "Adam as in Table 4. False: the optimizer that `optim` names, such as AdamW."}
    )
    freeze: list[str] = field(
        default_factory=list,
        metadata={"help": f"Encoders whose weights stay as they are: {', '.join(ENCODERS)} (`vit` is `vision`, too)."},
    )
    group_by_length: bool = field(default=True, metadata={"help": "Make training batches of similar lengths."})
    gather_negatives: bool = field(
        default=False, metadata={"help": "Contrast with the pictures of all processes, not of this one alone."}
    )
    patience: int | None = field(
        default=None, metadata={"help": "Stop after so many epochs without a better dev F1; never by default."}
    )
    per_device_train_batch_size: int = field(default=16, metadata={"help": "Sentences a batch and process (Table 4)."})
    per_device_eval_batch_size: int = field(default=32, metadata={"help": "Sentences a batch at evaluation."})
    max_grad_norm: float = field(
        default=0.0, metadata={"help": "Clip gradients to this norm; 0, as in the authors' code, clips nothing."}
    )
    num_train_epochs: float = field(default=8.0, metadata={"help": "Epochs, as in the authors' code."})
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate on dev."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save a checkpoint."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints to keep; the best one stays."})
    load_best_model_at_end: bool = field(default=True, metadata={"help": "End with the best dev epoch."})
    metric_for_best_model: str | None = field(default="f1", metadata={"help": "Dev score that decides: strict F1."})
    logging_strategy: str = field(default="epoch", metadata={"help": "When to log the loss and its parts."})
    dataloader_pin_memory: bool = field(
        default=torch.cuda.is_available(), metadata={"help": "Pin the batches' memory; worth it with a GPU alone."}
    )
    remove_unused_columns: bool = field(default=False, metadata={"help": "The collator needs words and pictures."})
    label_names: list[str] | None = field(
        default_factory=lambda: ["labels"], metadata={"help": "Names of the label tensors."}
    )
    ddp_find_unused_parameters: bool | None = field(
        default=True, metadata={"help": "Several processes: go on where one of them has no picture in its batch."}
    )
    restore_callback_states_from_checkpoint: bool = field(
        default=True, metadata={"help": "Let `patience` go on counting where an interrupted run stopped."}
    )
    resume_anyway: bool = field(
        default=False,
        metadata={"help": "Go on from a checkpoint (`resume_from_checkpoint`) of a run with other settings, too."},
    )
    push_to_hub: bool = field(
        default=False, metadata={"help": "Put the finished run on the Hub, as `python -m training_2mner.hub` does."}
    )
    hub_strategy: HubStrategy | str = field(
        default="end", metadata={"help": "When to push: `end`, the only choice. Checkpoints are never pushed."}
    )

    def __post_init__(self):
        check_ranges(self, TRAINING_RANGES)
        super().__post_init__()
        check_options(self)
        self._use_one_gpu()
        if self.push_to_hub:
            self._check_push()
        self.freeze = [self.freeze] if isinstance(self.freeze, str) else self.freeze  # one name in a run file
        if self.plain_adam and self.optim != type(self).optim:
            raise ValueError(
                f"`optim` is {self.optim.value!r}, but `plain_adam` is true; write `plain_adam: false`, too."
            )
        self.freeze = list(dict.fromkeys(ENCODER_ALIASES.get(name, name) for name in self.freeze))
        unknown = sorted(set(self.freeze) - set(ENCODERS))
        if unknown:
            raise ValueError(f"`freeze` names {unknown[0]!r}; write any of {', '.join(ENCODERS)}.")

    def _use_one_gpu(self) -> None:
        """Keep the Trainer from `DataParallel`, which would cut sentences, windows and pictures at the same places."""
        if self.n_gpu > 1:
            logger.warning(
                "%d GPUs are visible, and this process uses the first; for all of them start with "
                "`torchrun --nproc_per_node %d`.",
                self.n_gpu,
                self.n_gpu,
            )
            self._n_gpu = 1

    def _check_push(self) -> None:
        check_id("hub_model_id", self.hub_model_id or "")
        for name, only in (("hub_strategy", HubStrategy.END), ("hub_revision", None)):
            if getattr(self, name) != only:
                raise ValueError(
                    f"`{name}` is {getattr(self, name)!r}, but a run is pushed once, when it is finished and checked, to "
                    "the main branch; leave it out."
                )


def read_command_line(command_line: list[str]) -> tuple[ModelArguments, DataArguments, TwoMNERTrainingArguments]:
    """Read `[RUN.yaml] [--field value ...]`; the command line wins over the file.

    Raises:
        ValueError: for a field in the file that does not exist, with the nearest one that does.
    """
    types = (ModelArguments, DataArguments, TwoMNERTrainingArguments)
    parser = HfArgumentParser(types, prog="train_hf.py", usage="python train_hf.py [RUN.yaml] [--field value ...]")
    if command_line and command_line[0].endswith((".yaml", ".yml")):
        parser.set_defaults(**_read_run_file(Path(command_line[0]), types))
        command_line = command_line[1:]
    return parser.parse_args_into_dataclasses(args=command_line)


def _read_config_changes(config: str | dict | None) -> dict:
    if config is None or isinstance(config, dict):  # left out, or a mapping in a run file
        return config or {}
    try:
        changes = json.loads(config)
    except json.JSONDecodeError:
        changes = None
    if not isinstance(changes, dict):
        raise ValueError(f"`config` is {config!r}; write a JSON object, such as '{{\"use_vit\": false}}'.")
    return changes


def _read_run_file(path: Path, types: tuple[type, ...]) -> dict:
    settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: a run file holds lines `field: value`, this one a {type(settings).__name__}.")
    known = [entry.name for kind in types for entry in fields(kind) if entry.init]
    for name in settings:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else "; `python train_hf.py --help` lists the fields."
            raise ValueError(f"{path}: `{name}` is not a field of a run{hint}")
    return settings
