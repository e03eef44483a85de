"""All settings of a run, for the command line and YAML run files."""

from __future__ import annotations

import difflib
import json
import logging
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments
from transformers.hf_argparser import DataClassType
from transformers.trainer_utils import HubStrategy
from transformers.training_args import OptimizerNames

from modeling_2mner.encoders import ENCODER_ALIASES, ENCODERS
from reports_2mner.command_line import option
from reports_2mner.language_table import LANGUAGE_TABLE, find_language
from reports_2mner.push import check_id
from training_2mner.lengths import LENGTH_UNITS
from training_2mner.lora import ATTENTION, check_lora
from training_2mner.onednn import check_onednn
from training_2mner.options import check_options
from training_2mner.ranges import DATA_RANGES, MODEL_RANGES, TRAINING_RANGES, check_ranges
from training_2mner.used_rows import check_used_rows

logger = logging.getLogger(__name__)


@dataclass
class ModelArguments:
    """Which model to train, and from which weights."""

    model: str = option(
        "2m-ner",
        "A preset of configuration_2mner/models (see `python -m configuration_2mner`), a JSON file in "
        "the same form, or a checkpoint to continue from (folder or Hub id).",
    )
    text_encoder: str | None = option(None, "Pretrained text encoder: Hub id or folder. New weights by default.")
    vision_encoder: str | None = option(None, "Pretrained ViT or complete CLIP model: Hub id or folder.")
    resnet_encoder: str | None = option(None, "Pretrained ResNet: Hub id, folder, or torchvision state dict file.")
    vgg_encoder: str | None = option(
        None, "Pretrained VGG-16 for AdaCAN: Hub id, folder, or torchvision state dict file."
    )
    word_vectors: str | None = option(None, "Word vectors for the word-based models: a GloVe or fastText text file.")
    max_word_vectors: int | None = option(
        None, "Read only the first N rows of `word_vectors`, the most frequent words."
    )
    tokenizer: str | None = option(
        None,
        "Hub id or folder of the tokenizer; that of the text encoder by default. `new` learns a "
        "WordPiece vocabulary from the training sentences, for an encoder with new weights.",
    )
    vocabulary_size: int = option(4000, "Size of a `new` vocabulary.")
    resnet_image_size: int = option(224, "Side length of the ResNet's input pictures in pixels.")
    max_length: int = option(512, "Maximum sub-words in a window; longer sentences are split into several windows.")
    config: str | None = option(None, "Changes to fields of the model's config, as JSON: '{\"use_vit\": false}'.")
    license: str | None = option(
        None,
        "Licence of the weights for the card, by its Hub name (apache-2.0, cc-by-nc-4.0, other). None "
        "is stated by default, because it also depends on the data and the pretrained encoders.",
    )
    new_labels: bool = option(
        False,
        "Start from the checkpoint `model` with the data set's tags in place of its own: its encoders, alignment and "
        "fusion are kept, the linear layer before the tags and the CRF are new.",
    )
    zero_shot_languages: list[str] = field(
        default_factory=list,
        metadata={
            "help": "For the card: languages that the text encoder was pretrained on and the training data lack, by code "
            "(fr es de). It shows what the model answers to a sentence in each."
        },
    )

    def __post_init__(self) -> None:
        check_ranges(self, MODEL_RANGES)
        self.config_changes = _read_config_changes(self.config)
        given = self.zero_shot_languages
        self.zero_shot_languages = [given] if isinstance(given, str) else list(given)  # a single one in a run file
        for code in self.zero_shot_languages:
            if find_language(code) is None:
                known = ", ".join(entry.code for entry in LANGUAGE_TABLE)
                raise ValueError(f"`zero_shot_languages` names {code!r}; write any of {known}.")


@dataclass
class DataArguments:
    """Which data to train and evaluate on."""

    dataset: str = option("mmnerd", "Data set: a folder or a Hub id.")
    dataset_config: str = option(
        "all",
        "Configuration: the languages in MMNERD (all, en, fr, es, de, or a pair such as en_de). By default `all`, or the "
        "only one there is.",
    )
    dataset_revision: str | None = option(None, "Branch, tag or commit of a Hub data set.")
    boxes_column: str | None = option(
        None,
        "Column with the objects of each picture, for UMGF (`visual_nodes: objects`) and MKGFormer: lists "
        "of [left, top, right, bottom] in pixels, from any detector.",
    )
    small_boxes_column: str | None = option(None, "The same for MKGFormer's smaller crops.")
    max_words: int | None = option(
        None, "Truncate training sentences to this many words; the loss is counted and reported."
    )
    train_part: str | None = option(
        None, "Train on one of several disjoint random parts of the training split: 2/5 is the second of five."
    )
    train_without: str | None = option(
        None,
        "Text file with the names (column `id`) of training sentences to leave out, one a line, such as "
        "`python -m experiments.suspects` writes.",
    )
    max_train_samples: int | None = option(None, "Train on the first N sentences only.")
    max_eval_samples: int | None = option(None, "Evaluate and test on the first N sentences only.")

    def __post_init__(self) -> None:
        check_ranges(self, DATA_RANGES)


