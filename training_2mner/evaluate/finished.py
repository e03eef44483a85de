"""Score a finished model on a split of any data set."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import torch
import transformers
from datasets import Dataset
from transformers import AutoConfig, AutoModelForTokenClassification, AutoProcessor

from modeling_2mner import TwoMNERProcessor
from modeling_2mner.configuration_tagging import TaggingConfig
from modeling_2mner.tagging import WordTagger
from reports_2mner.loading import retell_loading_errors
from training_2mner.arguments import DataArguments, TwoMNERTrainingArguments
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.data import label_names, load_split, tag_names
from training_2mner.data_record import read_data_record
from training_2mner.evaluate.entity_types import check_types, map_tags, types_of_tags
from training_2mner.evaluation import group_scores, results_table
from training_2mner.features.fill import open_cache, refuse_boxes
from training_2mner.metrics import entity_scores
from training_2mner.trainer import TwoMNERTrainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelScores:
    """The scores of a model on a split.

    Args:
        content: everything, as plain values of JSON, without paths of this machine.
        table: the scores as Markdown.
    """

    content: dict[str, Any]
    table: str

    def __str__(self) -> str:
        found = self.content
        data = found["dataset"]
        return (
            f"{found['sentences']:,} sentences of {data['name']} ({data['config']}, {found['split']})\n\n{self.table}"
        )


def evaluate_model(
    name: str,
    data: DataArguments,
    split: str = "test",
    mapping: Mapping[str, str] | None = None,
    batch_size: int = 32,
    device: str | None = None,
    cache_image_features: Path | str | None = None,
) -> ModelScores:
    """Tag a split and score it overall, by type, by language and by source, strictly and leniently.

    Args:
        name: run folder or Hub id of the model.
        data: which data, with `max_eval_samples` for its first sentences.
        split: which split of them.
        mapping: the types that others count as, in the data and in the answers; an empty one leaves entities out.
        batch_size: sentences in a batch.
        device: `"cpu"` or `None` for a GPU if there is one.
        cache_image_features: a folder with the features of all pictures, see `training_2mner.features`.

    Raises:
        ValueError: for a model or data that do not load, and for types that the model does not know.
    """
    mapping = dict(mapping or {})
    config = _load_config(name)
    dataset = load_split(data, split)
    gold = tag_names(dataset)
    unused = check_types(types_of_tags(gold), types_of_tags([config.labels]), mapping, name)
    declared = types_of_tags(map_tags([label_names(dataset)], mapping))
    if foreign := [kind for kind in unused if kind not in declared]:
        logger.warning(
            "The model also finds %s, which the data set does not annotate; each such answer counts as wrong. `--map %s=` "
            "leaves them out.",
            ", ".join(foreign),
            foreign[0],
        )
    predictions = map_tags(tag_split(name, dataset, data, batch_size, device, cache_image_features), mapping)
    gold = map_tags(gold, mapping)
    scores = {f"test_{key}": value for key, value in entity_scores(predictions, gold).items()}
    scores |= group_scores(dataset, gold, predictions, "test")
    types = list(dict.fromkeys([*declared, *types_of_tags(predictions)]))
    content = {
        "model": _public_name(name),
        "dataset": {
            "name": _public_name(data.dataset),
            "config": data.dataset_config,
            "revision": data.dataset_revision,
            "fingerprint": read_data_record(data.dataset, data.dataset_config).fingerprint,
        },
        "split": split,
        "sentences": len(dataset),
        "map": mapping,
        "types": types,
        "scores": {key.removeprefix("test_"): value for key, value in scores.items()},
        "versions": {module.__name__: module.__version__ for module in (torch, transformers, datasets)},
    }
    return ModelScores(content, results_table(scores, [f"B-{kind}" for kind in types]))


def tag_split(
    name: str,
    dataset: Dataset,
    data: DataArguments,
    batch_size: int = 32,
    device: str | None = None,
    cache_image_features: Path | str | None = None,
) -> list[list[str]]:
    """The tags that a model gives the words of each sentence, by its own decoding; gold tags are not read."""
    with retell_loading_errors(_problem(name)):
        model: WordTagger = AutoModelForTokenClassification.from_pretrained(name)
        processor: TwoMNERProcessor = AutoProcessor.from_pretrained(name)
    unread = {"ner_tags"} if model.config.uses_image else {"ner_tags", "image"}
    rows = dataset.remove_columns(sorted(unread & set(dataset.column_names)))
    with TemporaryDirectory(prefix="evaluate-") as place:
        arguments = TwoMNERTrainingArguments(
            output_dir=place,
            per_device_eval_batch_size=batch_size,
            use_cpu=device == "cpu",
            report_to="none",
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
        )
        collator = TwoMNERDataCollator(processor, data.boxes_column, data.small_boxes_column)
        if cache_image_features is not None:
            refuse_boxes(collator)
            collator.features = open_cache(cache_image_features, model, processor)
        trainer = TwoMNERTrainer(model=model, args=arguments, data_collator=collator, processing_class=processor)
        found = trainer.predict(rows).predictions
    labels, outside = model.config.labels, model.config.labels.index("O")
    return [
        [labels[tag if tag >= 0 else outside] for tag in tags[: len(words)].tolist()]
        for tags, words in zip(found, dataset["tokens"], strict=True)
    ]


def _load_config(name: str) -> TaggingConfig:
    with retell_loading_errors(_problem(name)):
        config = AutoConfig.from_pretrained(name)
    if not isinstance(config, TaggingConfig):
        raise ValueError(f"`model` {name!r} is a {config.model_type}, not a model of this project; name one of those.")
    return config


def _problem(name: str) -> str:
    return f"`model` {name!r} does not load; name a run folder or a Hub id"


def _public_name(name: str) -> str:
    path = Path(name)
    return path.resolve().name if path.exists() or path.is_absolute() else name
