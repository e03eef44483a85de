"""Make the paper's tables from finished runs.

    python -m experiments.tables results
    python -m experiments.tables results/mbert results/xlm-r   # dev choice beside best test epoch, of all of them

Reads the records that `python -m experiments.run` has left in a folder, writes `tables.md`, `tables.tex` and one
figure per table (`table5.png` and so on) to the same folder, and prints the Markdown. Every score is a mean over the
available seeds, followed by their standard deviation; intervals and tests resample pictures. Several folders, such as
those of several encoders or data sets, are not compared by their scores: only the table of both protocols is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.counts import SCHEMES
from experiments.grid import read_points
from experiments.records import RunRecord, read_records
from experiments.tables.figures import draw_figures
from experiments.tables.grid import draw_grids, grid_tables, read_grids
from experiments.tables.latex import latex
from experiments.tables.layout import lay_out
from experiments.tables.markdown import paper_tables
from experiments.tables.noise import protocols_table
from experiments.tables.overview import overview
from experiments.tables.shapes import Grid
from reports_2mner.command_line import exit_on_error, make_parser
from reports_2mner.files import write_file
from reports_2mner.locks import only_writer


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.tables", __doc__)
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="an output folder of `python -m experiments.run`"
    )
    parser.add_argument(
        "--scheme",
        choices=SCHEMES,
        default="strict",
        help="counting in the last part, by language and source; the paper's tables show both (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the tables and figures of a folder, and print the tables; of several, print the table of both protocols."""
    options = read_command_line(arguments)
    with exit_on_error():
        folder, *others = options.folders
        text = protocols_table(options.folders) if others else _write(folder, options.scheme)
    print(text)


def _write(folder: Path, scheme: str) -> str:
    """Write the tables and figures of a folder; return the tables."""
    with only_writer(folder / "tables.md", "folder"):
        records, grids = _read(folder)
        layout = lay_out(records)
        figures = draw_figures(layout, folder) + draw_grids(grids, folder)
        text = results_page(records, scheme, figures, grids)
        write_file(folder / ("tables.md" if scheme == "strict" else f"tables-{scheme}.md"), text)
        write_file(folder / "tables.tex", latex(layout, records, grids))
    return text


def results_page(
    records: list[RunRecord], scheme: str, figures: Sequence[str] = (), grids: Sequence[Grid] = ()
) -> str:
    """All tables for which there are records, as Markdown.

    Args:
        records: the runs; may be empty if there are `grids`.
        scheme: how to count in the last part.
        figures: file names of the figures to include.
        grids: the grid searches.

    Raises:
        ValueError: if the records belong to more than one data set.
    """
    parts = ["# Results\n"]
    parts += [paper_tables(lay_out(records), records, figures)] if records else []
    parts += [grid_tables(grids, figures)] if grids else []
    parts += ["## All runs by language and source\n", overview(records, scheme)] if records else []
    return "\n".join(parts)


def _read(folder: Path) -> tuple[list[RunRecord], list[Grid]]:
    grids = read_grids(read_points(folder))
    try:
        return read_records(folder), grids
    except ValueError:  # no runs
        if not grids:
            raise
        return [], grids


if __name__ == "__main__":
    main()
