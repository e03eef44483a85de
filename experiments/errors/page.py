"""The errors of a run as one HTML page that loads nothing, escapes all data, and runs one known script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_scripts.marked_sentences import LICENCE_NOTE, Piece, cut_into_pieces
from dataset_scripts.thumbnails import Thumbnail
from experiments.errors.counts import ERROR_KINDS, OUTSIDE, RIGHT, Pair, ScoredSentence, Suspect
from reports_2mner.html import label, percent, render

SHOWN_IDS = 3  # of the sentences with a suspect, for each type and split
STRONGEST = 0.45  # colour of a cell; figures stay legible on it, in light and dark mode
SIZE = "<!-- size -->"  # the page states its own size; no text of the data contains this, because it is escaped
GROUP_NAMES = {"lang": "language", "source": "source", "image_status": "picture"}


@dataclass(frozen=True)
class Card:
    """A sentence to show, with its picture; `None` if no pictures are wanted or the data set has none."""

    sentence: ScoredSentence
    picture: Thumbnail | None


def errors_page(content: Mapping[str, Any], cards: Sequence[Card], suspects: Sequence[Suspect]) -> str:
    """Return the page.

    Args:
        content: the content of the JSON file, from which all figures are taken.
        cards: the sentences to show.
        suspects: all label-noise suspects; `content["page"]` says how many are shown.
    """
    types = [kind for kind in content["confusion"] if kind != OUTSIDE]
    page = render(
        "errors.html.jinja",
        content=content,
        cards=cards,
        known={suspect.text: suspect for suspect in suspects},
        types=types,
        kinds=ERROR_KINDS,
        shown_ids=SHOWN_IDS,
        licences=LICENCE_NOTE,
        scores=_scores(content["scores"], types),
        counts=_counts(content["kinds"]),
        confusion=_confusion(content),
        filters=_filters(cards, types),
        gold_pieces=_gold_pieces,
        predicted_pieces=_predicted_pieces,
    )
    return page.replace(SIZE, f"{len(page.encode(errors='backslashreplace')) / 1e6:.1f} MB")


def _scores(scores: Mapping[str, Mapping[str, Any]], types: Sequence[str]) -> tuple[list[str], dict[str, list[Any]]]:
    header = ["", "precision", "recall", "F1", "95 % interval", *(f"F1 {kind}" for kind in types)]
    rows = [
        [
            scheme,
            *(percent(values[name]) for name in ("precision", "recall", "f1")),
            " to ".join(map(percent, values["f1_interval"])),
            *(percent(values[f"f1_{kind}"]) for kind in types),
        ]
        for scheme, values in scores.items()
    ]
    return header, {"": rows}


def _counts(tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> tuple[list[str], dict[str, list[Any]]]:
    groups = {
        f"by {GROUP_NAMES.get(table, table)}" if table != "overall" else "": [
            [name, *(f"{values[column]:,}" for column in ("gold", RIGHT, *ERROR_KINDS)), percent(values["f1"])]
            for name, values in names.items()
        ]
        for table, names in tables.items()
        if len(names) > 1 or table == "overall"
    }
    return ["", "gold", RIGHT, *map(label, ERROR_KINDS), "F1"], groups


def _confusion(content: Mapping[str, Any]) -> dict[str, list[tuple[int, str, int]]]:
    """By gold type, for each predicted type: the count, the colour, and on the diagonal how many pairs differ in their
    boundaries. The larger the cell's share of its row, the stronger the colour.
    """
    matrix, of_type = content["confusion"], content["kinds"]["type"]
    cells: dict[str, list[tuple[int, str, int]]] = {}
    for gold, row in matrix.items():
        cells[gold] = []
        for name, count in row.items():
            strength = STRONGEST * _share(matrix, gold, name) ** 0.5  # the root, so that rare confusions are seen
            colour = f"rgba(var({'--heat' if gold == name else '--wrong-heat'}), {strength:.2f})"
            cells[gold].append((count, colour, of_type[gold]["wrong_boundary"] if gold == name else 0))
    return cells


def _share(matrix: Mapping[str, Mapping[str, int]], gold: str, predicted: str) -> float:
    row = matrix[gold].values() if gold != OUTSIDE else [row[predicted] for row in matrix.values()]
    return matrix[gold][predicted] / max(sum(row), 1)


def _filters(cards: Sequence[Card], types: Sequence[str]) -> list[tuple[str, str, list[tuple[str, str]], str | None]]:
    """Name, title, values with their texts, and class of each drop-down list."""
    found = {pair.kind for card in cards for pair in card.sentence.errors}
    fields: list[tuple[str, str, list[tuple[str, str]], str | None]] = [
        ("kind", "kind of error", [(kind, label(kind)) for kind in ERROR_KINDS if kind in found], None),
        ("type", "type", [(kind, kind) for kind in types], None),
    ]
    for column in cards[0].sentence.groups if cards else ():
        values = sorted({card.sentence.groups[column] for card in cards})
        if len(values) > 1:
            fields.append((column, GROUP_NAMES.get(column, column), [(value, value) for value in values], "group"))
    return [*fields, ("suspect", "label noise", [("yes", "suspects"), ("no", "others")], None)]


def _gold_pieces(sentence: ScoredSentence) -> list[Piece]:
    return cut_into_pieces(sentence.words, {pair.gold: _style(pair) for pair in sentence.pairs if pair.gold})[0]


def _predicted_pieces(sentence: ScoredSentence) -> list[Piece]:
    found = {pair.predicted: _style(pair) for pair in sentence.pairs if pair.predicted}
    return cut_into_pieces(sentence.words, found | dict.fromkeys(sentence.strays, "stray"))[0]


def _style(pair: Pair) -> str:
    return "right" if pair.kind == RIGHT else "wrong"
