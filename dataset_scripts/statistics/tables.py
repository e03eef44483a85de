"""Format the statistics of a data set as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

from dataset_scripts.statistics.counts import (
    COUNTINGS,
    GIVEN,
    OVERALL,
    Figures,
    PaperComparison,
    Statistics,
    compare_with_paper,
    dataset_sizes,
)
from dataset_scripts.statistics.paper import PAPER_LANGUAGES, PAPER_TYPES, TABLE_3, DatasetSize
from reports_2mner.language_table import language_name
from reports_2mner.tables import RowGroup, Table, escape_latex, escape_markdown

LACKING = "–"
TABLE_3_HEADER = ("data set", "multilingual", "multimodal", "train", "validation", "test", "total")

LATEX_PREAMBLE = (
    r"% Needs \usepackage{booktabs}. The tables are as wide as a page of A4 or letter with one-inch margins."
)


def statistics_to_markdown(statistics: Statistics) -> str:
    """Return a Markdown document with all tables and notes on what they count."""
    parts = [f"# Statistics of {escape_markdown(statistics.name)}"]
    parts += [escape_markdown(note) for note in counting_notes(statistics)]
    for table in statistics_tables(statistics):
        parts += [f"## {escape_markdown(table.caption)}", table.padded_markdown()]
    return "\n\n".join(parts) + "\n"


def statistics_to_latex(statistics: Statistics) -> str:
    """Return the same tables and notes as LaTeX to include with `\\input`."""
    notes = [escape_latex(note) for note in counting_notes(statistics)]
    return "\n\n".join([LATEX_PREAMBLE, *notes, *(table.latex() for table in statistics_tables(statistics))]) + "\n"


def statistics_tables(statistics: Statistics) -> list[Table]:
    """Return Table 2 language by language, then for all languages together, and Table 3."""
    compared = compare_with_paper(statistics)
    found = []
    for lang in dict.fromkeys(comparison.lang for comparison in compared):
        columns = _columns(statistics)
        groups = [RowGroup(_group(comparison, columns)) for comparison in compared if comparison.lang == lang]
        caption = f"Table 2: {'all languages' if lang == OVERALL else language_name(lang)}"
        header = ("split", "counted", *columns)
        found.append(Table(header, align="ll" + "r" * len(columns), caption=caption, groups=groups))
    sizes = [RowGroup([_size_row(size) for size in sizes]) for sizes in (TABLE_3, dataset_sizes(statistics))]
    caption = "Table 3: sentences beside other data sets"
    return [*found, Table(TABLE_3_HEADER, align="lllrrrr", caption=caption, groups=sizes)]


def _columns(statistics: Statistics) -> tuple[str, ...]:
    return (*statistics.types, "total", "sentences")


def _group(comparison: PaperComparison, columns: Sequence[str]) -> list[list[str]]:
    split = "all splits" if comparison.split == OVERALL else comparison.split
    rows = [] if comparison.paper is None else [["paper", *_cells(comparison.paper, columns)]]
    for counting in COUNTINGS:
        rows.append([counting, *_cells(getattr(comparison, counting), columns)])
        if comparison.differences(counting):
            rows.append(["difference", *_difference_cells(comparison, counting, columns)])
    return [[split if number == 0 else "", *row] for number, row in enumerate(rows)]


def _cells(figures: Figures | None, columns: Sequence[str]) -> list[str]:
    if figures is None:
        return [LACKING] * len(columns)
    return [f"{figures[name]:,}" for name in columns]


def _difference_cells(comparison: PaperComparison, counting: str, columns: Sequence[str]) -> list[str]:
    above, percent = comparison.differences(counting), comparison.percent(counting)
    cells = [f"{above[name]:+,} ({percent[name]:+.1f}%)" if above[name] else "0" for name in columns]
    return [cell.replace("-", "−") for cell in cells]


def _size_row(size: DatasetSize) -> list[str]:
    numbers = (size.train, size.validation, size.test, size.total)
    return [
        size.name,
        *(f"{'yes' if len(kinds) > 1 else 'no'} ({', '.join(kinds)})" for kinds in (size.languages, size.modalities)),
        *(f"{number:,}" for number in numbers),
    ]


def counting_notes(statistics: Statistics) -> list[str]:
    """Return sentences on what was counted, how, and the limits of the comparison."""
    rows = sum(count.sentences for count in statistics.spans.values())
    sources = ", ".join(f"{source} {number:,}" for source, number in sorted(statistics.sources.items()))
    notes = [
        f"{rows:,} rows by source: {sources or 'none'}. Two counts are compared with the paper's. "
        "Spans: every entity span in the tags of every row. Lists: what the paper's Table 2 seems to count, the "
        "annotators' lists from which the tags were made; in a caption (cc12m) a string counts once with each type, "
        "every other sentence counts by its spans, and equal texts of a language and split are one sentence."
    ]
    checks = (_note_on_tweets, _note_on_splits, _note_on_languages, _note_on_sources)
    return notes + [note for check in checks if (note := check(statistics))]


def _note_on_tweets(statistics: Statistics) -> str:
    if not statistics.tweets:
        return ""
    if statistics.originals is None:
        return (
            "The original Twitter-2017 was not given (--twitter2017), so the lists also count English tweets by their "
            "spans in this data set. In the authors' English files these differ slightly from the originals: the "
            "string search that made the tags added and removed some, and left 3,344 PER in train, where the "
            "paper has 3,340."
        )
    return (
        f"Of {statistics.tweets:,} English tweets, {statistics.tweets_found:,} are in the original Twitter-2017 and "
        "count in the lists by its annotation; all other tweets, such as translated ones, count by their spans here."
    )


def _note_on_splits(statistics: Statistics) -> str:
    if statistics.split_method == GIVEN:
        return ""
    return (
        f"The rows have a new split ({statistics.split_method}), so the splits are not the paper's and only sums over "
        "all splits are compared; in these sums equal texts of a language are one sentence."
    )


def _note_on_languages(statistics: Statistics) -> str:
    if statistics.types != PAPER_TYPES:
        return (
            f"The types ({', '.join(statistics.types)}) are not the paper's, so there are no figures to compare with."
        )
    if foreign := [language_name(lang) for lang in statistics.languages if lang not in PAPER_LANGUAGES]:
        return f"The paper has no figures for {', '.join(foreign)}, nor for a sum that includes them."
    absent = [language_name(lang) for lang in PAPER_LANGUAGES if lang not in statistics.languages]
    if not absent:
        return ""
    return f"The data set has no {', no '.join(absent)}; the paper's sums are over the other languages."


def _note_on_sources(statistics: Statistics) -> str:
    foreign = {
        source: number for source, number in statistics.sources.items() if source not in ("twitter2017", "cc12m")
    }
    if not foreign:
        return ""
    return (
        f"{sum(foreign.values()):,} rows come from sources that are not part of the paper's data set "
        f"({', '.join(sorted(foreign))}): the differences do not apply to them."
    )