@dataclass
class TwoMNERTrainingArguments(TrainingArguments):
    """The arguments of the transformers Trainer, with the paper's settings (Table 4) as defaults, and some additions.

    Example:

    ```python
    >>> from training_2mner import TwoMNERTrainingArguments

    >>> arguments = TwoMNERTrainingArguments(encoder_learning_rate=1e-5, freeze=["vit"])
    >>> arguments.learning_rate, arguments.per_device_train_batch_size, arguments.freeze
    (5e-05, 16, ['vision'])
    ```
    """

    output_dir: str = option("runs/2m-ner", "The run folder.")
    learning_rate: float = option(5e-5, "Peak learning rate (Table 4).")
    encoder_learning_rate: float | None = option(
        None, "Learning rate of the pretrained encoders; `learning_rate` by default."
    )
    crf_learning_rate: float | None = option(
        None, "Learning rate of the CRF's transitions; `learning_rate` by default."
    )
    head_learning_rate: float | None = option(
        None, "Learning rate of the linear classification layer; `learning_rate` by default."
    )
    plain_adam: bool = option(True, "Adam as in Table 4. False: the optimizer that `optim` names, such as AdamW.")
    freeze: list[str] = field(
        default_factory=list,
        metadata={
            "help": f"Encoders whose weights are not trained: {', '.join(ENCODERS)} (`vit` also means `vision`)."
        },
    )
    lora: bool = option(
        False,
        "Train the encoders through low-rank adapters (LoRA) only; everything else trains as usual. Needs PEFT: `pip "
        "install '2m-ner[lora]'`.",
    )
    lora_rank: int = option(8, "Rank of the adapters' matrices.")
    lora_alpha: int = option(16, "The adapters' output is multiplied by `lora_alpha / lora_rank`.")
    lora_dropout: float = option(0.1, "Dropout before the adapters.")
    lora_targets: list[str] = field(
        default_factory=lambda: list(ATTENTION),
        metadata={
            "help": "Layers of the encoders that get an adapter, by the end of their names; by default the queries and "
            "values of their attention."
        },
    )
    lora_keep_adapter: bool = option(
        False, "Also keep the adapter in the folder `adapter` of the run, as PEFT loads it; the weights are merged."
    )
    group_by_length: bool = option(True, "Batch sentences of similar length, in training and evaluation.")
    group_by_picture: bool = option(
        False,
        "Bring the sentences of a picture, such as translations, into the same training batch, where it is encoded once. "
        "With contrastive losses it needs `mask_duplicate_images`.",
    )
    cache_image_features: str | None = option(
        None,
        "Folder for the features of pictures, which frozen image encoders then compute once for all epochs and runs; see "
        "`python -m training_2mner.features`.",
    )
    image_features_precision: str = option(
        "float32", "In what the features of pictures are stored: float32, or float16 in half the room."
    )
    length_unit: str = option(
        "pieces",
        "What `group_by_length` counts: `pieces`, the sub-words that batches are padded to, or `words`, which needs no "
        "tokenizer and wastes more.",
    )
    train_used_rows: bool = option(
        False,
        "Train only the rows of the text encoder's embedding matrix that the training sentences use: the same weights in "
        "less time and memory, for vocabularies much larger than that of the data.",
    )
    word_dropout: float = option(
        0.0,
        "Hide each word from the network with this probability while it learns, all sub-words behind the tokenizer's mask; "
        "its tag is learned nevertheless. For models with an encoder.",
    )
    onednn_linear: bool = option(
        False,
        "Multiply the float32 matrices of linear layers by oneDNN, on a CPU: the same up to rounding, and twice as fast on AMD's. "
        "On a GPU it does nothing.",
    )
    gather_negatives: bool = option(
        False, "Contrast with the pictures of all processes, not only with those of its own."
    )
    patience: int | None = option(None, "Stop after this many epochs without a better dev F1; never by default.")
    per_device_train_batch_size: int = option(16, "Sentences per batch and process (Table 4).")
    per_device_eval_batch_size: int = option(32, "Sentences per batch in evaluation.")
    max_grad_norm: float = option(0.0, "Clip gradients to this norm; 0, as in the authors' code, disables clipping.")
    num_train_epochs: float = option(8.0, "Epochs, as in the authors' code.")
    eval_strategy: str = option("epoch", "When to evaluate on dev.")
    save_strategy: str = option("epoch", "When to save a checkpoint.")
    save_total_limit: int | None = option(2, "Checkpoints to keep; the best one is always kept.")
    load_best_model_at_end: bool = option(True, "Load the best dev epoch at the end.")
    metric_for_best_model: str | None = option("f1", "Dev score that selects the best epoch: strict F1.")
    logging_strategy: str = option("epoch", "When to log the loss and its components.")
    dataloader_pin_memory: bool = option(
        torch.cuda.is_available(), "Pin the memory of batches; only useful with a GPU."
    )
    remove_unused_columns: bool = option(False, "Keep False: the collator needs words and pictures.")
    label_names: list[str] | None = field(
        default_factory=lambda: ["labels"], metadata={"help": "Names of the label tensors."}
    )
    ddp_find_unused_parameters: bool | None = option(
        True, "With several processes: continue if the batch of one has no picture."
    )
    restore_callback_states_from_checkpoint: bool = option(
        True, "Resume the count of `patience` where an interrupted run stopped."
    )
    calibrate: bool = option(
        False,
        "At the end, fit the temperature of the scores on the validation split, as `python -m training_2mner.calibrate` "
        "does. No tag of a sentence with at most one picture depends on it.",
    )
    resume_anyway: bool = option(
        False, "Resume from a checkpoint (`resume_from_checkpoint`) of a run with other settings."
    )
    push_to_hub: bool = option(False, "Publish the finished run on the Hub, as `python -m training_2mner.hub` does.")
    hub_strategy: HubStrategy | str = option(
        "end", "When to push: only `end` is possible. Checkpoints are never pushed."
    )

    def __post_init__(self) -> None:
        check_ranges(self, TRAINING_RANGES)
        super().__post_init__()
        check_options(self)
        self.lora_targets = [self.lora_targets] if isinstance(self.lora_targets, str) else self.lora_targets
        check_lora(self)
        if self.train_used_rows:
            check_used_rows(self, self.plain_adam)
        if self.onednn_linear and self.device.type == "cpu":
            check_onednn(self.torch_compile)
        if self.length_unit not in LENGTH_UNITS:
            raise ValueError(f"`length_unit` is {self.length_unit!r}; write one of {', '.join(LENGTH_UNITS)}.")
        self._use_one_gpu()
        if self.push_to_hub:
            self._check_push()
        self.freeze = [self.freeze] if isinstance(self.freeze, str) else self.freeze  # a single name in a run file
        if self.plain_adam and self.optim != type(self).optim:
            raise ValueError(
                f"`optim` is {OptimizerNames(self.optim).value!r}, but `plain_adam` is true; "
                "also write `plain_adam: false`."
            )
        self.freeze = list(dict.fromkeys(ENCODER_ALIASES.get(name, name) for name in self.freeze))
        unknown = sorted(set(self.freeze) - set(ENCODERS))
        if unknown:
            raise ValueError(f"`freeze` names {unknown[0]!r}; write any of {', '.join(ENCODERS)}.")

    def _use_one_gpu(self) -> None:
        """Keep the Trainer from `DataParallel`, which would split sentences, windows and pictures at the same rows."""
        if self.n_gpu > 1:
            logger.warning(
                "%d GPUs are visible, but this process uses only the first; to use all of them, start the run with "
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
                    f"`{name}` is {getattr(self, name)!r}, but a run is pushed once, to the main branch, after it is "
                    "finished and checked; leave it out."
                )


