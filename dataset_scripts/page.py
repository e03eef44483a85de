"""What the HTML pages of this project share: each is one file that loads nothing, where every text of the data is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from reports_2mner.html import visible

# Words of a data set may be hostile. Should one ever get past the escaping, the browser still runs and loads nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #5b6470; --paper: #fbfbf9; --card: #fff; --line: #dcdfe3;
  --error: #b3261e; --warning: #8a5a00; --info: #22609e; --good: #1a6b3c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #9aa3ad; --paper: #15181b; --card: #1d2125;
  --line: #343a41; --error: #ff8a80; --warning: #f0b95b; --info: #86baf0; --good: #7fd1a0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); font-size: .9rem; }
code, .mono { font-family: ui-monospace, monospace; font-size: .875em; }
.filter { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1.25rem 0; padding: 0; border: 0; }
.filter legend { float: left; padding: .3rem .3rem .3rem 0; color: var(--soft); font-size: .9rem; }
.filter label { border: 1px solid var(--line); border-radius: 1rem; padding: .25rem .8rem; background: var(--card);
  cursor: pointer; }
.filter label:focus-within { outline: 2px solid var(--info); }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .875rem; margin: .3rem 0; }
caption { text-align: left; color: var(--soft); }
th, td { padding: .15rem .9rem .15rem 0; border-bottom: 1px solid var(--line); vertical-align: top; text-align: left;
  white-space: nowrap; font-weight: 400; }
thead th { color: var(--soft); } td.number, th.number { text-align: right;
  font-variant-numeric: tabular-nums; }
tbody + tbody th[colspan] { padding-top: .9rem; }
details { margin: .4rem 0 0; } summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
"""


def html_page(title: str, body: str, style: str = "", allowed: str = "") -> str:
    """Return a whole page.

    Args:
        title: plain text.
        body: HTML, which comes below the title.
        style: rules besides `STYLE`.
        allowed: what the browser may do besides showing styles, such as `"img-src data:"`.
    """
    title = text_of(title)
    policy = escape(f"{POLICY}; {allowed}" if allowed else POLICY)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def html_table(header: Sequence[str], groups: Mapping[str, Iterable[str]], caption: str = "", style: str = "") -> str:
    """Return a table, which scrolls where it is wider than the page.

    Args:
        header: the names of the columns, plain text; it may be empty.
        groups: lines as `html_row` makes them, by the title of their group, plain text; `""` for none.
        caption: plain text.
        style: the table's class.
    """
    named = f' class="{style}"' if style else ""
    title = f"<caption>{text_of(caption)}</caption>" if caption else ""
    bodies = "".join(_group(name, lines, len(header)) for name, lines in groups.items())
    return f'<div class="scroll"><table{named}>{title}{_head(header)}{bodies}</table></div>'


def html_row(name: str, cells: Iterable[str]) -> str:
    """Return a line of a table: its name, plain text, and its figures, HTML."""
    figures = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    return f'<tr><th scope="row">{text_of(name)}</th>{figures}</tr>'


def text_of(text: str) -> str:
    """Text of the data, safe as HTML, with characters that cannot be seen spelled out."""
    return escape(visible(text))


def label_of(name: str) -> str:
    """A name of the code in words, safe as HTML."""
    return text_of(name.replace("_", " "))


def percent(share: float) -> str:
    """A share in percent, with two decimals as in the paper."""
    return f"{100 * share:.2f}"


def _head(header: Sequence[str]) -> str:
    if not header:
        return ""
    first = f'<th scope="col">{text_of(header[0])}</th>' if header[0] else "<td></td>"
    rest = "".join(f'<th class="number" scope="col">{text_of(name)}</th>' for name in header[1:])
    return f"<thead><tr>{first}{rest}</tr></thead>"


def _group(name: str, lines: Iterable[str], columns: int) -> str:
    title = f'<tr><th scope="rowgroup" class="soft" colspan="{columns}">{text_of(name)}</th></tr>' if name else ""
    return f"<tbody>{title}{''.join(lines)}</tbody>"
