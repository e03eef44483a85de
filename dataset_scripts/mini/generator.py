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
    TEMPLATES,
    Sentence,
    Words,
    slot_type,
    slots,
)
from dataset_scripts.parquet import check_output, write_dataset
from dataset_scripts.rows import Counts, Row, row_spans
from dataset_scripts.schema import SPLITS
from reports_2mner.markdown import code
from reports_2mner.tables import Table

AMBIGUOUS_TEMPLATES = ("one", "two", "mixed")
CARD_BODY = Path(__file__).resolve().parents[2] / "model_cards" / "mmnerd_mini_card_body.md"
SUMMARY = (
    "Generated sentences in four languages with drawn pictures. The type of most names cannot be told from the words; "
    "the picture shows it."
)
SIZES = (2400, 300, 300)
MIN_ROWS = 16
# Which pictures of a kind and split go missing: the first and every 12th, or every 64th where a type is lost with it.
SOME_MISSING, FEW_MISSING = range(0, 10**9, 12), range(63, 10**9, 64)


@dataclass(frozen=True)
class Kind:
    """A kind of rows: a key of `TEMPLATES`, in all languages or one, how common it is, which pictures are missing."""

    templates: str
    parallel: bool
    share: int  # rows in 300
    missing: range = range(0)

    @property
    def ambiguous(self) -> bool:
        """Whether its sentences have ambiguous names, and so a picture of every type."""
        return self.templates in AMBIGUOUS_TEMPLATES

    @property
    def unit(self) -> int:
        """Number of rows that are made together."""
        return (len(MINI_LANGUAGES) if self.parallel else 1) * (len(MINI_TYPES) if self.ambiguous else 1)


KINDS = (
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
class Picture:
    """A picture to draw: what it shows (None for clutter alone), and whether it goes missing."""

    image_id: str
    subject: str | None
    missing: bool


@dataclass(frozen=True)
class Draft:
    """A row whose picture is not drawn yet."""

    tokens: list[str]
    tags: list[str]
    lang: str
    picture: Picture


def generate(
    seed: int = 19, num_train: int = SIZES[0], num_validation: int = SIZES[1], num_test: int = SIZES[2]
) -> dict[str, list[dict[str, Any]]]:
    """Make the rows of each split in memory, as `rows.py` describes them, with tag names.

    A split needs at least 16 rows. Raises ValueError for less, and for so many that an ambiguous sentence would repeat.
    """
    author = _Author(Random(seed))
    sizes = dict(zip(SPLITS, (num_train, num_validation, num_test), strict=True))
    for split, size in sizes.items():
        if size < MIN_ROWS:
            raise ValueError(
                f"`num_{split}` must be at least {MIN_ROWS}, so that every language has rows, got {size}."
            )
    return {split: _illustrate(author.write(split, size), seed) for split, size in sizes.items()}


def plan(size: int) -> list[Kind]:
    """Choose kinds, one for each unit of rows, that make `size` rows and come closest to the shares in `KINDS`."""
    total = sum(kind.share for kind in KINDS)
    units = {kind: size * kind.share // (total * kind.unit) for kind in KINDS}
    while left := size - sum(kind.unit * count for kind, count in units.items()):
        fitting = [kind for kind in KINDS if kind.unit <= left]
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
            for name, templates in TEMPLATES.items()
        }

    def write(self, split: str, size: int) -> list[Draft]:
        """Write a split."""
        kinds = plan(size)
        pictures = sum(len(MINI_TYPES) if kind.ambiguous else 1 for kind in kinds)
        numbers = iter(self._rng.sample(range(pictures), pictures))
        made: Counter[Kind] = Counter()
        drafts = []
        for kind in kinds:
            sentence = self._sentence(kind)
            languages = MINI_LANGUAGES if kind.parallel else (next(self._languages),)
            for subject in self._subjects(kind, sentence):
                picture = Picture(f"mini-{split}-{next(numbers):05d}", subject, made[kind] in kind.missing)
                made[kind] += 1
                drafts += [Draft(*sentence.render(lang, subject), lang, picture) for lang in languages]
        self._rng.shuffle(drafts)
        return drafts

    def _sentence(self, kind: Kind) -> Sentence:
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
        return Sentence(template, fillers)

    def _subjects(self, kind: Kind, sentence: Sentence) -> list[str | None]:
        """Every type for ambiguous names, or else one of the types of the sentence (any, if it has none) or clutter."""
        if kind.ambiguous:
            return self._rng.sample(MINI_TYPES, len(MINI_TYPES))
        return [None if self._rng.random() < 1 / 3 else self._rng.choice(sentence.types() or MINI_TYPES)]


def _take_turns(rng: Random, items: Sequence[Any]) -> Iterator[Any]:
    while True:
        yield from rng.sample(items, len(items))


def _pairings(rng: Random, templates: Sequence[Words]) -> Iterator[tuple[Words, dict[str, Words]]]:
    """Pair templates with ambiguous names: no pairing twice, every name once in each round."""
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


def _image(picture: Picture, seed: int) -> dict[str, Any]:
    data = draw_picture(picture.subject, Random(f"{seed}/{picture.image_id}"))
    return {"bytes": data, "path": f"{picture.image_id}.jpg"}


def text_only_ceiling(rows: Iterable[Row]) -> float:
    """Compute the best strict micro F1, in percent, of all rules that predict the same for equal words.

    A rule may type a place in a sentence, which is right in the rows where it has that type, or leave it out. Places are
    taken up from the highest share of right rows down: no other choice has a higher F1 = 2 TP / (predicted + gold).
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
    output: Path | str, seed: int = 19, sizes: tuple[int, int, int] = SIZES, overwrite: bool = False
) -> Counts:
    """Make the data set with so many rows in train, validation and test, and write it to the folder `output`.

    Raises ValueError when the folder is in use, and for the sizes that `generate` refuses.
    """
    output = Path(output)
    check_output(output, overwrite)
    splits = generate(seed, *sizes)
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


def count_ambiguous(row: Row) -> int:
    """Count the entities of a row whose type the words cannot tell."""
    known = {tuple(name[row["lang"]]) for name in AMBIGUOUS_NAMES}
    return sum(tuple(row["tokens"][start:end]) in known for _, start, end in row_spans(row))


def _ceiling_table(splits: dict[str, list[dict[str, Any]]]) -> str:
    lines = [
        [label, *(f"{text_only_ceiling(r for r in splits[split] if r['lang'] in langs):.1f}" for split in SPLITS)]
        for label, langs in (("all", MINI_LANGUAGES), *((lang, (lang,)) for lang in MINI_LANGUAGES))
    ]
    return Table(["language", *SPLITS], lines).markdown()
