"""Write the statistics of a data set as Markdown and as LaTeX."""

from __future__ import annotations

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
from reports_2mner.tables import Group, Table, escape_latex, escape_markdown

LACKING = "–"
TABLE_2_HEADER = ("split", "counted", *ENTITY_TYPES, "total", "sentences")
TABLE_3_HEADER = ("data set", "multilingual", "multimodal", "train", "validation", "test", "total")

LATEX_PREAMBLE = (
    r"% Needs \usepackage{booktabs}. The tables are as wide as a page of A4 or letter with margins of an inch."
)


def to_markdown(statistics: Statistics) -> str:
    """Return a Markdown document with all tables and what they count."""
    parts = [f"# Statistics of {escape_markdown(statistics.name)}"]
    parts += [escape_markdown(note) for note in describe(statistics)]
    for table in tables(statistics):
        parts += [f"## {escape_markdown(table.caption)}", table.padded_markdown()]
    return "\n\n".join(parts) + "\n"


def to_latex(statistics: Statistics) -> str:
    """Return the same tables and notes as LaTeX to be read in by `\\input`."""
    notes = [escape_latex(note) for note in describe(statistics)]
    return "\n\n".join([LATEX_PREAMBLE, *notes, *(table.latex() for table in tables(statistics))]) + "\n"


def tables(statistics: Statistics) -> list[Table]:
    """Return Table 2 language by language, then for all languages together, and Table 3."""
    compared = compare(statistics)
    found = []
    for lang in dict.fromkeys(comparison.lang for comparison in compared):
        groups = [Group(_group(comparison)) for comparison in compared if comparison.lang == lang]
        caption = f"Table 2: {LANGUAGE_NAMES.get(lang, 'all languages')}"
        found.append(Table(TABLE_2_HEADER, align="ll" + "r" * len(TABLE_2_HEADER[2:]), caption=caption, groups=groups))
    sizes = [Group([_size_row(size) for size in sizes]) for sizes in (TABLE_3, dataset_sizes(statistics))]
    caption = "Table 3: sentences beside other data sets"
    return [*found, Table(TABLE_3_HEADER, align="lllrrrr", caption=caption, groups=sizes)]


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
