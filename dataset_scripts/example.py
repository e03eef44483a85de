"""The example in a data set card: one sentence in all languages, with its picture, as in the paper's Table 1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dataset_scripts.build.pictures import prepare_picture
from dataset_scripts.reading import find_parquet_files, read_rows
from dataset_scripts.rows import DatasetRow, row_spans
from reports_2mner.files import write_file
from reports_2mner.tables import Markdown, Table, escape_markdown

SPLIT = "train"
# Without the pictures, which would fill the memory
EXAMPLE_COLUMNS = ("id", "tokens", "ner_tags", "image_id", "image_status", "lang", "quality")
MAX_SIDE = 512


def write_example(folder: Path) -> str:
    """Return Markdown that shows the sentence, and write its picture, if there is one, to `figures` beside the card.

    The text is empty if no picture has a sound sentence in every language of the data set's train split.
    """
    rows = find_parallel_rows(folder)
    if not rows:
        return ""
    lines = [
        "## One sentence in all languages",
        "A picture from the train split with its sentences; entities are in bold.",
    ]
    if place := _write_picture(folder, rows[0]):
        lines.append(f"![The picture of the sentences below]({place})")
    lines.append(
        Table(["language", "sentence"], [[row["lang"], Markdown(bold_entities(row))] for row in rows]).markdown()
    )
    return "\n\n".join(lines)


def find_parallel_rows(folder: Path) -> list[dict[str, Any]]:
    """Return a row for each language, all with the same picture id; none without such an id or with one language.

    The id chosen is the one whose sentence in the first language has the most entity types, then the fewest words,
    then the first name: equal files give equal rows.
    """
    languages = list(dict.fromkeys(lang for lang, _ in find_parquet_files(folder)))
    if len(languages) < 2:
        return []
    statuses = read_rows(folder, ["image_status"], splits=[SPLIT])
    illustrated = any(row["image_status"] == "ok" for row in statuses)
    shared = {row["image_id"] for row in _sound_rows(folder, languages[0], illustrated)}
    for lang in languages[1:]:
        shared = shared.intersection(row["image_id"] for row in _sound_rows(folder, lang, illustrated))
    if not shared:
        return []
    first = min((r for r in _sound_rows(folder, languages[0], illustrated) if r["image_id"] in shared), key=_rank)
    others = (_sound_rows(folder, lang, illustrated) for lang in languages[1:])
    return [first, *(next(row for row in rows if row["image_id"] == first["image_id"]) for rows in others)]


def bold_entities(row: DatasetRow) -> str:
    """Return the sentence as Markdown, each entity in bold and followed by its type."""
    words = [escape_markdown(word) for word in row["tokens"]]
    for kind, start, end in row_spans(row):
        words[start] = f"**{words[start]}"
        words[end - 1] += f"** ({escape_markdown(kind)})"
    return " ".join(words)


def _sound_rows(folder: Path, lang: str, illustrated: bool) -> Iterator[dict[str, Any]]:
    """Yield rows with an entity, without flags and, if the data set has pictures, with a picture."""
    for row in read_rows(folder, EXAMPLE_COLUMNS, [lang], [SPLIT]):
        is_sound = not row["quality"] and all(word.isprintable() for word in row["tokens"])
        if is_sound and set(row["ner_tags"]) != {"O"} and (row["image_status"] == "ok" or not illustrated):
            yield row


def _rank(row: DatasetRow) -> tuple[int, int, str]:
    types = {span.type for span in row_spans(row)}
    return -len(types), len(row["tokens"]), row["image_id"]


def _write_picture(folder: Path, row: DatasetRow) -> str | None:
    """Write the picture of a row, small and upright, and return its path in the folder; None if it has no picture."""
    data = _picture_bytes(folder, row)
    image = prepare_picture(data, MAX_SIDE).image if data else None
    if image is None:
        return None
    place = f"figures/example{Path(image['path']).suffix}"
    write_file(folder / place, image["bytes"])
    return place


def _picture_bytes(folder: Path, row: DatasetRow) -> bytes | None:
    """Find the picture of a row without reading those of other row groups."""
    for path in find_parquet_files(folder)[row["lang"], SPLIT]:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["id"])["id"].to_pylist()
                if row["id"] in ids:
                    images = file.read_row_group(group, columns=["image"])["image"]
                    image = images[ids.index(row["id"])].as_py()
                    return image["bytes"] if image else None
    return None
