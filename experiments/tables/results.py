"""All tables and figures of a folder of records."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.grid import read_points
from experiments.records import RunRecord, read_records
from experiments.tables.figures import draw_figures
from experiments.tables.grid import draw_grids, grid_tables, read_grids
from experiments.tables.languages import LanguageMatrix, draw_matrices, matrix_tables, read_matrices
from experiments.tables.latex import latex
from experiments.tables.layout import lay_out
from experiments.tables.markdown import paper_tables
from experiments.tables.noise import protocols_table
from experiments.tables.overview import overview
from experiments.tables.shapes import Grid
from reports_2mner.command_line import exit_on_error
from reports_2mner.files import write_file
from reports_2mner.locks import only_writer


def write_results(options: argparse.Namespace) -> None:
    """Write the tables and figures of a folder, and print the tables; of several, print the table of both protocols."""
    with exit_on_error():
        folder, *others = options.folders
        text = protocols_table(options.folders) if others else _write(folder, options.scheme)
    print(text)


def _write(folder: Path, scheme: str) -> str:
    """Write the tables and figures of a folder; return the tables."""
    with only_writer(folder / "tables.md", "folder"):
        records, grids, matrices = _read(folder)
        layout = lay_out(records)
        figures = draw_figures(layout, folder) + draw_grids(grids, folder) + draw_matrices(matrices, folder)
        text = results_page(records, scheme, figures, grids, matrices)
        write_file(folder / ("tables.md" if scheme == "strict" else f"tables-{scheme}.md"), text)
        write_file(folder / "tables.tex", latex(layout, records, grids, matrices))
    return text


def results_page(
    records: list[RunRecord],
    scheme: str,
    figures: Sequence[str] = (),
    grids: Sequence[Grid] = (),
    matrices: Sequence[LanguageMatrix] = (),
) -> str:
    """All tables for which there are records, as Markdown.

    Args:
        records: the runs; may be empty if there are `grids` or `matrices`.
        scheme: how to count in the last part.
        figures: file names of the figures to include.
        grids: the grid searches.
        matrices: runs that were scored on every language.

    Raises:
        ValueError: if the records belong to more than one data set.
    """
    parts = ["# Results\n"]
    parts += [paper_tables(lay_out(records), records, figures)] if records else []
    parts += [matrix_tables(matrices, figures)] if matrices else []
    parts += [grid_tables(grids, figures)] if grids else []
    parts += ["## All runs by language and source\n", overview(records, scheme)] if records else []
    return "\n".join(parts)


def _read(folder: Path) -> tuple[list[RunRecord], list[Grid], list[LanguageMatrix]]:
    grids, matrices = read_grids(read_points(folder)), read_matrices(folder)
    try:
        return read_records(folder), grids, matrices
    except ValueError:  # no runs
        if not grids and not matrices:
            raise
        return [], grids, matrices
