"""Find where the pictures of captions came from: the addresses in the list of Conceptual 12M.

A caption's image id is `<8 digits>---<stem>`: the number of its row in that list, from 0, and the end of the address
without its suffix. The number is not trusted by itself, since programs differ in what they count as a row: the stem
must match, and the nearest row with that stem is taken.
"""

from __future__ import annotations

import csv
import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

CAPTION_ID = re.compile(r"([0-9]{8})---(.*)", re.DOTALL)
MAX_FIELD = 2**31 - 1  # characters; an unclosed quotation mark turns many lines into one field
MAX_ROW_DISTANCE = 5_000  # rows; farther away, an equal stem such as "image-asset" is another picture


def find_urls(listing: Path, image_ids: Iterable[str]) -> dict[str, str]:
    """Return `{image_id: address}` for the captions whose row is found in `listing`, with lines `address<TAB>caption`.

    The list is read once, row by row. Raises ValueError if `listing` is not such a file; single rows of another form
    are skipped with a warning.
    """
    wanted: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for image_id in image_ids:
        if match := CAPTION_ID.fullmatch(image_id):
            wanted[match[2]].append((int(match[1]), image_id))
    best: dict[str, tuple[int, str]] = {}
    for number, address in _addresses(listing):
        for place, image_id in wanted.get(_stem(address), ()):
            distance = abs(number - place)
            if distance <= MAX_ROW_DISTANCE and (image_id not in best or distance < best[image_id][0]):
                best[image_id] = distance, address
    if wanted and not best:
        logger.warning("No caption's address was found in %s; check `urls`.", listing)
    return {image_id: address for image_id, (_, address) in best.items()}


def _stem(address: str) -> str:
    return os.path.splitext(os.path.basename(address))[0]


def _addresses(listing: Path) -> Iterator[tuple[int, str]]:
    """Yield row numbers and addresses."""
    if not listing.is_file():
        raise ValueError(
            f"`urls` must be the list of Conceptual 12M (cc12m.tsv), but {listing} is not a file; check the path."
        )
    csv.field_size_limit(MAX_FIELD)
    others = 0
    with open(listing, encoding="utf-8", errors="backslashreplace", newline="") as file:
        for number, row in enumerate(csv.reader(file, delimiter="\t")):
            if len(row) == 2 and "://" in row[0]:
                yield number, row[0]
            elif number == 0:
                raise ValueError(
                    f"`urls` {listing}: the first row is not an address, a TAB and a caption: {row!r:.120}; give the "
                    "list of Conceptual 12M (cc12m.tsv)."
                )
            else:
                others += 1
    if others:
        logger.warning("%s: skipped %d rows that are not an address, a TAB and a caption.", listing, others)
