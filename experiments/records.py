"""The record of a run: one JSON file with its settings, its machine and the counts of every test sentence."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import accelerate
import datasets
import numpy as np
import torch
import transformers
from datasets import Dataset
from huggingface_hub import try_to_load_from_cache
from transformers import TrainerState
from transformers.utils import CONFIG_NAME

from dataset_scripts.parquet import fingerprint
from experiments.counts import EntityCounts, count_entities
from experiments.plan import Run
from experiments.public_words import public_words
from modeling_2mner.encoders import ENCODERS
from reports_2mner.conll_format import read_sentences
from reports_2mner.files import file_sha256, read_json, write_json
from training_2mner.arguments import DataArguments, ModelArguments
from training_2mner.data import text_values
from training_2mner.data_record import read_data_record

GROUPS = ("lang", "source")
PRETRAINED = (*(f"{name}_encoder" for name in ENCODERS), "word_vectors")
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # the first kind that is there is what is loaded


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Args:
        run: what was trained.
        content: the complete JSON file.
    """

    run: Run
    content: dict[str, Any]

    def counts(self, scheme: str = "strict", protocol: str = "dev") -> EntityCounts:
        """The counts of the test sentences, `"strict"` or `"lenient"`, for the epoch that is best on `"dev"`, or for
        the one that is best on test itself, as in the authors' code (`"released"`).

        Raises:
            ValueError: if the run was not scored by this protocol.
        """
        scored = self.content["test"].get(protocol)
        if scored is None:
            raise ValueError(
                f"{self.run.name} was not scored by the protocol; run it again with `--protocol {protocol}`."
            )
        return EntityCounts.from_json(scored[scheme] or scored["strict"])

    @property
    def pictures(self) -> np.ndarray:
        """The picture of each test sentence, as a number; sentences without one have numbers of their own."""
        return np.array(self.content["test"]["picture"])

    def group(self, column: str) -> np.ndarray:
        """The language or source of each test sentence."""
        return np.array(self.content["test"][column])

    def has(self, protocol: str) -> bool:
        """Whether the run was scored by this protocol."""
        return protocol in self.content["test"]


def read_records(folder: Path) -> list[RunRecord]:
    """All records of a folder, by name; it may hold other JSON files as well.

    Raises:
        ValueError: if there are none, and for a file that is no JSON.
    """
    contents = [read_json(path) for path in sorted(folder.glob("*.json"))]
    records = [RunRecord(Run(**content["run"]), content) for content in contents if {"run", "test"} <= set(content)]
    if not records:
        raise ValueError(f"there are no finished runs in {folder}; run some with `python -m experiments.run`.")
    return records


def read_record(path: Path) -> RunRecord:
    """Read one file."""
    content = read_json(path)
    return RunRecord(Run(**content["run"]), content)


def write_record(path: Path, run: Run, **content: Any) -> None:
    """Write a run's file."""
    write_line(path, run=asdict(run), **content)


def write_line(path: Path, **content: Any) -> None:
    """Write a JSON file of a single line."""
    write_json(path, content, ensure_ascii=False, separators=(",", ":"))


def describe_sentences(dataset: Dataset) -> dict[str, list]:
    """Language, source and picture of each sentence; pictures are numbered, as their names are part of the data."""
    described: dict[str, list] = {
        column: text_values(dataset, column) for column in GROUPS if column in dataset.column_names
    }
    names = dataset["image_id"][:] if "image_id" in dataset.column_names else [""] * len(dataset)
    numbers: dict[Any, int] = {}
    described["picture"] = [numbers.setdefault(name or row, len(numbers)) for row, name in enumerate(names)]
    return described


def describe_scores(
    references: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], types: Sequence[str] | None = None
) -> dict[str, Any]:
    """The counts of each sentence by both schemes; the lenient ones are `None` if they equal the strict ones."""
    strict = count_entities(references, predictions, types=types)
    lenient = count_entities(references, predictions, strict=False, types=types)
    same = np.array_equal(strict.table, lenient.table)
    return {"strict": strict.to_json(), "lenient": None if same else lenient.to_json()}


