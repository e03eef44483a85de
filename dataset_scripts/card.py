"""The data set card: YAML that assigns files to the configurations of `load_dataset`, and measured counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset_scripts.rows import DatasetCounts
from dataset_scripts.schema import (
    COLUMNS,
    DEFAULT_CONFIG,
    IMAGE_STATUSES,
    PAPER_SCHEMA,
    SOURCES,
    SPLITS,
    Schema,
    available_configs,
    features,
    sort_languages,
    types_of,
)
from reports_2mner.markdown import plain, quoted
from reports_2mner.tables import Table

CARD_TEMPLATE = Path(__file__).resolve().parents[1] / "model_cards" / "dataset_card_template.md"
SIZE_CATEGORIES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def dataset_card(
    counts: DatasetCounts,
    fingerprint: str,
    *,
    name: str,
    title: str,
    summary: str,
    body: str = "",
    example: str = "",
    license: str = "other",
    license_name: str | None = None,
    license_link: str | None = None,
    annotations_creators: Sequence[str] = ("other",),
    schema: Schema = PAPER_SCHEMA,
    columns: Mapping[str, str] = COLUMNS,
) -> str:
    """Return the text of README.md for a data set with these counts.

    `fingerprint` identifies the contents of its files, see `config_metadata`; `name` is the folder name that the
    examples pass to `load_dataset`; `body` is Markdown that follows the counts, `example` Markdown that follows the
    summary, see `example.py`; `license` and `annotations_creators` are the Hub's terms, `license_name` and
    `license_link` describe a license "other"; `schema` names tags and languages; `columns` explains each column.
    """
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCard, DatasetCardData

    languages = _languages(counts)
    configs = available_configs(languages)
    metadata = DatasetCardData(
        language=list(languages),
        license=license,
        license_name=license_name,
        license_link=license_link,
        annotations_creators=list(annotations_creators),
        tags=["multimodal", "image-text", "IOB2"],
        multilinguality="multilingual" if len(languages) > 1 else "monolingual",
        size_categories=_size_category(counts),
        task_categories=["token-classification"],
        task_ids=["named-entity-recognition"],
        pretty_name=title,
        configs=config_metadata(counts, fingerprint),
    )
    infos = {config: DatasetInfo(features=features(schema), config_name=config) for config in configs}
    DatasetInfosDict(infos).to_dataset_card_data(metadata)
    card = DatasetCard.from_template(
        metadata,
        template_path=str(CARD_TEMPLATE),
        name=quoted(name),
        title=plain(title),
        summary=summary,
        body=body,
        example=example,
        configs=list(configs),
        columns=columns,
        labels=schema.labels,
        text_table=text_table(counts, schema.types),
        image_table=image_table(counts),
    )
    return f"{str(card).rstrip()}\n"


def fill_body(template: Path, **values: Any) -> str:
    """Fill the Jinja template of a card's body."""
    from jinja2 import Template

    return Template(template.read_text(encoding="utf-8"), keep_trailing_newline=True).render(values, plain=plain)


def config_metadata(counts: DatasetCounts, fingerprint: str) -> list[dict[str, Any]]:
    """Return the `configs` entry of the card: for each configuration the files of its languages, split by split.

    `load_dataset` identifies its cache only by this entry and the columns. Without the fingerprint it would return the
    rows of an earlier build of the same name.
    """
    entries = []
    for config, languages in available_configs(_languages(counts)).items():
        files = []
        for split in SPLITS:
            present = [lang for lang in languages if (lang, split) in counts]
            if present:
                files.append({"split": split, "path": [f"data/{lang}/{split}-*.parquet" for lang in present]})
        default = {"default": True} if config == DEFAULT_CONFIG else {}
        entries.append({"config_name": config, "description": f"Files {fingerprint}", **default, "data_files": files})
    return entries


def text_table(counts: DatasetCounts, types: Sequence[str] | None = None) -> str:
    """Return a Markdown table of sentences, words and entities by language and split; `types` default to all."""
    types = types or types_of(kind for count in counts.values() for kind in count.mentions)
    header = ["language", "split", "sentences", "words", "entities", *types]
    rows = (
        [*key, count.sentences, count.tokens, count.mentions.total(), *(count.mentions[kind] for kind in types)]
        for key, count in counts.items()
    )
    return Table(header, rows).markdown()


def image_table(counts: DatasetCounts) -> str:
    """Return a Markdown table of sentences by source and by picture status for each language and split."""
    sources = [source for source in SOURCES if any(count.sources[source] for count in counts.values())]
    header = ["language", "split", *sources, *(f"picture {status}" for status in IMAGE_STATUSES)]
    rows = (
        [*key, *(count.sources[s] for s in sources), *(count.statuses[s] for s in IMAGE_STATUSES)]
        for key, count in counts.items()
    )
    return Table(header, rows).markdown()


def _languages(counts: DatasetCounts) -> tuple[str, ...]:
    return sort_languages(lang for lang, _ in counts)


def _size_category(counts: DatasetCounts) -> str:
    sentences = sum(count.sentences for count in counts.values())
    return next((name for limit, name in SIZE_CATEGORIES if sentences < limit), "n>1M")
