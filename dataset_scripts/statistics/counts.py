"""Count a data set folder in two ways, and compare the counts with the paper's Table 2.

- `spans`: every entity span in the tags, every row
- `lists`: what Table 2 seems to count, the annotators' lists from which the tags were made: in a caption a string
  counts once with each type; a tweet has the spans of the original Twitter-2017; equal texts are one sentence
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dataset_scripts.conll import is_tag, read_conll
from dataset_scripts.reading import count_rows, find_parquet_files, read_rows, read_schema
from dataset_scripts.rows import DatasetCounts, SplitCounts, row_spans
from dataset_scripts.schema import ENTITY_TYPES, SPLITS, find_iob2_violation, sort_languages
from dataset_scripts.splits import stable_hash
from dataset_scripts.statistics.paper import PAPER_LANGUAGES, PAPER_TYPES, DatasetSize, paper_counts

OVERALL = "all"
GIVEN = "given"
COUNTINGS = ("spans", "lists")
TWITTER_FILES = ("train.txt", "valid.txt", "test.txt")
# The path shows whether a row has a picture without reading the picture.
COLUMNS_READ = ("tokens", "ner_tags", "lang", "source", "image_id", "image.path")

Figures = dict[str, int]


@dataclass
class Statistics:
    """The counts of a data set by both methods; `originals` are the entities by type of the original tweets, if given.

    `texts` are hashes of the distinct texts. `tweets` counts the English rows from Twitter-2017, `tweets_found` those
    of them that are in `originals`.
    """

    name: str
    split_method: str = GIVEN
    types: tuple[str, ...] = ENTITY_TYPES
    originals: dict[str, Counter[str]] | None = None
    spans: DatasetCounts = field(default_factory=dict)
    lists: DatasetCounts = field(default_factory=dict)
    texts: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    pictures: int = 0
    tweets: int = 0
    tweets_found: int = 0

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the data set, in the order of the schema."""
        return sort_languages(lang for lang, _ in self.spans)

    def has_paper(self, lang: str) -> bool:
        """Whether the paper has figures for this language and for the types of the data set."""
        return lang in PAPER_LANGUAGES and self.types == PAPER_TYPES

    @property
    def sources(self) -> Counter[str]:
        """Rows by source."""
        return sum(self.spans.values(), SplitCounts()).sources

    def open_split(self, key: tuple[str, str]) -> None:
        """Start counting a language and split, which may stay empty."""
        self.spans[key], self.lists[key], self.texts[key] = SplitCounts(), SplitCounts(), set()

    def add(self, row: dict[str, Any]) -> None:
        """Count one row of `read_rows`, with the columns `COLUMNS_READ`."""
        key = row["lang"], row["split"]
        _check_tags(row)
        entities = [(tuple(row["tokens"][start:end]), kind) for kind, start, end in row_spans(row)]
        spans, lists = self.spans[key], self.lists[key]
        spans.sentences += 1
        spans.tokens += len(row["tokens"])
        spans.mentions.update(kind for _, kind in entities)
        spans.sources[row["source"]] += 1
        lists.mentions.update(self._listed(row, entities))
        digest = stable_hash("\t".join(row["tokens"]))
        lists.sentences += digest not in self.texts[key]
        self.texts[key].add(digest)
        self.pictures += row["image"] is not None

    def _listed(self, row: dict[str, Any], entities: list[tuple[tuple[str, ...], str]]) -> Counter[str]:
        if row["source"] == "cc12m":
            return Counter(kind for _, kind in set(entities))
        if row["source"] == "twitter2017" and row["lang"] == "en":
            self.tweets += 1
            original = (self.originals or {}).get(row["image_id"])
            if original is not None:
                self.tweets_found += 1
                return original
        return Counter(kind for _, kind in entities)


def count_statistics(
    dataset: Path | str, twitter2017: Path | str | None = None, config: str | None = None
) -> Statistics:
    """Count a data set, a folder or Hub id with `tokens` and `ner_tags` at least, without looking at its pictures.

    `twitter2017` names the folder with the original train.txt, valid.txt and test.txt, which count for the English
    tweets in `lists`. Raises ValueError for an unsuitable folder.
    """
    from dataset_scripts.any_data_set import open_data_set  # loads datasets, which no help needs

    originals = None if twitter2017 is None else read_originals(Path(twitter2017))
    with open_data_set(dataset, config) as folder:
        return _count_folder(folder, originals)


def _count_folder(folder: Path, originals: dict[str, Counter[str]] | None) -> Statistics:
    statistics = Statistics(folder.resolve().name, read_split_method(folder), originals=originals)
    for key, paths in find_parquet_files(folder).items():
        statistics.types = read_schema(paths[0]).types
        statistics.open_split(key)
    rows = read_rows(folder, COLUMNS_READ)
    for row in tqdm(rows, total=count_rows(folder), desc="counting", unit=" sentences", disable=None):
        statistics.add(row)
    return statistics