def describe_data(arguments: DataArguments, loaded: Dataset) -> dict[str, str | None]:
    """Name, configuration and state of a data set: for a folder the fingerprint of its files, on the Hub the commit.

    Args:
        arguments: those by which it was loaded.
        loaded: one of its splits.
    """
    record, folder = read_data_record(arguments.dataset, arguments.dataset_config), Path(arguments.dataset)
    return {
        "name": public_name(arguments.dataset),
        "config": arguments.dataset_config,
        "revision": arguments.dataset_revision if folder.exists() else _commit(loaded) or arguments.dataset_revision,
        "fingerprint": record.fingerprint or _fingerprint(folder),
        "split": record.split,
    }


def describe_encoders(arguments: ModelArguments) -> dict[str, dict[str, str | None]]:
    """Name and state of the pretrained parts that a run names: of files the SHA-256 of the weights, on the Hub the commit."""
    names = {part: getattr(arguments, part) for part in PRETRAINED}
    return {part: _describe_encoder(name) for part, name in names.items() if name is not None}


def describe_training(state: TrainerState) -> dict[str, Any]:
    """Seconds of training, and the dev scores of the epoch that was best on dev."""
    evaluations = [entry for entry in state.log_history if "eval_f1" in entry]
    best = next((entry for entry in evaluations if entry["step"] == state.best_global_step), None)
    best = best or max(evaluations, key=lambda entry: entry["eval_f1"])
    return {
        "seconds": round(sum(entry.get("train_runtime", 0) for entry in state.log_history), 1),
        "dev": {"epoch": best["epoch"], "f1": best["eval_f1"], "lenient_f1": best["eval_lenient_f1"]},
    }


def public_name(source: str) -> str:
    """The name of a folder without its location on this machine, or the id on the Hub."""
    return Path(source).resolve().name if Path(source).exists() else source


def public_command(command: Sequence[str]) -> str:
    """The command of a run in a form that works on another machine: without folders of this one, and without secrets."""
    return shlex.join(["python", "train_hf.py", *public_words(command)])


def describe_machine(device: torch.device) -> dict[str, str]:
    """Versions, hardware and the revision of this project."""
    modules = (torch, transformers, datasets, accelerate)
    return {
        **{module.__name__: module.__version__ for module in modules},
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "revision": _revision(),
    }


def read_predictions(path: Path) -> tuple[list[list[str]], list[list[str]]]:
    """The gold and predicted tags of a `predictions_test.conll`."""
    references: list[list[str]] = []
    predictions: list[list[str]] = []
    for _, rows in read_sentences(path):
        references.append([row[1] for row in rows])
        predictions.append([row[2] for row in rows])
    return references, predictions


def _describe_encoder(name: str) -> dict[str, str | None]:
    place = Path(name)
    if not place.exists():
        config = try_to_load_from_cache(name, CONFIG_NAME)  # in the folder of the commit that was loaded
        return {"name": name, "commit": Path(config).parent.name if isinstance(config, str) else None}
    found = (sorted(place.glob(kind)) for kind in WEIGHTS) if place.is_dir() else [[place]]
    weights = next(filter(None, found), [])
    return {"name": public_name(name), "sha256": file_sha256(*weights) if weights else None}


def _commit(loaded: Dataset) -> str | None:
    """The commit of a data set on the Hub; `load_dataset` shows it only in the folder name of its local copy."""
    names = {Path(file["filename"]).parent.name for file in loaded.cache_files}
    return next((name for name in names if re.fullmatch("[0-9a-f]{40}", name)), None)


def _fingerprint(folder: Path) -> str | None:
    """The fingerprint of the parquet files of a folder whose card does not state it."""
    hashes = {path.relative_to(folder).as_posix(): file_sha256(path) for path in folder.rglob("*.parquet")}
    return fingerprint(hashes) if hashes else None


def _revision() -> str:
    root = Path(__file__).resolve().parents[1]
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # a copy without the history
