"""Pair gold and predicted entities of a run, count the errors, and write page and counts."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from dataset_scripts.thumbnails import make_thumbnail
from experiments.bootstrap import interval
from experiments.counts import SCHEMES, EntityCounts, count_entities, scores
from experiments.errors.counts import (
    ScoredSentence,
    Suspect,
    confusion,
    count_kinds,
    describe_suspects,
    find_suspects,
    pair_entities,
    sentence_ids,
)
from experiments.errors.page import Card, errors_page
from experiments.records import describe_data, describe_sentences
from modeling_2mner.spans import entity_spans
from reports_2mner.command_line import exit_on_error
from reports_2mner.conll_format import read_sentences
from reports_2mner.files import write_file
from reports_2mner.locks import only_writer
from training_2mner.arguments import DataArguments
from training_2mner.data import label_names, load_splits, tag_names, text_values
from training_2mner.evaluation import PREDICTIONS

PAGE, COUNTS = "errors.html", "errors.json"
QUOTED_WORDS = 12
REMEDY = "Pass the data set, `--dataset_config`, `--dataset_revision` and `--max_eval_samples` of the run."


def analyse(options: argparse.Namespace) -> None:
    """Write the page and the counts of one run."""
    data = DataArguments(
        dataset=options.dataset,
        dataset_config=options.dataset_config,
        dataset_revision=options.dataset_revision,
        max_eval_samples=options.max_eval_samples,
    )
    with exit_on_error(OSError):
        splits = load_splits(data)
        tags = read_answers(options.run, splits["test"])
        sentences = pair_sentences(splits["test"], *tags, strict=options.scheme == "strict")
        suspects = find_suspects(splits["train"], splits["test"], sentences, options.scheme == "strict")
    content = {
        "run": options.run.resolve().name,
        "dataset": describe_data(data, splits["test"]) | {"max_eval_samples": data.max_eval_samples},
        "scheme": options.scheme,
        **describe_errors(splits["test"], sentences, *tags, scheme=options.scheme),
        "label_noise": describe_suspects(suspects, sentences),
    }
    output = options.output or Path("runs") / "errors" / content["run"]
    with exit_on_error(), only_writer(output, "output"):
        size = write(output, options, content, splits["test"], sentences, suspects)
    shown = content["page"]["sentences_shown"]
    print(
        f"{shown} of {content['sentences_with_errors']} sentences with errors are on the page ({size / 1e6:.1f} MB).\n"
        f"See {PAGE} and {COUNTS} in {output}."
    )


def read_answers(run: Path, test: Dataset) -> tuple[list[list[str]], list[list[str]]]:
    """The gold and predicted tags of a run, checked to be those of this test split.

    Raises:
        ValueError: if the run has no predictions, or predictions for other sentences.
    """
    path = run / PREDICTIONS
    if not path.is_file():
        raise ValueError(
            f"`run` {run} has no {PREDICTIONS}; pass a run folder of train_hf.py. `python -m experiments.run` keeps "
            "its run folders in models/ with `--keep_models`."
        )
    answers = list(read_sentences(path))
    if any(len(line) != 3 for _, lines in answers for line in lines):
        raise ValueError(f"{path} has lines that are not word, gold and predicted tag; predict again with the run.")
    if len(answers) != len(test):
        raise ValueError(f"`run` has predictions for {len(answers)} sentences, but test has {len(test)}. {REMEDY}")
    image_ids = test["image_id"] if "image_id" in test.column_names else [""] * len(test)
    rows = zip(answers, image_ids, test["tokens"], tag_names(test), strict=True)
    for number, ((name, lines), image_id, words, gold) in enumerate(rows, start=1):
        found = (name, [line[0] for line in lines], [line[1] for line in lines])
        for what, theirs, ours in zip(
            ("picture", "words", "gold tags"), found, (str(image_id), words, gold), strict=True
        ):
            if theirs != ours:
                raise ValueError(
                    f"`run` and `dataset` differ in the {what} of test sentence {number}: the predictions are "
                    f"for {_short(theirs)}, the data set has {_short(ours)}. {REMEDY}"
                )
    predicted = [[line[2] for line in lines] for _, lines in answers]
    return [[line[1] for line in lines] for _, lines in answers], predicted


def pair_sentences(
    test: Dataset, references: list[list[str]], predictions: list[list[str]], strict: bool = True
) -> list[ScoredSentence]:
    """All sentences of the test split, with their entities paired."""
    groups = _groups(test)
    rows = zip(sentence_ids(test), test["tokens"], references, predictions, strict=True)
    sentences = []
    for row, (name, words, gold, predicted) in enumerate(rows):
        found = entity_spans(predicted, strict)
        pairs = pair_entities(entity_spans(gold, strict), found)
        strays = tuple(span for span in entity_spans(predicted, strict=False) if span not in found)
        group = {column: values[row] for column, values in groups.items()}
        sentences.append(ScoredSentence(row, name, words, pairs, group, strays))
    return sentences


def describe_errors(
    test: Dataset,
    sentences: list[ScoredSentence],
    references: list[list[str]],
    predictions: list[list[str]],
    scheme: str,
) -> dict[str, Any]:
    """Scores by both schemes, and the errors by this scheme: overall, by type, by group, and between types."""
    types = list(dict.fromkeys(label[2:] for label in label_names(test) if label != "O"))
    counts = {name: count_entities(references, predictions, name == "strict", types) for name in SCHEMES}
    pictures = describe_sentences(test)["picture"]
    return {
        "sentences": len(sentences),
        "sentences_with_errors": sum(bool(sentence.errors) for sentence in sentences),
        "scores": {
            name: scores(table) | {"f1_interval": list(interval(table, pictures))} for name, table in counts.items()
        },
        "entities_that_begin_with_I": {
            "gold": _count_strays(references),
            "predicted": _count_strays(predictions),
        },
        "kinds": _count_groups(sentences, counts[scheme]),
        "confusion": confusion(sentences, types),
    }


def write(
    output: Path,
    options: argparse.Namespace,
    content: dict[str, Any],
    test: Dataset,
    sentences: list[ScoredSentence],
    suspects: list[Suspect],
) -> int:
    """Write both files and return the size of the page in bytes."""
    wrong = [sentence for sentence in sentences if sentence.errors]
    cards = [_card(sentence, test, options.thumbnails) for sentence in evenly_spaced(wrong, options.limit)]
    content["page"] = {
        "sentences_shown": len(cards),
        "sentences_left_out": len(wrong) - len(cards),
        "suspects_shown": min(len(suspects), options.suspects),
        "suspects_left_out": max(0, len(suspects) - options.suspects),
    }
    page = errors_page(content, cards, suspects).encode(errors="backslashreplace")
    content["page"]["bytes"] = len(page)
    write_file(output / PAGE, page)
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    write_file(output / COUNTS, text.encode(errors="backslashreplace"))
    return len(page)


def evenly_spaced(sentences: list[ScoredSentence], limit: int) -> list[ScoredSentence]:
    """At most `limit` sentences, at equal distances, so that every part of the split is represented."""
    if len(sentences) <= limit:
        return sentences
    return [sentences[place * len(sentences) // limit] for place in range(limit)]


def _card(sentence: ScoredSentence, test: Dataset, side: int) -> Card:
    row = test[sentence.row]
    if not side or "image" not in row:
        return Card(sentence, None)
    return Card(sentence, make_thumbnail(row["image"], row.get("image_status"), side))


def _groups(test: Dataset) -> dict[str, list[str]]:
    """Language, source and state of the picture, as far as the data set has them."""
    columns = [column for column in ("lang", "source", "image_status") if column in test.column_names]
    return {column: [str(value) for value in text_values(test, column)] for column in columns}


def _count_groups(sentences: list[ScoredSentence], counts: EntityCounts) -> dict[str, dict[str, dict[str, float]]]:
    """The kinds of errors, with F1, of each type and of each group of sentences."""
    f1 = scores(counts)
    pairs = [pair for sentence in sentences for pair in sentence.pairs]
    tables = {"overall": {"all": {**count_kinds(pairs), "f1": f1["f1"]}}}
    tables["type"] = {
        kind: {**count_kinds(pair for pair in pairs if pair.type == kind), "f1": f1[f"f1_{kind}"]}
        for kind in counts.types
    }
    for column in sentences[0].groups if sentences else ():
        members: dict[str, list[int]] = {}
        for place, sentence in enumerate(sentences):
            members.setdefault(sentence.groups[column], []).append(place)
        tables[column] = {
            name: {
                **count_kinds(pair for place in places for pair in sentences[place].pairs),
                "f1": scores(counts.select(places))["f1"],
            }
            for name, places in sorted(members.items())
        }
    return tables


def _count_strays(tags: list[list[str]]) -> int:
    return sum(
        len(entity_spans(sentence, strict=False)) - len(entity_spans(sentence, strict=True)) for sentence in tags
    )


def _short(value: Sequence[str]) -> str:
    shown = value if isinstance(value, str) else " ".join(value[:QUOTED_WORDS]) + " ..." * (len(value) > QUOTED_WORDS)
    return repr(shown)
