"""The paper's tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.records import RunRecord
from experiments.tables.layout import PaperTable, SystemGroup, header
from experiments.tables.noise import GAP_HEADER, GAP_NOTE, MARGINS_HEADER, MARGINS_NOTE, gap_rows, margin_rows
from experiments.tables.values import COMPUTED, MARK, has_computed, system_rows
from reports_2mner.tables import Bold, Table

READING = """\
How to read the tables. All figures are percentages on test, PER to MISC are F1. Each row of the paper has up to \
three lines:

- *paper*: what the paper reports: one run, counted leniently (a stray `I-` opens an entity), as the authors' \
scorer does. It stands in the lenient tables alone, beside our figures counted the same way.
- *ours*: the epoch that is best on dev, scored on test once; mean ± standard deviation over the runs.
- *ours, best test epoch*: the released protocol. Every epoch is scored on test and the best (by lenient F1) is \
reported, as the authors' code does. It is there to be compared with the paper, and says nothing about new \
sentences.

**Bold** is the best of ours in a column among the lines of the same kind and setting, where a paired bootstrap \
over the pictures of the test set tells it from the second best (p < 0.05, each column for itself). Where \
nothing is bold, the test does not tell them apart, or a line below says that there was none. The paper's lines \
are not tested: its predictions are not public. The test knows the chance of the test set, not that of the \
seeds, for which see the section on margins.
"""
OTHER_SENTENCES = "Nothing is bold: the rows were scored on different test sentences, so no paired test was made."
OTHER_DATA = "The paper's figures are left out: they are of MMNERD, and these runs are of other data.\n"


def paper_tables(tables: list[PaperTable], records: list[RunRecord], figures: Iterable[str]) -> str:
    """All of the paper's tables that have a row, the missing rows, and the two sections on noise."""
    filled = [table for table in tables if table.filled()]
    parts = [f"Data: {_data_line(records)}.\n", READING]
    parts += [] if any(group.paper for table in filled for group in table.filled()) else [OTHER_DATA]
    for table in filled:
        parts += [f"## {table.title}\n", *_figure(table, figures), *_both_schemes(table)]
        parts += [f"Not run: {'; '.join(table.missing())}.\n"] if table.missing() else []
    absent = [table.title for table in tables if not table.filled()]
    parts += ["## Not run\n", *(f"- {title}" for title in absent), ""] if absent else []
    return "\n".join([*parts, *noise_sections(tables, records)])


def noise_sections(tables: list[PaperTable], records: list[RunRecord]) -> list[str]:
    """The margins compared with the noise, and the two protocols compared with each other."""
    parts = []
    margins, gaps = margin_rows(tables), gap_rows(records)
    if margins:
        parts += ["## Are the margins larger than the noise?\n", MARGINS_NOTE + "\n"]
        parts += [Table(MARGINS_HEADER, margins).markdown() + "\n"]
    if gaps:
        parts += ["## What choosing the epoch on test makes of a score\n", GAP_NOTE + "\n"]
        parts += [Table(GAP_HEADER, gaps).markdown() + "\n"]
    return parts


def _data_line(records: list[RunRecord]) -> str:
    """Name and split of the data set, and the number of runs."""
    data = records[0].content["data"]
    split = f", split `{data['split']}`" if data["split"] else ""
    return f"`{data['name']}`{split}; {len(records)} runs"


def is_same(table: PaperTable) -> bool:
    """Whether strict counting gives the same figures of ours."""
    strict, lenient = (
        [row.cells for group in table.filled() for row in system_rows(group, scheme) if row.figures != "paper"]
        for scheme in ("strict", "lenient")
    )
    return strict == lenient


def _both_schemes(table: PaperTable) -> list[str]:
    parts = ["Lenient counting:\n", *_groups(table, "lenient")]
    if is_same(table):
        return [*parts, "Strict counting gives the same figures.\n"]
    return [*parts, "<details><summary>Strict counting</summary>\n", *_groups(table, "strict"), "</details>\n"]


def _groups(table: PaperTable, scheme: str) -> list[str]:
    parts = []
    for group in table.filled():
        heading = "Test" if table.name == "table6" else "Training and test"
        parts += [f"**{heading}: {group.title}**\n", _group(group, scheme)]
    return parts


def _group(group: SystemGroup, scheme: str) -> str:
    names = ["Training" if _is_by_data(group) else "Model", "Figures", *header(group.types)]
    return "\n\n".join([Table(names, group_rows(group, scheme)).markdown(), *group_notes(group, scheme)]) + "\n"


def group_rows(group: SystemGroup, scheme: str, plus_minus: str = " ± ") -> list[list[str]]:
    """The lines of a group as text; a title that repeats that of the line above is left out."""
    lines: list[list[str]] = []
    former = ""
    for row in system_rows(group, scheme):
        cells = [Bold(cell.text(plus_minus)) if cell.is_bold else cell.text(plus_minus) for cell in row.cells]
        lines.append([row.title if row.title != former else "", row.figures, *cells])
        former = row.title
    return lines


def group_notes(group: SystemGroup, scheme: str) -> list[str]:
    """The notes below a group that its figures require."""
    notes = [f"{MARK} {COMPUTED}"] if scheme == "lenient" and has_computed(group) else []
    return notes if group.is_comparable() else [*notes, OTHER_SENTENCES]


def _is_by_data(group: SystemGroup) -> bool:
    return len({system.records[0].run.system for system in group.systems}) == 1 and len(group.systems) > 1


def _figure(table: PaperTable, figures: Iterable[str]) -> list[str]:
    return [f"![{table.title}]({table.name}.png)\n"] if f"{table.name}.png" in figures else []
