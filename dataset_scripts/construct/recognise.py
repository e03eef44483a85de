"""Propose the entities of captions by spaCy, a token classifier, a run of ours or a dictionary.

    python -m dataset_scripts.construct recognise WORK --recogniser spacy:en=en_core_web_sm,fr=fr_core_news_sm
    python -m dataset_scripts.construct recognise WORK --recogniser 2mner:runs/2m-ner --images pictures

Recognisers: spacy:NAME, hf:MODEL@REVISION, 2mner:RUN and dictionary:FILE (lines of an entity, TAB and its label), with
one NAME for all languages or en=NAME,fr=NAME. A label map turns their labels into types: clean, paper and released stand
in label_maps.json; one of your own is a JSON file such as {"GPE": "LOC", "DATE": null, "*": "MISC"}, in which null drops
an entity and * stands for all other labels. Each entity keeps its label as `raw`. Sentences are counted out by their number
of entities after that; `--propagate` then gives every other place of an entity's words its type, too.
With captions of released files, the manifest counts how many of their entities were found: before anything is dropped.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.recognisers import Mention, read_recogniser, recogniser_for, tool_of
from dataset_scripts.construct.records import Record, Span
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.parquet import fingerprint
from dataset_scripts.schema import TYPE
from reports_2mner.command_line import at_least, option

LABEL_MAPS = Path(__file__).with_name("label_maps.json")
SAME = "same"  # the map that leaves all labels as they are
OTHERS = "*"
BATCH = 256  # sentences that a recogniser gets at once

LabelMap = Mapping[str, str | None]


@dataclass(frozen=True)
class Settings:
    """Which recogniser, and what becomes of its entities."""

    recogniser: str | None = option(None, "ENGINE:NAME, or ENGINE:en=NAME,fr=NAME; see above")
    label_map: str = option("clean", f"clean, paper, released, {SAME} (labels stay as they are), or a JSON file")
    least_mentions: int = option(2, "leave out sentences with fewer entities", type=at_least(0))
    most_mentions: int | None = option(None, "leave out sentences with more entities", type=at_least(0))
    propagate: bool = option(False, "give every place of an entity's words its type, longest words first")
    sources: tuple[str, ...] = option(("cc12m",), "sources of the sentences that are read; all others stay unchanged")
    replace: bool = option(False, "read sentences that have entities, too; theirs are kept beside, as `released`")
    images: Path | None = option(None, "folder of the pictures, <image_id>.jpg, for a run of ours")

    def __post_init__(self) -> None:
        if self.recogniser is not None:
            read_recogniser(self.recogniser)
        if self.most_mentions is not None and self.most_mentions < self.least_mentions:
            raise ValueError(
                f"`most_mentions` is {self.most_mentions}, below `least_mentions`, {self.least_mentions}; raise it."
            )


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write the records with their entities; raises ValueError for a recogniser or a map that cannot be read."""
    if settings.recogniser is None:
        raise ValueError("Give `--recogniser`: what finds the entities, such as spacy:en=en_core_web_sm.")
    labels = read_label_map(settings.label_map)
    tool = tool_of(settings.recogniser)
    known = {**asdict(settings), "labels": labels, "pictures": _pictures(settings.images)}
    function = partial(recognise_part, settings=settings, labels=labels, tool=tool)
    return work.map_records("recognise", function, known, tool, engine)


def read_label_map(name: str) -> dict[str, str | None]:
    """Return the type of each label: None for one that is dropped, and `OTHERS` for all that are not listed.

    Raises:
        ValueError: if it is neither a map of `label_maps.json` nor a file with one, or has a type that is no name.
    """
    maps = {**json.loads(LABEL_MAPS.read_text("utf-8")), SAME: {OTHERS: SAME}}
    try:
        labels = maps[name] if name in maps else json.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"`label_map` {name} is none of {list(maps)}, and no JSON file ({error}).") from error
    types = labels.values() if isinstance(labels, dict) else [labels]
    if wrong := [kind for kind in types if kind is not None and not (isinstance(kind, str) and TYPE.fullmatch(kind))]:
        raise ValueError(f'`label_map` {name} must be like {{"GPE": "LOC", "DATE": null}}; {wrong[0]!r} is no type.')
    return labels


def type_of(label: str, labels: LabelMap) -> str | None:
    """Return the type of a label, or None if it is dropped; raises ValueError if the map does not say."""
    if label not in labels and OTHERS not in labels:
        raise ValueError(
            f'`label_map` has no entry for {label!r}; add one to it, such as "{label}": "MISC", null to drop it, '
            f'or "{OTHERS}" for all labels that it does not list.'
        )
    kind = labels.get(label, labels.get(OTHERS))
    return label if kind == SAME else kind


