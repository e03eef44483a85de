"""Average the posteriors of several runs, and score and write what they find together."""

from __future__ import annotations

import argparse
import gc
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from datasets import Dataset, DatasetDict
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import AutoModelForTokenClassification, AutoProcessor

from dataset_scripts.schema import types_in
from experiments.average.entities import average_entities, scores_by_threshold, tags_above
from experiments.average.runs import (
    check_average_name,
    check_labels,
    describe_run,
    name_of,
    read_configs,
)
from experiments.plan import MODELS_FOLDER, Run
from experiments.records import describe_data, describe_machine, describe_scores, describe_sentences, write_record
from modeling_2mner.posteriors import LEAST, TagPosteriors, average_posteriors, decode_averaged, sentence_posteriors
from modeling_2mner.spans import Span
from reports_2mner.command_line import exit_on_error
from reports_2mner.loading import retell_loading_errors
from reports_2mner.locks import only_writer
from training_2mner.arguments import DataArguments
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.data import check_columns, label_names, load_splits, tag_names
from training_2mner.device import choose_device
from training_2mner.evaluation import PREDICTIONS, write_predictions
from training_2mner.metrics import entity_scores


@dataclass(frozen=True)
class Answers:
    """The predictions of one run for a split.

    Args:
        tags: the run's own predictions, one sequence per sentence.
        posteriors: `(words, labels)` for each sentence, float64.
        entities: the posteriors of the entities of each sentence, if asked for.
    """

    tags: list[list[str]]
    posteriors: list[Tensor]
    entities: list[dict[Span, float]] = field(default_factory=list)


def print_average(options: argparse.Namespace) -> None:
    """Average the runs and print the F1 of each run and of the average."""
    with exit_on_error(OSError):  # a missing data set, a model without weights
        scored = average(options)
    print("\n".join(f"{name}: test F1 (strict) {100 * f1:.2f}" for name, f1 in scored))


def average(options: argparse.Namespace) -> list[tuple[str, float]]:
    """Predict, average and write; return name and strict F1 of each run, in order, and of the average.

    Raises:
        ValueError: if the runs cannot be averaged, or if a run or the data set does not load.
    """
    configs = read_configs(options.runs, least=1 if options.entities else 2)
    labels = check_labels(options.runs, configs)
    run = describe_run(options.runs, configs, options.dataset_config, options.entities)
    name = options.name or run.name
    check_average_name(options.output, name, options.runs, options.entities)
    boxes = (options.boxes_column, options.small_boxes_column)
    data = DataArguments(options.dataset, run.languages, options.dataset_revision, *boxes)
    with only_writer(options.output / f"{name}.json", "output"):
        return _average(options, name, run, data, labels)


def _average(
    options: argparse.Namespace, name: str, run: Run, data: DataArguments, labels: list[str]
) -> list[tuple[str, float]]:
    device = choose_device(options.device)
    splits = load_splits(data)
    test = splits["test"]
    check_columns(test, data.dataset, filter(None, (data.boxes_column, data.small_boxes_column)))
    gold = tag_names(test)
    started = time.monotonic()
    answers = _answers(options, test, data, device)
    scored = [
        (name_of(folder), entity_scores(found.tags, gold)["f1"])
        for folder, found in zip(options.runs, answers, strict=True)
    ]
    facts: dict[str, object] = {}
    if options.entities:
        tags, facts = _choose(answers, _answers(options, splits["validation"], data, device), splits)
    else:
        tags = decode_averaged(average_posteriors(found.posteriors for found in answers), labels)
    facts |= {"machine": describe_machine(device), "seconds": round(time.monotonic() - started, 1)}
    _write(options, name, run, data, test, gold, tags, **facts)
    return [*scored, (name, entity_scores(tags, gold)["f1"])]


def _answers(
    options: argparse.Namespace, dataset: Dataset, data: DataArguments, device: torch.device
) -> list[Answers]:
    answers = []
    for folder in options.runs:
        answers.append(answer(folder, dataset, data, options.batch_size, device, options.entities))
        gc.collect()  # one model at a time
    return answers


def _choose(
    on_test: Sequence[Answers], on_dev: Sequence[Answers], splits: DatasetDict
) -> tuple[list[list[str]], dict[str, object]]:
    """The tags of the test split with the threshold that is best on dev, and what the record tells of it."""
    dev, test = (average_entities([run.entities for run in runs]) for runs in (on_dev, on_test))
    scores = scores_by_threshold(dev, tag_names(splits["validation"]))
    threshold = max(scores, key=lambda value: scores[value])
    tags = tags_above(test, [len(words) for words in splits["test"]["tokens"]], threshold)
    return tags, {"threshold": threshold, "dev_f1": {f"{value:g}": f1 for value, f1 in scores.items()}}


@torch.no_grad()
def answer(
    folder: Path,
    dataset: Dataset,
    arguments: DataArguments,
    batch_size: int,
    device: torch.device | str = "cpu",
    by_entities: bool = False,
) -> Answers:
    """Tag a split with one run.

    Raises:
        ValueError: for a run that does not load, and for one whose scores are not finite.
    """
    with retell_loading_errors(f"`runs` names {folder}, which does not load"):
        model = AutoModelForTokenClassification.from_pretrained(folder).eval().to(device)
        processor = AutoProcessor.from_pretrained(folder)
    collator = TwoMNERDataCollator(processor, arguments.boxes_column, arguments.small_boxes_column)
    unread = {"ner_tags"} if model.config.uses_image else {"ner_tags", "image"}
    rows = dataset.remove_columns(sorted(unread & set(dataset.column_names)))
    labels = model.config.labels
    answers = Answers([], [])
    batches = DataLoader(rows, batch_size, collate_fn=collator)
    for batch in tqdm(batches, desc=name_of(folder), unit=" batches", disable=None):
        output = model(**batch.to(device))
        found = sentence_posteriors(model, output.logits, batch["word_mask"])
        if not all(posteriors.isfinite().all() for posteriors in found):
            raise ValueError(
                f"`runs` names {folder}, whose scores of some sentences are not finite numbers; check its weights."
            )
        tags = zip(output.predictions.tolist(), found, strict=True)
        answers.tags.extend([labels[tag] for tag in row[: len(words)]] for row, words in tags)
        answers.posteriors.extend(found)
        if by_entities:
            posteriors = TagPosteriors.from_model(model, output.logits, batch["word_mask"])
            answers.entities.extend(posteriors.entities_above(LEAST))
    return answers


def _write(
    options: argparse.Namespace,
    name: str,
    run: Run,
    arguments: DataArguments,
    test: Dataset,
    gold: list[list[str]],
    tags: list[list[str]],
    **facts: object,
) -> None:
    """Write the predictions and, last of all, the record, which marks them as complete."""
    folder = options.output / MODELS_FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / PREDICTIONS, test, gold, tags)
    names, data = [name_of(folder) for folder in options.runs], describe_data(arguments, test)
    write_record(
        options.output / f"{name}.json",
        run,
        command="python -m experiments.average "
        + shlex.join([*names, "--dataset", str(data["name"]), "--dataset_config", run.languages])
        + (" --entities" if options.entities else ""),
        data=data,
        **facts,
        averaged=names,
        test={**describe_sentences(test), "dev": describe_scores(gold, tags, types_in(label_names(test)))},
    )
