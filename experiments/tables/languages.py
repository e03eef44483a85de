"""The matrix of the languages that runs were trained on and tested on, from the records of `experiments.languages`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from dataset_scripts.schema import DEFAULT_CONFIG, available_configs, sort_languages
from experiments.bootstrap import PairedComparison, compare_drawn, draw_samples
from experiments.counts import EntityCounts, add_up, scores
from experiments.records import RunRecord, read_records
from experiments.tables.draw import draw_matrix
from experiments.tables.layout import by_system, check_same_data, run_title
from experiments.tables.shapes import Matrix
from experiments.tables.values import cell
from reports_2mner.language_table import language_name
from reports_2mner.tables import Bold, Table

FOLDER = "languages"  # in an output folder
READING = """\
Strict F1 in percent on the test sentences of each language, of the epoch that is best on dev; mean ± standard deviation over
the seeds. A language that a row does not name is one that the model was not trained on (zero-shot). **Bold** differs from
training on the tested language alone beyond chance (p < 0.05, paired bootstrap over the pictures, seeds pooled; each test for
itself, so that of twenty such differences one is to be expected where there is none).
"""
DIFFERENCES = """\
Against training on the tested language alone:
"""


@dataclass(frozen=True)
class LanguageMatrix:
    """The runs of one model.

    Args:
        title: the model, in words.
        records: its runs by the configuration that they were trained on: single languages, pairs, all.
        languages: those of the test sentences.
    """

    title: str
    records: dict[str, list[RunRecord]]
    languages: tuple[str, ...]

    def f1(self, trained: str, tested: str) -> np.ndarray:
        """The percentages of the runs, one per seed."""
        counts = [_of_language(record, tested) for record in self.records[trained]]
        return np.array([100 * scores(one)["f1"] for one in counts])

    @cached_property
    def comparisons(self) -> dict[tuple[str, str], PairedComparison]:
        """By (trained, tested): how it differs from training on the tested language alone, on the same samples."""
        found = {}
        for tested in self.languages:
            if tested not in self.records:
                continue
            pooled = [add_up([_of_language(record, tested) for record in group]) for group in self.records.values()]
            pooled = [_mean_of(one, len(group)) for one, group in zip(pooled, self.records.values(), strict=True)]
            first = self.records[tested][0]
            pictures = first.pictures[first.group("lang") == tested]
            drawn = dict(zip(self.records, draw_samples(pooled, pictures), strict=True))
            for trained in self.records:
                if trained != tested:
                    found[trained, tested] = compare_drawn(drawn[trained], drawn[tested])
        return found

    def rows(self) -> list[list[str]]:
        """A row for each configuration, a column for each tested language."""
        return [
            [training_title(trained), *(self._cell(trained, one) for one in self.languages)]
            for trained in self.records
        ]

    def header(self) -> list[str]:
        """The headings of `rows`."""
        return ["Trained on", *(f"Test: {language_name(code)}" for code in self.languages)]

    def difference_rows(self) -> list[list[str]]:
        """A row for each pair of configuration and tested language that a test compares."""
        return [
            [
                language_name(tested),
                training_title(trained),
                f"{100 * found.difference:+.2f}",
                f"{100 * found.low:+.2f} to {100 * found.high:+.2f}",
                found.p_text,
            ]
            for (trained, tested), found in self.comparisons.items()
        ]

    def shape(self) -> Matrix:
        """What the heat map shows."""
        values = [[self.f1(trained, tested).mean() for tested in self.languages] for trained in self.records]
        is_certain = [[self._is_certain(trained, tested) for tested in self.languages] for trained in self.records]
        rows, columns = map(training_title, self.records), map(language_name, self.languages)
        return Matrix(self.title, np.array(values), np.array(is_certain), tuple(rows), tuple(columns))

    def _is_certain(self, trained: str, tested: str) -> bool:
        found = self.comparisons.get((trained, tested))
        return found is not None and found.is_significant

    def _cell(self, trained: str, tested: str) -> str:
        text = cell(self.f1(trained, tested)).text()
        return Bold(text) if self._is_certain(trained, tested) else text


def read_matrices(folder: Path) -> list[LanguageMatrix]:
    """The matrices of an output folder, one per model; none if no run was scored on all languages.

    Raises:
        ValueError: if the records belong to more than one data set.
    """
    if not (folder / FOLDER).is_dir():
        return []
    records = read_records(folder / FOLDER)
    check_same_data(records)
    return [_matrix(group) for group in by_system(records).values()]


def matrix_tables(matrices: Iterable[LanguageMatrix], figures: Sequence[str] = ()) -> str:
    """All matrices as Markdown."""
    parts = ["## Trained on some languages, tested on each\n", READING]
    for number, matrix in enumerate(matrices, start=1):
        parts += [f"### {matrix.title}\n"]
        parts += [f"![F1 by languages of training and test]({name})\n" for name in figures if name == _figure(number)]
        parts += [Table(matrix.header(), matrix.rows()).markdown() + "\n"]
        if rows := matrix.difference_rows():
            names = ["Test", "Trained on", "difference", "95 % interval", "p"]
            parts += [DIFFERENCES, Table(names, rows).markdown() + "\n"]
    return "\n".join(parts)


def draw_matrices(matrices: Sequence[LanguageMatrix], folder: Path) -> list[str]:
    """Draw a heat map of each; return the names of the files."""
    names = [_figure(number) for number, _ in enumerate(matrices, start=1)]
    for name, matrix in zip(names, matrices, strict=True):
        draw_matrix(matrix.shape(), folder / name)
    return names


def training_title(config: str) -> str:
    """The languages of a configuration in words."""
    return "all" if config == DEFAULT_CONFIG else " and ".join(map(language_name, config.split("_")))


def _matrix(records: list[RunRecord]) -> LanguageMatrix:
    languages = sort_languages(records[0].content["test"]["lang"])
    configs = available_configs(languages)
    order = sorted(configs, key=lambda config: (config == DEFAULT_CONFIG, len(configs[config])))
    groups = {config: [record for record in records if record.run.languages == config] for config in order}
    return LanguageMatrix(
        run_title(records[0].run), {config: group for config, group in groups.items() if group}, languages
    )


def _of_language(record: RunRecord, language: str) -> EntityCounts:
    return record.counts().select(record.group("lang") == language)


def _mean_of(counts: EntityCounts, runs: int) -> EntityCounts:
    """The counts per run, so that configurations with different numbers of seeds can be compared."""
    return EntityCounts(counts.table / runs, counts.types)


def _figure(number: int) -> str:
    return "languages.png" if number == 1 else f"languages-{number}.png"