def read_command_line(command_line: list[str]) -> tuple[ModelArguments, DataArguments, TwoMNERTrainingArguments]:
    """Read `[RUN.yaml] [--field value ...]`; the command line overrides the file.

    Raises:
        ValueError: for an unknown field in the file; the message suggests the closest known one.
    """
    types = (ModelArguments, DataArguments, TwoMNERTrainingArguments)
    parser = HfArgumentParser(
        [DataClassType(kind) for kind in types],
        prog="train_hf.py",
        usage="python train_hf.py [RUN.yaml] [--field value ...]",
    )
    if command_line and command_line[0].endswith((".yaml", ".yml")):
        parser.set_defaults(**_read_run_file(Path(command_line[0]), types))
        command_line = command_line[1:]
    model, data, training = parser.parse_args_into_dataclasses(args=command_line)
    return model, data, training


def _read_config_changes(config: str | dict | None) -> dict:
    if config is None or isinstance(config, dict):  # omitted, or a mapping in a run file
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
        raise ValueError(
            f"{path}: a run file holds lines `field: value`, but this one holds a {type(settings).__name__}."
        )
    known = [entry.name for kind in types for entry in fields(kind) if entry.init]
    for name in settings:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else "; `python train_hf.py --help` lists the fields."
            raise ValueError(f"{path}: `{name}` is not a field of a run{hint}")
    return settings
