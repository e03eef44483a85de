"""Which records belong in which cell of the paper's Tables 5 to 9, and the paper's own figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from dataset_scripts.schema import DEFAULT_CONFIG, available_configs, languages_of
from dataset_scripts.statistics.paper import PAPER_LANGUAGES, PAPER_TYPES
from experiments.counts import EntityCounts, add_up
from experiments.plan import (
    AVERAGED,
    AVERAGED_ENTITIES,
    ENTITIES,
    EXTRA_MODELS,
    FOLDS,
    MODELS,
    OURS,
    SUMMED,
    TABLES,
    Run,
    has_image_branch,
)
from experiments.records import RunRecord
from reports_2mner.language_table import language_name
from training_2mner.model_names import MODEL_PAPERS

PAPER_FIGURES = Path(__file__).with_name("paper.json")
PAPER_DATA = "mmnerd"
NAMES = {name.lower(): name for name in MODEL_PAPERS} | {SUMMED: "AdaCAN, halves added"}
ALL_LANGUAGES = "All"
CAPTIONS = {
    "table5": "Comparison of the models",
    "table6": "Effect of a second language (2M-NER)",
    "table7": "Words alone: the multimodal models without their pictures",
    "table8": "Fifths of the training data (2M-NER and all languages, unless a model is named)",
    "table9": "Contribution of ResNet and ViT (2M-NER, all languages)",
}
SHARED = {
    "table8": ("all",),
    "table9": (OURS,),
}  # rows that Table 5 has too; in Table 6 these are the single languages
PARTS = tuple(f"{part}/{FOLDS}" for part in range(1, FOLDS + 1))
VARIANTS = {"": "2M-NER", "no-resnet": "-ResNet", "no-vit": "-ViT"}
VARIANT_TITLES = {"": "", "text": ", words alone", "no-resnet": " without ResNet", "no-vit": " without ViT"} | {
    "infonce": " with InfoNCE",
    "mask-duplicates": ", shared pictures no negatives",
    "crf-rate": ", a learning rate for the CRF",
    "xlm-r": " with XLM-RoBERTa",
    AVERAGED: ", posteriors of several runs averaged",
    ENTITIES: ", entities above a threshold",
    AVERAGED_ENTITIES: ", posteriors of several runs averaged, entities above a threshold",
}


@dataclass(frozen=True, eq=False)  # hashed by identity, so that results for it can be cached
class System:
    """A row of a table.

    Args:
        title: the text at the beginning of the row.
        key: short for the model, training languages or part.
        records: its runs, one per seed.
        paper: the paper's percentages by `columns`; `None` if it has none.
        computed: the columns of `paper` that the text of the paper lacks, but that follow from others.
        language: the only language to score on; all by default.
    """

    title: str
    key: str
    records: tuple[RunRecord, ...]
    paper: dict[str, float] | None = None
    computed: tuple[str, ...] = ()
    language: str = ""

    def scored(self, protocol: str) -> list[RunRecord]:
        """The runs scored by this protocol."""
        return [record for record in self.records if record.has(protocol)]

    def counts(self, record: RunRecord, scheme: str, protocol: str) -> EntityCounts:
        """The counts of one of the runs."""
        counts = record.counts(scheme, protocol)
        return counts.select(record.group("lang") == self.language) if self.language else counts

    def pool(self, scheme: str, protocol: str = "dev") -> EntityCounts:
        """The counts of all seeds added up, sentence by sentence."""
        return add_up([self.counts(record, scheme, protocol) for record in self.scored(protocol)])

    @property
    def pictures(self) -> np.ndarray:
        """The picture of each sentence, numbered in order of appearance."""
        record = self.records[0]
        pictures = record.pictures[record.group("lang") == self.language] if self.language else record.pictures
        numbers: dict[int, int] = {}
        return np.array([numbers.setdefault(picture, len(numbers)) for picture in pictures.tolist()])


@dataclass(frozen=True, eq=False)  # hashed by identity, so that results for it can be cached
class SystemGroup:
    """Rows that are compared with each other.

    Args:
        title: the setting, such as a language.
        systems: those that have records, in the paper's order.
        titles: of all rows by key, including those without records.
        paper: the paper's percentages of its rows, by key and column; empty if the records are of other data.
        types: the entity types of the data.
    """

    title: str
    systems: tuple[System, ...]
    titles: dict[str, str]
    paper: dict[str, dict[str, float]]
    types: tuple[str, ...] = PAPER_TYPES

    @property
    def missing(self) -> list[str]:
        """The titles of the rows that have no records."""
        there = {system.key for system in self.systems}
        return [title for key, title in self.titles.items() if key not in there]

    def is_comparable(self) -> bool:
        """Whether all systems were scored on the same sentences, as a paired test requires."""
        golds = [system.pool("strict").table[:, :, 2] // len(system.scored("dev")) for system in self.systems]
        pictures = [system.pictures for system in self.systems]
        return all(np.array_equal(other, values[0]) for values in (golds, pictures) for other in values[1:])


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper, such as `"table5"`."""

    name: str
    groups: tuple[SystemGroup, ...]

    @property
    def title(self) -> str:
        """Number and caption."""
        return f"Table {self.name.removeprefix('table')}. {CAPTIONS[self.name]}"

    @property
    def header(self) -> tuple[str, ...]:
        """The headings of the columns of figures."""
        return header(self.groups[0].types)

    def filled(self) -> list[SystemGroup]:
        """The groups that have a row; empty if another table has all these rows too."""
        rows = {system.key for group in self.groups for system in group.systems}
        shared = (
            [next(iter(group.titles)) for group in self.groups] if self.name == "table6" else SHARED.get(self.name, ())
        )
        return [group for group in self.groups if group.systems] if rows - set(shared) else []

    def missing(self) -> list[str]:
        """The groups that lack records, and for which rows."""
        return [
            f"{group.title} ({', '.join(group.missing) if group.systems else 'all rows'})"
            for group in self.groups
            if group.missing
        ]


