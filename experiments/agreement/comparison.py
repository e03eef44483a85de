"""Projected labels against the answers of a second method: counts of each sentence, and what follows from them."""

from __future__ import annotations

import argparse
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dataset_scripts.annotations.agreement import Agreement
from dataset_scripts.construct.recognise import (
    read_label_map,
    read_recogniser,
    recogniser_for,
    tool_of,
    type_of,
)
from dataset_scripts.construct.records import Record, Span, tags_of_spans
from dataset_scripts.construct.stages import Work
from dataset_scripts.splits import stable_hash
from experiments.bootstrap import interval
from experiments.counts import count_entities, scores
from experiments.records import describe_machine, public_name
from reports_2mner.language_table import language_name
from reports_2mner.tables import Table

HEADER = ("Language", "Sentences", "labels", "answers", "both", "F1", "95 % interval", "kappa, marked words")


@dataclass(frozen=True)
class Comparison:
    """The labels and the second answers of the sentences of a language.

    Args:
        records: the sentences with their labels.
        answers: entities of each by the second method.
    """

    records: list[Record]
    answers: list[list[Span]]

    def to_json(self) -> dict[str, Any]:
        """The counts of each sentence, the figures that follow, and what kinds of disagreement there are."""
        pairs = zip(self.records, self.answers, strict=True)
        labels = [tags_of_spans(len(record.tokens), record.labels) for record in self.records]
        answers = [tags_of_spans(len(record.tokens), found) for record, found in pairs]
        counts = count_entities(labels, answers)
        pictures = [stable_hash(record.image_id) for record in self.records]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(pictures))}
        places = [numbers[name] for name in pictures]
        low, high = interval(counts, places)
        return {
            "sentences": len(self.records),
            "f1": scores(counts)["f1"],
            "interval": [low, high],
            "kappa_marked": self._agreement().kappa(marked=True),
            "kinds": dict(sorted(self._kinds().items())),
            "picture": places,
            "counts": counts.to_json(),
        }

    def _agreement(self) -> Agreement:
        found = Agreement()
        for record, answers in zip(self.records, self.answers, strict=True):
            found.add([_entities(record.labels), _entities(answers)], len(record.tokens))
        return found

    def _kinds(self) -> Counter[str]:
        kinds: Counter[str] = Counter()
        for record, answers in zip(self.records, self.answers, strict=True):
            waiting = [span for span in record.spans if not span.is_label and span.end > span.start]
            kinds.update(_kind(span, record.labels, "label", waiting) for span in answers)
            kinds.update(_kind(span, answers, "answer", ()) for span in record.labels if not _same(span, answers))
        return kinds


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """The record of a comparison.

    Raises:
        ValueError: for a work folder without records, a recogniser that does not load, and a language without sentences.
    """
    labels, work, languages = read_label_map(options.label_map), Work(options.work, quiet=True), {}
    for lang in options.languages:
        records = choose(work.records("release"), lang, options.split, options.sentences)
        if not records:
            raise ValueError(
                f"`languages` names {lang}, in which {options.work} has no sentences of the split; leave it out."
            )
        mentions = recogniser_for(options.recogniser, lang)(records, Counter())
        answers = [
            [Span(start, end, kind) for start, end, label, _ in found if (kind := type_of(label, labels)) is not None]
            for found in mentions
        ]
        languages[lang] = Comparison(records, answers).to_json()
    return {
        "command": _command(options),
        "method": tool_of(options.recogniser),
        "label_map": options.label_map,
        "split": options.split,
        "asked": options.sentences,
        "projected": (work.manifest("project") or {}).get("key"),
        "machine": describe_machine(torch.device("cuda" if torch.cuda.is_available() else "cpu")),
        "languages": languages,
    }


def _command(options: argparse.Namespace) -> str:
    """The command without folders of this machine."""
    engine, names = read_recogniser(options.recogniser)
    shown = [f"{lang}{'=' * bool(lang)}{public_name(name)}" for lang, name in names.items()]
    words = [options.work.name, "--recogniser", f"{engine}:{','.join(shown)}", "--languages", *options.languages]
    words += ["--split", options.split] if options.split else []
    return shlex.join(["python", "-m", "experiments.agreement", *words, "--sentences", str(options.sentences)])


def choose(records: Iterable[Record], lang: str, split: str | None, number: int) -> list[Record]:
    """Sentences of a language and of a released split, those whose picture's name has the smallest hashes."""
    found = [
        record for record in records if record.lang == lang and split in (None, record.more.get("released_split"))
    ]
    return sorted(found, key=lambda record: (stable_hash(record.image_id), record.uid))[:number]


def table(record: dict[str, Any]) -> str:
    """The figures of a record as Markdown."""
    rows = []
    for lang, found in record["languages"].items():
        right, predicted, gold = (
            sum(sum(kind[name]) for kind in found["counts"].values()) for name in ("right", "predicted", "gold")
        )
        low, high = (f"{100 * value:.1f}" for value in found["interval"])
        cells = (f"{100 * found['f1']:.1f}", f"{low} to {high}", f"{found['kappa_marked']:.3f}")
        rows.append(
            [language_name(lang), f"{found['sentences']:,}", f"{gold:,}", f"{predicted:,}", f"{right:,}", *cells]
        )
    return Table(HEADER, rows, align="l" + "r" * 7).markdown()


def _entities(spans: Iterable[Span]) -> set[tuple[int, int, str]]:
    return {(span.start, span.end, span.type) for span in spans}


def _same(span: Span, others: Iterable[Span]) -> bool:
    return (span.start, span.end, span.type) in _entities(others)


def _kind(span: Span, others: Sequence[Span], of: str, waiting: Sequence[Span]) -> str:
    """How an entity stands to the entities of the other side; `of` names that side."""
    overlapping = [other for other in others if other.start < span.end and span.start < other.end]
    if _same(span, others):
        return "both agree"
    if any((other.start, other.end) == (span.start, span.end) for other in overlapping):
        return f"other type than the {of}"
    if overlapping:
        return f"other words than the {of}"
    if any(other.start < span.end and span.start < other.end for other in waiting):
        return "no label: waits for people"
    return f"no {of}"
