"""The card of a built data set: its counts, how it was made, what its splits share, and its known faults."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dataset_scripts.build.own import OwnSettings
from dataset_scripts.build.settings import OPEN, BuildSettings
from dataset_scripts.card import dataset_card, fill_body
from dataset_scripts.rows import DatasetCounts
from dataset_scripts.schema import COLUMNS, TYPE_NAMES, Schema, sort_languages
from dataset_scripts.splits import EIGHT_ONE_ONE, Leak
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
ANNOTATORS = {"mmnerd": ("machine-generated", "expert-generated"), "other": ("other",)}
GROUP_KEY_TEXTS = {
    "translation": "a picture id in several languages",
    "picture_bytes": "a picture with the same bytes",
    "similar_picture": "a picture that looks the same",
    "text": "exactly the same words",
    "similar_text": "similar words in one language",
}
# The licences of data that the Hub knows, by the beginning of their names
HUB_LICENCE = re.compile(
    r"(cc(-(by|0|pd|zero))?(-(nc|nd|sa|\d\.\d))*|(apache|mit|odc-by|odbl|pddl|gpl|lgpl|afl|gfdl|cdla|mpl|bsd)[\w.-]*)"
)
# The card of data of unknown origin does not explain columns by other data sets, whose rows it cannot contain.
OTHER_COLUMNS = {
    "tokens": "The words of the sentence.",
    "source": "Where sentence and picture come from: `other`.",
    "url": "Where the picture was found on the web, or null if that is not known.",
    "tw2017_split": "Always null here; all data sets made by the builder have the same columns.",
    "quality": COLUMNS["quality"].replace("the authors' tokeniser", "a tokeniser"),
}


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
    own: OwnSettings | None = None,
) -> str:
    """Return README.md; `name` is that of the folder, `figure` the path in it of the figure of entity shares, if any.

    `example` is the Markdown of `example.py`; `own` has title, licence and origin of data of one's own.
    """
    body = fill_body(
        BODY,
        **settings.to_dict(),
        figure=figure,
        shared=" or ".join(GROUP_KEY_TEXTS[key] for key in settings.group_by or () if key in GROUP_KEY_TEXTS),
        leak_table=leak_table(leaks),
        changes={change: number for change, number in changes.items() if number},
        own=own,
        shares=":".join(map(str, own.sizes if own else EIGHT_ONE_ONE)),
        citation=_citation(own, name) if own and own.title and own.homepage else None,
    )
    return dataset_card(
        counts,
        fingerprint,
        name=name,
        title=own.title if own and own.title else COLLECTION_TITLES[settings.collection],
        summary=_summary(counts, settings.collection, schema),
        schema=schema,
        body=body,
        columns=COLUMNS | OTHER_COLUMNS if settings.collection == OPEN else COLUMNS,
        example=example,
        **_licence(settings, own),
        annotations_creators=ANNOTATORS.get(settings.collection, ("expert-generated",)),
    )


def _licence(settings: BuildSettings, own: OwnSettings | None) -> dict[str, str]:
    """Return the fields of the card's licence; a name that the Hub does not know stands as that of another licence."""
    if own and own.license and HUB_LICENCE.fullmatch(own.license.lower()):
        return {"license": own.license.lower()}
    name = "unknown-see-license" if settings.collection == OPEN else "mixed-see-license"
    return {"license_name": own.license if own and own.license else name, "license_link": "LICENSE.md"}


def _citation(own: OwnSettings, name: str) -> str:
    """Return an entry for BibTeX, whose braces and lines the values cannot break."""
    title, homepage = (re.sub(r"[\s{}`\\]+", " ", str(value)).strip() for value in (own.title, own.homepage))
    key = re.sub(r"\W+", "-", name, flags=re.ASCII).strip("-") or "dataset"
    return f"@misc{{{key},\n  title        = {{{title}}},\n  howpublished = {{\\url{{{homepage}}}}}\n}}"


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
