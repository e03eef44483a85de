"""The page of an image audit: one file, nothing is loaded, no script runs, every word of the data set is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_scripts.page import html_page, html_row, html_table, percent, text_of
from experiments.bootstrap import Comparison
from experiments.errors.cards import LICENCES, MARK_STYLE, make_thumbnail, mark_entity
from experiments.image_audit.counts import FLIPS, OTHERS, SHOWN
from modeling_2mner.spans import entity_spans

THUMBNAIL = 160  # longer side in pixels
SHOWN_WORDS = 80  # of a sentence
TITLES = {
    "right": "the right picture",
    "none": "no picture",
    "blank": "a grey picture",
    "shuffled": "another sentence's picture",
}
FATES = {
    "saved": "Sentences that the picture saves",
    "spoiled": "Sentences that the picture spoils",
}
GROUP_TITLES = {"type": "Type", "lang": "Language", "source": "Source"}
STYLE = """
.verdict { border-left: 5px solid var(--tone); background: var(--card); padding: .8rem 1rem; border-radius: 6px; }
.verdict strong { font-size: 1.15rem; } .yes { --tone: var(--good); } .no { --tone: var(--warning); }
.bar { display: inline-block; height: .7rem; background: var(--info); border-radius: 2px; vertical-align: baseline; }
.track { display: inline-block; width: 9rem; text-align: left; }
.sentences { list-style: none; padding: 0; } .sentences li { display: grid; gap: .5rem 1rem;
  grid-template-columns: 10rem minmax(0, 1fr); background: var(--card);
  border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem; margin: .6rem 0; }
.sentences img { display: block; max-width: 100%; height: auto; border-radius: 4px; }
.sentences dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0 .9rem; margin: 0;
  grid-column: 2; align-content: start; line-height: 1.9; }
.sentences dt { color: var(--soft); font-size: .9rem; } .sentences dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) { .sentences li, .sentences dl { grid-template-columns: minmax(0, 1fr); }
  .sentences dl { grid-column: 1; } }
