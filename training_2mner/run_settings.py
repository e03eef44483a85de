"""What a run's result depends on, kept in its checkpoints as JSON, so that only the same run goes on from them.

Places, devices, workers, logging and what is kept of a run are no part of it: those may change in between.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict

from training_2mner.arguments import DataArguments, TwoMNERTrainingArguments
from training_2mner.lora import LORA_SETTINGS
from training_2mner.trainer import RUN_SETTINGS, TwoMNERTrainer

logger = logging.getLogger(__name__)

RESUME_ANYWAY = "resume_anyway"
TRAINING = (
    *("seed", "data_seed", "num_train_epochs", "max_steps", "per_device_train_batch_size"),
    *("gradient_accumulation_steps", "group_by_length", "length_unit", "gather_negatives"),
    *("dataloader_drop_last", "freeze", "train_used_rows", "onednn_linear", "word_dropout"),
    *("learning_rate", "encoder_learning_rate", "crf_learning_rate", "head_learning_rate"),
    *("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "plain_adam", "optim", "optim_args"),
    *("adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay", "max_grad_norm", "neftune_noise_alpha"),
    *("metric_for_best_model", "greater_is_better"),
)
DATA = (
    *("dataset_config", "dataset_revision", "boxes_column", "small_boxes_column", "max_words", "train_part"),
    *("max_train_samples", "max_eval_samples"),
)
EARLIER = {
    "length_unit": "words",
    "train_used_rows": False,
    "onednn_linear": False,
    "word_dropout": 0.0,
    "processor.jpeg_draft": False,
}  # what runs did before they could choose
MODEL_NOTES = {"_name_or_path", "architectures", "auto_map", "custom_pipelines", "dtype", "transformers_version"}
MAX_DIFFERENCES = 10


def describe_run(trainer: TwoMNERTrainer, data_arguments: DataArguments, splits: DatasetDict) -> dict[str, Any]:
    """Collect the settings that decide what a run ends with, as plain values of JSON.

    Args:
        trainer: before the training.
        data_arguments: which data.
        splits: what was read of them.
    """
    processor = trainer.processing_class
    boxes = [name for name in (data_arguments.boxes_column, data_arguments.small_boxes_column) if name is not None]
    settings = {
        **{name: getattr(trainer.args, name, None) for name in TRAINING},
        **({name: getattr(trainer.args, name) for name in LORA_SETTINGS} if trainer.args.lora else {}),
        **_of_pictures(trainer.args),
        **{name: getattr(data_arguments, name) for name in DATA},
        "data": {name: fingerprint(splits[name], boxes) for name in ("train", "validation")},
        "model": _without_notes(trainer.model.config.to_dict()),
        "processor": _without_notes({**processor.to_dict(), "tokenizer": None}),
        "vocabulary": _digest([json.dumps(sorted(processor.tokenizer.get_vocab().items()))]),
    }
    return json.loads(json.dumps(settings, default=_plain))


def check_resume(checkpoint: Path | str, settings: dict[str, Any], anyway: bool) -> None:
    """Compare a run with the one that left the checkpoint.

    Raises:
        ValueError: if they differ, with all differences, unless `anyway`, which makes a warning of it.
    """
    path = Path(checkpoint) / RUN_SETTINGS
    if not path.is_file():
        logger.warning(
            "%s does not hold the settings of its run, so nobody can say whether they were these.", checkpoint
        )
        return
    now = dict(_flat(settings))
    earlier = {name: value for name, value in EARLIER.items() if name in now}
    before = earlier | dict(_flat(json.loads(path.read_text(encoding="utf-8"))))
    differences = [
        f"`{name}` was {_shown(before.get(name))}, now {_shown(now.get(name))}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    if not differences:
        return
    more = f" and {len(differences) - MAX_DIFFERENCES} more" if len(differences) > MAX_DIFFERENCES else ""
    told = f"{checkpoint} is of a run with other settings: {'; '.join(differences[:MAX_DIFFERENCES])}{more}."
    if not anyway:
        raise ValueError(
            f"{told} Give the settings of that run, or another `output_dir` to start over, or leave "
            f"`resume_from_checkpoint` out; `--{RESUME_ANYWAY} true` goes on with the new ones."
        )
    logger.warning("%s It goes on with the new ones, as `%s` is true.", told, RESUME_ANYWAY)


def fingerprint(dataset: Dataset, columns: Sequence[str] = ()) -> str:
    """A short name for the words, tags, pictures and other columns of a split, wherever it is stored."""
    pictures = "sha256" if "sha256" in dataset.column_names else "image"
    columns = [name for name in ("tokens", "ner_tags", pictures, *columns) if name in dataset.column_names]
    return _digest(
        json.dumps([_values(table, name) for name in columns])
        for table in dataset.select_columns(columns).with_format("arrow").iter(1000)
    )


def _values(table: pa.Table, column: str) -> list:
    values = table[column].combine_chunks()
    if pa.types.is_struct(values.type) and "bytes" in [field.name for field in values.type]:
        return [_picture_digest(cell) for cell in values]
    return values.to_pylist()


def _picture_digest(cell: pa.StructScalar) -> str | None:
    picture = cell.as_py() or {}
    if picture.get("bytes") is not None:
        return hashlib.sha256(picture["bytes"]).hexdigest()
    return Path(picture["path"]).name if picture.get("path") else None


def _digest(texts: Iterator[str] | list[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def _of_pictures(args: TwoMNERTrainingArguments) -> dict[str, Any]:
    """What decides on the result where it is not at its default; checkpoints from before these options have neither."""
    used = {"group_by_picture": True} if args.group_by_picture else {}
    if args.cache_image_features is not None and args.image_features_precision != "float32":
        return {**used, "image_features_precision": args.image_features_precision}
    return used


def _without_notes(config: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_notes(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if name not in MODEL_NOTES
    }


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else str(value)


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:80]
