"""Which records belong in which cell of the paper's Tables 5 to 9, and what the paper has there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from dataset_scripts.schema import CONFIGS, ENTITY_TYPES, LANGUAGE_NAMES, LANGUAGES
from experiments.counts import Counts, add_up
from experiments.plan import EXTRA_MODELS, FOLDS, IMAGE_MODELS, MODELS, OURS, TABLES, Run
from experiments.records import Record
from training_2mner.model_names import SOURCES

PAPER = Path(__file__).with_name("paper.json")
PAPER_DATA = "mmnerd"
COLUMNS = (*(f"f1_{kind}" for kind in ENTITY_TYPES), "precision", "recall", "f1")
HEADER = (*ENTITY_TYPES, "P", "R", "F1")
NAMES = {name.lower(): name for name in SOURCES} | {"adacan-sum": "AdaCAN, halves added"}
SETTINGS = {"all": "All", **LANGUAGE_NAMES}
CAPTIONS = {
    "table5": "Comparison of the models",
    "table6": "Effect of a second language (2M-NER)",
    "table7": "Words alone: the multimodal models without their pictures",
    "table8": "Fifths of the training data (2M-NER, all languages)",
    "table9": "Contribution of ResNet and ViT (2M-NER, all languages)",
}
SHARED = {"table6": LANGUAGES, "table8": ("all",), "table9": (OURS,)}  # rows that Table 5 has too
PARTS = tuple(f"{part}/{FOLDS}" for part in range(1, FOLDS + 1))
VARIANTS = {"": "2M-NER", "no-resnet": "-ResNet", "no-vit": "-ViT"}
SUFFIXES = {"": "", "text": ", words alone", "no-resnet": " without ResNet", "no-vit": " without ViT"} | {
    "infonce": " with InfoNCE",
    "mask-duplicates": ", shared pictures no negatives",
    "crf-rate": ", a learning rate for the CRF",
    "xlm-r": " with XLM-RoBERTa",
    "averaged": ", posteriors of several runs averaged",
}


@dataclass(frozen=True, eq=False)  # hashed by identity, so that what is computed of it can be kept
class System:
    """A row of a table.

    Args:
        title: what stands in front.
        key: the model, training languages or part, short.
        records: its runs, one a seed.
        paper: the paper's percentages by `COLUMNS`; `None` where they are of other data than the runs.
        language: the only language to score on; all by default.
    """

    title: str
    key: str
    records: tuple[Record, ...]
    paper: dict[str, float] | None = None
    language: str = ""

    def scored(self, protocol: str) -> list[Record]:
        """The runs that were scored by this protocol."""
        return [record for record in self.records if record.has(protocol)]

    def counts(self, record: Record, scheme: str, protocol: str) -> Counts:
        """The counts of one of the runs."""
        counts = record.counts(scheme, protocol)
        return counts.select(record.group("lang") == self.language) if self.language else counts

    def pool(self, scheme: str, protocol: str = "dev") -> Counts:
        """The counts of all seeds added up, sentence by sentence."""
        return add_up([self.counts(record, scheme, protocol) for record in self.scored(protocol)])

    @property
    def pictures(self) -> np.ndarray:
        """The picture of each sentence, numbered in the order in which they come."""
        record = self.records[0]
        pictures = record.pictures[record.group("lang") == self.language] if self.language else record.pictures
        numbers: dict[int, int] = {}
        return np.array([numbers.setdefault(picture, len(numbers)) for picture in pictures.tolist()])


@dataclass(frozen=True, eq=False)  # hashed by identity, so that what is computed of it can be kept
class Group:
    """Rows that are compared with each other.

    Args:
        title: the setting, such as a language.
        systems: those that have records, in the paper's order.
        titles: of all rows, those without records included, by key.
        paper: the paper's percentages of all its rows, by key and column; empty where they are of other data.
    """

    title: str
    systems: tuple[System, ...]
    titles: dict[str, str]
    paper: dict[str, dict[str, float]]

    @property
    def missing(self) -> list[str]:
        """The titles of the rows that have no records."""
        there = {system.key for system in self.systems}
        return [title for key, title in self.titles.items() if key not in there]

    def is_comparable(self) -> bool:
        """Whether all systems were scored on the same sentences, as a paired test needs it."""
        golds = [system.pool("strict").table[:, :, 2] // len(system.scored("dev")) for system in self.systems]
        pictures = [system.pictures for system in self.systems]
        return all(np.array_equal(other, values[0]) for values in (golds, pictures) for other in values[1:])


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper, such as `"table5"`."""

    name: str
    groups: tuple[Group, ...]

    @property
    def title(self) -> str:
        """Number and caption."""
        return f"Table {self.name.removeprefix('table')}. {CAPTIONS[self.name]}"

    def filled(self) -> list[Group]:
        """The groups that have a row; none where all rows are such as another table has too."""
        rows = {system.key for group in self.groups for system in group.systems}
        return [group for group in self.groups if group.systems] if rows - set(SHARED.get(self.name, ())) else []

    def missing(self) -> list[str]:
        """Where there are rows without records, and which."""
        return [
            f"{group.title} ({', '.join(group.missing) if group.systems else 'all rows'})"
            for group in self.groups
            if group.missing
        ]


