"""Tags to entities: the reading of IOB2 that the model, the data, the scores and the pages share."""

from collections.abc import Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """An entity: its type, its first word, and the word after its last."""

    type: str
    start: int
    end: int


def entity_spans(tags: Sequence[str], strict: bool) -> list[Span]:
    """Return the entities of a sentence in order.

    Args:
        tags: names such as `"B-PER"`, one per word.
        strict: an `I-` that continues no entity of its type is ignored with `True`, as in strict scoring, and begins
            an entity with `False`, as in conlleval. For valid IOB2 both are the same.
    """
    spans, start = [], None
    for index, tag in enumerate([*tags, "O"]):
        if start is not None and tag != f"I-{tags[start][2:]}":
            spans.append(Span(tags[start][2:], start, index))
            start = None
        if start is None and (tag.startswith("B-") if strict else tag != "O"):
            start = index
    return spans


__all__ = ["Span", "entity_spans"]
