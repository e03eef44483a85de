"""The card of a built data set: its counts, how it was made, what its splits share, what is known to be wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dataset_scripts.build.settings import OPEN, BuildSettings
from dataset_scripts.card import dataset_card, fill_body
from dataset_scripts.language_table import language_name
from dataset_scripts.rows import Counts
from dataset_scripts.schema import COLUMNS, TYPE_NAMES, Schema, sort_languages
from dataset_scripts.splits import Leak
from reports_2mner.tables import Table

TEMPLATES = Path(__file__).resolve().parents[2] / "model_cards"
LICENCE = TEMPLATES / "dataset_licence.md"
BODY = TEMPLATES / "build_card_body.md"

TITLES = {"mmnerd": "MMNERD", "twitter2015": "Twitter-2015", "twitter2017": "Twitter-2017", "other": "Multimodal NER"}
SHARED = {
    "translation": "a picture id in several languages",
    "picture_bytes": "a picture of the same bytes",
    "similar_picture": "a picture that looks the same",
    "text": "the very words",
    "similar_text": "nearly the same words in one language",
}
KINDS = {"mmnerd": "captions of pictures, and tweets", "twitter2015": "tweets", "twitter2017": "tweets", "other": ""}
ANNOTATORS = {"mmnerd": ("machine-generated", "expert-generated"), "other": ("other",)}
# A card of data of unknown origin does not describe columns by other data sets, whose rows it cannot have.
OTHER_COLUMNS = {
    "tokens": "The words of the sentence.",
    "source": "Where sentence and picture come from: `other`.",
    "url": "Where the picture was found on the web, or null where that is not known.",
    "tw2017_split": "Always null here; it keeps the columns those of all data sets that the builder makes.",
    "quality": COLUMNS["quality"].replace("the authors' tokeniser", "a tokeniser"),
}


def card_of_build(
    counts: Counts,
    fingerprint: str,
    name: str,
    settings: BuildSettings,
    leaks: Sequence[Leak],
    changes: Mapping[str, int],
    figure: str | None,
    schema: Schema | None = None,
    example: str = "",
) -> str:
    """Return README.md; `name` is the folder's, `figure` the place of the picture of entity shares in it, if there is one.

    `example` is what `example.py` writes.
    """
    body = fill_body(
        BODY,
        **settings.to_dict(),
        figure=figure,
        shared=" or ".join(SHARED[key] for key in settings.group_by or () if key in SHARED),
        leak_table=leak_table(leaks),
        changes={change: number for change, number in changes.items() if number},
    )
    return dataset_card(
        counts,
        fingerprint,
        name=name,
        title=TITLES[settings.collection],
        summary=_summary(counts, settings.collection, schema or Schema()),
        schema=schema,
        body=body,
        columns=COLUMNS | OTHER_COLUMNS if settings.collection == OPEN else COLUMNS,
        example=example,
        license_name="unknown-see-license" if settings.collection == OPEN else "mixed-see-license",
        license_link="LICENSE.md",
        annotations_creators=ANNOTATORS.get(settings.collection, ("expert-generated",)),
    )


def _summary(counts: Counts, collection: str, schema: Schema) -> str:
    names = [language_name(lang) for lang in sort_languages(lang for lang, _ in counts)]
    types = ", ".join(TYPE_NAMES.get(kind, kind) for kind in schema.types)
    languages = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    kind = f" ({KINDS[collection]})" if KINDS[collection] else ""
    return f"Sentences in {languages}{kind} with one picture each and their named entities: {types}."


def leak_table(leaks: Sequence[Leak]) -> str:
    """Return a Markdown table of what held-out splits share with train, by configuration."""
    header = ["configuration", "split", "rows", "picture in train", "words in train"]
    rows = (
        [leak.config, leak.split, leak.rows, *(_share(n, leak.rows) for n in (leak.pictures, leak.texts))]
        for leak in leaks
    )
    return Table(header, rows).markdown()


def _share(count: int, total: int) -> str:
    return f"{count:,} ({100 * count / total:.1f} %)" if count else "0"
