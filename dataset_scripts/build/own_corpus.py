"""Data of one's own as a corpus of sentences with IOB2 tags.

The files are read once, and their sentences kept as lines of JSON with tags as they were. Only then is it known which
scheme the tags have; from there on they are converted wherever the lines are read. No sentence stays in memory.
"""

from __future__ import annotations

import json
import logging
import shlex
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.jsonl import KeyNames
from dataset_scripts.annotations.schemes import Evidence, part_and_type
from dataset_scripts.annotations.sentence import DONE, Faults, Sentence, collected_faults
from dataset_scripts.build.named_sentence import NamedSentence, free_name
from dataset_scripts.build.own import OwnSettings
from dataset_scripts.build.own_lines import Tagged, line_of, place_of, tagged
from dataset_scripts.build.own_sources import OwnFile, find_own_files, read_own_file
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.conll import ConllSentence, known_tags
from dataset_scripts.languages import guess_languages
from dataset_scripts.schema import ENTITY_TYPES, LANGUAGES, is_type, sort_languages, valid_type
from reports_2mner.files import write_lines
from reports_2mner.language_table import language_name

logger = logging.getLogger(__name__)

Line = Mapping[str, Any]


class OwnCorpus:
    """The sentences under a source; see `OwnSettings`.

    Args:
        source: a file, a folder, or the id of a data set.
        settings: of the build.
        own: of these data.
        folder: for files between the steps; kept while the corpus is read.
        images: the folder of the pictures, None to look beside the text.

    Attributes:
        files: that were read.
        scheme: of the tags.
        order: the languages that sentences can have.
        types: in the order of their numbers.
        changes: what was changed, by name.
        widened: the entities that did not fit words, one mapping each.
        images: the folder of the pictures, or None if no sentence names one.
        has_splits: whether the files state which split their sentences belong to.
        without_split: the place of the first sentence of which they do not; "" if there is none.

    Raises:
        ValueError: for all lines that cannot be read or stored, of which it shows the first ten.
    """

    def __init__(
        self, source: Path, settings: BuildSettings, own: OwnSettings, folder: Path, images: Path | None
    ) -> None:
        self._source, self._settings, self._own = source, settings, own
        self._lines = folder / "sentences.jsonl"
        self.changes: Counter[str] = Counter()
        self.widened: list[dict[str, Any]] = []
        self._types: Counter[str] = Counter()
        self._parts: Counter[str] = Counter()
        self._languages: Counter[str] = Counter()
        pictures = folder / "pictures"
        found = find_own_files(source, own)
        self.form = found[0].form
        self.files = [file.path for file in found if file.path.is_file()]
        beside = source if source.is_dir() else source.parent
        self._images = images or beside
        self._has_pictures = False
        self.without_split = ""
        self._evidence = Evidence()
        with collected_faults() as faults:
            keys = KeyNames(own.column_names)
            write_lines(self._lines, self._read(found, pictures, faults, keys))
            keys.check(source)
            self.scheme = own.scheme or self._evidence.scheme
            self._check(faults)
        if not self._parts:
            raise ValueError(f"`source` {source} holds no annotated sentence; check the path.")
        is_looked_for = bool(images) or settings.embed_images or self.form == "data_set"
        self.images = self._images if self._has_pictures and is_looked_for else None
        self.has_splits = set(self._parts) != {""}
        self.types = settings.types or types_by_frequency(self._types)
        self._guessed = self._guess()
        self.order = sort_languages({*LANGUAGES, *self._languages} - {""})
        self._tell()

    def sentences(self) -> Iterator[NamedSentence]:
        """Yield the sentences in the requested languages; repeated names are numbered from the second on."""
        used: Counter[int] = Counter()
        guessed = iter(self._guessed)
        for line in self._stored():
            lang = line["lang"] or self.order[next(guessed)]
            if self._settings.languages and lang not in self._settings.languages:
                continue
            found = self._tagged(line)
            repaired = len(found.converted.stray)
            sentence = ConllSentence(line["image_id"], tuple(line["words"]), found.tags, 0, repaired)
            name = free_name(f"{lang}/{sentence.image_id}", used)
            yield NamedSentence(sentence, line["part"] or "train", lang, name, not line["lang"], line["picture"])

    def describe(self) -> dict[str, Any]:
        """Return what the record of a build says about its source."""
        hub = {} if self._source.exists() else {"source": self._source.as_posix()}  # no path of this machine
        return {**hub, **self._own.to_dict(), "form": self.form, "scheme": self.scheme, "widened": self.widened}

    def _stored(self) -> Iterator[dict[str, Any]]:
        with open(self._lines, encoding="utf-8") as file:
            yield from map(json.loads, file)

    def _tagged(self, line: Line) -> Tagged:
        return tagged(line, self.scheme, self._own.renamed)

    def _read(self, files: Sequence[OwnFile], pictures: Path, faults: Faults, keys: KeyNames) -> Iterator[str]:
        """Yield the sentences of all files as lines."""
        for file in files:
            for sentence in self._settled(read_own_file(file, self._own, faults, pictures, keys)):
                try:
                    if sentence.fault and not sentence.tags:
                        raise ValueError(sentence.fault)
                    if self.form == "data_set" and (pictures.is_dir() or not self._images.is_dir()):
                        self._images = pictures  # it holds them itself; otherwise its cells are paths
                    line = line_of(sentence, file, self._source, self._images)
                except ValueError as error:
                    faults.add(sentence.place, error)
                    continue
                line["lang"] = line["lang"] or self._own.language or ""
                self._evidence.add(sentence.tags)
                yield json.dumps(line)

    def _settled(self, sentences: Iterable[Sentence]) -> Iterator[Sentence]:
        """Yield one sentence for each place: the one that was settled on, otherwise the last that was finished."""
        for _, group in groupby(sentences, key=lambda sentence: sentence.place):
            said = [sentence for sentence in group if sentence.status == DONE]
            said.sort(key=lambda sentence: sentence.settled)
            self.changes["sentences without annotation, left out"] += not said
            self.changes["further annotations of the same sentence, left out"] += max(0, len(said) - 1)
            yield from said[-1:]

    def _check(self, faults: Faults) -> None:
        """Convert all tags once: count what that changes, collect what occurs, and report what cannot be stored."""
        for line in self._stored():
            found = self._tagged(line)
            self._parts[line["part"]] += 1
            self.without_split = self.without_split or ("" if line["part"] else line["place"])
            self._languages[line["lang"]] += 1
            self._has_pictures |= line["picture"] is not None
            self._types.update(tag[2:] for tag in found.tags if tag[0] == "B")
            self._count(line, found)
            if self._has_odd_tags(line, faults):
                continue
            if not self._settings.repair_tags:
                self._report_stray(line, found, faults)
            self._report_types(line, found, faults)

    def _count(self, line: Line, found: Tagged) -> None:
        if self.scheme != "iob2":
            self.changes[f"tags converted from {self.scheme.upper()} to IOB2"] += found.converted.changed
        self.changes["entities whose last word is not marked, kept"] += found.converted.open
        for (old, new), number in found.renamed.items():
            self.changes[f"entities renamed from {old} to {new}" if new else f"entities of {old}, left out"] += number
        for entity in line["widened"]:
            kind = self._own.renamed.get(entity["type"], entity["type"])
            if kind:
                self.changes["entities widened to whole words"] += 1
                self.widened.append({"place": line["image_id"], **entity, "type": kind})

    def _has_odd_tags(self, line: Line, faults: Faults) -> bool:
        """Report tags that would silently become types of their own, such as `PER` or `I-` among `B-PER` and `I-PER`."""
        words = [word for word, tag in enumerate(line["tags"]) if self._evidence.is_odd(tag)]
        if self._own.scheme == "io" or not words:  # IO has both
            return False
        for word in words:
            tag = line["tags"][word]
            cause = "has a prefix, while most tags have none"
            if not part_and_type(tag)[0]:
                cause = "is a type alone, while most tags have a prefix"
            cause = f"the tag {tag!r} of {line['words'][word]!r} {cause}"
            faults.add(place_of(line, word), cause, "correct it, or allow both with `--scheme io`")
        return True

    def _report_stray(self, line: Line, found: Tagged, faults: Faults) -> None:
        for word in found.converted.stray:
            faults.add(
                place_of(line, word),
                f"the tag {line['tags'][word]!r} of {line['words'][word]!r} continues no entity ({self.scheme.upper()})",
                "correct it, let such tags begin an entity with `--repair_tags`, or name the scheme with `--scheme`",
            )

    def _report_types(self, line: Line, found: Tagged, faults: Faults) -> None:
        known = self._settings.types
        for word, tag in enumerate(found.tags):
            if tag[0] == "B" and not (tag[2:] in known if known else is_type(tag[2:])):
                cause, remedy = (
                    f"unknown type {tag[2:]!r}; {known_tags(known)}",
                    "add it to `--types`, or rename it",
                )
                if not known:
                    cause = f"{tag[2:]!r} is no type (a letter, then letters, digits, _ . / -)"
                    remedy = f"rename it, as with `--rename {shlex.quote(f'{tag[2:]}={valid_type(tag[2:])}')}`"
                faults.add(place_of(line, word), cause, remedy)

    def _guess(self) -> array[int]:
        """Return the language, as a position in `order`, of each sentence that states none."""
        if not self._languages[""]:
            return array("b")
        texts = (" ".join(line["words"]) for line in self._stored() if not line["lang"])
        codes = guess_languages(texts)
        self._languages.update(codes)
        order = sort_languages({*LANGUAGES, *self._languages} - {""})
        return array("b", map(order.index, codes))

    def _tell(self) -> None:
        """Log what was recognised."""
        logger.info("Form: %s; %s sentences.", self.form, f"{self._parts.total():,}")
        if self._evidence.parts.total():
            logger.info("Scheme of the tags: %s; `--scheme` names another.", self.scheme.upper())
        logger.info("Types: %s.", ", ".join(f"{kind} {self._types[kind]:,}" for kind in self.types))
        if len(self._guessed):
            found = ", ".join(language_name(code) for code in self._languages if code)
            logger.info("Languages, told from the words: %s; `--language` names another.", found)
        if unused := [old for old in self._own.renamed if not any(f" {old}" in change for change in self.changes)]:
            logger.warning("`rename` names types that do not occur: %s; check their names.", ", ".join(unused))


def types_by_frequency(found: Counter[str]) -> tuple[str, ...]:
    """Return the types that a data set stores: the paper's four if it has no others, otherwise its own, the most frequent first
    behind those of the four that it has.
    """
    if set(found) <= set(ENTITY_TYPES):
        return ENTITY_TYPES
    others = sorted(set(found) - set(ENTITY_TYPES), key=lambda kind: (-found[kind], kind))
    return (*(kind for kind in ENTITY_TYPES if found[kind]), *others)
