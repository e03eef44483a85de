"""Plan a build: from text files to shards, which are rows without pictures as JSON lines.

The text is read several times and never kept: the first pass finds errors and languages, the next splits the rows, the
last writes them. Only a few numbers for each sentence are kept in memory.
"""

from __future__ import annotations

import json
import logging
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

from dataset_scripts.build.settings import OPEN, RENAMED_TYPES, BuildSettings
from dataset_scripts.build.sources import SourceFile, find_source_files
from dataset_scripts.build.urls import CAPTION_ID, find_urls
from dataset_scripts.conll import ConllSentence, read_conll
from dataset_scripts.conll_released import read_conll_as_released
from dataset_scripts.languages import KNOWN_ALREADY, Languages, assign_languages
from dataset_scripts.quality import find_text_flags
from dataset_scripts.schema import ENTITY_TYPES, SPLITS, Schema, sort_languages, types_of
from dataset_scripts.splits import Leak, Overlap, split_of_group, split_pool, stable_hash

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedSentence:
    """A sentence with its language and the name of its row."""

    sentence: ConllSentence
    given_split: str
    lang: str
    name: str
    inferred: bool


@dataclass
class Plan:
    """The files of rows to turn into shards, in order, by language and split; what splits share; what was changed.

    `schema` and `settings` have the languages and types that were found if the settings left them open.
    """

    rows: dict[tuple[str, str], list[Path]] = field(default_factory=dict)
    sizes: Counter[tuple[str, str]] = field(default_factory=Counter)
    leaks: list[Leak] = field(default_factory=list)
    changes: Counter[str] = field(default_factory=Counter)
    files: list[Path] = field(default_factory=list)
    schema: Schema = field(default_factory=Schema)
    settings: BuildSettings = field(default_factory=BuildSettings)


def make_plan(source: Path, folder: Path, settings: BuildSettings) -> Plan:
    """Read the distribution under `source` and write its rows as JSON lines to `folder`.

    Raises ValueError for an unsuitable source, and for an invalid line, with file and line.
    """
    corpus = _Corpus(source, settings)
    splits = _split(corpus, settings)
    plan = Plan(files=[file.path for file in corpus.files])
    overlap = Overlap(corpus.order)
    describe = _Describer(corpus, settings)
    with _RowFiles(folder, settings.rows_per_shard) as out:
        for named, split in zip(corpus.sentences(), splits, strict=True):
            overlap.add(corpus.order.index(named.lang), split, named.sentence.image_id, named.sentence.tokens)
            out.write(named.lang, SPLITS[split], describe.row(named))
            plan.changes.update(_changes(named))
    if not out.sizes:
        raise ValueError(
            f"`source` {source} has no sentence in any of `languages` {list(settings.languages or corpus.order)}; "
            "check both."
        )
    languages = sort_languages(lang for lang, _ in out.sizes)
    keys = [(lang, split) for lang in languages for split in SPLITS if out.sizes[lang, split]]
    plan.rows = {key: out.paths[key] for key in keys}
    plan.sizes = out.sizes
    plan.leaks = overlap.leaks()
    plan.schema = Schema.of(languages, corpus.types)
    plan.settings = replace(settings, languages=settings.languages or languages, types=corpus.types)
    return plan


class _Corpus:
    """The sentences of all files in order, each only once, with language and name."""

    def __init__(self, source: Path, settings: BuildSettings) -> None:
        # The files are read several times; each warning is logged once.
        released = partial(read_conll_as_released, warn=cache(logger.warning))
        read = read_conll if settings.compatibility == "strict" else released
        types = settings.types or (None if settings.collection == OPEN else ENTITY_TYPES)
        self._read_path = partial(read, rename=settings.renamed_types, repair_tags=settings.repair_tags, types=types)
        self.files = find_source_files(source, settings.languages, settings.train_file)
        self._types: set[str] = set()
        self._languages: Languages = assign_languages(self.files, self._read_first if types is None else self._read)
        self.order = self._languages.order
        self._wanted = [self.order.index(lang) for lang in settings.languages or self.order if lang in self.order]
        self.types = types or types_of(self._types)
        if types is None and self.types != ENTITY_TYPES:
            logger.info(
                "The types are those of the files: %s; set `types` to refuse all others.", ", ".join(self.types)
            )

    def _read(self, file: SourceFile) -> Iterator[ConllSentence]:
        return self._read_path(file.path)

    def _read_first(self, file: SourceFile) -> Iterator[ConllSentence]:
        """Read, and collect the types."""
        for sentence in self._read(file):
            self._types.update(tag[2:] for tag in sentence.tags if tag != "O")
            yield sentence

    def sentences(self) -> Iterator[NamedSentence]:
        """Yield the sentences in the requested languages; repeated names are numbered from the second on."""
        used: Counter[int] = Counter()
        place = -1
        for file in self.files:
            for sentence in self._read(file):
                place += 1
                code = self._languages.codes[place]
                if code == KNOWN_ALREADY or code not in self._wanted:
                    continue
                name = _free_name(f"{self.order[code]}/{sentence.image_id}", used)
                inferred = place in self._languages.inferred
                yield NamedSentence(sentence, file.split, self.order[code], name, inferred)