"""


@dataclass(frozen=True)
class Example:
    """A sentence of the page.

    Args:
        row: its place in the test split.
        lang: its language.
        words, picture: of the data set; the picture as `modeling_2mner.images` takes it.
        gold, right, none: its tags, those predicted with the right picture, and those without.
    """

    row: int
    lang: str
    words: Sequence[str]
    picture: Any
    gold: Sequence[str]
    right: Sequence[str]
    none: Sequence[str]


def to_html(described: Mapping[str, Any], examples: Mapping[str, Sequence[Example]]) -> str:
    """Return the page.

    Args:
        described: what `audit.json` holds.
        examples: sentences by `FATES`.
    """
    languages = list(dict.fromkeys(example.lang for fate in FATES for example in examples[fate]))
    body = f"""<p class="soft">{_about(described)}</p>
{_verdict(described)}
<h2>Scores with each kind of picture</h2>
{_all_scores(described)}
<h2>Types, languages and sources</h2>
{_explain_flips()}
{"".join(_group_table(described, other) for other in reversed(OTHERS))}
<main>
{f'<p class="soft">{LICENCES}</p>' if languages else ""}
{_filter(languages)}
{"".join(_sentences(fate, described[f"{fate}_rows"], examples[fate], languages) for fate in FATES)}
</main>"""
    title = f"What does the picture do? {described['run']}"
    return html_page(title, body, STYLE + MARK_STYLE + _filter_style(languages), "img-src data:")


def mark_entities(words: Sequence[str], tags: Sequence[str], gold: Sequence[str] | None = None) -> str:
    """The words with the entities of their tags marked; against `gold`, right and wrong ones differently."""
    known = None if gold is None else set(entity_spans(gold, strict=True))
    starts = {span[1]: span for span in entity_spans(tags, strict=True)}
    parts, place = [], 0
    while place < min(len(words), SHOWN_WORDS):
        kind, start, end = starts.get(place, ("", place, place + 1))
        text = " ".join(words[start:end])
        style = "" if known is None else "right" if (kind, start, end) in known else "wrong"
        parts.append(mark_entity(text, kind, style) if kind else text_of(text))
        place = end
    more = len(words) - place
    return f"<bdi>{' '.join(parts)}</bdi>" + (f' <span class="soft">and {more} more words</span>' if more > 0 else "")


def _about(described: Mapping[str, Any]) -> str:
    data, count = described["data"], described["sentences"]
    return (
        f"{text_of(described['model'])} on the test split of {text_of(data['name'])} ({text_of(data['config'])}): "
        f"{count['all']:,} sentences. {count['with_picture']:,} of them have a usable picture, {count['pictures']:,} "
        "pictures in all. Intervals and tests resample pictures, since the sentences of one picture belong together."
    )


def _verdict(described: Mapping[str, Any]) -> str:
    found = described["verdict"]
    strict = described["strict"]
    against = strict["shuffled"]["comparison"]
    return (
        f'<div class="verdict {"yes" if found["uses_picture"] else "no"}"><p><strong>{text_of(found["text"])}</strong></p>'
        f"<p>F1 is {percent(strict['right']['f1'])} with the right pictures and {percent(strict['shuffled']['f1'])} when "
        f"each sentence gets another one's: a difference of {_signed(against['difference'])} points (95 % interval "
        f"{_signed(against['low'])} to {_signed(against['high'])}, p = {against['p_value']:.4f}). "
        f"Without any picture it is {percent(strict['none']['f1'])}.</p></div>"
    )


def _all_scores(described: Mapping[str, Any]) -> str:
    parts = [_score_table(described, "strict")]
    if described["lenient"] == described["strict"]:
        parts.append("<p>Lenient counting gives the same figures: no predicted entity begins with an I- tag.</p>")
    else:
        parts.append(_score_table(described, "lenient"))
    parts.append(
        '<p class="soft">The sharpest question is the last line: the model gets a real picture, only the wrong one. No picture '
        "and a grey one may be unlike anything that it has learned from, so that a loss there can come from that alone.</p>"
    )
    apart = [("all sentences", described["all_sentences"])]
    if described["without_picture"]["sentences"]:
        apart.append(("those without a usable picture", described["without_picture"]))
    facts = "; ".join(
        f"{name} ({found['sentences']:,}) {percent(found['strict_f1'])} strict, {percent(found['lenient_f1'])} lenient"
        for name, found in apart
    )
    return "".join([*parts, f'<p class="soft">F1 of the model as it is, for comparison: {facts}.</p>'])


def _score_table(described: Mapping[str, Any], scheme: str) -> str:
    header = ("shown", "P", "R", "F1", "95 % interval", "", "right − this", "95 % interval", "p")
    rows = []
    for shown in SHOWN:
        found = described[scheme][shown]
        low, high = found["interval"]
        cells = [percent(found[name]) for name in ("precision", "recall", "f1")]
        cells += [f"{percent(low)} to {percent(high)}", _bar(found["f1"])]
        cells += _comparison(found["comparison"]) if shown in OTHERS else ["", "", ""]
        rows.append(html_row(TITLES[shown], cells))
    caption = f"{scheme.capitalize()} counting, {described[scheme]['entities']:,} gold entities"
    return html_table(header, {"": rows}, caption)


def _explain_flips() -> str:
    return (
        '<p class="soft">Saved: found with the right picture alone. Spoiled: found without it alone. Changed: wrong '
        "both times, in different ways, or an entity that is none comes or goes. Strict counting; a star marks a difference "
        "that chance alone makes in fewer than 5 % of cases, so that among many lines some get one by chance.</p>"
    )


def _group_table(described: Mapping[str, Any], other: str) -> str:
    header = ("", "gold", "F1 right", "F1 then", "right − then", "95 % interval", *FLIPS)
    groups = {"": [_group_row("All", described["strict"], other)]}
    for column, parts in described["groups"].items():
        lines = [_group_row(name, found, other) for name, found in parts.items() if _has_entities(found)]
        if len(lines) > 1:  # a single source is all there is
            groups[GROUP_TITLES.get(column, column)] = lines
    shown = " open" if other == "shuffled" else ""
    table = html_table(header, groups)
    return f"<details{shown}><summary>With {TITLES[other]} instead of the right one</summary>{table}</details>"


def _group_row(name: str, found: Mapping[str, Any], other: str) -> str:
    comparison = found[other]["comparison"]
    gain, interval, _ = _comparison(comparison)
    star = "*" if Comparison(**comparison).is_significant else ""
    flips = [f"{found[other]['flips'][flip]:,}" for flip in FLIPS]
    cells = [f"{found['entities']:,}", percent(found["right"]["f1"]), percent(found[other]["f1"]), f"{gain}{star}"]
    return html_row(name, [*cells, interval, *flips])


def _has_entities(found: Mapping[str, Any]) -> bool:
    return bool(found["entities"] or any(sum(found[other]["flips"].values()) for other in OTHERS))


def _comparison(found: Mapping[str, float]) -> list[str]:
    return [
        _signed(found["difference"]),
        f"{_signed(found['low'])} to {_signed(found['high'])}",
        f"{found['p_value']:.4f}",
    ]


def _sentences(fate: str, rows: Sequence[int], examples: Sequence[Example], languages: list[str]) -> str:
    if not rows:
        return f"<h2>{FATES[fate]}</h2><p>There are none.</p>"
    total = f"{len(examples):,} of {len(rows):,}" + (", drawn at random" if len(examples) < len(rows) else "")
    items = "".join(_sentence(example, languages.index(example.lang)) for example in examples)
    return (
        f"<h2>{FATES[fate]} ({total})</h2>"
        f'<p class="soft">Fewer entities are missed or invented {"with" if fate == "saved" else "without"} the picture. '
        f"{mark_entity('Solid', 'TYPE', 'right')}: right. {mark_entity('Dashed', 'TYPE', 'wrong')}: in error.</p>"
        f'<ul class="sentences">{items}</ul>'
    )


def _sentence(example: Example, language: int) -> str:
    small = make_thumbnail(example.picture, None, THUMBNAIL)
    size = f'width="{small.width}" height="{small.height}"'
    picture = f'<img src="{small.uri}" {size} alt="Picture of row {example.row}">' if small.uri else ""
    lines = (
        ("gold", mark_entities(example.words, example.gold)),
        ("with the picture", mark_entities(example.words, example.right, example.gold)),
        ("without", mark_entities(example.words, example.none, example.gold)),
        ("row", f'<span class="soft">{example.row} {text_of(example.lang)}</span>'),
    )
    items = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in lines)
    return f'<li class="lang-{language}">{picture}<dl>{items}</dl></li>'


def _filter(languages: list[str]) -> str:
    if len(languages) < 2:
        return ""
    switches = "".join(
        f'<label><input type="checkbox" id="show-{place}" checked> {text_of(name)}</label>'
        for place, name in enumerate(languages)
    )
    return f'<fieldset class="filter"><legend>Show the sentences in</legend>{switches}</fieldset>'


def _filter_style(languages: list[str]) -> str:
    return "".join(
        f"body:has(#show-{place}:not(:checked)) .lang-{place} {{ display: none; }}\n"
        for place in range(len(languages))
    )


def _bar(share: float) -> str:
    return f'<span class="track"><span class="bar" style="width: {100 * share:.1f}%"></span></span>'


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}".replace("-", "−")
