"""An audit as one HTML page: nothing is loaded, no script runs, every word of the data set is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from dataset_scripts.audit_findings import SEVERITIES, Example, Finding
from dataset_scripts.audit_report import Report, flatten, shorten, spell, visible

SHOWN_LINES, SHOWN_CHARACTERS = 60, 500  # of a table and of an example; the JSON has all
CODE = re.compile("`([^`]*)`")
# Words of a data set may be hostile. Should one ever get past the escaping, the browser still runs and loads nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #5b6470; --paper: #fbfbf9; --card: #fff; --line: #dcdfe3;
  --error: #b3261e; --warning: #8a5a00; --info: #22609e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #9aa3ad; --paper: #15181b; --card: #1d2125;
  --line: #343a41; --error: #ff8a80; --warning: #f0b95b; --info: #86baf0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 0; }
p { margin: .4rem 0; } .soft { color: var(--soft); font-size: .9rem; }
code, .mono { font-family: ui-monospace, monospace; font-size: .875em; }
.filter { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1.25rem 0; padding: 0; border: 0; }
.filter legend { float: left; padding: .3rem .3rem .3rem 0; color: var(--soft); font-size: .9rem; }
.filter label { border: 1px solid var(--line); border-radius: 1rem; padding: .25rem .8rem; background: var(--card);
  cursor: pointer; }
.filter label:focus-within { outline: 2px solid var(--info); }
.finding { background: var(--card); border: 1px solid var(--line); border-left: 5px solid var(--tone); margin: .8rem 0;
  border-radius: 6px; padding: .8rem 1rem; }
.error { --tone: var(--error); } .warning { --tone: var(--warning); } .info { --tone: var(--info); }
.badge { color: var(--tone); font-weight: 700; text-transform: uppercase; font-size: .75rem; letter-spacing: .04em; }
body:has(#show-error:not(:checked)) .finding.error, body:has(#show-warning:not(:checked)) .finding.warning,
body:has(#show-info:not(:checked)) .finding.info { display: none; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .875rem; margin: .3rem 0; }
caption { text-align: left; color: var(--soft); }
.tables { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; align-items: flex-start; }
th, td { padding: .15rem .9rem .15rem 0; border-bottom: 1px solid var(--line); vertical-align: top; text-align: left;
  white-space: nowrap; font-weight: 400; }
thead th { color: var(--soft); } td.number, th.number { text-align: right;
  font-variant-numeric: tabular-nums; }
details { margin: .4rem 0 0; } summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
.examples { margin: .3rem 0 0; padding: 0; list-style: none; }
.examples li { padding: .3rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.examples li:last-child { border: 0; }
.examples bdi { display: block; }
"""


def to_html(report: Report) -> str:
    """Return the page; a severity without findings has no switch."""
    counts = report.by_severity()
    title = _text(f"Audit of {report.dataset}")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p>{_verdict(report)}</p>
<p class="soft">Contents of the files: <code>{report.fingerprint}</code></p>
{_table("", report.counts)}
<fieldset class="filter"><legend>Show</legend>{"".join(_switch(name, counts[name]) for name in SEVERITIES if counts[name])}</fieldset>
<main>
{"".join(_finding(finding) for finding in report.findings)}
</main>
{_quiet_checks(report)}
{_table("Settings", report.settings)}
</body>
</html>
"""


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
    facts = " · ".join(f"{_label(name)}: {_text(spell(value))}" for name, value in values.items())
    advice = CODE.sub(r"<code>\1</code>", _text(finding.advice))
    return f"""<section class="finding {finding.severity}">
<p><span class="badge">{finding.severity}</span> <code>{finding.name}</code></p>
<h3>{_text(finding.title)}</h3>
<p class="soft">{advice}</p>
{f'<p class="soft">{facts}</p>' if facts else ""}
<div class="tables">{"".join(_table(_label(name), table) for name, table in tables.items())}</div>
{_examples(finding.examples)}
</section>
"""


def _examples(examples: Iterable[Example]) -> str:
    items = "".join(
        f'<li><span class="mono">{" ~ ".join(map(_text, example.rows))}</span><bdi>{_text(shorten(example.text, SHOWN_CHARACTERS))}</bdi></li>'
        for example in examples
    )
    return f'<details open><summary>Examples</summary><ul class="examples">{items}</ul></details>' if items else ""


def _quiet_checks(report: Report) -> str:
    passed = ", ".join(f"<code>{finding.name}</code>" for finding in report.passed)
    skipped = "".join(f"<li><code>{name}</code>: {_text(reason)}</li>" for name, reason in report.skipped.items())
    return (
        f"<h2>Checks that found nothing</h2><p>{passed or 'None.'}</p>"
        f"<h2>Checks that did not look</h2><ul>{skipped or '<li>None.</li>'}</ul>"
    )


def _table(caption: str, table: Mapping[str, Any]) -> str:
    lines = list(flatten(table))
    head = f"<caption>{caption}</caption>" if caption else ""
    if len(lines) == 1 and not lines[0][0]:  # one level of counts reads better downwards
        cells = "".join(_line(name, [value]) for name, value in list(lines[0][1].items())[:SHOWN_LINES])
        return f'<div class="scroll"><table>{head}<tbody>{cells}</tbody></table></div>'
    columns = list(dict.fromkeys(name for _, values in lines for name in values))
    titles = "".join(f'<th class="number" scope="col">{_label(name)}</th>' for name in columns)
    body = "".join(_line(name, [values.get(column, "") for column in columns]) for name, values in lines[:SHOWN_LINES])
    return f'<div class="scroll"><table>{head}<thead><tr><td></td>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def _line(name: str, values: Iterable[Any]) -> str:
    cells = "".join(f'<td class="number">{_text(spell(value))}</td>' for value in values)
    return f'<tr><th scope="row">{_label(name)}</th>{cells}</tr>'


def _label(name: str) -> str:
    return _text(name.replace("_", " "))


def _text(text: str) -> str:
    return escape(visible(text))