def lay_out(records: list[RunRecord]) -> list[PaperTable]:
    """Put the records into the paper's tables, including tables without any.

    Raises:
        ValueError: if the records belong to more than one data set.
    """
    check_same_data(records)
    return [PaperTable(name, tuple(_groups(name, records))) for name in TABLES]


def check_same_data(records: list[RunRecord]) -> None:
    """Refuse records whose figures cannot be compared.

    Raises:
        ValueError: if they name several data sets, or several states of one configuration.
    """
    states: dict[str, tuple[str, ...]] = {}
    for record in records:
        data = record.content["data"]
        state = (data["name"], data["fingerprint"], data["revision"])
        name, *former = states.setdefault(record.run.languages, state)
        if [name, *former] != list(state) or name != next(iter(states.values()))[0]:
            raise ValueError(
                f"{record.run.name} was scored on data (name, fingerprint, revision) {state}, others on "
                f"{sorted(set(map(str, states.values())) - {str(state)})}; keep the runs of each data set in a "
                "folder of their own."
            )


def is_paper_data(record: RunRecord) -> bool:
    """Whether a run was scored on the data of the paper's figures: MMNERD, with all languages of the configuration."""
    named = record.content["data"]["name"].rsplit("/", 1)[-1] == PAPER_DATA
    languages = available_configs(PAPER_LANGUAGES).get(record.run.languages, ())
    is_whole = set(record.content["test"].get("lang", ())) == set(languages)
    return named and is_whole and set(types_of_records([record])) == set(PAPER_TYPES)


def types_of_records(records: list[RunRecord]) -> tuple[str, ...]:
    """The entity types of the data on which the runs were scored."""
    return records[0].counts().types if records else PAPER_TYPES


def columns(types: Sequence[str]) -> tuple[str, ...]:
    """The names of the scores in a table's columns."""
    return (*(f"f1_{kind}" for kind in types), "precision", "recall", "f1")


def header(types: Sequence[str]) -> tuple[str, ...]:
    """The headings of these columns."""
    return (*types, "P", "R", "F1")


def _languages(records: list[RunRecord]) -> tuple[str, ...]:
    """The languages of the tables: the paper's, unless the data have others."""
    return languages_of(lang for record in records for lang in set(record.content["test"].get("lang", ())))


def _models(models: Sequence[str], variant: str, data: str, records: list[RunRecord]) -> list[str]:
    """The models of a table: the paper's, followed by others that were run."""
    found = [r.run.model for r in records if (r.run.variant, r.run.languages, r.run.part) == (variant, data, "")]
    return list(dict.fromkeys([*models, *(model for model in found if model not in (*MODELS, SUMMED))]))


