"""The page of an image audit: one file that loads nothing, runs no script, and escapes every word of the data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from dataset_scripts.marked_sentences import LICENCE_NOTE, Piece, cut_into_pieces
from dataset_scripts.thumbnails import make_thumbnail
from experiments.bootstrap import PairedComparison
from experiments.image_audit.counts import FLIPS, OTHER_CONDITIONS
from modeling_2mner.spans import entity_spans
from reports_2mner.html import percent, render

THUMBNAIL = 160  # longer side in pixels
SHOWN_WORDS = 80  # of a sentence
CONTEXT_WORDS = 20  # before the first difference, if that comes after the words shown
CONDITION_TITLES = {
    "right": "the right picture",
    "none": "no picture",
    "blank": "a grey picture",
    "shuffled": "another sentence's picture",
}
FATES = {
    "saved": "Sentences that the picture saves",
    "spoiled": "Sentences that the picture spoils",
}
GROUP_TITLES = {"type": "Type", "lang": "Language", "source": "Source"}


@dataclass(frozen=True)
class AuditExample:
    """A sentence on the page.

    Args:
        row: its place in the test split.
        lang: its language.
        words, picture: from the data set; the picture in a form that `modeling_2mner.images` accepts.
        gold, right, none: its gold tags, those predicted with the right picture, and those predicted without.
    """

    row: int
    lang: str
    words: Sequence[str]
    picture: Any
    gold: Sequence[str]
    right: Sequence[str]
    none: Sequence[str]

    @property
    def start(self) -> int:
        """The first word to show: 0 unless the first entity in which the predictions differ would be cut off."""
        gold, right, none = (set(entity_spans(tags, strict=True)) for tags in (self.gold, self.right, self.none))
        first = min(right ^ none, key=lambda span: (span[1], -span[2]), default=None)
        if first is None or len(self.words) <= SHOWN_WORDS or first[2] <= SHOWN_WORDS:
            return 0
        start = max(0, first[1] - CONTEXT_WORDS)
        while crossing := [span[1] for span in gold | right | none if span[1] < start < span[2]]:
            start = min(crossing)
        return start


def audit_page(described: Mapping[str, Any], examples: Mapping[str, Sequence[AuditExample]]) -> str:
    """Return the page.

    Args:
        described: the content of `audit.json`.
        examples: sentences by `FATES`.
    """
    return render(
        "image_audit.html.jinja",
        described=described,
        examples=examples,
        languages=list(dict.fromkeys(example.lang for fate in FATES for example in examples[fate])),
        groups={other: _group_table(described, other) for other in reversed(OTHER_CONDITIONS)},
        titles=CONDITION_TITLES,
        fates=FATES,
        licences=LICENCE_NOTE,
        mark_entities=entity_pieces,
        thumbnail=partial(make_thumbnail, status=None, side=THUMBNAIL),
        comparison=_comparison,
        signed=_signed,
    )


def entity_pieces(
    words: Sequence[str], tags: Sequence[str], gold: Sequence[str] | None = None, start: int = 0
) -> tuple[list[Piece], int]:
    """The first words from `start`, with each entity of the tags in one piece, and the number of words left; given
    `gold`, right and wrong entities have different styles.
    """
    known = None if gold is None else set(entity_spans(gold, strict=True))
    found = entity_spans(tags, strict=True)
    styles = {span: "" if known is None else "right" if span in known else "wrong" for span in found}
    return cut_into_pieces(words, styles, SHOWN_WORDS, start)


def _group_table(described: Mapping[str, Any], other: str) -> tuple[list[str], dict[str, list[list[str]]]]:
    header = ["", "gold", "F1 right", "F1 then", "right − then", "95 % interval", *FLIPS]
    groups = {"": [_group_row("All", described["strict"], other)]}
    for column, parts in described["groups"].items():
        rows = [_group_row(name, found, other) for name, found in parts.items() if _has_entities(found)]
        if len(rows) > 1:  # a single row would repeat the first one
            groups[GROUP_TITLES.get(column, column)] = rows
    return header, groups


def _group_row(name: str, found: Mapping[str, Any], other: str) -> list[str]:
    comparison = found[other]["comparison"]
    gain, interval, _ = _comparison(comparison)
    star = "*" if PairedComparison(**comparison).is_significant else ""
    scores = [percent(found["right"]["f1"]), percent(found[other]["f1"])]
    flips = [f"{found[other]['flips'][flip]:,}" for flip in FLIPS]
    return [name, f"{found['entities']:,}", *scores, f"{gain}{star}", interval, *flips]


def _has_entities(found: Mapping[str, Any]) -> bool:
    return bool(found["entities"] or any(sum(found[other]["flips"].values()) for other in OTHER_CONDITIONS))


def _comparison(found: Mapping[str, float]) -> list[str]:
    return [
        _signed(found["difference"]),
        f"{_signed(found['low'])} to {_signed(found['high'])}",
        f"{found['p_value']:.4f}",
    ]


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}".replace("-", "−")
