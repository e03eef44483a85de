"""Take tweets with their entities from Twitter-2017 or from released files of MMNERD.

    python -m dataset_scripts.construct tweets WORK --mmnerd MMNERD --only_persons

MMNERD's tweets are those of Twitter-2017 that name a person. The words stay those of the files, joined by blanks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.sources import hashes_of, released_records, source_files
from dataset_scripts.construct.stages import Counts, Work
from reports_2mner.command_line import at_least, option


@dataclass(frozen=True)
class Settings:
    """Which tweets."""

    twitter2017: Path | None = option(None, "folder with Twitter-2017's text files (train.txt, valid.txt, test.txt)")
    mmnerd: Path | None = option(None, "folder with released files of MMNERD, of which the tweets are taken")
    language: str = option("en", "language of the tweets")
    only_persons: bool = option(False, "leave out tweets that name no person")
    limit: int | None = option(None, "take only the first ones", type=at_least(1))


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write the records; raises ValueError unless exactly one folder is given."""
    folder = settings.twitter2017 or settings.mmnerd
    if folder is None or (settings.twitter2017 and settings.mmnerd):
        raise ValueError("Give one of `--twitter2017` and `--mmnerd`: the folder with the text files of the tweets.")
    files = source_files(folder, (settings.language,))

    def records(counts: Counts) -> Iterator[Record]:
        found = released_records(files, counts, "mmnerd" if settings.mmnerd else "twitter2017", "twitter2017")
        return _chosen(found, counts, settings)

    return work.write_records("tweets", records, settings, hashes_of(files, folder))


def _chosen(records: Iterator[Record], counts: Counts, settings: Settings) -> Iterator[Record]:
    chosen = 0
    for record in records:
        if settings.only_persons and not any(span.type == "PER" for span in record.spans):
            counts.removed["no person"] += 1
        elif settings.limit is not None and chosen >= settings.limit:
            counts.removed["over the limit"] += 1
        else:
            chosen += 1
            counts.notes["entities"] += len(record.spans)
            yield record.step("tweets")