def _groups(name: str, records: list[RunRecord]) -> Iterator[SystemGroup]:
    if name in ("table5", "table7"):
        models, variant = (MODELS, "") if name == "table5" else ([*filter(has_image_branch, MODELS)], "text")
        for data in (DEFAULT_CONFIG, *_languages(records)):
            title = ALL_LANGUAGES if data == DEFAULT_CONFIG else language_name(data)
            found = _models(models, variant, data, records)
            rows = {model: (NAMES.get(model, model), Run(model, variant, data)) for model in found}
            yield _group(title, rows, records, (name, data))
    elif name == "table6":
        configs = available_configs(_languages(records))
        for language in configs[DEFAULT_CONFIG]:
            pairs = [data for data, held in configs.items() if data != DEFAULT_CONFIG and language in held]
            rows = {data: (languages_title(data, language), Run(OURS, "", data)) for data in pairs}
            yield _group(language_name(language), rows, records, (name, language), language)
    elif name == "table8":
        kinds = dict.fromkeys((r.run.model, r.run.languages) for r in records if r.run.part)
        for model, data in [(OURS, DEFAULT_CONFIG), *(kind for kind in kinds if kind != (OURS, DEFAULT_CONFIG))]:
            rows = {part: (f"Part {part}", Run(model, "", data, part=part)) for part in PARTS}
            rows |= {"all": ("All parts", Run(model, "", data))}
            title, place = _parts_title(model, data)
            yield _add_mean(_group(title, rows, records, (name, *place)))
    else:
        runs = {title: Run(OURS, variant) for variant, title in VARIANTS.items()}
        yield _group(ALL_LANGUAGES, {run.system: (title, run) for title, run in runs.items()}, records, (name,))


def _parts_title(model: str, data: str) -> tuple[str, tuple[str, ...]]:
    """The title of a group of Table 8, and where the paper's figures are: it has those of 2M-NER on all languages only."""
    if (model, data) == (OURS, DEFAULT_CONFIG):
        return ALL_LANGUAGES, ()
    language = ALL_LANGUAGES if data == DEFAULT_CONFIG else language_name(data)
    return f"{NAMES.get(model, model)}, {language}", (model, data)


def _group(
    title: str, rows: dict[str, tuple[str, Run]], records: list[RunRecord], place: tuple[str, ...], language: str = ""
) -> SystemGroup:
    found = {key: tuple(filter(_is_like(run), records)) for key, (_, run) in rows.items()}
    ours = [record for runs in found.values() for record in runs]
    figures = {key: row for key in rows if (row := _paper_row((*place, key)))} if all(map(is_paper_data, ours)) else {}
    paper = {key: row for key, (row, _) in figures.items()}
    computed = {key: names for key, (_, names) in figures.items()}
    systems = [
        System(rows[key][0], key, runs, paper.get(key), computed.get(key, ()), "" if key == language else language)
        for key, runs in found.items()
        if runs
    ]
    titles = {key: title for key, (title, _) in rows.items()}
    return SystemGroup(title, tuple(systems), titles, paper, types_of_records(records))


def _add_mean(group: SystemGroup) -> SystemGroup:
    """Table 8 with the mean of its parts below them, if all parts are present."""
    parts = [system for system in group.systems if system.key in PARTS]
    if len(parts) < len(PARTS):
        return group
    rows = [group.paper[key] for key in PARTS if group.paper]
    paper = {column: sum(row[column] for row in rows) / len(rows) for column in columns(group.types)} if rows else None
    mean = System("Mean of the parts", "mean", tuple(record for part in parts for record in part.records), paper)
    return replace(group, systems=(*parts, mean, *(system for system in group.systems if system not in parts)))


def _is_like(run: Run) -> Callable[[RunRecord], bool]:
    """A function that says whether a record belongs to this run, whatever its seed."""
    wanted = (run.system, run.languages, run.part)
    return lambda record: (record.run.system, record.run.languages, record.run.part) == wanted


def by_system(records: list[RunRecord]) -> dict[str, list[RunRecord]]:
    """The records of each model or variant: the paper's models in its order, then other models, then the variants."""
    systems: dict[str, list[RunRecord]] = {}
    order = {model: place for place, model in enumerate((*MODELS, *EXTRA_MODELS))}
    for record in sorted(records, key=lambda r: (r.run.variant, order.get(r.run.model, len(order)), r.run.model)):
        systems.setdefault(record.run.system, []).append(record)
    return systems


def run_title(run: Run) -> str:
    """Model and variant of a run, in words."""
    return NAMES.get(run.model, run.model) + VARIANT_TITLES.get(run.variant, f", {run.variant}")


def languages_title(data: str, tested: str) -> str:
    """The names of the languages, such as "German & English", the tested one first."""
    others = [other for other in data.split("_") if other != tested]
    return " & ".join(map(language_name, (tested, *others)))


def _paper_row(place: tuple[str, ...]) -> tuple[dict[str, float], tuple[str, ...]] | None:
    """The paper's percentages of a row, and which of them are computed: an F1 that the text of the paper lacks follows
    from precision and recall. `None` if the paper does not have the row.
    """
    row = _paper()
    for key in place:
        if key not in row:
            return None
        row = row[key]
    row = {f"f1_{key}" if key in PAPER_TYPES else key: value for key, value in row.items()}
    if row["f1"] is not None:
        return row, ()
    return row | {"f1": 2 * row["precision"] * row["recall"] / (row["precision"] + row["recall"])}, ("f1",)


@cache
def _paper() -> dict:
    return json.loads(PAPER_FIGURES.read_text(encoding="utf-8"))
