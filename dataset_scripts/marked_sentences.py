"""Sentences as pages show them: small pictures and marked entities."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

from dataset_scripts.schema import STATUSES_WITH_IMAGE
from modeling_2mner.images import load_image
from modeling_2mner.spans import Span

QUALITY = 60
ADDRESS = re.compile(r" <\S+ object at 0x[0-9a-f]+>")  # in Pillow's messages; differs from run to run
LICENCE_NOTE = "The pictures are small copies of those of the data set, and their licences hold for them."

Piece = tuple[str, str, str]  # a text, its type and the style of its mark; type and style are empty outside entities


@dataclass(frozen=True)
class Thumbnail:
    """A small WebP as data URI with its size, or an empty `uri`; `note` says what is wrong with the picture."""

    uri: str
    width: int
    height: int
    note: str = ""


def make_thumbnail(cell: Any, status: str | None, side: int) -> Thumbnail:
    """Make a small copy of a picture; for a missing or broken one, a note instead.

    Args:
        cell: the undecoded picture of the data set.
        status: its `image_status`, if the data set has that column.
        side: the longer side, in pixels.
    """
    loaded = load_image(cell)
    if loaded.image is None:
        if cell is None and status in STATUSES_WITH_IMAGE:
            return Thumbnail("", 0, 0, "not in this copy of the data set")
        reason = "" if loaded.status == "missing" else f" ({ADDRESS.sub('', loaded.reason)})"
        return Thumbnail("", 0, 0, status if cell is None and status else f"{loaded.status}{reason}")
    image = loaded.image
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    content = BytesIO()
    image.save(content, "WEBP", quality=QUALITY)
    uri = f"data:image/webp;base64,{b64encode(content.getvalue()).decode()}"
    return Thumbnail(uri, *image.size, "stand-in for a picture that was not found" if status == "default" else "")


def cut_into_pieces(
    words: Sequence[str], styles: Mapping[Span, str], limit: int | None = None
) -> tuple[list[Piece], int]:
    """The words one by one, but each of these entities in one piece with its style, up to `limit` words or the end of
    an entity; and the number of words left.
    """
    starts = {span[1]: span for span in styles}
    pieces, place = [], 0
    while place < len(words[:limit]):
        span = starts.get(place, Span("", place, place + 1))
        pieces.append((" ".join(words[place : span[2]]), span[0], styles.get(span, "")))
        place = span[2]
    return pieces, len(words) - place
