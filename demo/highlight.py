"""What the page says about the entities of a sentence and its picture; independent of the page itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Template

_TEMPLATE = Path(__file__).with_name("highlight.html.jinja").read_text(encoding="utf-8")
_HTML = Template(_TEMPLATE, autoescape=True, trim_blocks=True).module

# Name and colour of each type: blue, green, orange and purple of Okabe and Ito's palette for all kinds of colour
# vision, darkened until white text on them has a contrast of 4.5 to 1. The name is also written beside each entity.
TYPES = {
    "PER": ("person", "#0068a3"),
    "LOC": ("place", "#00775a"),
    "ORG": ("organisation", "#b34e00"),
    "MISC": ("other name", "#9c4a7b"),
}
# For the types of other label sets, in turn, under the model's own names; and for a type that is not the model's.
MORE_COLOURS = ("#7a5200", "#4b3fa6", "#a01c1c", "#3d6b00")
UNKNOWN_COLOUR = "#5b6470"

SAME = "The words alone give the same answer."
DIFFERENT = "The picture changes the answer: the words alone give a different one."
UNUSED = "This model reads words only: the picture was not used, and there are no heat maps."
MISSING = "There is no picture, so only the words were read."
UNREADABLE = (
    "The picture could not be opened, so only the words were read. The file may be damaged, larger than 64 "
    "megapixels, or not a JPEG, PNG, GIF, WebP, BMP or TIFF."
)
DEGENERATE = "The picture is too small or too narrow to show anything ({reason}), so only the words were read."


def type_style(entity: dict, types: Sequence[str] = ()) -> tuple[str, str]:
    """The name and colour of an entity's type; `types` are all types of the model."""
    kind, others = entity["entity_group"], [other for other in types if other not in TYPES]
    colour = MORE_COLOURS[others.index(kind) % len(MORE_COLOURS)] if kind in others else UNKNOWN_COLOUR
    return TYPES.get(kind, (kind, colour))


def show(title: str, text: str, entities: list[dict], types: Sequence[str] = ()) -> str:
    """HTML of a title, a sentence with its entities marked, and a table of them."""
    return _HTML.show(title, mark(text, entities, types), table(entities))


def mark(text: str, entities: list[dict], types: Sequence[str] = ()) -> str:
    """HTML of a text with the name of its type after each entity; without these names it is the text."""
    pieces, last = [], 0
    for entity in entities:
        name, colour = type_style(entity, types)
        pieces.append((text[last : entity["start"]], text[entity["start"] : entity["end"]], name, colour))
        last = entity["end"]
    return _HTML.mark(pieces, text[last:])


def table(entities: list[dict]) -> str:
    """HTML of a table with name, type and score of each entity."""
    return _HTML.table([(entity["word"], type_style(entity)[0], f"{entity['score']:.1%}") for entity in entities])


def choices(entities: list[dict]) -> list[tuple[str, int]]:
    """The entities to choose from, with their positions in the list."""
    return [(f"{entity['word']} ({type_style(entity)[0]})", place) for place, entity in enumerate(entities)]


def most_telling(entities: list[dict], words_alone: list[dict]) -> int | None:
    """The position of the first entity not found in the words alone, or else of the first."""
    known = [_span(entity) for entity in words_alone]
    new = [place for place, entity in enumerate(entities) if _span(entity) not in known]
    return new[0] if new else 0 if entities else None


def words_of(entity: dict, offsets: list[tuple[int, int]]) -> list[int]:
    """The words that make up an entity, by the characters of each word."""
    return [word for word, (start, end) in enumerate(offsets) if entity["start"] <= start and end <= entity["end"]]


def explain(status: str, reason: str, entities: list[dict], words_alone: list[dict], looks: bool) -> str:
    """Say what the picture did, or why it was not used.

    Args:
        status, reason: the pipeline's `image_status` and `image_reason`.
        entities, words_alone: found with the picture and without.
        looks: whether the model uses pictures at all.
    """
    if status != "ok":
        texts = {"missing": MISSING, "unreadable": UNREADABLE, "degenerate": DEGENERATE}
        return texts[status].format(reason=reason)
    if not looks:
        return UNUSED
    return SAME if [*map(_span, entities)] == [*map(_span, words_alone)] else DIFFERENT


def _span(entity: dict) -> tuple[int, int, str]:
    return entity["start"], entity["end"], entity["entity_group"]