def lay_out(records: list[Record]) -> list[PaperTable]:
    """Put the records into the paper's tables, those without any included.

    Raises:
        ValueError: if the records are of more than one data set.
    """
    check_same_data(records)
    return [PaperTable(name, tuple(_groups(name, records))) for name in TABLES]


def check_same_data(records: list[Record]) -> None:
    """Refuse records whose figures do not belong side by side.

    Raises:
        ValueError: if they name several data sets, or a configuration was there in several states.
    """
    states = {}
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


def is_paper_data(record: Record) -> bool:
    """Whether a run was scored on what the paper's figures are of: MMNERD, with all languages of the configuration."""
    named = record.content["data"]["name"].rsplit("/", 1)[-1] == PAPER_DATA
    return named and set(record.group("lang").tolist()) == set(CONFIGS[record.run.languages])


def _groups(name: str, records: list[Record]) -> Iterator[Group]:
    if name in ("table5", "table7"):
        models, variant = (MODELS, "") if name == "table5" else (IMAGE_MODELS, "text")
        for data, title in SETTINGS.items():
            rows = {model: (NAMES[model], Run(model, variant, data)) for model in models}
            yield _group(title, rows, records, (name, data))
    elif name == "table6":
        for language in LANGUAGES:
            rows = {data: (languages_title(data, language), Run(OURS, "", data)) for data in _with(language)}
            yield _group(LANGUAGE_NAMES[language], rows, records, (name, language), language)
    elif name == "table8":
        rows = {part: (f"Part {part}", Run(OURS, part=part)) for part in PARTS}
        yield _add_mean(_group(SETTINGS["all"], rows | {"all": ("All parts", Run(OURS))}, records, (name,)))
    else:
        runs = {title: Run(OURS, variant) for variant, title in VARIANTS.items()}
        yield _group(SETTINGS["all"], {run.system: (title, run) for title, run in runs.items()}, records, (name,))


def _group(
    title: str, rows: dict[str, tuple[str, Run]], records: list[Record], place: tuple[str, ...], language: str = ""
) -> Group:
    found = {key: tuple(filter(_is_like(run), records)) for key, (_, run) in rows.items()}
    ours = [record for runs in found.values() for record in runs]
    paper = {key: _paper_row((*place, key)) for key in rows} if all(map(is_paper_data, ours)) else {}
    systems = [
        System(rows[key][0], key, runs, paper.get(key), "" if key == language else language)
        for key, runs in found.items()
        if runs
    ]
    return Group(title, tuple(systems), {key: title for key, (title, _) in rows.items()}, paper)


def _add_mean(group: Group) -> Group:
    """Table 8 with the mean of its parts below them, if all are there."""
    parts = [system for system in group.systems if system.key in PARTS]
    if len(parts) < len(PARTS):
        return group
    rows = [group.paper[key] for key in PARTS if group.paper]
    paper = {column: sum(row[column] for row in rows) / len(rows) for column in COLUMNS} if rows else None
    mean = System("Mean of the parts", "mean", tuple(record for part in parts for record in part.records), paper)
    return replace(group, systems=(*parts, mean, *(system for system in group.systems if system not in parts)))


def _is_like(run: Run) -> Callable[[Record], bool]:
    """Whether a record is of this run, whatever its seed."""
    wanted = (run.system, run.languages, run.part)
    return lambda record: (record.run.system, record.run.languages, record.run.part) == wanted


def _with(language: str) -> list[str]:
    """The configurations of one or two languages that hold this one, alone first."""
    return [language, *(data for data, held in CONFIGS.items() if len(held) == 2 and language in held)]


def by_system(records: list[Record]) -> dict[str, list[Record]]:
    """The records of each model or variant, in the paper's order, the variants last."""
    systems: dict[str, list[Record]] = {}
    order = (*MODELS, *EXTRA_MODELS)
    for record in sorted(records, key=lambda record: (record.run.variant, order.index(record.run.model))):
        systems.setdefault(record.run.system, []).append(record)
    return systems


def run_title(run: Run) -> str:
    """Model and variant of a run, in words."""
    return NAMES[run.model] + SUFFIXES[run.variant]


def languages_title(data: str, tested: str) -> str:
    """Such as "German & English", the tested language first."""
    others = [other for other in CONFIGS[data] if other != tested]
    return " & ".join(LANGUAGE_NAMES[language] for language in (tested, *others))


def _paper_row(place: tuple[str, ...]) -> dict[str, float]:
    """The paper's percentages of a row; an F1 that the text of the paper lacks follows from precision and recall."""
    row = _paper()
    for key in place:
        row = row[key]
    row = {f"f1_{key}" if key in ENTITY_TYPES else key: value for key, value in row.items()}
    if row["f1"] is None:
        row["f1"] = 2 * row["precision"] * row["recall"] / (row["precision"] + row["recall"])
    return row


@cache
def _paper() -> dict:
    return json.loads(PAPER.read_text(encoding="utf-8"))
