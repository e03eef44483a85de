"""Write the sentences of the mini data set, and draw their pictures."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from dataset_scripts.card import dataset_card, fill_body
from dataset_scripts.example import write_example
from dataset_scripts.mini.pictures import draw_picture
from dataset_scripts.mini.text import (
    AMBIGUOUS_NAMES,
    AMBIGUOUS_SLOTS,
    FILLERS,
    MINI_LANGUAGES,
    MINI_TYPES,
    SENTENCE_TEMPLATES,
    FilledTemplate,
    Words,
    slot_type,
    slots,
)
from dataset_scripts.parquet import check_output_folder, write_dataset
from dataset_scripts.rows import DatasetCounts, DatasetRow, row_spans
from dataset_scripts.schema import SPLITS
from reports_2mner.markdown import code
from reports_2mner.tables import Table

AMBIGUOUS_TEMPLATES = ("one", "two", "mixed")
CARD_BODY = Path(__file__).resolve().parents[2] / "model_cards" / "mmnerd_mini_card_body.md"
SUMMARY = (
    "Generated sentences in four languages with drawn pictures. The words do not reveal the type of most names; the "
    "picture shows it."
)
SPLIT_SIZES = (2400, 300, 300)
MIN_ROWS = 16
# Which pictures of a kind and split are missing: the first and every 12th, or every 64th where a type is lost with it.
SOME_MISSING, FEW_MISSING = range(0, 10**9, 12), range(63, 10**9, 64)


@dataclass(frozen=True)
class Kind:
    """A kind of rows: a key of `TEMPLATES`, whether in all languages, its share, and which pictures are missing."""

    templates: str
    parallel: bool
    share: int  # rows in 300
    missing: range = range(0)

    @property
    def ambiguous(self) -> bool:
        """Whether its sentences have ambiguous names, and therefore a picture of every type."""
        return self.templates in AMBIGUOUS_TEMPLATES

    @property
    def unit(self) -> int:
        """Number of rows that are generated together."""
        return (len(MINI_LANGUAGES) if self.parallel else 1) * (len(MINI_TYPES) if self.ambiguous else 1)


ROW_KINDS = (
    Kind("one", parallel=True, share=64),
    Kind("two", parallel=True, share=48),
    Kind("mixed", parallel=True, share=16),
    Kind("known", parallel=True, share=16, missing=SOME_MISSING),
    Kind("none", parallel=True, share=8),
    Kind("one", parallel=False, share=64, missing=FEW_MISSING),
    Kind("two", parallel=False, share=32),
    Kind("mixed", parallel=False, share=16),
    Kind("known", parallel=False, share=20, missing=SOME_MISSING),
    Kind("none", parallel=False, share=16, missing=SOME_MISSING),
)


@dataclass(frozen=True)
class PlannedPicture:
    """A picture to draw: what it shows (None for only clutter), and whether it is missing."""

    image_id: str
    subject: str | None
    missing: bool


@dataclass(frozen=True)
class Draft:
    """A row whose picture has not been drawn yet."""

    tokens: list[str]
    tags: list[str]
    lang: str
    picture: PlannedPicture


def generate_rows(
    seed: int = 19,
    num_train: int = SPLIT_SIZES[0],
    num_validation: int = SPLIT_SIZES[1],
    num_test: int = SPLIT_SIZES[2],
) -> dict[str, list[dict[str, Any]]]:
    """Generate the rows of each split in memory, as `rows.py` describes them, with tag names.

    Raises ValueError for fewer than 16 rows in a split, and for so many that an ambiguous sentence would be repeated.
    """
    author = _Author(Random(seed))
    sizes = dict(zip(SPLITS, (num_train, num_validation, num_test), strict=True))
    for split, size in sizes.items():
        if size < MIN_ROWS:
            raise ValueError(
                f"`num_{split}` must be at least {MIN_ROWS}, so that every language has rows, got {size}."
            )
    return {split: _illustrate(author.write(split, size), seed) for split, size in sizes.items()}


def choose_kinds(size: int) -> list[Kind]:
    """Choose kinds, one for each unit of rows, that add up to `size` rows and best match the shares in `KINDS`."""
    total = sum(kind.share for kind in ROW_KINDS)
    units = {kind: size * kind.share // (total * kind.unit) for kind in ROW_KINDS}
    while left := size - sum(kind.unit * count for kind, count in units.items()):
        fitting = [kind for kind in ROW_KINDS if kind.unit <= left]
        units[max(fitting, key=lambda kind: kind.share * size / total - kind.unit * units[kind])] += 1
    return [kind for kind, count in units.items() for _ in range(count)]


class _Author:
    """Writes sentences; names, templates and languages take turns in random order."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._languages = _take_turns(rng, MINI_LANGUAGES)
        self._fillers = {kind: _take_turns(rng, names) for kind, names in FILLERS.items()}
        self._openings = {
            name: _pairings(rng, templates)
            if name in AMBIGUOUS_TEMPLATES
            else _take_turns(rng, [(t, {}) for t in templates])
            for name, templates in SENTENCE_TEMPLATES.items()
        }

    def write(self, split: str, size: int) -> list[Draft]:
        """Write a split."""
        kinds = choose_kinds(size)
        pictures = sum(len(MINI_TYPES) if kind.ambiguous else 1 for kind in kinds)
        numbers = iter(self._rng.sample(range(pictures), pictures))
        made: Counter[Kind] = Counter()
        drafts = []
        for kind in kinds:
            sentence = self._sentence(kind)
            languages = MINI_LANGUAGES if kind.parallel else (next(self._languages),)
            for subject in self._subjects(kind, sentence):
                picture = PlannedPicture(f"mini-{split}-{next(numbers):05d}", subject, made[kind] in kind.missing)
                made[kind] += 1
                drafts += [Draft(*sentence.render(lang, subject), lang, picture) for lang in languages]
        self._rng.shuffle(drafts)
        return drafts

    def _sentence(self, kind: Kind) -> FilledTemplate:
        nothing: tuple[None, dict[str, Words]] = (None, {})
        template, names = next(self._openings[kind.templates], nothing)
        if template is None:
            raise ValueError(
                f"The rows asked for need more ambiguous sentences ({kind.templates!r}) than there are; "
                "lower `num_train`, `num_validation` or `num_test`."
            )
        fillers = {
            slot: names[slot] if slot in AMBIGUOUS_SLOTS else next(self._fillers[slot_type(slot)])
            for slot in slots(template)
        }
        return FilledTemplate(template, fillers)

    def _subjects(self, kind: Kind, sentence: FilledTemplate) -> list[str | None]:
        """Every type for ambiguous names; otherwise one type of the sentence (any, if it has none) or clutter."""
        if kind.ambiguous:
            return self._rng.sample(MINI_TYPES, len(MINI_TYPES))
        return [None if self._rng.random() < 1 / 3 else self._rng.choice(sentence.types() or MINI_TYPES)]


