from __future__ import annotations

import re
from html import unescape

import pytest

from demo import highlight

TEXT = "<b>Köln</b> & São\nPaulo 👩‍👩‍👧!"
KOELN = {"entity_group": "LOC", "score": 0.9876, "word": "Köln", "start": 3, "end": 7}
PAULO = {"entity_group": "PER", "score": 0.5, "word": "São\nPaulo", "start": 14, "end": 23}
COLOURS = [colour for _, colour in highlight.TYPES.values()] + [
    *highlight.MORE_COLOURS,
    highlight.UNKNOWN_COLOUR,
]
OTHER = {**KOELN, "entity_group": "<x>"}


def luminance(colour: str) -> float:
    """Of a colour `#rrggbb`, as WCAG defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def without_tags(html: str) -> str:
    return unescape(re.sub("<[^>]*>", "", html))


@pytest.mark.parametrize("colour", COLOURS)
def test_white_text_is_readable_on_each_colour(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5


def test_each_type_has_a_colour_of_its_own():
    assert len(set(COLOURS)) == len(COLOURS)


def test_other_types_get_colours_in_the_order_of_the_model():
    kinds = ["PER", "PROD", "SPECIES"]
    found = [highlight.type_style({"entity_group": kind}, kinds) for kind in kinds]
    assert found[0] == highlight.TYPES["PER"]
    assert found[1:] == [("PROD", highlight.MORE_COLOURS[0]), ("SPECIES", highlight.MORE_COLOURS[1])]
    assert highlight.type_style({"entity_group": "GPE"}, kinds) == ("GPE", highlight.UNKNOWN_COLOUR)


@pytest.mark.parametrize("entities", [[], [KOELN], [KOELN, PAULO], [OTHER]])
def test_marking_keeps_the_text(entities):
    html = highlight.mark(TEXT, entities)
    assert without_tags(re.sub("<small>.*?</small>", "", html)) == TEXT
    marked = re.findall('<mark style="background: (#[0-9a-f]{6})">(.*?)<small> (.*?)</small></mark>', html, re.DOTALL)
    expected = [
        (colour, entity["word"], name) for entity in entities for name, colour in [highlight.type_style(entity)]
    ]
    assert [tuple(map(unescape, found)) for found in marked] == expected


def test_what_a_visitor_wrote_never_becomes_html():
    html = highlight.show("With the picture", TEXT, [{**OTHER, "word": "<i>"}])
    assert not set(re.findall(r"<(\w+)", html)) - {
        "h3",
        "p",
        "mark",
        "small",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }


def test_table_has_a_row_for_each_entity():
    rows = re.findall("<tr>(.*?)</tr>", highlight.table([KOELN, PAULO]), re.DOTALL)
    cells = [re.findall("<t[hd]>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    assert cells == [["Name", "Type", "Score"], ["Köln", "place", "98.8%"], ["São\nPaulo", "person", "50.0%"]]
    assert "No names" in highlight.table([])


def test_choices_name_the_entities():
    assert highlight.choices([KOELN, OTHER]) == [("Köln (place)", 0), ("Köln (<x>)", 1)]


@pytest.mark.parametrize(
    ("entities", "alone", "place"),
    [
        ([], [], None),
        ([], [KOELN], None),
        ([KOELN, PAULO], [KOELN, PAULO], 0),
        ([KOELN, PAULO], [KOELN], 1),
        ([KOELN, PAULO], [KOELN, {**PAULO, "entity_group": "LOC"}], 1),
        ([KOELN, PAULO], [], 0),
    ],
)
def test_the_entity_that_the_picture_changed_is_shown_first(entities, alone, place):
    assert highlight.most_telling(entities, alone) == place


def test_words_of_an_entity_are_found_by_their_characters():
    offsets = [(0, 1), (1, 2), (2, 3), (3, 7), (7, 8), (14, 17), (18, 23), (24, 29)]
    assert highlight.words_of(KOELN, offsets) == [3]
    assert highlight.words_of(PAULO, offsets) == [5, 6]


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [
        ("missing", "no picture given", "no picture"),
        ("unreadable", "UnidentifiedImageError: {0}", "could not be opened"),
        ("degenerate", "3 x 3 pixels", "too narrow to show anything (3 x 3 pixels)"),
    ],
)
def test_a_picture_that_is_not_used_is_explained(status, reason, text):
    said = highlight.explain(status, reason, [KOELN], [KOELN], looks=True)
    assert text in said and "only the words were read" in said and "Error" not in said


def test_what_the_picture_changed_is_said():
    assert highlight.explain("ok", "", [KOELN], [{**KOELN, "score": 0.1}], looks=True) == highlight.SAME
    assert highlight.explain("ok", "", [KOELN], [PAULO], looks=True) == highlight.DIFFERENT
    assert highlight.explain("ok", "", [KOELN], [KOELN], looks=False) == highlight.UNUSED
