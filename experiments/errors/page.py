"""The errors of a run as one HTML page: nothing is loaded, everything from the data is escaped, one known script runs."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataset_scripts.page import html_page, html_row, html_table, label_of, percent, text_of
from experiments.errors.cards import CARD_STYLE, GROUP_NAMES, MARK_STYLE, SCRIPT, Card, sentences_section
from experiments.errors.counts import KINDS, OUTSIDE, RIGHT, SPLITS, Suspect

SHOWN_IDS = 3  # of the sentences with a suspect, for each type and split
STRONGEST = 0.45  # colour of a cell; figures can be read on it, in light and dark
SIZE = "<!-- size -->"  # the page tells its own size; no text of the data can hold this, for it is escaped
SCRIPT_HASH = b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
ALLOWED = f"img-src data:; script-src 'sha256-{SCRIPT_HASH}'"
STYLE = """
:root { --heat: 34, 96, 158; --wrong-heat: 179, 38, 30; }
@media (prefers-color-scheme: dark) { :root { --heat: 134, 186, 240; --wrong-heat: 255, 138, 128; } }
[hidden] { display: none !important; }
nav a { margin-right: 1rem; } a { color: var(--info); }
h2 { font-size: 1.2rem; margin-top: 2.4rem; }
dl.kinds { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; font-size: .9rem; margin: .4rem 0 1rem; }
dl.kinds dd { margin: 0; color: var(--soft); }
td small { display: block; color: var(--soft); }
.matrix td, .matrix th { padding: .3rem .8rem; } .matrix .number { min-width: 5rem; } .matrix small { white-space: normal;
  max-width: 6rem; margin-left: auto; color: inherit; }
.suspects details { margin: 0; } .suspects details p { white-space: normal; overflow-wrap: anywhere; min-width: 18rem; }
.suspects tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 7rem; }
.suspects thead th:last-child { text-align: left; }
@media (max-width: 40rem) { dl.kinds { grid-template-columns: minmax(0, 1fr); }
  .matrix td, .matrix th { padding: .3rem .4rem; } .matrix .number { min-width: 3.2rem; } }
"""


def to_html(content: Mapping[str, Any], cards: Sequence[Card], suspects: Sequence[Suspect]) -> str:
    """Return the page.

    Args:
        content: what the JSON file holds: all figures are taken from there.
        cards: the sentences to be shown.
        suspects: all label-noise suspects; as many are shown as `content["page"]` says.
    """
    body = f"""{_summary(content)}
<nav><a href="#scores">Scores</a><a href="#kinds">Kinds of errors</a><a href="#types">Types</a><a href="#noise">Label noise</a><a href="#sentences">Sentences</a></nav>
<h2 id="scores">Scores</h2>
{_scores(content)}
<h2 id="kinds">Kinds of errors</h2>
{_kinds(content["kinds"])}
<h2 id="types">Which types are confused</h2>
{_confusion(content)}
<h2 id="noise">Label-noise suspects</h2>
{_noise(content, suspects)}
<h2 id="sentences">Sentences with errors</h2>
{sentences_section(content, cards, suspects)}
{f"<script>{SCRIPT}</script>" if cards else ""}"""
    page = html_page(f"Errors of {content['run']}", body, STYLE + MARK_STYLE + CARD_STYLE, ALLOWED)
    return page.replace(SIZE, f"{len(page.encode(errors='backslashreplace')) / 1e6:.1f} MB")


def _summary(content: Mapping[str, Any]) -> str:
    data = content["dataset"]
    revision = f", revision {data['revision']}" if data["revision"] else ""
    overall = content["kinds"]["overall"]["all"]
    return (
        f"<p>{content['sentences_with_errors']:,} of {content['sentences']:,} test sentences have errors; "
        f"{overall[RIGHT]:,} of {overall['gold']:,} gold entities are right.{_limit(data['max_eval_samples'])}</p>"
        f'<p class="soft">Data set {text_of(data["name"])}, configuration {text_of(data["config"])}{text_of(revision)}. Entities '
        f"and errors are counted by the {content['scheme']} scheme. This page has {SIZE}.</p>"
    )


def _limit(samples: int | None) -> str:
    return (
        f" The run was tested on the first {samples:,} sentences alone (<code>max_eval_samples</code>)."
        if samples
        else ""
    )


def _scores(content: Mapping[str, Any]) -> str:
    types = [kind for kind in content["confusion"] if kind != OUTSIDE]
    header = ["", "precision", "recall", "F1", "95 % interval", *(f"F1 {kind}" for kind in types)]
    rows = []
    for scheme, values in content["scores"].items():
        cells = [percent(values[name]) for name in ("precision", "recall", "f1")]
        cells.append(" to ".join(map(percent, values["f1_interval"])))
        rows.append(html_row(scheme, [*cells, *(percent(values[f"f1_{kind}"]) for kind in types)]))
    strays = content["entities_that_begin_with_I"]
    note = (
        "In percent; the interval resamples pictures. Strict counting takes valid IOB2 entities alone; lenient counting "
        "lets a stray I- tag begin one, as the released code of the paper does. Entities that begin so: "
        f"{strays['gold']:,} in gold, {strays['predicted']:,} predicted."
    )
    return f'{html_table(header, {"": rows})}<p class="soft">{note}</p>'


def _kinds(tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    meanings = "".join(f"<dt>{label_of(kind)}</dt><dd>{meaning}</dd>" for kind, meaning in KINDS.items())
    note = (
        "Gold and predicted entities are paired one to one, those that share most words first: where one was split or "
        "two were joined, one part is left over, and is missed or invented. An error counts under its gold type, an "
        "invented entity under the predicted one. F1 is in percent."
    )
    header = ["", "gold", RIGHT, *(kind.replace("_", " ") for kind in KINDS), "F1"]
    groups = {
        f"by {GROUP_NAMES.get(table, table)}" if table != "overall" else "": [
            html_row(name, [*(f"{values[column]:,}" for column in ("gold", RIGHT, *KINDS)), percent(values["f1"])])
            for name, values in names.items()
        ]
        for table, names in tables.items()
        if len(names) > 1 or table == "overall"
    }
    return f'<dl class="kinds">{meanings}</dl>{html_table(header, groups)}<p class="soft">{note}</p>'


def _confusion(content: Mapping[str, Any]) -> str:
    """Rows are gold types, columns predicted ones; the larger a cell's share of the row, the stronger its colour."""
    matrix, of_type = content["confusion"], content["kinds"]["type"]
    rows = []
    for gold, row in matrix.items():
        cells = "".join(
            _cell(count, _share(matrix, gold, name), of_type[gold]["wrong_boundary"] if gold == name else None)
            for name, count in row.items()
        )
        cells += "<td></td>" if gold == OUTSIDE else ""
        rows.append(f'<tr><th scope="row">{text_of(gold)}</th>{cells}</tr>')
    note = (
        "Rows are gold, columns predicted types. Column O holds the missed entities, row O the invented ones. Paired "
        "entities may have different boundaries; on the diagonal it is said how many do. The stronger a colour, the larger "
        "its share of the row, in row O of the column."
    )
    table = html_table(["gold \\ predicted", *matrix], {"": rows}, style="matrix")
    return f'{table}<p class="soft">{note}</p>'


