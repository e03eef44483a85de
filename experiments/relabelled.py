"""What `python -m experiments.new_labels` does."""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers

import train_hf
from dataset_scripts.mini.generator import SPLIT_SIZES, generate_rows, text_only_ceiling
from dataset_scripts.mini.text import AMBIGUOUS_NAMES, MINI_LANGUAGES
from dataset_scripts.parquet import write_dataset
from dataset_scripts.rows import row_spans
from dataset_scripts.schema import SPLITS, Schema
from experiments.records import public_name
from reports_2mner.command_line import exit_on_error
from reports_2mner.files import write_json
from reports_2mner.tables import Table

# The type of a name that could be anything, which the picture shows, and of one that the words reveal.
NEW_TYPES = {
    "PER": ("PERSON", "PERSON"),
    "ORG": ("COMPANY", "COMPANY"),
    "LOC": ("VIEW", "CITY"),
    "MISC": ("OBJECT", "WORK"),
}
TRAIN, VALIDATION, TEST = 100, 100, 500  # sentences
FRESH = 1200  # sentences that are written after those of the demonstration, of which these are taken
SETTINGS = (
    *("--learning_rate", "1e-3", "--crf_learning_rate", "1e-2", "--max_grad_norm", "1.0", "--save_total_limit", "1"),
    *("--per_device_train_batch_size", "16", "--per_device_eval_batch_size", "64"),
)  # of both; the rates and the clipping are those of the demonstration
NETWORK = ("--model", "2m-ner-demo", "--tokenizer", "new", "--vocabulary_size", "1500", "--resnet_image_size", "112")
ARMS = {"new weights": "scratch", "from the trained model": "started"}


def run(options: argparse.Namespace) -> None:
    """Run the comparison and print its table."""
    torch.set_num_threads(1)  # as in the demonstration
    with exit_on_error(OSError):
        if not (options.model / "config.json").is_file():
            raise ValueError(f"`model` {options.model} is not a run folder; train it with `make demo`.")
        record = compare(options.model, list(range(19, 19 + options.seeds)), options.epochs)
    write_json(options.output / "record.json", record, indent=2)
    print(scores_table(record).markdown())


def compare(model: Path, seeds: Sequence[int], epochs: int) -> dict[str, Any]:
    """Train both networks for each seed; returns what is published."""
    pool, held_out = new_rows()
    runs = []
    for seed in seeds:
        with TemporaryDirectory(prefix="new-labels-") as place:
            data = Path(place) / "new-labels"
            write_rows(data, {"train": Random(seed).sample(pool, TRAIN), **held_out})
            common = [*SETTINGS, "--dataset", str(data), "--seed", str(seed), "--num_train_epochs", str(epochs)]
            starts = {"scratch": NETWORK, "started": ("--model", str(model), "--new_labels", "true")}
            runs += [
                {"seed": seed, "arm": arm, **_train([*common, *start, "--output_dir", str(Path(place) / arm)])}
                for arm, start in starts.items()
            ]
    return {
        "model": {"name": public_name(str(model)), "test_f1": _results(model)["test_f1"]},
        "types": {old: list(dict.fromkeys(new)) for old, new in NEW_TYPES.items()},
        "text_only_ceiling": round(text_only_ceiling(held_out["test"]) / 100, 6),
        "sentences": {"train": TRAIN, **{name: len(rows) for name, rows in held_out.items()}},
        "settings": {"epochs": epochs, "common": SETTINGS, "scratch": NETWORK},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "runs": runs,
    }


def new_rows() -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Rows with the new types for training, and those of validation and test.

    The generator writes them after the training and validation sentences of the demonstration, with other names in
    their places and pictures of their own. What shares a picture or its words stays together.
    """
    rows = [relabel(row) for row in generate_rows(19, *SPLIT_SIZES[:2], FRESH)["test"]]
    groups = group_rows(rows)
    Random(19).shuffle(groups)
    parts: dict[str, list[dict[str, Any]]] = {"test": [], "validation": []}
    for name, size in (("test", TEST), ("validation", VALIDATION)):
        while len(parts[name]) < size:
            parts[name] += groups.pop()
    return [row for group in groups for row in group], parts


def relabel(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the types of `NEW_TYPES`."""
    ambiguous = {tuple(name[row["lang"]]) for name in AMBIGUOUS_NAMES}
    tags = ["O"] * len(row["tokens"])
    for kind, start, end in row_spans(row):
        by_picture, by_words = NEW_TYPES[kind]
        name = by_picture if tuple(row["tokens"][start:end]) in ambiguous else by_words
        tags[start:end] = [f"B-{name}", *[f"I-{name}"] * (end - start - 1)]
    return {**row, "ner_tags": tags}


def group_rows(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows that share their picture or their words, directly or through others."""
    leaders: dict[tuple, tuple] = {}

    def leader(key: tuple) -> tuple:
        while (above := leaders.setdefault(key, key)) != key:
            key = above
        return key

    for row in rows:
        leaders[leader(("words", *row["tokens"]))] = leader(("picture", row["image_id"]))
    groups = defaultdict(list)
    for row in rows:
        groups[leader(("picture", row["image_id"]))].append(row)
    return list(groups.values())


def write_rows(folder: Path, splits: dict[str, list[dict[str, Any]]]) -> None:
    """Write a data set with the new types and one configuration."""
    rows = {
        (lang, split): [row for row in splits[split] if row["lang"] == lang]
        for lang in MINI_LANGUAGES
        for split in SPLITS
    }
    files = "".join(f"  - {{split: {split}, path: data/*/{split}-*.parquet}}\n" for split in SPLITS)
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n"
    types = dict.fromkeys(name for names in NEW_TYPES.values() for name in names)
    write_dataset(folder, rows, card, schema=Schema.of(MINI_LANGUAGES, types))


def scores_table(record: dict[str, Any]) -> Table:
    """Test F1 of both ways to start, in percent: of each seed, the mean and the standard deviation."""
    seeds = sorted({run["seed"] for run in record["runs"]})
    rows = []
    for title, arm in ARMS.items():
        scores = [100 * run["test_f1"] for run in record["runs"] if run["arm"] == arm]
        spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
        rows.append([title, *(f"{score:.2f}" for score in scores), f"{statistics.mean(scores):.2f}{spread}"])
    return Table(["Start", *(f"seed {seed}" for seed in seeds), "mean"], rows)


def _train(command_line: list[str]) -> dict[str, float]:
    results = train_hf.main(*train_hf.read_command_line(command_line))
    names = ("test_f1", "test_precision", "test_recall", "test_lenient_f1", "eval_f1")
    types = dict.fromkeys(f"test_f1_{name}" for names in NEW_TYPES.values() for name in names)
    return {name: round(results[name], 6) for name in (*names, *types) if name in results}


def _results(folder: Path) -> dict[str, float]:
    return json.loads((folder / "all_results.json").read_text(encoding="utf-8"))
