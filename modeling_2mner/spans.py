"""Tags to entities: the reading of IOB2 that the model, the data, the scores and the pages share."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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


def choose_entities(posteriors: Mapping[Span, float], threshold: float) -> list[Span]:
    """The entities of a sentence whose posteriors exceed a threshold, without overlaps: an answer for a high expected F1.

    F1 is expected to be highest for all entities whose posterior exceeds half of that F1 (Lipton, Elkan and Narayanaswamy
    2014, "Thresholding Classifiers to Maximize F1 Score"). Entities cannot overlap, so the sum of what each has above the
    threshold is maximised, by dynamic programming.

    Args:
        posteriors: of entities that may overlap.
        threshold: one with no more than that is never chosen; the best is that of the highest F1 on dev.

    Returns:
        The entities in order. Of two choices with equal sums, that without the last entity.
    """
    ending = defaultdict(list)
    for span, posterior in sorted(posteriors.items()):
        if posterior > threshold:
            ending[span.end].append((span, posterior - threshold))
    # Up to each word: the highest sum, and the entity that ends there in it.
    best: list[float] = [0.0]
    last: list[Span | None] = [None]
    for end in range(1, max(ending, default=0) + 1):
        best.append(best[-1])
        last.append(None)
        for span, gain in ending[end]:
            if best[span.start] + gain > best[end]:
                best[end], last[end] = best[span.start] + gain, span
    chosen, place = [], len(last) - 1
    while place > 0:
        ends_here = last[place]
        chosen += [] if ends_here is None else [ends_here]
        place = place - 1 if ends_here is None else ends_here.start
    return chosen[::-1]


def spans_to_tags(spans: Iterable[Span], words: int) -> list[str]:
    """The IOB2 tags of a sentence of so many words with these entities, which do not overlap."""
    tags = ["O"] * words
    for kind, start, end in spans:
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags


__all__ = ["Span", "choose_entities", "entity_spans", "spans_to_tags"]