def _check_tags(row: dict[str, Any]) -> None:
    """Refuse tags that would silently count as nothing."""
    bad = [tag for tag in row["ner_tags"] if not is_tag(tag, None)]
    position = find_iob2_violation(row["ner_tags"])
    if bad or position is not None or len(row["tokens"]) != len(row["ner_tags"]):
        tag = bad[0] if bad else row["ner_tags"][position] if position is not None else None
        cause = f"the tag {tag!r} is not IOB2" if tag else f"{len(row['tokens'])} words, {len(row['ner_tags'])} tags"
        raise ValueError(
            f"A row of `dataset`, {row['lang']} {row['split']}, cannot be counted: {cause}, in {' '.join(row['tokens'])[:80]!r}. "
            "Give every word one tag O, B-TYPE or I-TYPE; `python -m dataset_scripts.audit` lists all such rows."
        )


def read_originals(folder: Path) -> dict[str, Counter[str]]:
    """Return `{image id: entities by type}` of the Twitter-2017 files; ValueError if one is missing or invalid."""
    if absent := [name for name in TWITTER_FILES if not (folder / name).is_file()]:
        raise ValueError(
            f"`twitter2017` {folder} lacks {', '.join(absent)}; name the folder of the original Twitter-2017 "
            f"that holds {', '.join(TWITTER_FILES)}."
        )
    return {
        sentence.image_id: Counter(span.type for span in row_spans({"ner_tags": sentence.tags}))
        for name in TWITTER_FILES
        for sentence in read_conll(folder / name, rename={"OTHER": "MISC"})
    }


def read_split_method(folder: Path) -> str:
    """Return how the data set was split, from its build.json; without that information it has the authors' splits."""
    path = folder / "build.json"
    if not path.exists():
        return GIVEN
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("settings", {}).get("split", GIVEN)
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{path} does not hold the settings of a build ({error}); build the data set again."
        ) from error


@dataclass(frozen=True)
class PaperComparison:
    """The figures of a language (or all) and a split (or all): the paper's, and this data set's by both methods.

    `paper` is None for splits, languages and types that are not the paper's, `spans` and `lists` for a split that the
    data set lacks.
    """

    lang: str
    split: str
    paper: Figures | None
    spans: Figures | None
    lists: Figures | None

    def differences(self, counting: str) -> Figures:
        """Return how far `spans` or `lists` is above the paper; empty if there is nothing to compare."""
        counted = self.spans if counting == "spans" else self.lists
        if self.paper is None or counted is None:
            return {}
        return {name: counted[name] - value for name, value in self.paper.items()}

    def percent(self, counting: str) -> dict[str, float]:
        """Return the differences as percentages of the paper's figures."""
        paper = self.paper or {}
        return {name: 100 * above / paper[name] for name, above in self.differences(counting).items()}


def compare_with_paper(statistics: Statistics) -> list[PaperComparison]:
    """Compare language by language, each split and their sum, then the sum of all languages.

    Languages that the data set lacks are also left out of the paper's sum. If the rows have a new split, only sums
    over the splits are compared, and a text in several splits counts once.
    """
    compared = []
    for lang in statistics.languages:
        compared += [_compare_split(statistics, lang, split) for split in SPLITS]
        compared.append(_compare_sum(statistics, lang, (lang,)))
    if len(statistics.languages) > 1:
        compared.append(_compare_sum(statistics, OVERALL, statistics.languages))
    return compared


def _compare_split(statistics: Statistics, lang: str, split: str) -> PaperComparison:
    key = lang, split
    has_paper = statistics.split_method == GIVEN and statistics.has_paper(lang)
    paper, spans, lists = (
        _figures([counts[key]], statistics.types) if key in counts else None
        for counts in (paper_counts() if has_paper else {}, statistics.spans, statistics.lists)
    )
    return PaperComparison(lang, split, paper, spans, lists)


def _compare_sum(statistics: Statistics, lang: str, languages: tuple[str, ...]) -> PaperComparison:
    paper, spans, lists = (
        _figures((count for key, count in counts.items() if key[0] in languages), statistics.types)
        for counts in (paper_counts(), statistics.spans, statistics.lists)
    )
    if statistics.split_method != GIVEN:
        lists["sentences"] = sum(count_texts(statistics, language) for language in languages)
    return PaperComparison(lang, OVERALL, paper if all(map(statistics.has_paper, languages)) else None, spans, lists)


def count_texts(statistics: Statistics, lang: str) -> int:
    """Return the number of distinct texts of a language over all its splits."""
    return len(set().union(*(texts for key, texts in statistics.texts.items() if key[0] == lang)))


def _figures(counts: Iterable[SplitCounts], types: Sequence[str]) -> Figures:
    together = sum(counts, SplitCounts())
    by_type = {kind: together.mentions[kind] for kind in types}
    return {**by_type, "total": together.mentions.total(), "sentences": together.sentences}


def dataset_sizes(statistics: Statistics) -> tuple[DatasetSize, DatasetSize]:
    """Return this data set's two rows of Table 3: sentences as rows, and as distinct texts of a language and split."""
    languages = tuple(lang.upper() for lang in statistics.languages)
    modalities = ("Text", "Image") if statistics.pictures else ("Text",)
    rows, texts = (
        [sum(count.sentences for key, count in counts.items() if key[1] == split) for split in SPLITS]
        for counts in (statistics.spans, statistics.lists)
    )
    return (
        DatasetSize(f"{statistics.name} (rows)", languages, modalities, *rows),
        DatasetSize(f"{statistics.name} (distinct texts)", languages, modalities, *texts),
    )
