"""What a data set's own files record, and its most frequent names, for the card of a model trained on it."""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset
from huggingface_hub import DatasetCard

from modeling_2mner.spans import entity_spans
from training_2mner.data import label_names

logger = logging.getLogger(__name__)

UNFIT = set("|`<>[]\\\n\r\t")  # characters with a meaning in a Markdown table
MAX_EXAMPLES = 3
MAX_EXAMPLE_LENGTH = 40


@dataclass(frozen=True)
class DataRecord:
    """What a data set folder records of its files, its licence, how it was split and what the splits share."""

    fingerprint: str | None = None
    license: str | None = None
    split: str | None = None
    seed: int | None = None
    leaks: list[dict[str, Any]] = field(default_factory=list)


def read_data_record(name: str, config: str) -> DataRecord:
    """Read `README.md` and `build.json` of a folder written by `dataset_scripts`; for a Hub id the record is empty."""
    folder = Path(name)
    if not folder.is_dir():
        return DataRecord()
    metadata, record = _read_card(folder / "README.md"), _read_build(folder / "build.json")
    settings = record.get("settings", {})
    return DataRecord(
        fingerprint=_fingerprint(metadata, config),
        license=metadata.get("license_name") or metadata.get("license"),
        split=settings.get("split"),
        seed=settings.get("seed"),
        leaks=_leaks(record.get("leaks", []), config),
    )


def frequent_entities(dataset: Dataset) -> dict[str, list[str]]:
    """The most frequent names of each entity type in the data set, in descending order.

    Frequent names show best what a type means and are least likely to belong to private persons.
    """
    names = label_names(dataset)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for words, tags in zip(dataset["tokens"], dataset["ner_tags"], strict=True):
        for kind, start, end in entity_spans([names[tag] for tag in tags], strict=False):
            counts[kind][" ".join(words[start:end])] += 1
    kinds = dict.fromkeys(name[2:] for name in names if name != "O")
    return {kind: [name for name, _ in counts[kind].most_common() if _is_fit(name)][:MAX_EXAMPLES] for kind in kinds}


def _is_fit(name: str) -> bool:
    return name.isprintable() and len(name) <= MAX_EXAMPLE_LENGTH and not UNFIT & set(name)


def _fingerprint(metadata: dict[str, Any], config: str) -> str | None:
    """The fingerprint of a configuration, which the builder describes as `Files <fingerprint>`."""
    for entry in metadata.get("configs") or []:
        if entry.get("config_name") == config and str(entry.get("description", "")).startswith("Files "):
            return entry["description"].removeprefix("Files ")
    return None


def _leaks(leaks: list[dict[str, Any]], config: str) -> list[dict[str, Any]]:
    """The leaks of a configuration; a data set with a single language lists them under its name, not under `all`."""
    configs = {leak["config"] for leak in leaks}
    wanted = config if config in configs or len(configs) != 1 else configs.pop()
    return [leak for leak in leaks if leak["config"] == wanted and leak["rows"]]


def _read_card(path: Path) -> dict[str, Any]:
    try:
        return DatasetCard.load(path, ignore_metadata_errors=True).data.to_dict() if path.is_file() else {}
    except (ValueError, yaml.YAMLError) as error:
        logger.warning("The card will not cover %s, which cannot be read: %s", path.name, error)
        return {}


def _read_build(path: Path) -> dict[str, Any]:
    """The builder's record; empty if the file is not by the builder."""
    try:
        record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        logger.warning("The card will not cover %s, which cannot be read: %s", path.name, error)
        return {}
    is_ours = isinstance(record, dict) and isinstance(record.get("settings"), dict) and "files" in record
    return record if is_ours else {}
