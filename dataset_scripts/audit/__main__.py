"""Look for leakage, duplicates, label conflicts, damage and odd names in a data set, and say how severe each finding is.

    python -m dataset_scripts.audit mmnerd --html audit.html
    python -m dataset_scripts.audit mmnerd --against twitter2017 --tokenizer google-bert/bert-base-multilingual-cased

`CHECKS` in `dataset_scripts/audit/findings.py` lists every check with its severity. The exit status is 1 if anything of at
least the severity `--fail_on` was found, 0 if not, and 2 if the audit could not be done.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from dataset_scripts.any_data_set import missing_columns, open_data_set
from dataset_scripts.audit.findings import SEVERITIES, Finding
from dataset_scripts.audit.ids import check_ids
from dataset_scripts.audit.illustrations import draw_examples
from dataset_scripts.audit.leakage import check_leakage
from dataset_scripts.audit.overlap import check_overlap, read_other
from dataset_scripts.audit.page import to_html
from dataset_scripts.audit.pictures import (
    check_facts,
    check_identity,
    examine_pictures,
    find_picture_status,
    with_facts,
)
from dataset_scripts.audit.report import Report, make_report, to_json, to_text
from dataset_scripts.audit.rows import AuditRow, read_audit_rows
from dataset_scripts.audit.structure import check_structure
from dataset_scripts.audit.text import check_text, find_words_without_pieces
from reports_2mner.command_line import add_settings, at_least, make_parser, option, read_settings
from reports_2mner.disk import disk_problem
from reports_2mner.files import write_file

NEVER = "never"
USUALLY_EMPTY = {"image", "url", "sha256", "tw2017_split", "quality"}  # nothing is wrong with a data set without these


@dataclass(frozen=True)
class AuditSettings:
    """How an audit looks; ValueError for a value that makes no sense."""

    similarity: float = option(
        0.8, "common three-word shingles from which two texts count as nearly the same, above 0 and up to 1"
    )
    max_words: int = option(128, "report longer rows", type=at_least(1))
    pictures: bool = True
    num_proc: int = option(1, "processes that decode pictures", type=at_least(1))

    def __post_init__(self) -> None:
        if not 0 < self.similarity <= 1:
            raise ValueError(f"`similarity` must be above 0 and at most 1, got {self.similarity}; 0.8 is usual.")
        for name in ("max_words", "num_proc"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be 1 or more, got {getattr(self, name)}.")


def audit(
    dataset: Path | str,
    settings: AuditSettings | None = None,
    against: Sequence[Path | str] = (),
    tokenizer: str | None = None,
    config: str | None = None,
) -> Report:
    """Run every check on a data set, compare it with others, and try the words on a tokenizer.

    `dataset` is a folder or the id of one on the Hub, with at least `tokens` and `ner_tags`; `config` names one of its
    configurations. `against` are data set folders or CoNLL files (`audit_overlap`), `tokenizer` is a folder or the name of one in
    the local cache. Raises ValueError for what cannot be read.
    """
    settings = settings or AuditSettings()
    loaded = load_tokenizer(tokenizer) if tokenizer else None
    # Reports are passed on: they tell names of folders, not where these are on this machine.
    tokenizer = _name(tokenizer) if tokenizer and Path(tokenizer).is_dir() else tokenizer
    others = {str(other): read_other(other) for other in against}
    with open_data_set(dataset, config) as folder:
        rows = read_audit_rows(folder)
        findings = check_words(rows, settings)
        if loaded and tokenizer:
            findings.append(find_words_without_pieces(rows, loaded, tokenizer))
        if settings.pictures:
            facts = examine_pictures(folder, settings.num_proc)
            findings += check_facts(rows, facts)
            rows = with_facts(rows, facts)
        findings += [find_picture_status(rows), *check_identity(rows), *check_leakage(rows, settings.similarity)]
        for other, their_rows in others.items():
            findings += check_overlap(rows, their_rows, _name(other))
        described = _describe(settings, tokenizer, others, missing_columns(folder))
        report = make_report(folder, rows, described, findings)
        return replace(report, thumbnails=draw_examples(folder, report.findings)) if settings.pictures else report


def check_words(rows: Sequence[AuditRow], settings: AuditSettings) -> list[Finding]:
    """Run the checks that need nothing but the rows."""
    return [*check_structure(rows, settings.max_words), *check_text(rows), *check_ids(rows)]


def _describe(
    settings: AuditSettings, tokenizer: str | None, others: Mapping[str, Any], missing: Sequence[str]
) -> dict[str, Any]:
    return {
        "similarity": settings.similarity,
        "max_words": settings.max_words,
        "pictures": settings.pictures,
        "tokenizer": tokenizer or "none",
        "against": ", ".join(map(_name, others)) or "none",
        **({"columns_without_values": ", ".join(missing)} if set(missing) - USUALLY_EMPTY else {}),
    }


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load a tokenizer from a folder or the local cache; ValueError when it is in neither."""
    try:
        return AutoTokenizer.from_pretrained(name, local_files_only=True)
    except OSError as error:
        raise ValueError(
            f"`tokenizer` {name} is neither a folder with a tokenizer nor in the local cache; name a folder, or get it "
            f"first: hf download {name}."
        ) from error


def has_severity(findings: Sequence[Finding], fail_on: str) -> bool:
    """Tell whether one of the findings is at least as bad as `fail_on`, a severity or "never"."""
    bad = SEVERITIES[: SEVERITIES.index(fail_on) + 1] if fail_on != NEVER else ()
    return any(finding.severity in bad for finding in findings)


def _name(folder: Path | str) -> str:
    return Path(folder).resolve().name


def _check_place(path: Path | None) -> None:
    if path and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise ValueError(f"{path} cannot be written: it is a folder, or the folder it is in does not exist.")


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m dataset_scripts.audit", __doc__)
    parser.add_argument("dataset", help="folder or Hub id of a data set with the columns tokens and ner_tags at least")
    parser.add_argument("--dataset_config", metavar="NAME", help="its configuration, if it has several")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything for programs")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page to read")
    parser.add_argument(
        "--against",
        type=Path,
        nargs="+",
        default=(),
        metavar="OTHER",
        help="data set folders, CoNLL files or folders of CoNLL files to compare with, such as Twitter-2017",
    )
    parser.add_argument(
        "--tokenizer", metavar="NAME_OR_FOLDER", help="find words for which this tokenizer has no piece"
    )
    add_settings(parser, AuditSettings, "similarity", "max_words")
    parser.add_argument("--no_pictures", action="store_true", help="skip the checks that read pictures")
    add_settings(parser, AuditSettings, "num_proc")
    parser.add_argument(
        "--fail_on",
        choices=(*SEVERITIES, NEVER),
        default="error",
        help="exit with 1 from here on (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Audit from the command line; the exit status tells the outcome."""
    options = read_command_line(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        for path in (options.json, options.html):
            _check_place(path)
        settings = read_settings(options, AuditSettings, pictures=not options.no_pictures)
        report = audit(options.dataset, settings, options.against, options.tokenizer, options.dataset_config)
        print(to_text(report))
        for path, text in ((options.json, to_json), (options.html, to_html)):
            if path:
                write_file(path, text(report))
    except (ValueError, OSError) as error:
        print(f"error: {disk_problem(error) or error}", file=sys.stderr)
        raise SystemExit(2) from error
    if has_severity(report.findings, options.fail_on):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
