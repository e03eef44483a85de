"""Write the statistics of a data set as Markdown and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from dataset_scripts.schema import ENTITY_TYPES, LANGUAGE_NAMES, LANGUAGES
from dataset_scripts.statistics.counts import (
    ALL,
    COUNTINGS,
    GIVEN,
    Comparison,
    Figures,
    Statistics,
    compare,
    dataset_sizes,
)
from dataset_scripts.statistics.paper import TABLE_3, DatasetSize

LACKING = "–"
TABLE_2_HEADER = ("split", "counted", *ENTITY_TYPES, "total", "sentences")
TABLE_3_HEADER = ("data set", "multilingual", "multimodal", "train", "validation", "test", "total")
NUM_TEXT_COLUMNS = {TABLE_2_HEADER: 2, TABLE_3_HEADER: 3}

LATEX_PREAMBLE = (
    r"% Needs \usepackage{booktabs}. The tables are as wide as a page of A4 or letter with margins of an inch."
)
LATEX_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "--": "-{}-",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # after the end of a row, a bare bracket or star would be taken for an argument
    "*": "{*}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


@dataclass(frozen=True)
class Table:
    """A table of plain text: groups of rows, which LaTeX parts by rules."""

    caption: str
    header: tuple[str, ...]
    groups: list[list[list[str]]]


def to_markdown(statistics: Statistics) -> str:
    """Return a Markdown document with all tables and what they count."""
    parts = [f"# Statistics of {escape_markdown(statistics.name)}"]
    parts += [escape_markdown(note) for note in describe(statistics)]
    for table in tables(statistics):
        parts += [f"## {escape_markdown(table.caption)}", _markdown(table)]
    return "\n\n".join(parts) + "\n"


def to_latex(statistics: Statistics) -> str:
    """Return the same tables and notes as LaTeX to be read in by `\\input`."""
    notes = [escape_latex(note) for note in describe(statistics)]
    return "\n\n".join([LATEX_PREAMBLE, *notes, *(_latex(table) for table in tables(statistics))]) + "\n"


def tables(statistics: Statistics) -> list[Table]:
    """Return Table 2 language by language, then for all languages together, and Table 3."""
    compared = compare(statistics)
    found = []
    for lang in dict.fromkeys(comparison.lang for comparison in compared):
        groups = [_group(comparison) for comparison in compared if comparison.lang == lang]
        found.append(Table(f"Table 2: {LANGUAGE_NAMES.get(lang, 'all languages')}", TABLE_2_HEADER, groups))
    sizes = [[_size_row(size) for size in sizes] for sizes in (TABLE_3, dataset_sizes(statistics))]
    return [*found, Table("Table 3: sentences beside other data sets", TABLE_3_HEADER, sizes)]


def _group(comparison: Comparison) -> list[list[str]]:
    split = "all splits" if comparison.split == ALL else comparison.split
    rows = [] if comparison.paper is None else [["paper", *_cells(comparison.paper)]]
    for counting in COUNTINGS:
        rows.append([counting, *_cells(getattr(comparison, counting))])
        if comparison.differences(counting):
            rows.append(["difference", *_difference_cells(comparison, counting)])
    return [[split if number == 0 else "", *row] for number, row in enumerate(rows)]


def _cells(figures: Figures | None) -> list[str]:
    if figures is None:
        return [LACKING] * len(TABLE_2_HEADER[2:])
    return [f"{figures[name]:,}" for name in TABLE_2_HEADER[2:]]


def _difference_cells(comparison: Comparison, counting: str) -> list[str]:
    above, percent = comparison.differences(counting), comparison.percent(counting)
    cells = [f"{above[name]:+,} ({percent[name]:+.1f}%)" if above[name] else "0" for name in TABLE_2_HEADER[2:]]
    return [cell.replace("-", "−") for cell in cells]


def _size_row(size: DatasetSize) -> list[str]:
    numbers = (size.train, size.validation, size.test, size.total)
    return [
        size.name,
        *(f"{'yes' if len(kinds) > 1 else 'no'} ({', '.join(kinds)})" for kinds in (size.languages, size.modalities)),
        *(f"{number:,}" for number in numbers),
    ]


def describe(statistics: Statistics) -> list[str]:
    """Say in sentences what was counted, how, and what the comparison cannot tell."""
    rows = sum(count.sentences for count in statistics.spans.values())
    sources = ", ".join(f"{source} {number:,}" for source, number in sorted(statistics.sources.items()))
    notes = [
        f"{rows:,} rows by source: {sources or 'none'}. Two countings stand beside the paper's numbers. "
        "Spans: every entity span in the tags, every row. Lists: what the paper's Table 2 seems to have counted, the "
        "annotators' lists from which the tags were made; in a caption (cc12m) a string counts once with each type, every "
        "other sentence counts by its spans, and equal texts of a language and split are one sentence."
    ]
    checks = (_note_on_tweets, _note_on_splits, _note_on_languages, _note_on_sources)
    return notes + [note for check in checks if (note := check(statistics))]


def _note_on_tweets(statistics: Statistics) -> str:
    if not statistics.tweets:
        return ""
    if statistics.originals is None:
        return (
            "The original Twitter-2017 was not given (--twitter2017), so the lists count English tweets, too, by their "
            "spans in this data set. In the authors' English files these are not quite the original ones: the string "
            "search that made the tags added and removed some, and left 3,344 PER in train where the paper has 3,340."
        )
    return (
        f"Of {statistics.tweets:,} English tweets, {statistics.tweets_found:,} are in the original Twitter-2017 and count "
        "in the lists by its annotation; all other tweets, such as translated ones, count by their spans here."
    )


def _note_on_splits(statistics: Statistics) -> str:
    if statistics.split_method == GIVEN:
        return ""
    return (
        f"The rows were split anew ({statistics.split_method}), so the splits are not the paper's and only sums over all "
        "splits are compared; in these sums equal texts of a language are one sentence."
    )


def _note_on_languages(statistics: Statistics) -> str:
    absent = [LANGUAGE_NAMES[lang] for lang in LANGUAGES if lang not in statistics.languages]
    if not absent:
        return ""
    return f"The data set has no {', no '.join(absent)}; sums of the paper are over the other languages."


def _note_on_sources(statistics: Statistics) -> str:
    foreign = {
        source: number for source, number in statistics.sources.items() if source not in ("twitter2017", "cc12m")
    }
    if not foreign:
        return ""
    return (
        f"{sum(foreign.values()):,} rows come from sources that are no part of the paper's data set "
        f"({', '.join(sorted(foreign))}): the differences say nothing about them."
    )


def _markdown(table: Table) -> str:
    rows = [[escape_markdown(cell) for cell in row] for row in (table.header, *chain(*table.groups))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    num_text = NUM_TEXT_COLUMNS[table.header]
    lines = [_markdown_line(row, widths, num_text) for row in rows]
    rule = [f"{'-' * (width - 1)}{'-' if index < num_text else ':'}" for index, width in enumerate(widths)]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])


def _markdown_line(row: Iterable[str], widths: list[int], num_text: int) -> str:
    cells = (
        f"{cell:<{width}}" if index < num_text else f"{cell:>{width}}"
        for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return f"| {' | '.join(cells)} |"


def _latex(table: Table) -> str:
    num_text = NUM_TEXT_COLUMNS[table.header]
    groups = ["\n".join(_latex_line(row) for row in group) for group in table.groups]
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
        f"\\caption{{{escape_latex(table.caption)}}}",
        f"\\begin{{tabular}}{{{'l' * num_text}{'r' * (len(table.header) - num_text)}}}",
        r"\toprule",
        _latex_line(table.header),
        r"\midrule",
        "\n\\midrule\n".join(groups),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines)


def _latex_line(row: Iterable[str]) -> str:
    return f"{' & '.join(escape_latex(cell) for cell in row)} \\\\"


def escape_markdown(text: str) -> str:
    """Return Markdown that shows the text as it is, also in a table."""
    return re.sub(r"([\\`*_\[\]<>|#~&$])", r"\\\1", text)


def escape_latex(text: str) -> str:
    """Return LaTeX that shows the text as it is."""
    pattern = "|".join(map(re.escape, sorted(LATEX_CHARACTERS, key=len, reverse=True)))
    return re.sub(pattern, lambda match: LATEX_CHARACTERS[match.group()], text)
