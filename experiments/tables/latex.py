"""The paper's tables in LaTeX, to be read in with `\\\\input`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from experiments.records import Record
from experiments.tables.grid import Grid
from experiments.tables.layout import HEADER, Group, PaperTable
from experiments.tables.markdown import OTHER_SENTENCES, is_same
from experiments.tables.noise import GAP_HEADER, MARGINS_HEADER, gap_rows, margin_rows
from experiments.tables.values import Cell, rows

PREAMBLE = (
    "% Needs \\usepackage{booktabs,longtable}, and UTF-8. Written by `python -m experiments.tables`; see tables.md.\n"
)
SPECIAL = {"\\": r"\textbackslash{}", "±": r"$\pm$", "·": r"$\cdot$", "√2": r"$\sqrt{2}$", "~": r"\textasciitilde{}"}
SPECIAL |= {"^": r"\textasciicircum{}"} | {character: f"\\{character}" for character in "#$%&_{}"}
BREAK = r" \\"
KINDS = {
    "lenient": "lenient counting, as in the paper; ``best test epoch'' is the released protocol",
    "strict": "strict counting; ``best test epoch'' is the released protocol",
}


def latex(tables: list[PaperTable], records: list[Record], grids: Sequence[Grid] = ()) -> str:
    """All tables that have a row, lenient and, where it differs, strict; those on noise; and the grid searches."""
    parts = [PREAMBLE]
    for table in (table for table in tables if table.filled()):
        for scheme in ("lenient",) if is_same(table) else ("lenient", "strict"):
            parts.append(_paper_table(table, scheme))
    for grid in grids:
        parts.append(_plain(f"Grid search on {grid.languages}: F1 on dev", *grid.table(), f"grid-{grid.languages}"))
    margins, gaps = margin_rows(tables), gap_rows(records)
    parts += [_plain("Margins beside the noise", MARGINS_HEADER, margins, "margins")] if margins else []
    parts += [_plain("The epoch chosen on dev and on test", GAP_HEADER, gaps, "gap")] if gaps else []
    return "\n".join(parts)


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return re.sub("|".join(map(re.escape, SPECIAL)), lambda found: SPECIAL[found[0]], text)


def _paper_table(table: PaperTable, scheme: str) -> str:
    lines = [line for group in table.filled() for line in _group(group, scheme)]
    caption = escape(table.title.partition(". ")[2]) + f" ({KINDS[scheme]})"
    return _longtable(caption, "ll" + "r" * len(HEADER), ("", "", *HEADER), lines, f"{table.name}-{scheme}")


def _group(group: Group, scheme: str) -> list[str]:
    lines = [rf"\midrule {_across(group.title)}"]
    former = ""
    for row in rows(group, scheme):
        cells = [escape(row.title) if row.title != former else "", escape(row.figures), *map(_text, row.cells)]
        lines.append(" & ".join(cells) + BREAK)
        former = row.title
    return lines if group.is_comparable() else [*lines, _across(OTHER_SENTENCES)]


def _across(text: str) -> str:
    """A line without columns."""
    return rf"\multicolumn{{{len(HEADER) + 2}}}{{l}}{{\textit{{{escape(text)}}}}}{BREAK}"


def _text(cell: Cell) -> str:
    text = cell.text(r"\,$\pm$\,")
    return rf"\textbf{{{text}}}" if cell.is_bold else text


def _plain(caption: str, header: tuple[str, ...], lines: list[list[str]], label: str) -> str:
    width = rf"p{{\dimexpr\linewidth/{len(header)}-6pt\relax}}"
    body = [r"\midrule", *(" & ".join(map(escape, line)) + BREAK for line in lines)]
    return _longtable(caption, f"*{{{len(header)}}}{{{width}}}", tuple(map(escape, header)), body, label)


def _longtable(caption: str, columns: str, header: tuple[str, ...], lines: list[str], label: str) -> str:
    return "\n".join(
        [
            r"{\scriptsize\setlength{\tabcolsep}{3pt}",
            rf"\begin{{longtable}}{{{columns}}}",
            rf"\caption{{{caption}}}\label{{tab:{label}}}{BREAK}",
            rf"\toprule {' & '.join(header)}{BREAK}",
            r"\endhead",
            *lines,
            r"\bottomrule",
            r"\end{longtable}}",
            "",
        ]
    )
