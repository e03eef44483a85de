"""Read released sentences as records: what the two first stages share."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from dataset_scripts.build.settings import RENAMED_TYPES
from dataset_scripts.build.sources import SourceFile, find_source_files
from dataset_scripts.conll import read_conll
from dataset_scripts.construct.records import Record, joined, spans_of_tags
from dataset_scripts.construct.stages import Counts
from dataset_scripts.splits import stable_hash
from reports_2mner.files import file_sha256

COLLECTIONS = ("mmnerd", "twitter2017")
UNUSABLE_ID = "with an image id that is empty, or has blanks around it or signs that are not printable"


def source_files(folder: Path, languages: Sequence[str]) -> list[SourceFile]:
    """Return the files of a release that have one language each."""
    return [file for file in find_source_files(folder, languages) if file.languages[0] in languages]


def hashes_of(files: Sequence[SourceFile], folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file by its path in the folder."""
    return {file.path.relative_to(folder).as_posix(): file_sha256(file.path) for file in files}


def released_records(files: Sequence[SourceFile], counts: Counts, collection: str, wanted: str) -> Iterator[Record]:
    """Yield the sentences whose source is `wanted`, with their released entities and split.

    Args:
        files: from `source_files`.
        counts: gets what was read and left out.
        collection: one of `COLLECTIONS`.
        wanted: one of `schema.SOURCES`.
    """
    from dataset_scripts.build.plan import source_of  # loads torch

    namer = Namer()
    for file in files:
        sentences = read_conll(file.path, rename=RENAMED_TYPES[collection], repair_tags=collection != "mmnerd")
        for sentence in sentences:
            counts.read += 1
            source = source_of(sentence.image_id, collection)
            if source != wanted:
                counts.removed[f"of another source: {source}"] += 1
                continue
            if not is_usable_id(sentence.image_id):
                counts.removed[UNUSABLE_ID] += 1
                continue
            text, offsets = joined(sentence.tokens)
            uid = namer.name(f"{file.languages[0]}/{sentence.image_id}")
            yield Record(
                uid,
                sentence.image_id,
                file.languages[0],
                source,
                text,
                sentence.tokens,
                offsets,
                spans=spans_of_tags(sentence.tags, "released"),
                more={"released_split": file.split},
            )


def is_usable_id(image_id: str) -> bool:
    """Return whether an image id survives as part of a `uid` in all files of the stages: what people edit is lines."""
    return image_id.isprintable() and image_id == image_id.strip() != ""


class Namer:
    """Numbers repeated names from the second on: `en/O_1`, `en/O_1#2`; no name is returned twice.

    Args:
        repeated: hashes (`splits.stable_hash`) of the names that occur more than once, so that no others need be
            remembered; None remembers all.
    """

    def __init__(self, repeated: Collection[int] | None = None) -> None:
        self._repeated = repeated
        self._numbers: dict[str, int] = {}  # the last one of each name that was returned

    def name(self, name: str) -> str:
        """Return the name, with a number if it was returned before."""
        if self._repeated is not None and "#" not in name and stable_hash(name) not in self._repeated:
            return name
        made, number = name, self._numbers.get(name, 1)
        while made in self._numbers:
            number += 1
            made = f"{name}#{number}"
        self._numbers |= {name: number, made: 1}
        return made
