"""Plan a build: from text files to shards, which are rows without pictures as JSON lines.

The text is read several times and never kept: the first pass finds errors and languages, the next splits the rows, the
last writes them. Only a few numbers for each sentence are kept in memory; a grouped split also keeps the words.
"""

from __future__ import annotations

import json
import logging
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

from dataset_scripts.build.engine import Engine
from dataset_scripts.build.grouping import GroupRow, group_names, resolve_keys
from dataset_scripts.build.named_sentence import NamedSentence, free_name
from dataset_scripts.build.own import OwnSettings
from dataset_scripts.build.own_corpus import OwnCorpus
from dataset_scripts.build.settings import OPEN, RENAMED_TYPES, BuildSettings
from dataset_scripts.build.sources import SourceFile, find_source_files
from dataset_scripts.build.urls import CAPTION_ID, find_urls
from dataset_scripts.conll import ConllSentence, read_conll
from dataset_scripts.conll_layout import Layout
from dataset_scripts.conll_released import read_conll_as_released
from dataset_scripts.languages import KNOWN_ALREADY, Languages, assign_languages
from dataset_scripts.quality import find_text_flags
from dataset_scripts.schema import ENTITY_TYPES, SPLITS, Schema, sort_languages, types_of
from dataset_scripts.splits import (
    EIGHT_ONE_ONE,
    Leak,
    Overlap,
    seed_without_empty_split,
    split_of_group,
    split_pool,
)

logger = logging.getLogger(__name__)


@dataclass
class Plan:
    """The files of rows to turn into shards, in order, by language and split; what splits share; what was changed.

    `layouts` are those of files of one language, by "language/split", whose empty lines are not the usual ones.

    `schema` and `settings` have the languages and types that were found if the settings left them open.
    """

    rows: dict[tuple[str, str], list[Path]] = field(default_factory=dict)
    sizes: Counter[tuple[str, str]] = field(default_factory=Counter)
    leaks: list[Leak] = field(default_factory=list)
    changes: Counter[str] = field(default_factory=Counter)
    files: list[Path] = field(default_factory=list)
    layouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    schema: Schema = field(default_factory=Schema)
    settings: BuildSettings = field(default_factory=BuildSettings)
    images: Path | None = None
    own: dict[str, Any] | None = None


def make_plan(
    source: Path,
    folder: Path,
    settings: BuildSettings,
    images: Path | None = None,
    engine: Engine = map,
    own: OwnSettings | None = None,
) -> Plan:
    """Read the distribution under `source` and write its rows as JSON lines to `folder`.

    A grouped split looks at the pictures in `images`, with `engine`, if it is to keep equal or similar ones together.
    With `own` the source is data of one's own, of any form; its pictures may stand beside the text.

    Raises ValueError for an unsuitable source, and for an invalid line, with file and line.
    """
    if own is None:
        return _plan(_Corpus(source, settings), source, folder, settings, images, engine, EIGHT_ONE_ONE)
    corpus = OwnCorpus(source, settings, own, folder.parent, images)
    plan = _plan(corpus, source, folder, _with_split(settings, corpus, own.sizes), corpus.images, engine, own.sizes)
    plan.changes.update(corpus.changes)
    plan.own = corpus.describe()
    if empty := [split for split in SPLITS if not any(found == split for _, found in plan.sizes)]:
        remedies = {
            "given": "`--split grouped` or `--split paper` makes them",
            "paper": "add sentences",
            "grouped": "add sentences, or keep fewer of them together with `--group_by`",
        }
        logger.warning(
            "The data set has no %s; training needs all three splits: %s.",
            " and no ".join(empty),
            remedies[plan.settings.split],
        )
    return plan


def _with_split(settings: BuildSettings, corpus: OwnCorpus, sizes: Sequence[int]) -> BuildSettings:
    """Make a split where the files have none; ValueError where only some sentences have one, or `sizes` has no use."""
    if settings.split != "given":
        return settings
    if corpus.has_splits:
        remedy = "add `--split grouped` or `--split paper` to make a new one"
        if corpus.without_split:
            raise ValueError(
                f"{corpus.without_split}: no split, while other sentences state one; state it, or {remedy}."
            )
        if tuple(sizes) != EIGHT_ONE_ONE:
            raise ValueError(f"`sizes` is for a new split, but the sentences state theirs; leave it out, or {remedy}.")
        return settings
    logger.info("The files state no split: a grouped one is made; `--split paper` makes another.")
    return replace(settings, split="grouped")


def _plan(
    corpus: _Corpus | OwnCorpus,
    source: Path,
    folder: Path,
    settings: BuildSettings,
    images: Path | None,
    engine: Engine,
    sizes: Sequence[int],
) -> Plan:
    if settings.split == "grouped":
        settings = replace(settings, group_by=resolve_keys(settings.group_by, images))
    splits, seed = _split(corpus, settings, images, engine, sizes)
    settings = replace(settings, seed=seed)
    plan = Plan(files=corpus.files, images=images)
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
    plan.layouts = _layouts(corpus, settings) if isinstance(corpus, _Corpus) else {}
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
        self.sources = find_source_files(source, settings.languages, settings.train_file)
        self.files = [file.path for file in self.sources]
        self._types: set[str] = set()
        self._languages: Languages = assign_languages(self.sources, self._read_first if types is None else self._read)
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
        for file in self.sources:
            for sentence in self._read(file):
                place += 1
                code = self._languages.codes[place]
                if code == KNOWN_ALREADY or code not in self._wanted:
                    continue
                name = free_name(f"{self.order[code]}/{sentence.image_id}", used)
                inferred = place in self._languages.inferred
                yield NamedSentence(sentence, file.split, self.order[code], name, inferred)


def _layouts(corpus: _Corpus, settings: BuildSettings) -> dict[str, dict[str, Any]]:
    """Find what export needs to reproduce the files; rows that were split anew are not in the order of the files."""
    if settings.split != "given" or settings.compatibility != "strict":
        return {}
    found = {
        f"{file.languages[0]}/{file.split}": Layout.of(file.path)
        for file in corpus.sources
        if len(file.languages) == 1
    }
    return {place: layout.to_dict() for place, layout in found.items() if not layout.is_usual}


def _split(
    corpus: _Corpus | OwnCorpus, settings: BuildSettings, images: Path | None, engine: Engine, sizes: Sequence[int]
) -> tuple[array[int], int]:
    """Return each row's position in `SPLITS`, and the seed of the split."""
    seed = settings.seed
    if settings.split == "paper":
        return split_pool(seed, (named.name for named in corpus.sentences()), sizes), seed
    if settings.split == "grouped":
        rows = (
            GroupRow(n.name, n.sentence.image_id, n.lang, n.sentence.tokens, n.picture) for n in corpus.sentences()
        )
        names = group_names(rows, settings.group_by or (), settings, images, engine)
        if isinstance(corpus, OwnCorpus) and (seed := seed_without_empty_split(seed, names, sizes)) != settings.seed:
            logger.info("With seed %d a split would be empty: seed %d is taken.", settings.seed, seed)
        return array("b", (split_of_group(seed, name, sizes) for name in names)), seed
    return array("b", (SPLITS.index(named.given_split) for named in corpus.sentences())), seed


class _Describer:
    """Turns sentences into rows without pictures."""

    def __init__(self, corpus: _Corpus | OwnCorpus, settings: BuildSettings) -> None:
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
        picture = {} if named.picture == "" else {"picture": named.picture}
        return {
            **picture,
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