def _share(matrix: Mapping[str, Mapping[str, int]], gold: str, predicted: str) -> float:
    row = matrix[gold].values() if gold != OUTSIDE else [row[predicted] for row in matrix.values()]
    return matrix[gold][predicted] / max(sum(row), 1)


def _cell(count: int, share: float, other_words: int | None) -> str:
    """A cell; on the diagonal with how many of its pairs differ in their boundaries."""
    heat = "--wrong-heat" if other_words is None else "--heat"
    small = f"<small>{other_words:,} with another boundary</small>" if other_words else ""
    colour = f"rgba(var({heat}), {STRONGEST * share**0.5:.2f})"  # the root, so that rare confusions are seen
    return f'<td class="number" style="background: {colour}">{count:,}{small}</td>'


def _noise(content: Mapping[str, Any], suspects: Sequence[Suspect]) -> str:
    noise, page = content["label_noise"], content["page"]
    text = (
        f"{noise['strings']:,} strings are gold entities in test and have more than one gold type in train and test "
        f"together. {noise['of_these_on_suspects']:,} of the {noise['errors_on_gold_entities']:,} errors on gold "
        f"entities concern such a string, and {noise['of_these_a_type_the_string_has_elsewhere']:,} of the "
        f"{noise['wrong_types']:,} wrong types are a type that the string has elsewhere. Such a string can be ambiguous, "
        "annotated unevenly, or wrong in one place: these are suspects, to be looked at."
    )
    if "synthetic" in content["kinds"].get("source", {}):
        text += " In the generated sentences they are ambiguous on purpose, and the picture tells the type."
    if not suspects:
        return f"<p>{text}</p>"
    shown = suspects[: page["suspects_shown"]]
    left_out = f" {page['suspects_left_out']:,} more are in the JSON file." if page["suspects_left_out"] else ""
    note = (
        f"The most frequent {len(shown):,}, upper and lower case told apart: gold mentions in train + test, and errors on "
        f"those in test.{left_out}"
    )
    types = [kind for kind in content["confusion"] if kind != OUTSIDE]
    rows = [_suspect(suspect, types) for suspect in shown]
    table = html_table(["string", "errors", *types, "where"], {"": rows}, style="suspects")
    return f'<p>{text}</p><p class="soft">{note}</p>{table}'


def _suspect(suspect: Suspect, types: Sequence[str]) -> str:
    counts = suspect.counts()
    cells = [" + ".join(f"{counts[kind][split]:,}" for split in SPLITS) if kind in counts else "" for kind in types]
    places = "".join(
        f'<p>{text_of(kind)}, {split}: <span class="mono">{_ids(suspect.places[kind][split])}</span></p>'
        for kind in counts
        for split in SPLITS
        if counts[kind][split]
    )
    figures = "".join(f'<td class="number">{cell}</td>' for cell in (f"{suspect.errors:,}", *cells))
    text = f'<th scope="row"><bdi>{text_of(suspect.text)}</bdi></th>'
    where = f"<details><summary>sentences</summary>{places}</details>"
    return f"<tr>{text}{figures}<td>{where}</td></tr>"


def _ids(ids: Iterable[str]) -> str:
    ids = list(dict.fromkeys(ids))
    more = f" and {len(ids) - SHOWN_IDS:,} more" if len(ids) > SHOWN_IDS else ""
    return f"{', '.join(map(text_of, ids[:SHOWN_IDS]))}{more}"
