"""The report of an audit, as JSON for programs and as text for a terminal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataset_scripts.audit.findings import CHECKS, SEVERITIES, Finding, worst_first
from dataset_scripts.audit.rows import AuditRows, count_by_split
from dataset_scripts.parquet import fingerprint
from dataset_scripts.reading import find_parquet_files
from dataset_scripts.thumbnails import Thumbnail
from reports_2mner.files import file_sha256
from reports_2mner.html import visible

# Increased whenever a program that reads the JSON would have to change.
SCHEMA_VERSION = 1
NOT_RUN, NOTHING_THERE = "not requested", "nothing to check"
TEXT_LINES, TEXT_EXAMPLES, TEXT_CHARACTERS, TEXT_ID_CHARACTERS = 8, 3, 140, 100


@dataclass(frozen=True)
class AuditReport:
    """The findings, worst first; the checks that found nothing; those that were skipped, with the reason.

    `fingerprint` identifies the contents of the parquet files; the card of a built data set has the same. `thumbnails`
    are pictures by row, for the page.
    """

    dataset: str
    fingerprint: str
    counts: dict[str, dict[str, dict[str, int]]]
    settings: dict[str, Any]
    findings: list[Finding]
    passed: list[Finding]
    skipped: dict[str, str]
    thumbnails: Mapping[str, Thumbnail] = field(default_factory=dict)

    def by_severity(self) -> dict[str, int]:
        """Count the findings of each severity, worst first."""
        counts = Counter(finding.severity for finding in self.findings)
        return {severity: counts[severity] for severity in SEVERITIES}


def make_report(
    folder: Path | str, rows: AuditRows, settings: dict[str, Any], results: Iterable[Finding]
) -> AuditReport:
    """Sort the results of all checks that ran on a data set folder."""
    folder = Path(folder).resolve()
    paths = [path for paths in find_parquet_files(folder).values() for path in paths]
    results = worst_first(results)
    ran = {finding.name: finding.total for finding in results}
    skipped = {name: NOTHING_THERE if name in ran else NOT_RUN for name in CHECKS if not ran.get(name)}
    return AuditReport(
        folder.name,
        fingerprint({path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}),
        count_by_split(rows),
        settings,
        [finding for finding in results if finding.count],
        [finding for finding in results if finding.total and not finding.count],
        skipped,
    )


def report_to_json(report: AuditReport) -> str:
    """Return the report as JSON, the same for the same data set and settings."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "dataset": report.dataset,
        "fingerprint": report.fingerprint,
        "settings": report.settings,
        "counts": report.counts,
        "severities": report.by_severity(),
        "findings": [_finding_json(finding) for finding in report.findings],
        "passed": [_finding_json(finding) for finding in report.passed],
        "skipped": report.skipped,
    }
    return f"{json.dumps(content, indent=2, ensure_ascii=False)}\n"


def report_to_text(report: AuditReport) -> str:
    """Return the report for a terminal; invisible characters are spelled out, so that none can control it."""
    lines = [
        f"{visible(report.dataset)}, files {report.fingerprint}",
        *(f"  {visible(line)}" for line in _lines(report.counts)),
        "",
        _summary(report),
    ]
    for finding in report.findings:
        lines += ["", *_finding_text(finding)]
    for reason in (NOTHING_THERE, NOT_RUN):
        if names := [name for name, why in report.skipped.items() if why == reason]:
            lines += ["", f"{reason.capitalize()}: {', '.join(names)}."]
    return "\n".join(lines)


def flatten(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """Turn nested counts into lines: the names of the outer levels, and a dict of plain values."""
    values = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
    if values:
        yield " ".join(path), values
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flatten(value, (*path, name))


def spell(value: Any) -> str:
    """Return a value of a table for display: thousands separated, invisible characters spelled out."""
    return f"{value:,}" if isinstance(value, int) else visible(str(value))


def shorten(text: str, characters: int) -> str:
    """Truncate a long text visibly."""
    return text if len(text) <= characters else f"{text[: characters - 3]}..."


def _finding_json(finding: Finding) -> dict[str, Any]:
    check = CHECKS[finding.name]
    return {
        "name": finding.name,
        "severity": finding.severity,
        "title": finding.title,
        "advice": check.advice,
        "unit": check.unit,
        "count": finding.count,
        "total": finding.total,
        "examples": [{"rows": list(example.rows), "text": example.text} for example in finding.examples],
        "details": finding.details,
    }


def _summary(report: AuditReport) -> str:
    counts = ", ".join(f"{severity}: {count}" for severity, count in report.by_severity().items())
    return f"{counts}; {len(report.passed)} checks found nothing."


def _finding_text(finding: Finding) -> list[str]:
    lines = [f"{finding.severity.upper()} {finding.name}: {finding.title}"]
    details = [visible(line) for line in _lines(finding.details)]
    lines += [f"    {shorten(line, TEXT_CHARACTERS)}" for line in details[:TEXT_LINES]]
    if len(details) > TEXT_LINES:
        lines.append(f"    ... {len(details) - TEXT_LINES} more lines with --json or --html")
    for example in finding.examples[:TEXT_EXAMPLES]:
        ids = shorten(visible(" ~ ".join(example.rows)), TEXT_ID_CHARACTERS)
        lines.append(f"    e.g. {ids}: {shorten(visible(example.text), TEXT_CHARACTERS)}")
    return [*lines, f"    -> {finding.advice}"]


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [
        f"{name + ': ' if name else ''}{', '.join(f'{key} {spell(value)}' for key, value in values.items())}"
        for name, values in flatten(table)
    ]