def _free_name(name: str, used: Counter[int]) -> str:
    """Return the name, numbered from its second use on; `used` counts uses by hash."""
    free, key = name, stable_hash(name)
    while used[stable_hash(free)]:
        used[key] += 1
        free = f"{name}#{used[key]}"
    used[stable_hash(free)] += 1
    return free


def _split(corpus: _Corpus, settings: BuildSettings) -> array[int]:
    """Return each row's position in `SPLITS`."""
    if settings.split == "paper":
        return split_pool(settings.seed, (named.name for named in corpus.sentences()))
    if settings.split == "grouped":
        return array("b", (split_of_group(settings.seed, n.sentence.image_id) for n in corpus.sentences()))
    return array("b", (SPLITS.index(named.given_split) for named in corpus.sentences()))


class _Describer:
    """Turns sentences into rows without pictures."""

    def __init__(self, corpus: _Corpus, settings: BuildSettings) -> None:
        self._collection = settings.collection
        image_ids = (named.sentence.image_id for named in corpus.sentences())
        self._urls = find_urls(settings.urls, image_ids) if settings.urls else {}
        files = find_source_files(settings.twitter2017, ("en",)) if settings.twitter2017 else []
        self._tw2017 = {
            sentence.image_id: file.split
            for file in files
            for sentence in read_conll(file.path, rename=RENAMED_TYPES["twitter2017"])
        }

    def row(self, named: NamedSentence) -> dict[str, Any]:
        """Return the row of a sentence, with names for tags, language and source."""
        image_id = named.sentence.image_id
        source = source_of(image_id, self._collection)
        flags = find_text_flags(named.sentence.tokens)
        flags += ["repaired_tags"] if named.sentence.repaired else []
        flags += ["inferred_language"] if named.inferred else []
        known_split = named.given_split if self._collection == "twitter2017" else self._tw2017.get(image_id)
        return {
            "id": named.name,
            "tokens": named.sentence.tokens,
            "ner_tags": named.sentence.tags,
            "image_id": image_id,
            "lang": named.lang,
            "source": source,
            "url": self._urls.get(image_id),
            "tw2017_split": known_split if source == "twitter2017" else None,
            "quality": flags,
        }


def source_of(image_id: str, collection: str = "mmnerd") -> str:
    """Return the source of a row; in MMNERD, the ids of captions match `CAPTION_ID`."""
    if collection != "mmnerd":
        return collection
    return "cc12m" if CAPTION_ID.fullmatch(image_id) else "twitter2017"


def _changes(named: NamedSentence) -> dict[str, int]:
    sentence = named.sentence
    return {
        "tags repaired": sentence.repaired,
        "sentences with repaired tags": bool(sentence.repaired),
        "tags renamed": sentence.renamed,
        "languages told from the words": named.inferred,
    }


class _RowFiles:
    """Writes rows to files `<lang>-<split>-<number>.jsonl` with at most `rows_per_file` rows each."""

    def __init__(self, folder: Path, rows_per_file: int) -> None:
        self._folder = folder
        self._rows_per_file = rows_per_file
        self._open: dict[tuple[str, str], IO[str]] = {}
        self.paths: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
        self.sizes: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> _RowFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()

    def write(self, lang: str, split: str, row: dict[str, Any]) -> None:
        """Append a row to the newest file of its language and split."""
        key = lang, split
        if self.sizes[key] % self._rows_per_file == 0:
            self._next_file(key)
        self.sizes[key] += 1
        self._open[key].write(f"{json.dumps(row)}\n")

    def _next_file(self, key: tuple[str, str]) -> None:
        if key in self._open:
            self._open[key].close()
        path = self._folder / f"{'-'.join(key)}-{len(self.paths[key]):05d}.jsonl"
        self.paths[key].append(path)
        self._open[key] = open(path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115 - closed with all the others