def recognise_part(
    records: Iterator[Record], counts: Counts, settings: Settings, labels: LabelMap, tool: str
) -> Iterator[Record]:
    """Yield the records of a part with their entities, in order, without those of too few or too many."""
    while batch := list(islice(records, BATCH)):
        found = _mentions(batch, counts.notes, settings)
        for place, record in enumerate(batch):
            if place not in found:
                counts.notes["sentences of other sources or with entities, unchanged"] += 1
                yield record
                continue
            _compare(record, found[place], labels, counts.notes)
            spans = _spans(found[place], labels, settings, counts.notes)
            if fault := _wrong_number(len(spans), settings):
                counts.removed[fault] += 1
                continue
            if settings.propagate:
                spans = propagate(record.tokens, spans)
            counts.notes.update(f"entities: {span.type}" for span in spans)
            if record.spans:
                record = replace(record, more={"released": [s.to_json() for s in record.spans], **record.more})
            yield replace(record, spans=spans).step("recognise", engine=tool)


def propagate(tokens: Sequence[str], spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the entities at every place of their words: the longest first, and of one string the first's type.

    This is how the released tags were made: from a list of strings for each sentence.
    """
    entries: dict[tuple[str, ...], Span] = {}
    for span in sorted(spans, key=lambda span: span.start):
        entries.setdefault(tuple(tokens[span.start : span.end]), span)
    found: list[Span] = []
    taken: set[int] = set()
    for words, span in sorted(entries.items(), key=lambda entry: -len(entry[0])):
        for start in range(len(tokens) - len(words) + 1):
            places = range(start, start + len(words))
            if tuple(tokens[start : places.stop]) == words and taken.isdisjoint(places):
                taken.update(places)
                found.append(replace(span, start=start, end=places.stop))
    return tuple(sorted(found, key=lambda span: span.start))


def _mentions(batch: Sequence[Record], notes: Counter[str], settings: Settings) -> dict[int, list[Mention]]:
    """Return the mentions of the records that are to be read, by their place in the batch."""
    places: dict[str, list[int]] = {}
    for place, record in enumerate(batch):
        if record.source in settings.sources and (settings.replace or not record.spans):
            places.setdefault(record.lang, []).append(place)
    found: dict[int, list[Mention]] = {}
    for lang, wanted in sorted(places.items()):
        recogniser = recogniser_for(str(settings.recogniser), lang, settings.images)
        found |= zip(wanted, recogniser([batch[place] for place in wanted], notes), strict=True)
    return found


def _spans(mentions: Iterable[Mention], labels: LabelMap, settings: Settings, notes: Counter[str]) -> tuple[Span, ...]:
    """Return the mentions whose label is not dropped as entities."""
    by = f"recognise:{str(settings.recogniser).partition(':')[0]}"
    spans = []
    for start, end, label, score in mentions:
        if (kind := type_of(label, labels)) is None:
            notes[f"entities dropped: {label}"] += 1
        else:
            spans.append(Span(start, end, kind, by, score=None if score is None else round(score, 6), raw=label))
    return tuple(spans)


def _compare(record: Record, mentions: Iterable[Mention], labels: LabelMap, notes: Counter[str]) -> None:
    """Count how far the mentions agree with the released entities of a record that has some."""
    if "released" not in record.more:
        return
    released = {(span["start"], span["end"]): span["type"] for span in record.more["released"]}
    found = {(start, end): type_of(label, labels) for start, end, label, _ in mentions}
    notes["compared: entities released"] += len(released)
    notes["compared: entities found"] += len(found)
    notes["compared: same words"] += len(released.keys() & found.keys())
    notes["compared: same words and type"] += len(released.items() & found.items())


def _wrong_number(number: int, settings: Settings) -> str | None:
    if number < settings.least_mentions:
        return f"fewer than {settings.least_mentions} entities"
    if settings.most_mentions is not None and number > settings.most_mentions:
        return f"more than {settings.most_mentions} entities"
    return None


@cache
def _pictures(images: Path | None) -> str | None:
    """Return a name for the pictures of a folder, by their names and sizes; None without a folder."""
    if images is None:
        return None
    if not images.is_dir():
        raise ValueError(f"`images` {images} is no folder; name the one with the pictures, or leave it out.")
    return fingerprint({path.name: str(path.stat().st_size) for path in images.iterdir()})
