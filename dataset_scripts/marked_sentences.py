"""Sentences as pages show them: small pictures and marked entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modeling_2mner.spans import Span

LICENCE_NOTE = "The pictures are small copies of those of the data set, and their licences hold for them."

Piece = tuple[str, str, str]  # a text, its type and the style of its mark; type and style are empty outside entities


def cut_into_pieces(
    words: Sequence[str], styles: Mapping[Span, str], limit: int | None = None, start: int = 0
) -> tuple[list[Piece], int]:
    """The words from `start` one by one, but each of these entities in one piece with its style, up to `limit` words
    or the end of an entity; and the number of words left.
    """
    starts = {span[1]: span for span in styles}
    pieces, place = [], start
    while place < len(words[: None if limit is None else start + limit]):
        span = starts.get(place, Span("", place, place + 1))
        pieces.append((" ".join(words[place : span[2]]), span[0], styles.get(span, "")))
        place = span[2]
    return pieces, len(words) - place
