"""The paper's tables in LaTeX, for inclusion with `\\\\input`."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.plan import OURS
from experiments.records import RunRecord
from experiments.tables.languages import LanguageMatrix
from experiments.tables.layout import NAMES, PaperTable
from experiments.tables.markdown import group_notes, group_rows, is_same
from experiments.tables.noise import GAP_HEADER, MARGINS_HEADER, gap_rows, margin_rows
from experiments.tables.shapes import Grid
from reports_2mner.tables import RowGroup, Table

PREAMBLE = (
    "% Needs \\usepackage{booktabs,longtable}, and UTF-8. Written by `python -m experiments.tables`; see tables.md.\n"
)
NARROW = "\u202f±\u202f"  # with narrow spaces
SCHEME_CAPTIONS = {
    "lenient": "lenient counting, as in the paper; ``best test epoch'' is the released protocol",
    "strict": "strict counting; ``best test epoch'' is the released protocol",
}


def latex(
    tables: list[PaperTable],
    records: list[RunRecord],
    grids: Sequence[Grid] = (),
    matrices: Sequence[LanguageMatrix] = (),
) -> str:
    """All tables that have a row, lenient and, if it differs, strict; languages, grid searches and the tables on noise."""
    found = []
    for table in (table for table in tables if table.filled()):
        for scheme in ("lenient",) if is_same(table) else ("lenient", "strict"):
            found.append(_paper_table(table, scheme))
    for matrix in matrices:
        caption = f"{matrix.title} by languages of training and test: strict F1"
        found.append(Table(matrix.header(), matrix.rows(), caption=caption, label=f"languages-{matrix.title.lower()}"))
    for grid in grids:
        kind = grid.languages if grid.model == OURS else f"{grid.model}-{grid.languages}"
        model = "" if grid.model == OURS else f" of {NAMES[grid.model]}"
        caption = f"Grid search{model} on {grid.languages}: F1 on dev"
        found.append(Table(*grid.table(), caption=caption, label=f"grid-{kind}"))
    margins, gaps = margin_rows(tables), gap_rows(records)
    found += [Table(MARGINS_HEADER, margins, caption="Margins beside the noise", label="margins")] if margins else []
    found += [Table(GAP_HEADER, gaps, caption="The epoch chosen on dev and on test", label="gap")] if gaps else []
    return "\n".join([PREAMBLE, *(f"{table.long_latex()}\n" for table in found)])


def _paper_table(table: PaperTable, scheme: str) -> Table:
    groups = [
        RowGroup(group_rows(group, scheme, NARROW), group.title, " ".join(group_notes(group, scheme)))
        for group in table.filled()
    ]
    return Table(
        ("", "", *table.header),
        align="ll" + "r" * len(table.header),
        caption=f"{table.title.partition('. ')[2]} ({SCHEME_CAPTIONS[scheme]})",
        label=f"{table.name}-{scheme}",
        groups=groups,
    )