def _take_turns(rng: Random, items: Sequence[Any]) -> Iterator[Any]:
    while True:
        yield from rng.sample(items, len(items))


def _pairings(rng: Random, templates: Sequence[Words]) -> Iterator[tuple[Words, dict[str, Words]]]:
    """Pair templates with ambiguous names: no pair twice, every name once in each round."""
    names = rng.sample(AMBIGUOUS_NAMES, len(AMBIGUOUS_NAMES))
    rounds = len(names) - 1 if "{Y}" in slots(templates[0]) else len(templates)
    for step in range(1, rounds + 1):
        for i in rng.sample(range(len(names)), len(names)):
            yield templates[(i + step) % len(templates)], {"{X}": names[i], "{Y}": names[(i + step) % len(names)]}


def _illustrate(drafts: list[Draft], seed: int) -> list[dict[str, Any]]:
    images = {
        picture: None if picture.missing else _image(picture, seed)
        for picture in dict.fromkeys(draft.picture for draft in drafts)
    }
    return [
        {
            "id": f"{draft.lang}/{draft.picture.image_id}",
            "tokens": draft.tokens,
            "ner_tags": draft.tags,
            "image": images[draft.picture],
            "image_id": draft.picture.image_id,
            "image_status": "missing" if draft.picture.missing else "ok",
            "lang": draft.lang,
            "source": "synthetic",
        }
        for draft in drafts
    ]


