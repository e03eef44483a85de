"""Count the errors of a run, and write page and counts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from datasets import Dataset

from dataset_scripts.thumbnails import make_thumbnail
from experiments.bootstrap import interval
from experiments.counts import SCHEMES, EntityCounts, count_entities, scores
from experiments.errors.answers import pair_sentences, read_answers
from experiments.errors.counts import (
    ScoredSentence,
    Suspect,
    confusion,
    count_kinds,
    describe_suspects,
    find_suspects,
)
from experiments.errors.page import Card, errors_page
from experiments.records import describe_data, describe_sentences
from modeling_2mner.spans import entity_spans
from reports_2mner.command_line import exit_on_error
from reports_2mner.files import write_file
from reports_2mner.locks import only_writer
from training_2mner.arguments import DataArguments
from training_2mner.data import label_names, load_splits

PAGE, COUNTS = "errors.html", "errors.json"


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
