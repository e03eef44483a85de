"""All checks of a data set, in order."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from dataset_scripts.any_data_set import missing_columns, open_data_set
from dataset_scripts.audit.findings import SEVERITIES, Finding
from dataset_scripts.audit.ids import check_ids
from dataset_scripts.audit.illustrations import draw_examples
from dataset_scripts.audit.leakage import check_leakage
from dataset_scripts.audit.overlap import check_overlap, read_other
from dataset_scripts.audit.page import report_to_html
from dataset_scripts.audit.pictures import (
    check_facts,
    check_identity,
    examine_pictures,
    find_picture_status,
    with_facts,
)
from dataset_scripts.audit.report import AuditReport, make_report, report_to_json, report_to_text
from dataset_scripts.audit.rows import AuditRow, read_audit_rows
from dataset_scripts.audit.settings import NEVER, AuditSettings
from dataset_scripts.audit.structure import check_structure
from dataset_scripts.audit.text import check_text, find_words_without_pieces
from reports_2mner.command_line import read_settings
from reports_2mner.disk import disk_problem
from reports_2mner.files import write_file
from reports_2mner.locks import only_writer

USUALLY_EMPTY = {"image", "url", "sha256", "tw2017_split", "quality"}  # nothing is wrong with a data set without these


def audit_dataset(
    dataset: Path | str,
    settings: AuditSettings | None = None,
    against: Sequence[Path | str] = (),
    tokenizer: str | None = None,
    config: str | None = None,
) -> AuditReport:
    """Run every check on a data set, compare it with others, and test its words with a tokenizer.

    `dataset` is a folder or the id of one on the Hub, with at least `tokens` and `ner_tags`; `config` names one of its
    configurations. `against` are data set folders or CoNLL files (`overlap.py`), `tokenizer` is a folder or the name
    of one in the local cache. Raises ValueError for anything that cannot be read.
    """
    settings = settings or AuditSettings()
    loaded = load_tokenizer(tokenizer) if tokenizer else None
    # Reports are shared: they name folders without their place on this machine.
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
    """Load a tokenizer from a folder or the local cache; ValueError if it is in neither."""
    try:
        return AutoTokenizer.from_pretrained(name, local_files_only=True)
    except OSError as error:
        raise ValueError(
            f"`tokenizer` {name} is neither a folder with a tokenizer nor in the local cache; name a folder, or "
            f"download it first: hf download {name}."
        ) from error


def has_severity(findings: Sequence[Finding], fail_on: str) -> bool:
    """Return whether one of the findings is at least as severe as `fail_on`, a severity or "never"."""
    bad = SEVERITIES[: SEVERITIES.index(fail_on) + 1] if fail_on != NEVER else ()
    return any(finding.severity in bad for finding in findings)


def _name(folder: Path | str) -> str:
    return Path(folder).resolve().name


def _check_place(path: Path | None) -> None:
    if path and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise ValueError(
            f"{path} cannot be written: it is a folder, or its parent folder does not exist; give another file name."
        )


def run(options: argparse.Namespace) -> None:
    """Audit from the command line; the exit status shows the outcome."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        for path in (options.json, options.html):
            _check_place(path)
        settings = read_settings(options, AuditSettings, pictures=not options.no_pictures)
        report = audit_dataset(options.dataset, settings, options.against, options.tokenizer, options.dataset_config)
        print(report_to_text(report))
        for name, path, text in (("json", options.json, report_to_json), ("html", options.html, report_to_html)):
            if path:
                with only_writer(path, name):
                    write_file(path, text(report))
    except (ValueError, OSError) as error:
        print(f"error: {disk_problem(error) or error}", file=sys.stderr)
        raise SystemExit(2) from error
    if has_severity(report.findings, options.fail_on):
        raise SystemExit(1)
