"""Run a model with pictures, other pictures and none, and compare what it finds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForTokenClassification, AutoProcessor

import modeling_2mner  # noqa: F401  registers the models
from experiments.counts import SCHEMES, count_entities, scores
from experiments.image_audit.counts import CONDITIONS, Tags, count_errors, describe_conditions, verdict
from experiments.image_audit.page import AuditExample, audit_page
from experiments.image_audit.predictions import Predictor, Result, predict_all
from experiments.records import GROUPS, describe_data, describe_machine, public_name
from modeling_2mner.configuration_tagging import TaggingConfig
from reports_2mner.command_line import exit_on_error
from reports_2mner.files import write_file, write_json
from reports_2mner.loading import retell_loading_errors
from reports_2mner.locks import only_writer
from training_2mner.arguments import DataArguments
from training_2mner.data import check_columns, load_splits, text_values
from training_2mner.model_names import model_name


def audit(options: argparse.Namespace) -> None:
    """Audit one model and write both files."""
    with exit_on_error(OSError):  # a missing data set
        described, page = audit_model(options)
    name = described["run"]
    output = options.output or Path("runs") / "image_audit" / name
    with exit_on_error(), only_writer(output, "output"):
        write_json(output / "audit.json", described, ensure_ascii=False, indent=1)
        write_file(output / "image_audit.html", page)
    print(f"{described['verdict']['text']}\n{_summary(described)}\nSee image_audit.html and audit.json in {output}.")


def audit_model(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Predict and compare; return the content of `audit.json` and the page.

    Raises:
        ValueError: if the model does not look at pictures, the data set has none, or one of them does not load.
    """
    predictor = load_predictor(options)
    arguments = DataArguments(options.dataset, options.dataset_config, options.dataset_revision)
    test = load_test_with_pictures(arguments, predictor)
    result = predict_all(predictor, test, options.seed)
    described = {
        "run": public_name(options.run),
        "model": model_name(cast(TaggingConfig, predictor.model.config)),
        "data": describe_data(arguments, test),
        "seed": options.seed,
        "machine": describe_machine(predictor.model.device),
        **describe_result(result, test),
    }
    return described, audit_page(described, choose_examples(described, result, test, options.examples, options.seed))


def load_predictor(options: argparse.Namespace) -> Predictor:
    """Load model and processor onto the device.

    Raises:
        ValueError: if there is no model, or if it does not look at pictures.
    """
    with retell_loading_errors(f"`run` {options.run} is not a model of this project, or does not load"):
        model = AutoModelForTokenClassification.from_pretrained(options.run)
        processor = AutoProcessor.from_pretrained(options.run)
    if not model.config.uses_image:
        raise ValueError(
            f"`run` {options.run} is a text-only model ({model_name(model.config)}): it has no part that looks at "
            "pictures, so there is nothing to audit. Name a model with an image branch."
        )
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        model = model.eval().to(device)
    except (RuntimeError, AssertionError) as error:  # the second for CUDA in a build of PyTorch without it
        raise ValueError(f"`device` is {device!r}, which PyTorch cannot use: {error}") from error
    columns = {"boxes": options.boxes_column, "small_boxes": options.small_boxes_column}
    boxes = tuple((argument, column) for argument, column in columns.items() if column is not None)
    return Predictor(model, processor, options.batch_size, boxes)


def load_test_with_pictures(arguments: DataArguments, predictor: Predictor) -> Dataset:
    """The test split.

    Raises:
        ValueError: if it lacks a column that is needed.
    """
    test = load_splits(arguments)["test"]
    check_columns(test, arguments.dataset, ("image", *(column for _, column in predictor.boxes)))
    return test


def describe_result(result: Result, test: Dataset) -> dict[str, Any]:
    """All figures over the sentences with a usable picture, and plain scores over all sentences and the others."""
    rows = np.flatnonzero(result.usable)
    groups = {name: text_values(test.select(rows), name) for name in GROUPS if name in test.column_names}
    tags = {shown: _take(found, rows) for shown, found in result.tags.items()}
    described = describe_conditions(_take(result.gold, rows), tags, result.pictures[rows], groups, result.types)
    errors = {shown: count_errors(result.gold, result.tags[shown]) for shown in ("right", "none")}
    uses_picture, text = verdict(described)
    return {
        "verdict": {"uses_picture": uses_picture, "text": text},
        "sentences": {"with_picture": len(rows), "pictures": len(set(result.pictures[rows])), "all": len(test)},
        "all_sentences": _plain_scores(result, np.arange(len(test))),
        "without_picture": _plain_scores(result, np.flatnonzero(~result.usable)),
        **described,
        "saved_rows": np.flatnonzero(errors["right"] < errors["none"]).tolist(),
        "spoiled_rows": np.flatnonzero(errors["right"] > errors["none"]).tolist(),
    }


def choose_examples(
    described: dict[str, Any], result: Result, test: Dataset, limit: int, seed: int
) -> dict[str, list[AuditExample]]:
    """Some of the sentences that the picture saves and some that it spoils, drawn at random, in their order."""
    generator = np.random.default_rng(seed)
    chosen = {}
    for fate in ("saved", "spoiled"):
        rows = described[f"{fate}_rows"]
        drawn = sorted(generator.permutation(len(rows))[:limit].tolist())
        chosen[fate] = [_example(result, test, rows[place]) for place in drawn]
    return chosen


def _example(result: Result, test: Dataset, row: int) -> AuditExample:
    cells = test[row]
    lang = text_values(test.select([row]), "lang")[0] if "lang" in test.column_names else ""
    found = (result.gold[row], result.tags["right"][row], result.tags["none"][row])
    return AuditExample(row, lang, cells["tokens"], cells["image"], *found)


def _plain_scores(result: Result, rows: np.ndarray) -> dict[str, Any]:
    """F1 of the model in normal use, with the pictures that exist."""
    pair = _take(result.gold, rows), _take(result.tags["right"], rows)
    return {"sentences": len(rows)} | {
        f"{scheme}_f1": float(scores(count_entities(*pair, scheme == "strict", result.types))["f1"])
        for scheme in SCHEMES
    }


def _take(values: Tags, rows: np.ndarray) -> Tags:
    return [values[row] for row in rows]


def _summary(described: dict[str, Any]) -> str:
    found = [f"{shown} {100 * described['strict'][shown]['f1']:.2f}" for shown in CONDITIONS]
    return f"F1 (strict) by picture: {', '.join(found)}."
