from __future__ import annotations

import ast

import pytest

from reports_2mner.markdown import code, plain, quoted


@pytest.mark.parametrize("name", ["2m-ner", "my_run_2", "bert.base-v1", "Straße 4", "日本"])
def test_a_harmless_name_stays(name):
    assert plain(name) == code(name) == quoted(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<b>", r"\<b\>"),
        ("[a](b)", r"\[a\](b)"),
        ("_a_ *b*", r"\_a\_ \*b\*"),
        ("a\n# b", "a # b"),
        ("&lt; & b", r"\&lt; & b"),
        ("a|b`c`", r"a\|b\`c\`"),
    ],
)
def test_markup_is_escaped(name, shown):
    assert plain(name) == shown


def test_code_stays_between_its_backticks():
    assert code("a`b\n`") == "a'b '"


@pytest.mark.parametrize("name", ['a"b', "a\\", "a\nb", '"""'])
def test_a_quoted_name_is_that_name_in_python(name):
    assert ast.literal_eval(f'"{quoted(name)}"') == name
