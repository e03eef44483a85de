"""Translate the sentences of one language into others, and carry the places of their entities along.

    python -m dataset_scripts.construct translate WORK --engine apertium --to es fr

Engines: `apertium` (Debian: apt-get install apertium apertium-en-es apertium-eng-cat apertium-fra-cat apertium-es-pt
apertium-spa-ita), a network of transformers, hf:facebook/mbart-large-50-many-to-many-mmt, and dictionary:FILE. URLs, names of
users, hashtags, RT, emoji and <PERSON> come back as they were. All translations are remembered in WORK, so that nothing
is translated twice. A translation is a record of its own, behind the record that it was made from.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.marks import MarkedText, Translation
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.translators import Output, Translator, make_translator
from dataset_scripts.construct.words import PROTECTED, split_words
from reports_2mner.command_line import at_least, option
from reports_2mner.language_table import CODE

RECORDS_AT_ONCE = 1_000
MEMORY = "translations.sqlite"
MOST_REPEATS = 3  # of the same three words
MOST_UNCHANGED = 0.8  # of the words outside entities and protected text
TO_VOTE = ": translations whose entities are to be voted on"  # behind a language, in the counts
FEWEST_WORDS = 4  # for that share


@dataclass(frozen=True)
class Settings:
    """How to translate."""

    to: tuple[str, ...] = option((), "languages to translate into, such as es fr", metavar="CODE")
    source: str = option("en", "language to translate from")
    engine: str = option("apertium", "`apertium`, `hf:NAME` or `dictionary:FILE`")
    unprotected: bool = option(False, "translate URLs, names of users, hashtags and the like as well")
    batch_size: int = option(16, "sentences that a network translates at once", type=at_least(1))
    device: str = option("cpu", "where a network runs, such as cuda")

    def __post_init__(self) -> None:
        if wrong := [code for code in (*self.to, self.source) if not CODE.fullmatch(code)]:
            raise ValueError(f"`to` and `source` must be codes such as es and fr (ISO 639), got {wrong}.")
        if self.source in self.to:
            raise ValueError(f"`to` must name other languages than `source`, got {self.source!r} in both.")


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write every record, followed by its translations."""
    if not settings.to:
        raise ValueError("`to` must name the languages to translate into, such as --to es fr.")
    function = partial(translate_part, settings=settings, memory=work.folder / MEMORY)
    return work.map_records("translate", function, settings, _tool(settings), engine)


def translate_part(records: Iterator[Record], counts: Counts, settings: Settings, memory: Path) -> Iterator[Record]:
    """Yield records and their translations."""
    translator = _translator(settings)
    with closing(Memory(memory)) as remembered:
        while batch := list(islice(records, RECORDS_AT_ONCE)):
            sources = [record for record in batch if record.lang == settings.source and record.parent is None]
            made = [_translated(sources, lang, translator, remembered, settings) for lang in settings.to]
            following = {record.uid: children for record, *children in zip(sources, *made, strict=True)}
            for record in batch:
                yield record
                for child in following.get(record.uid, ()):
                    counts.added[f"translations into {child.lang}"] += 1
                    counts.notes.update(f"{child.lang}: {flag}" for flag in child.flags)
                    if not translator.exact:
                        counts.notes[f"{child.lang}{TO_VOTE}"] += 1
                    yield child


def _translated(
    records: Sequence[Record], lang: str, translator: Translator, remembered: Memory, settings: Settings
) -> list[Record]:
    marked = [_marked(record, settings.unprotected) for record in records]
    alone = list(dict.fromkeys(record.words(span) for record in records for span in record.labels))
    wanted = [*marked, *map(MarkedText, alone)]
    found = remembered.translate(wanted, translator, settings.source, lang)
    names = {string: found[len(marked) + n][0].text.strip() for n, string in enumerate(alone)}
    step = {"engine": translator.name, "revision": translator.revision(settings.source, lang)}
    return [
        _child(record, text, lang, names, translator.exact, is_cut).step("translate", **step)
        for record, (text, is_cut) in zip(records, found, strict=False)
    ]


