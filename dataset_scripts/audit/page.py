"""An audit as one HTML page that loads nothing, runs no script and escapes every word of the data set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from dataset_scripts.audit.report import AuditReport, flatten, shorten, spell
from reports_2mner.html import label, render

PAGE_LINES, PAGE_CHARACTERS = 60, 500  # of a table and of an example; the JSON has everything


def report_to_html(report: AuditReport) -> str:
    """Return the page; a severity without findings gets no switch."""
    shorten_example = partial(shorten, characters=PAGE_CHARACTERS)
    return render("audit.html.jinja", report=report, table_of=_table, spell=spell, shorten=shorten_example)


def _table(caption: str, table: Mapping[str, Any]) -> tuple[list[str], dict[str, list[list[str]]], str]:
    """The arguments of the template's table."""
    lines = list(flatten(table))
    if len(lines) == 1 and not lines[0][0]:  # a single level of counts reads better vertically
        header, rows = [], [[label(name), spell(value)] for name, value in lines[0][1].items()]
    else:
        columns = list(dict.fromkeys(name for _, values in lines for name in values))
        header = ["", *map(label, columns)]
        rows = [[label(name), *(spell(values.get(column, "")) for column in columns)] for name, values in lines]
    return header, {"": rows[:PAGE_LINES]}, label(caption)
