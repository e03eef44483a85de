"""Count a data set folder and compare it with Tables 2 and 3 of the paper.

    python -m dataset_scripts.statistics mmnerd --twitter2017 ../twitter2017 --output statistics

Without `--output` the Markdown is printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dataset_scripts.statistics.counts import (
    COUNTINGS,
    PaperComparison,
    Statistics,
    compare_with_paper,
    count_statistics,
    dataset_sizes,
)
from dataset_scripts.statistics.figure import draw_entity_shares
from dataset_scripts.statistics.paper import TABLE_3, DatasetSize
from dataset_scripts.statistics.tables import statistics_to_latex, statistics_to_markdown
from reports_2mner.command_line import exit_on_error, make_parser
from reports_2mner.files import whole_file, write_file
from reports_2mner.locks import only_writer


def statistics_to_json(statistics: Statistics) -> str:
    """Return all counts and comparisons as JSON, in a fixed order; percentages are rounded to two decimals."""
    content = {
        "name": statistics.name,
        "split_method": statistics.split_method,
        "rows_by_source": dict(sorted(statistics.sources.items())),
        "rows_with_picture": statistics.pictures,
        "twitter2017": {
            "given": statistics.originals is not None,
            "english_tweets": statistics.tweets,
            "found_in_original": statistics.tweets_found,
        },
        "table_2": [_comparison(comparison) for comparison in compare_with_paper(statistics)],
        "table_3": [_size(size) for size in (*TABLE_3, *dataset_sizes(statistics))],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _comparison(comparison: PaperComparison) -> dict[str, Any]:
    percent = {counting: comparison.percent(counting) for counting in COUNTINGS}
    return {
        **asdict(comparison),
        "difference": {counting: comparison.differences(counting) or None for counting in COUNTINGS},
        "percent": {
            counting: {name: round(value, 2) for name, value in values.items()} or None
            for counting, values in percent.items()
        },
    }


def _size(size: DatasetSize) -> dict[str, Any]:
    return {**asdict(size), "total": size.total}


def write_statistics(statistics: Statistics, output: Path | str) -> list[Path]:
    """Write statistics.md, .tex and .json and entity_shares.png to the folder `output`; return their paths.

    Existing files are replaced once all four are complete. Raises ValueError if `output` is a file or matplotlib is
    missing.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise ValueError(f"`output` must be a folder, but {output} is a file; give another name.")
    if find_spec("matplotlib") is None:
        raise ValueError("The figure needs matplotlib; install it, or only print the tables, without `output`.")
    texts = {
        "statistics.md": statistics_to_markdown(statistics),
        "statistics.tex": statistics_to_latex(statistics),
        "statistics.json": statistics_to_json(statistics),
    }
    paths = [output / name for name in (*texts, "entity_shares.png")]
    with ExitStack() as stack:  # which moves the drafts once all are written
        *drafts, picture = [stack.enter_context(whole_file(path)) for path in paths]
        for draft, text in zip(drafts, texts.values(), strict=True):
            write_file(draft, text)
        draw_entity_shares(statistics.spans, picture)
    return paths


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m dataset_scripts.statistics", __doc__)
    parser.add_argument("dataset", type=Path, help="folder written by a builder of this project")
    parser.add_argument(
        "--twitter2017",
        type=Path,
        help="folder with train.txt, valid.txt and test.txt of the original Twitter-2017, whose tweets Table 2 counts",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for statistics.md, .tex, .json and entity_shares.png (default: print the Markdown)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Count from the command line, and print or write the tables."""
    options = read_command_line(arguments)
    with exit_on_error():
        statistics = count_statistics(options.dataset, options.twitter2017)
        written = []
        if options.output:
            with only_writer(options.output, "output"):
                written = write_statistics(statistics, options.output)
    for path in written:
        print(path)
    if not written:
        print(statistics_to_markdown(statistics), end="")


if __name__ == "__main__":
    main()