def _image(picture: PlannedPicture, seed: int) -> dict[str, Any]:
    data = draw_picture(picture.subject, Random(f"{seed}/{picture.image_id}"))
    return {"bytes": data, "path": f"{picture.image_id}.jpg"}


def text_only_ceiling(rows: Iterable[DatasetRow]) -> float:
    """Return the best strict micro F1, in percent, of all rules that predict the same for equal words.

    A rule may give a span of a sentence a type, which is correct in the rows where the span has that type, or leave it
    out. Spans are added by decreasing share of correct rows: no choice has a higher F1 = 2 TP / (predicted + gold).
    """
    repeats: Counter[tuple[str, ...]] = Counter()
    places: defaultdict[tuple[tuple[str, ...], int, int], Counter[str]] = defaultdict(Counter)
    for row in rows:
        words = tuple(row["tokens"])
        repeats[words] += 1
        for kind, start, end in row_spans(row):
            places[words, start, end][kind] += 1
    gold = sum(kinds.total() for kinds in places.values())
    choices = [(max(kinds.values()), repeats[words]) for (words, _, _), kinds in places.items()]
    best, right, predicted = 0.0, 0, 0
    for hits, cost in sorted(choices, key=lambda choice: choice[0] / choice[1], reverse=True):
        right, predicted = right + hits, predicted + cost
        best = max(best, 200 * right / (predicted + gold))
    return best


def write_mini(
    output: Path | str, seed: int = 19, sizes: tuple[int, int, int] = SPLIT_SIZES, overwrite: bool = False
) -> DatasetCounts:
    """Generate the data set with `sizes` rows in train, validation and test, and write it to the folder `output`.

    Raises ValueError if the folder is in use, and for sizes that the generator refuses.
    """
    output = Path(output)
    check_output_folder(output, overwrite)
    splits = generate_rows(seed, *sizes)
    rows = {
        (lang, split): [row for row in splits[split] if row["lang"] == lang]
        for lang in MINI_LANGUAGES
        for split in SPLITS
    }
    card = partial(
        dataset_card,
        name=output.resolve().name,
        title="MMNERD mini",
        summary=SUMMARY,
        body=_card_body(splits, shlex.quote(code(output.resolve().name)), seed),
        license="apache-2.0",
        annotations_creators=("machine-generated",),
    )
    return write_dataset(output, rows, card, overwrite, write_example)


def _card_body(splits: dict[str, list[dict[str, Any]]], name: str, seed: int) -> str:
    rows = [row for split in SPLITS for row in splits[split]]
    ambiguous = [count_ambiguous(row) for row in rows]
    uses = Counter(row["image_id"] for row in rows)
    missing = [row["image"] is None for row in rows]
    num_entities = sum(len(row_spans(row)) for row in rows)
    return fill_body(
        CARD_BODY,
        name=name,
        seed=seed,
        num_entities=num_entities,
        ambiguous_share=100 * sum(ambiguous) / num_entities,
        parallel_share=100 * sum(uses[row["image_id"]] > 1 for row in rows) / len(rows),
        num_pictures=len({row["image_id"] for row in rows if row["image"]}),
        missing_rows=sum(missing),
        missing_ambiguous=sum(gone and count > 0 for gone, count in zip(missing, ambiguous, strict=True)),
        ceiling_table=_ceiling_table(splits),
    )


def count_ambiguous(row: DatasetRow) -> int:
    """Count the entities of a row whose type the words do not reveal."""
    known = {tuple(name[row["lang"]]) for name in AMBIGUOUS_NAMES}
    return sum(tuple(row["tokens"][start:end]) in known for _, start, end in row_spans(row))


def _ceiling_table(splits: dict[str, list[dict[str, Any]]]) -> str:
    lines = [
        [label, *(f"{text_only_ceiling(r for r in splits[split] if r['lang'] in langs):.1f}" for split in SPLITS)]
        for label, langs in (("all", MINI_LANGUAGES), *((lang, (lang,)) for lang in MINI_LANGUAGES))
    ]
    return Table(["language", *SPLITS], lines).markdown()
