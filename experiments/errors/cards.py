"""The sentences with errors as they stand on the page: small pictures, marked entities, and filters that work offline."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any

from PIL import Image

from dataset_scripts.audit.report import visible
from dataset_scripts.page import label_of, text_of
from dataset_scripts.schema import STATUSES_WITH_IMAGE
from experiments.errors.counts import KINDS, OUTSIDE, RIGHT, Pair, Sentence, Suspect
from modeling_2mner.images import load_image
from modeling_2mner.spans import Span

QUALITY = 60
ADDRESS = re.compile(r" <\S+ object at 0x[0-9a-f]+>")  # in Pillow's messages; another one in each run
LICENCES = "The pictures are small copies of those of the data set, and their licences hold for them."
GROUP_NAMES = {"lang": "language", "source": "source", "image_status": "picture"}
SCRIPT = """
const form = document.getElementById("filters");
const cards = Array.from(document.querySelectorAll(".sentence"), (card) => ({
  card,
  text: card.querySelector(".gold").textContent.toLowerCase() + " " + card.querySelector(".id").textContent.toLowerCase(),
  errors: Array.from(card.querySelectorAll(".errors li"), (item) => item.dataset),
}));
function update() {
  const chosen = (name) => form.elements[name].value;
  const fits = (error) =>
    (!chosen("kind") || error.kind === chosen("kind")) &&
    (!chosen("type") || error.gold === chosen("type") || error.predicted === chosen("type")) &&
    (!chosen("suspect") || error.suspect === chosen("suspect"));
  const groups = Array.from(form.querySelectorAll("select.group")).filter((select) => select.value);
  const text = chosen("text").trim().toLowerCase();
  let shown = 0;
  for (const { card, text: words, errors } of cards) {
    const here = groups.every((select) => card.dataset[select.name] === select.value);
    card.hidden = !(here && words.includes(text) && errors.some(fits));
    shown += !card.hidden;
  }
  document.getElementById("shown").value = `${shown} of ${cards.length} sentences`;
}
form.addEventListener("input", update);
form.addEventListener("reset", () => setTimeout(update));
form.addEventListener("submit", (event) => event.preventDefault());
form.hidden = false;
update();
"""
MARK_STYLE = r"""
mark { color: inherit; background: none; border-radius: 4px; padding: .1rem .3rem; border: 1px solid var(--soft);
  box-decoration-break: clone; -webkit-box-decoration-break: clone; }
mark::after { content: "\a0" attr(data-type); font-size: .7em; font-weight: 700; color: var(--soft); }
mark.right { border-color: var(--good); } mark.right::after { color: var(--good); }
mark.wrong { border: 2px dashed var(--error); } mark.wrong::after { color: var(--error); }
mark.stray { border: 2px dotted var(--soft); }
"""
CARD_STYLE = """
#filters { position: sticky; top: 0; z-index: 1; background: var(--paper); padding: .6rem 0; border-bottom: 1px solid var(--line);
  align-items: center; }
#filters label { color: var(--soft); font-size: .9rem; }
#filters select, #filters input, #filters button { font: inherit; color: var(--ink); background: var(--card);
  border: 0; max-width: 11rem; }