def _marked(record: Record, unprotected: bool = False) -> MarkedText:
    pieces = () if unprotected else tuple(match.span() for match in PROTECTED.finditer(record.text))
    spans = tuple((record.offsets[span.start][0], record.offsets[span.end - 1][1]) for span in record.labels)
    return MarkedText(record.text, spans, pieces)


def _child(
    record: Record, translation: Translation, lang: str, names: dict[str, str], exact: bool, is_cut: bool
) -> Record:
    """Return the record of a translation; one without words keeps those of its parent."""
    flags = [f"translation: {flag}" for flag in (*translation.flags, *_faults(record, translation.text, is_cut))]
    text, places = translation.text, translation.places
    tokens, offsets = split_words(text, lang)
    if not tokens:
        text, tokens, offsets, places = record.text, record.tokens, record.offsets, _marked_parts(record)
    alone = [names[record.words(span)] for span in record.labels]
    more = {name: value for name, value in record.more.items() if name != "released"}
    return replace(
        record,
        uid=f"{lang}{record.uid.removeprefix(record.lang)}",
        lang=lang,
        text=text,
        tokens=tokens,
        offsets=offsets,
        parent={"uid": record.uid, "text": record.text},
        spans=(),
        annotations=(),
        gold=None,
        flags=tuple(flags),
        more={**more, "translation": {"text": text, "exact": exact, "places": places, "alone": alone}},
    )


def _marked_parts(record: Record) -> tuple[tuple[tuple[int, int], ...], ...]:
    return tuple((place,) for place in _marked(record).spans)


def _faults(record: Record, text: str, is_cut: bool) -> Iterator[str]:
    """Name the faults that networks make: nothing, the same again and again, the source itself, no end."""
    words = re.findall(r"\w+", PROTECTED.sub(" ", text.lower()))
    if not text.strip():
        yield "empty"
    if is_cut:
        yield "cut off at its greatest length"
    if max(Counter(zip(words, words[1:], words[2:], strict=False)).values(), default=0) > MOST_REPEATS:
        yield "repeats itself"
    entities = {word for span in record.labels for word in re.findall(r"\w+", record.words(span).lower())}
    before = set(re.findall(r"\w+", PROTECTED.sub(" ", record.text.lower())))
    plain = [word for word in words if word not in entities]
    if len(plain) >= FEWEST_WORDS and sum(word in before for word in plain) > MOST_UNCHANGED * len(plain):
        yield "equals its source"


class Memory:
    """Translations that were made before, in a file that several processes may use at once."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, timeout=600)
        with self._file:
            self._file.execute("CREATE TABLE IF NOT EXISTS made (key TEXT PRIMARY KEY, text TEXT, is_cut INTEGER)")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def translate(
        self, marked: Sequence[MarkedText], translator: Translator, source: str, target: str
    ) -> list[tuple[Translation, bool]]:
        """Return each translation and whether it was cut off; only what is not remembered is translated."""
        texts = [translator.encode(each) for each in marked]
        name = [translator.name, translator.revision(source, target), source, target]
        keys = {text: hashlib.sha256(json.dumps([*name, text]).encode()).hexdigest() for text in texts}
        known = {text: output for text, key in keys.items() if (output := self._find(key))}
        new = [text for text in keys if text not in known]
        made = dict(zip(new, translator.translate(new, source, target), strict=True))
        self._keep((keys[text], *output) for text, output in made.items())
        outputs = known | made
        return [
            (translator.decode(outputs[text].text, each), outputs[text].is_cut)
            for text, each in zip(texts, marked, strict=True)
        ]

    def _find(self, key: str) -> Output | None:
        row = self._file.execute("SELECT text, is_cut FROM made WHERE key = ?", (key,)).fetchone()
        return Output(row[0], bool(row[1])) if row else None

    def _keep(self, rows: Iterable[tuple[str, str, bool]]) -> None:
        with self._file:
            self._file.executemany("INSERT OR REPLACE INTO made VALUES (?, ?, ?)", rows)


def _translator(settings: Settings) -> Translator:
    return _loaded(settings.engine, settings.batch_size, settings.device)


_loaded = cache(make_translator)  # once a process


def _tool(settings: Settings) -> str:
    translator = _translator(settings)
    return " ".join([translator.name, *(translator.revision(settings.source, lang) for lang in settings.to)])
