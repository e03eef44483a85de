"""Look for leakage, duplicates, label conflicts, damage and odd names in a data set, and rate each finding.

    python -m dataset_scripts.audit mmnerd --html audit.html
    python -m dataset_scripts.audit mmnerd --against twitter2017 --tokenizer google-bert/bert-base-multilingual-cased

`CHECKS` in `dataset_scripts/audit/findings.py` lists every check with its severity. The exit status is 1 if anything
of at least the severity `--fail_on` was found, 0 if not, and 2 if the audit could not be run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset_scripts.audit.findings import SEVERITIES
from dataset_scripts.audit.settings import NEVER, AuditSettings
from reports_2mner.command_line import add_settings, make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m dataset_scripts.audit", __doc__)
    parser.add_argument("dataset", help="folder or Hub id of a data set with at least the columns tokens and ner_tags")
    parser.add_argument("--dataset_config", metavar="NAME", help="its configuration, if it has several")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the complete report for programs")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a web page")
    parser.add_argument(
        "--against",
        type=Path,
        nargs="+",
        default=(),
        metavar="OTHER",
        help="data set folders, CoNLL files or folders of CoNLL files to compare with, such as Twitter-2017",
    )
    parser.add_argument(
        "--tokenizer", metavar="NAME_OR_FOLDER", help="find words that get no piece from this tokenizer"
    )
    add_settings(parser, AuditSettings, "similarity", "max_words")
    parser.add_argument("--no_pictures", action="store_true", help="skip the checks that read pictures")
    add_settings(parser, AuditSettings, "num_proc")
    parser.add_argument(
        "--fail_on",
        choices=(*SEVERITIES, NEVER),
        default="error",
        help="exit with 1 from this severity on (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Audit from the command line; the exit status shows the outcome."""
    options = read_command_line(arguments)
    from dataset_scripts.audit.auditing import run  # this takes seconds, and the help does not need it

    run(options)


if __name__ == "__main__":
    main()
