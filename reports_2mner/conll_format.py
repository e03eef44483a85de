"""Tagged sentences as text in the authors' format: what all its readers and writers share.

A sentence is a line `IMGID:<image id>`, a line for each word with columns separated by TAB, and an empty line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

ID_PREFIX = "IMGID:"


def format_sentence(image_id: object, *columns: Sequence[str]) -> str:
    """Return the lines of a sentence.

    Args:
        image_id: None omits the first line.
        columns: the words, and other columns of the same length.
    """
    lines = [] if image_id is None else [f"{ID_PREFIX}{image_id}"]
    lines += ["\t".join(cells) for cells in zip(*columns, strict=True)]
    return "".join(f"{line}\n" for line in [*lines, ""])


def read_sentences(path: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield the sentences of a file of predictions: the image id, and word, gold and predicted tag of each line."""
    image_id = ""
    rows: list[list[str]] = []
    for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n"):
        if line.startswith(ID_PREFIX) and "\t" not in line:
            image_id, rows = line.removeprefix(ID_PREFIX), []
        elif line:
            rows.append(line.rsplit("\t", 2))
        else:
            yield image_id, rows
            rows = []