#filters button { border: 1px solid var(--line); border-radius: 1rem; padding: .25rem .8rem; cursor: pointer; }
#filters select:focus, #filters input:focus { outline: 0; }
.sentence { display: grid; grid-template-columns: 10rem minmax(0, 1fr); gap: 0 1rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; margin: .8rem 0; }
.sentence.wordsonly { grid-template-columns: minmax(0, 1fr); }
.sentence img { display: block; max-width: 100%; height: auto; border-radius: 4px; }
.sentence p { margin: 0 0 .3rem; overflow-wrap: anywhere; }
.lines { display: grid; grid-template-columns: 5.5rem minmax(0, 1fr); margin: 0; line-height: 1.9; }
.lines dt { color: var(--soft); font-size: .9rem; } .lines dd { margin: 0; overflow-wrap: anywhere; }
.errors { list-style: none; margin: .4rem 0 0; padding: 0; font-size: .9rem; }
.errors li { padding: .1rem 0; overflow-wrap: anywhere; } .errors b { color: var(--error); font-weight: 600; }
@media (max-width: 40rem) { .sentence { grid-template-columns: minmax(0, 1fr); } .lines { grid-template-columns: 1fr; }
  .sentence img { margin-bottom: .5rem; } #filters { position: static; } }
"""


@dataclass(frozen=True)
class Thumbnail:
    """A small WebP as data URI with its size, or no `uri`; `note` says what is wrong with the picture, or nothing."""

    uri: str
    width: int
    height: int
    note: str = ""


@dataclass(frozen=True)
class Card:
    """A sentence to be shown, with its picture; `None` where no pictures are wanted or the data set has none."""

    sentence: Sentence
    picture: Thumbnail | None


def make_thumbnail(cell: Any, status: str | None, side: int) -> Thumbnail:
    """Draw a picture small; one that is missing or broken is named instead.

    Args:
        cell: the undecoded picture of the data set.
        status: its `image_status`, if the data set tells.
        side: of the longer side, in pixels.
    """
    loaded = load_image(cell)
    if loaded.image is None:
        if cell is None and status in STATUSES_WITH_IMAGE:
            return Thumbnail("", 0, 0, "not in this copy of the data set")
        reason = "" if loaded.status == "missing" else f" ({ADDRESS.sub('', loaded.reason)})"
        return Thumbnail("", 0, 0, status if cell is None and status else f"{loaded.status}{reason}")
    image = loaded.image
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    content = BytesIO()
    image.save(content, "WEBP", quality=QUALITY)
    uri = f"data:image/webp;base64,{b64encode(content.getvalue()).decode()}"
    return Thumbnail(uri, *image.size, "stand-in for a picture that was not found" if status == "default" else "")


def sentences_section(content: Mapping[str, Any], cards: Sequence[Card], suspects: Sequence[Suspect]) -> str:
    """The filters and the sentences, with what was left out; arguments as those of the page."""
    page = content["page"]
    if not content["sentences_with_errors"]:
        return "<p>There are none.</p>"
    note = f"All {len(cards):,} sentences with errors are here."
    if page["sentences_left_out"]:
        note = (
            f"{len(cards):,} of {content['sentences_with_errors']:,} sentences with errors are here, at equal distances in "
            f"the test split; {page['sentences_left_out']:,} are left out (<code>--limit</code>)."
        )
    without = sum(card.picture is not None and not card.picture.uri for card in cards)
    if without:
        have, say = ("has", "says") if without == 1 else ("have", "say")
        note += f" {without:,} of them {have} no picture that can be shown, and {say} why."
    if any(card.picture and card.picture.uri for card in cards):
        note += f" {LICENCES}"
    note += f" {mark_entity('Solid', 'TYPE', 'right')}: right. {mark_entity('Dashed', 'TYPE', 'wrong')}: in error."
    if any(card.sentence.strays for card in cards):
        note += (
            f" {mark_entity('Dotted', 'TYPE', 'stray')}: predicted to begin with I-, which strict counting ignores."
        )
    known = {suspect.text: suspect for suspect in suspects}
    body = "".join(_card(card, known) for card in cards)
    hint = '<noscript><p class="soft">The filters need JavaScript; everything is shown.</p></noscript>'
    return f'<p class="soft">{note}</p>{hint}{_filters(cards, content)}<main>{body}</main>'


def mark_entity(text: str, kind: str, style: str = "") -> str:
    """A marked entity as HTML; its type is shown by `MARK_STYLE`, so that a search finds the words.

    Args:
        text, kind: its words and its type.
        style: `"right"`, `"wrong"`, `"stray"`, or none of them.
    """
    named = f' class="{style}"' if style else ""
    return f'<mark{named} data-type="{text_of(kind)}">{text_of(text)}</mark>'


def _filters(cards: Sequence[Card], content: Mapping[str, Any]) -> str:
    found = {pair.kind for card in cards for pair in card.sentence.errors}
    kinds = [(kind, kind.replace("_", " ")) for kind in KINDS if kind in found]
    types = [(kind, kind) for kind in content["confusion"] if kind != OUTSIDE]
    fields = [_select("kind", "kind of error", kinds), _select("type", "type", types)]
    for column in cards[0].sentence.groups if cards else ():
        values = sorted({card.sentence.groups[column] for card in cards})
        if len(values) > 1:
            fields.append(_select(column, GROUP_NAMES[column], [(value, value) for value in values], "group"))
    fields.append(_select("suspect", "label noise", [("yes", "suspects"), ("no", "others")]))
    fields.append('<label>words <input name="text" type="search" size="12"></label>')
    end = '<button type="reset">show all</button> <output id="shown" class="soft"></output>'
    return f'<form id="filters" class="filter" hidden>{"".join(fields)}{end}</form>'


def _select(name: str, label: str, values: Iterable[tuple[str, str]], style: str = "") -> str:
    options = "".join(f'<option value="{escape(value)}">{text_of(text)}</option>' for value, text in values)
    named = f' class="{style}"' if style else ""
    return f'<label>{label} <select name="{name}"{named}><option value="">all</option>{options}</select></label>'


def _card(card: Card, known: Mapping[str, Suspect]) -> str:
    sentence = card.sentence
    data = "".join(f' data-{column}="{escape(value)}"' for column, value in sentence.groups.items())
    facts = [value for column, value in sentence.groups.items() if column != "image_status"]
    seen = card.picture is not None and card.picture.uri
    if card.picture and card.picture.note:
        facts.append(card.picture.note if seen else f"no picture: {card.picture.note}")
    facts = "".join(f" · {text_of(fact)}" for fact in facts)
    style = "sentence" if seen else "sentence wordsonly"
    gold = _marked(sentence, {pair.gold: _style(pair) for pair in sentence.pairs if pair.gold})
    found = {pair.predicted: _style(pair) for pair in sentence.pairs if pair.predicted}
    predicted = _marked(sentence, found | dict.fromkeys(sentence.strays, "stray"))
    errors = "".join(_error(sentence, pair, known) for pair in sentence.errors)
    return f"""<article class="{style}"{data}>
{_picture(card)}<div>
<p class="soft"><span class="mono id">{text_of(sentence.id)}</span>{facts}</p>
<dl class="lines"><dt>gold</dt><dd class="gold"><bdi>{gold}</bdi></dd><dt>predicted</dt><dd><bdi>{predicted}</bdi></dd></dl>
<ul class="errors">{errors}</ul>
</div>
</article>
"""


def _picture(card: Card) -> str:
    picture = card.picture
    if picture is None or not picture.uri:
        return ""
    name = escape(f"Picture of {visible(card.sentence.id)}")
    return f'<img src="{picture.uri}" width="{picture.width}" height="{picture.height}" alt="{name}">'


def _style(pair: Pair) -> str:
    return "right" if pair.kind == RIGHT else "wrong"


def _marked(sentence: Sentence, styles: Mapping[Span, str]) -> str:
    """The sentence with these entities marked."""
    parts, end = [], 0
    for kind, start, stop in sorted(styles, key=lambda span: span[1]):
        parts += map(text_of, sentence.words[end:start])
        parts.append(mark_entity(" ".join(sentence.words[start:stop]), kind, styles[kind, start, stop]))
        end = stop
    return " ".join([*parts, *map(text_of, sentence.words[end:])])


def _error(sentence: Sentence, pair: Pair, known: Mapping[str, Suspect]) -> str:
    suspect = known.get(sentence.text(pair.gold)) if pair.gold else None
    texts = [f"<bdi>{text_of(sentence.text(span))}</bdi>" for span in (pair.gold, pair.predicted) if span]
    types = [text_of(span[0]) for span in (pair.gold, pair.predicted) if span]
    if len(set(texts)) == 1:
        what = f"{texts[0]}: {' → '.join(types)}"
    else:
        what = " → ".join(f"{text} {kind}" for text, kind in zip(texts, types, strict=True))
    counts = suspect.counts() if suspect else {}
    totals = ", ".join(f"{text_of(kind)} {sum(splits.values()):,}" for kind, splits in counts.items())
    note = f' <span class="soft">in train and test: {totals}</span>' if totals else ""
    data = (
        f'data-kind="{pair.kind}" data-gold="{escape(pair.gold_type)}" data-predicted="{escape(pair.predicted_type)}"'
    )
    return f'<li {data} data-suspect="{"yes" if suspect else "no"}"><b>{label_of(pair.kind)}</b> {what}{note}</li>'
