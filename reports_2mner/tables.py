"""A table that can be written as Markdown and as LaTeX; every cell is escaped, so that it is shown unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

Cells = Sequence[Any]  # numbers and text

BREAK = r" \\"
LATEX_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "--": "-{}-",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "·": r"$\cdot$",
    "√2": r"$\sqrt{2}$",
    "\u202f": r"\,",  # a narrow no-break space
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # after the end of a row, a bare bracket or star would be read as an argument
    "*": "{*}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
LATEX_PATTERN = re.compile("|".join(map(re.escape, sorted(LATEX_CHARACTERS, key=len, reverse=True))))


class Markdown(str):
    """The text of a cell that is already Markdown, for a table that is only written as Markdown."""


class Bold(str):
    """The text of a bold cell."""


@dataclass(frozen=True)
class RowGroup:
    """Rows set off by a rule, with a line across all columns before (`title`) and after them (`note`)."""

    rows: Iterable[Cells]
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table of plain text; integers get thousands separators.

    Args:
        header: the names of the columns.
        rows: the rows of a table without groups; its Markdown can be written as they arrive.
        align: `l` or `r` for each column. By default all are left-aligned, and LaTeX wraps them to an equal width.
        caption, label: for LaTeX.
        groups: the rows of a table with groups.
    """

    header: Cells
    rows: Iterable[Cells] = ()
    align: str = ""
    caption: str = ""
    label: str = ""
    groups: Sequence[RowGroup] = ()

    def markdown(self) -> str:
        """Return compact Markdown."""
        return "\n".join(self.markdown_lines())

    def markdown_lines(self) -> Iterator[str]:
        """Yield the lines of the compact Markdown, each as soon as its row is available."""
        align = self._align()
        yield _markdown_line(_markdown_cells(self.header))
        yield _markdown_line("---:" if side == "r" else "---" for side in align)
        yield from (_markdown_line(_markdown_cells(row)) for row in self._all_rows())

    def padded_markdown(self) -> str:
        """Return Markdown with aligned columns, which is also readable as plain text."""
        align = self._align()
        rows = [_markdown_cells(row) for row in chain([self.header], self._all_rows())]
        widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
        padded = [
            [cell.rjust(width) if side == "r" else cell.ljust(width) for cell, width, side in columns]
            for columns in (zip(row, widths, align, strict=True) for row in rows)
        ]
        rule = ["-" * (width - 1) + (":" if side == "r" else "-") for width, side in zip(widths, align, strict=True)]
        return "\n".join(map(_markdown_line, [padded[0], rule, *padded[1:]]))

    def latex(self) -> str:
        """Return LaTeX for a table across both columns of a page; needs booktabs."""
        lines = [
            r"\begin{table*}",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
            self._latex_caption(),
            rf"\begin{{tabular}}{{{self._latex_columns()}}}",
            r"\toprule",
            _latex_line(self.header),
            *self._latex_body(),
            r"\end{tabular}",
            r"\end{table*}",
        ]
        return "\n".join(lines)

    def long_latex(self) -> str:
        """Return LaTeX in small print that may span several pages; needs booktabs and longtable."""
        lines = [
            r"{\scriptsize\setlength{\tabcolsep}{3pt}",
            rf"\begin{{longtable}}{{{self._latex_columns()}}}",
            self._latex_caption() + BREAK,
            rf"\toprule {_latex_line(self.header)}",
            r"\endhead",
            *self._latex_body(),
            r"\end{longtable}}",
        ]
        return "\n".join(lines)

    def _align(self) -> str:
        return self.align or "l" * len(self.header)

    def _all_rows(self) -> Iterator[Cells]:
        empty = [""] * (len(self.header) - 1)
        for group in self.groups or [RowGroup(self.rows)]:
            yield from [[group.title, *empty]] if group.title else []
            yield from group.rows
            yield from [[group.note, *empty]] if group.note else []

    def _latex_caption(self) -> str:
        label = rf"\label{{tab:{self.label}}}" if self.label else ""
        return rf"\caption{{{escape_latex(self.caption)}}}{label}"

    def _latex_columns(self) -> str:
        count = len(self.header)
        return self.align or rf"*{{{count}}}{{p{{\dimexpr\linewidth/{count}-6pt\relax}}}}"

    def _latex_body(self) -> Iterator[str]:
        for group in self.groups or [RowGroup(self.rows)]:
            yield rf"\midrule {self._across(group.title)}" if group.title else r"\midrule"
            yield from map(_latex_line, group.rows)
            yield from [self._across(group.note)] if group.note else []
        yield r"\bottomrule"

    def _across(self, text: str) -> str:
        return rf"\multicolumn{{{len(self.header)}}}{{l}}{{\textit{{{escape_latex(text)}}}}}{BREAK}"


def escape_markdown(text: str) -> str:
    """Return Markdown that shows the text unchanged, even in a table."""
    return re.sub(r"([\\`*_\[\]<>|#~$]|&(?=#?\w+;))", r"\\\1", text)


def escape_latex(text: str) -> str:
    """Return LaTeX that shows the text unchanged."""
    return LATEX_PATTERN.sub(lambda match: LATEX_CHARACTERS[match.group()], text)


def _text(cell: str | int) -> str:
    """Return a cell as one line of text."""
    return f"{cell:,}" if isinstance(cell, int) else " ".join(cell.splitlines())


def _markdown_cells(row: Cells) -> list[str]:
    texts = ((cell, cell if isinstance(cell, Markdown) else escape_markdown(_text(cell))) for cell in row)
    return [f"**{text}**" if isinstance(cell, Bold) else text for cell, text in texts]


def _markdown_line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _latex_line(row: Cells) -> str:
    texts = ((cell, escape_latex(_text(cell))) for cell in row)
    return " & ".join(rf"\textbf{{{text}}}" if isinstance(cell, Bold) else text for cell, text in texts) + BREAK
