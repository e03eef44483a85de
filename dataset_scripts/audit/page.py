"""An audit as one HTML page: nothing is loaded, no script runs, every word of the data set is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dataset_scripts.audit.findings import SEVERITIES, Example, Finding
from dataset_scripts.audit.report import Report, flatten, shorten, spell
from dataset_scripts.page import html_page, html_row, html_table, label_of, text_of

SHOWN_LINES, SHOWN_CHARACTERS = 60, 500  # of a table and of an example; the JSON has all
CODE = re.compile("`([^`]*)`")
STYLE = """
h3 { font-size: 1.05rem; margin: 0; }
.finding { background: var(--card); border: 1px solid var(--line); border-left: 5px solid var(--tone); margin: .8rem 0;
  border-radius: 6px; padding: .8rem 1rem; }
.error { --tone: var(--error); } .warning { --tone: var(--warning); } .info { --tone: var(--info); }
.badge { color: var(--tone); font-weight: 700; text-transform: uppercase; font-size: .75rem; letter-spacing: .04em; }
body:has(#show-error:not(:checked)) .finding.error, body:has(#show-warning:not(:checked)) .finding.warning,
body:has(#show-info:not(:checked)) .finding.info { display: none; }
.tables { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; align-items: flex-start; }
.examples { margin: .3rem 0 0; padding: 0; list-style: none; }
.examples li { padding: .3rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.examples li:last-child { border: 0; }
.examples bdi { display: block; }
"""


def to_html(report: Report) -> str:
    """Return the page; a severity without findings has no switch."""
    counts = report.by_severity()
    switches = "".join(_switch(name, counts[name]) for name in SEVERITIES if counts[name])
    body = f"""<p>{_verdict(report)}</p>
<p class="soft">Contents of the files: <code>{report.fingerprint}</code></p>
{_table("", report.counts)}
<fieldset class="filter"><legend>Show</legend>{switches}</fieldset>
<main>
{"".join(_finding(finding) for finding in report.findings)}
</main>
{_quiet_checks(report)}
{_table("Settings", report.settings)}"""
    return html_page(f"Audit of {report.dataset}", body, STYLE)


def _verdict(report: Report) -> str:
    if not report.findings:
        return f"Nothing was found by {len(report.passed)} checks."
    counts = [f"{count} of severity {name}" for name, count in report.by_severity().items() if count]
    return f"Findings: {', '.join(counts)}. {len(report.passed)} more checks found nothing."


def _switch(severity: str, count: int) -> str:
    return (
        f'<label class="{severity}"><input type="checkbox" id="show-{severity}" checked> {severity} ({count})</label>'
    )


def _finding(finding: Finding) -> str:
    values = {name: value for name, value in finding.details.items() if not isinstance(value, Mapping)}
    tables = {name: value for name, value in finding.details.items() if isinstance(value, Mapping) and value}
    facts = " · ".join(f"{label_of(name)}: {text_of(spell(value))}" for name, value in values.items())
    advice = CODE.sub(r"<code>\1</code>", text_of(finding.advice))
    return f"""<section class="finding {finding.severity}">
<p><span class="badge">{finding.severity}</span> <code>{finding.name}</code></p>
<h3>{text_of(finding.title)}</h3>
<p class="soft">{advice}</p>
{f'<p class="soft">{facts}</p>' if facts else ""}
<div class="tables">{"".join(_table(name, table) for name, table in tables.items())}</div>
{_examples(finding.examples)}
</section>
"""


def _examples(examples: Iterable[Example]) -> str:
    items = "".join(
        f'<li><span class="mono">{" ~ ".join(map(text_of, example.rows))}</span><bdi>{text_of(shorten(example.text, SHOWN_CHARACTERS))}</bdi></li>'
        for example in examples
    )
    return f'<details open><summary>Examples</summary><ul class="examples">{items}</ul></details>' if items else ""


def _quiet_checks(report: Report) -> str:
    passed = ", ".join(f"<code>{finding.name}</code>" for finding in report.passed)
    skipped = "".join(f"<li><code>{name}</code>: {text_of(reason)}</li>" for name, reason in report.skipped.items())
    return (
        f"<h2>Checks that found nothing</h2><p>{passed or 'None.'}</p>"
        f"<h2>Checks that did not look</h2><ul>{skipped or '<li>None.</li>'}</ul>"
    )


def _table(caption: str, table: Mapping[str, Any]) -> str:
    caption, lines = caption.replace("_", " "), list(flatten(table))
    if len(lines) == 1 and not lines[0][0]:  # one level of counts reads better downwards
        rows = [_line(name, [value]) for name, value in list(lines[0][1].items())[:SHOWN_LINES]]
        return html_table((), {"": rows}, caption)
    columns = list(dict.fromkeys(name for _, values in lines for name in values))
    rows = [_line(name, [values.get(column, "") for column in columns]) for name, values in lines[:SHOWN_LINES]]
    return html_table(["", *(column.replace("_", " ") for column in columns)], {"": rows}, caption)


def _line(name: str, values: Iterable[Any]) -> str:
    return html_row(name.replace("_", " "), [text_of(spell(value)) for value in values])
