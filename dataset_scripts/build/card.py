"""The card of a built data set: its counts, how it was made, what its splits share, and its known faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.card import dataset_card, fill_body
from dataset_scripts.rows import DatasetCounts
from dataset_scripts.schema import TYPE_NAMES, Schema, sort_languages
from dataset_scripts.splits import Leak
from reports_2mner.language_table import language_name
from reports_2mner.tables import Table

CARD_TEMPLATES = Path(__file__).resolve().parents[2] / "model_cards"
LICENCE = CARD_TEMPLATES / "dataset_licence.md"
BODY = CARD_TEMPLATES / "build_card_body.md"

COLLECTION_TITLES = {
    "mmnerd": "MMNERD",
    "twitter2015": "Twitter-2015",
    "twitter2017": "Twitter-2017",
    "other": "Multimodal NER",
}
COLLECTION_KINDS = {
    "mmnerd": "captions of pictures, and tweets",
    "twitter2015": "tweets",
    "twitter2017": "tweets",
    "other": "",
}
ANNOTATORS = {"mmnerd": ("machine-generated", "expert-generated")}


def card_of_build(
    counts: DatasetCounts,
    fingerprint: str,
    name: str,
    settings: BuildSettings,
    leaks: Sequence[Leak],
    changes: Mapping[str, int],
    figure: str | None,
    schema: Schema,
    example: str,
) -> str:
    """Return README.md; `name` is that of the folder, `figure` the path in it of the figure of entity shares, if any.

    `example` is the Markdown of `example.py`.
    """
    body = fill_body(
        BODY,
        **settings.to_dict(),
        figure=figure,
        leak_table=leak_table(leaks),
        changes={change: number for change, number in changes.items() if number},
    )
    return dataset_card(
        counts,
        fingerprint,
        name=name,
        title=COLLECTION_TITLES[settings.collection],
        summary=_summary(counts, settings.collection, schema),
        schema=schema,
        body=body,
        example=example,
        license_name="mixed-see-license",
        license_link="LICENSE.md",
        annotations_creators=ANNOTATORS.get(settings.collection, ("expert-generated",)),
    )


def _summary(counts: DatasetCounts, collection: str, schema: Schema) -> str:
    names = [language_name(lang) for lang in sort_languages(lang for lang, _ in counts)]
    types = ", ".join(TYPE_NAMES.get(kind, kind) for kind in schema.types)
    languages = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    kind = f" ({COLLECTION_KINDS[collection]})" if COLLECTION_KINDS[collection] else ""
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
