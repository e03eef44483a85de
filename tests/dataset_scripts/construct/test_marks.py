from __future__ import annotations

import pytest

from dataset_scripts.construct.marks import MarkedText, from_blanks, from_tags, to_blanks, to_tags

TEXT = "RT @ana: New York, or #Rome? 🎉"
MARKED = MarkedText(TEXT, ((9, 17), (23, 27)), ((0, 2), (3, 7), (22, 27), (29, 30)))


def strings(translation):
    return [[translation.text[start:end] for start, end in parts] for parts in translation.places]


@pytest.mark.parametrize(("to", "back"), [(to_tags, from_tags), (to_blanks, from_blanks)])
def test_what_comes_back_unchanged_is_the_sentence_itself(to, back):
    assert "ana" not in to(MARKED) and "#Rome" not in to(MARKED)
    translation = back(to(MARKED), MARKED)
    assert translation.text == TEXT and strings(translation) == [["New York"], ["Rome"]] and not translation.flags


def test_tags_have_a_letter_for_each_entity():
    assert to_tags(MARKED) == "Qz0x Qz1x: <a>New York</a>, or Qz2x? Qz3x"


def test_blanks_escape_what_has_a_meaning_in_the_stream():
    marked = MarkedText("a [b] {c} ^d$ e/f \\ @g <h>", ((2, 5),))
    assert to_blanks(marked) == r"a [[t:b:e0]]\[b\][[/]] \{c\} \^d\$ e\/f \\ \@g \<h\>"
    assert from_blanks(to_blanks(marked), marked).text == marked.text


TWO = MarkedText("Ana saw Rome", ((0, 3), (8, 12)))


@pytest.mark.parametrize(
    ("output", "text", "found"),
    [
        ("<a>Ana</a> vio <b>Roma</b>", "Ana vio Roma", [["Ana"], ["Roma"]]),
        ("< B >Roma< / B > vio <A>Ana</a>", "Roma vio Ana", [["Ana"], ["Roma"]]),  # swapped, other case, blanks
        ("Ana vio <b>Roma</b>", "Ana vio Roma", [[], ["Roma"]]),  # dropped
        ("<a>Ana vio <b>Roma</b></a>", "Ana vio Roma", [["Ana vio Roma"], ["Roma"]]),  # nested
        ("<a>Ana</a> vio <a>Ana</a>", "Ana vio Ana", [["Ana", "Ana"], []]),  # doubled
        ("<a></a>Ana vio <b> </b>Roma", "Ana vio  Roma", [[], []]),  # empty
        ("<a>Ana</a> vio <b>Roma", "Ana vio Roma", [["Ana"], ["Roma"]]),  # not closed
        ("Ana</a> <z>vio</z> Roma</b>", "Ana vio Roma", [[], []]),  # not opened, unknown
        ("", "", [[], []]),
    ],
)
def test_spoilt_tags_never_harm_the_words(output, text, found):
    translation = from_tags(output, TWO)
    assert translation.text == text and strings(translation) == found


def test_parts_that_only_blanks_divide_are_one():
    translation = from_blanks("[[t:b:e0]]Nueva[[/]]  [[t:b:e0; t:b:e0]]York[[/]] y [[t:b:e0]]Más[[/]][]", TWO)
    assert translation.text == "Nueva  York y Más" and strings(translation) == [["Nueva  York", "Más"], []]


def test_protected_text_that_is_lost_is_put_at_the_end_and_flagged():
    marked = MarkedText("Ana @x @y", ((4, 6),), ((4, 6), (7, 9)))
    translation = from_tags("Ana qz 1 x", marked)
    assert translation.text == "Ana @y @x" and translation.flags == ("protected text lost",)
    assert strings(translation) == [["@x"]]


def test_protected_text_that_comes_twice_stands_once():
    marked = MarkedText("@x", (), ((0, 2),))
    assert from_blanks("[[t:b:p0]]Qz0x[[/]] [[t:b:p0]]Qz0x[[/]]", marked).text.strip() == "@x"


def test_an_entity_may_begin_inside_protected_text_and_end_behind_it():
    marked = MarkedText("#Rio 2016", ((1, 9),), ((0, 4),))
    assert strings(from_blanks("[[t:b:p0; t:b:e0]]Qz0x[[/]] [[t:b:e0]]2016[[/]]", marked)) == [["Rio 2016"]]


def test_protected_text_stands_apart_from_the_word_before_it():
    marked = MarkedText("hi🎉", (), ((2, 3),))
    assert to_blanks(marked) == "hi [[t:b:p0]]Qz0x[[/]]"
