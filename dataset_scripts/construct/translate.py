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
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.marks import MarkedText, Translation
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.translators import Translator, load_translator
from dataset_scripts.construct.words import PROTECTED, split_words
from reports_2mner.command_line import at_least, option
from reports_2mner.language_table import CODE

RECORDS_AT_ONCE = 1_000
MEMORY = "translations.sqlite"
MOST_REPEATS = 3  # of the same three words
MOST_UNCHANGED = 0.8  # of the words outside entities and protected text
FEWEST_WORDS = 4  # for that share
TO_VOTE = ": translations whose entities are to be voted on"  # behind a language, in the counts


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
    translator = load_translator(settings.engine, settings.batch_size, settings.device)
    tool = " ".join([translator.name, *(translator.revision(settings.source, lang) for lang in settings.to)])
    function = partial(translate_part, settings=settings, memory=work.folder / MEMORY)
    return work.map_records("translate", function, settings, tool, engine)


def translate_part(records: Iterator[Record], counts: Counts, settings: Settings, memory: Path) -> Iterator[Record]:
    """Yield records and their translations."""
    translator = load_translator(settings.engine, settings.batch_size, settings.device)
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
    """Return the translation of each record; the strings of its entities are also translated alone."""
    strings = list(dict.fromkeys(record.words(span) for record in records for span in record.labels))
    wanted = [*(_marked(record, settings.unprotected) for record in records), *map(MarkedText, strings)]
    found = remembered.translate(wanted, translator, settings.source, lang)
    alone = {string: made.text.strip() for string, (made, _) in zip(strings, found[len(records) :], strict=True)}
    step = {"engine": translator.name, "revision": translator.revision(settings.source, lang)}
    children = []
    for record, (made, is_cut) in zip(records, found, strict=False):
        flags = (*made.flags, *_faults(record, made.text, is_cut))
        names = [alone[record.words(span)] for span in record.labels]
        child = _child(record, replace(made, flags=flags), lang, names, translator.exact)
        children.append(child.step("translate", **step))
    return children


def _marked(record: Record, unprotected: bool) -> MarkedText:
    spans = tuple((record.offsets[span.start][0], record.offsets[span.end - 1][1]) for span in record.labels)
    pieces = () if unprotected else tuple(match.span() for match in PROTECTED.finditer(record.text))
    return MarkedText(record.text, spans, pieces)


def _child(record: Record, made: Translation, lang: str, alone: list[str], exact: bool) -> Record:
    """Return the record of a translation; one without words keeps those of its parent."""
    text, places = made.text, made.places
    tokens, offsets = split_words(text, lang)
    if not tokens:
        text, tokens, offsets = record.text, record.tokens, record.offsets
        places = tuple((place,) for place in _marked(record, unprotected=True).spans)
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
        flags=tuple(f"translation: {flag}" for flag in made.flags),
        more={**more, "translation": {"text": text, "exact": exact, "places": places, "alone": alone}},
    )


def _faults(record: Record, text: str, is_cut: bool) -> Iterator[str]:
    """Name the faults that networks make: nothing, the same again and again, the source itself, no end."""
    words = _plain_words(text)
    if not text.strip():
        yield "empty"
    if is_cut:
        yield "cut off at its greatest length"
    if max(Counter(zip(words, words[1:], words[2:], strict=False)).values(), default=0) > MOST_REPEATS:
        yield "repeats itself"
    entities = {word for span in record.labels for word in re.findall(r"\w+", record.words(span).lower())}
    before = set(_plain_words(record.text))
    plain = [word for word in words if word not in entities]
    if len(plain) >= FEWEST_WORDS and sum(word in before for word in plain) > MOST_UNCHANGED * len(plain):
        yield "equals its source"


def _plain_words(text: str) -> list[str]:
    return re.findall(r"\w+", PROTECTED.sub(" ", text.lower()))


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
        query = "SELECT text, is_cut FROM made WHERE key = ?"
        known = {text: row for text, key in keys.items() if (row := self._file.execute(query, (key,)).fetchone())}
        new = [text for text in keys if text not in known]
        made = dict(zip(new, translator.translate(new, source, target), strict=True))
        with self._file:
            rows = ((keys[text], *output) for text, output in made.items())
            self._file.executemany("INSERT OR REPLACE INTO made VALUES (?, ?, ?)", rows)
        outputs = {**known, **made}
        read = zip(marked, (outputs[text] for text in texts), strict=True)
        return [(translator.decode(output, each), bool(is_cut)) for each, (output, is_cut) in read]
