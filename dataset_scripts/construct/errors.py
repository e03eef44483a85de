"""Rank the sentences whose entities are most probably wrong, as a queue for people and a page.

    python -m dataset_scripts.construct errors WORK
    python -m dataset_scripts.construct errors WORK --models runs/0 runs/1 runs/2 runs/3 runs/4

This does with the records what `python -m dataset_scripts.label_errors` does with a data set; its `--help` explains the
signs and the folds. Pictures are those of `--images`, or of the stage `fetch`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.recognise import picture_of, tool_of
from dataset_scripts.construct.records import Record, read_records, tags_of_spans
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.label_errors.judges import linear_tool
from dataset_scripts.label_errors.ranking import RankingSettings, write_ranking
from dataset_scripts.label_errors.sentences import LabelledSentence, Origin
from reports_2mner.command_line import option

THUMBNAIL = 120  # pixels


@dataclass(frozen=True)
class Settings(RankingSettings):
    """Those of every ranking, and the pictures."""

    images: Path | None = option(None, "folder of the pictures, <image_id>.jpg (default: those of `fetch`)")


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write queue and page."""
    tools = [tool_of(f"2mner:{model}") for model in settings.models]
    write = partial(_write, work, settings)
    return work.perform("errors", write, settings, work.inputs("errors"), "; ".join(tools) or linear_tool())


def _write(work: Work, settings: Settings, folder: Path, counts: Counts) -> None:
    fetched = work.folder / "pictures" / "images"
    images = settings.images or (fetched if fetched.is_dir() else None)
    read = images if settings.models else None
    parts = [partial(sentences_of_part, path, read) for path in work.parts(*work.givers("errors"))]
    found = write_ranking([*parts], settings, folder, partial(_draw, work, images), work.quiet)
    counts.read, counts.written = found.pop("sentences"), found.pop("sentences in the queue")
    counts.notes.update(found)


def sentences_of_part(path: Path, images: Path | None = None) -> Iterator[LabelledSentence]:
    """Yield the sentences of a part; a translation follows its original in the same part."""
    parent: Record | None = None
    for record in read_records(path):
        origin = None
        if record.parent is None:
            parent = record
        elif parent and parent.uid == record.parent["uid"]:
            origin = Origin(parent.uid, Counter(span.type for span in parent.labels))
        tags = tags_of_spans(len(record.tokens), record.labels)
        picture = picture_of(record, images).image
        yield LabelledSentence(
            record.uid, record.image_id, record.lang, record.source, record.tokens, tags, origin, picture
        )


def _draw(work: Work, images: Path | None, wanted: set[str]) -> Mapping[str, Any]:
    from dataset_scripts.thumbnails import make_thumbnail  # loads torch

    records = (record for record in work.records("errors") if images and record.uid in wanted)
    pictures = ((record.uid, picture_of(record, images)) for record in records)
    return {uid: make_thumbnail(found.image, found.status, THUMBNAIL) for uid, found in pictures if found.image}
