import re
from base64 import b64encode
from hashlib import sha256

import pytest
from jinja2 import DictLoader, UndefinedError
from markupsafe import Markup

from reports_2mner import html
from reports_2mner.html import TEMPLATES, label, percent, render, visible

HOSTILE = "<script>alert(1)</script>\"'\u202e"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&lt;U+202E&gt;"


@pytest.fixture
def filled(monkeypatch):
    """Fill a template that is not in the folder, but may use those that are."""
    environment = html._environment()

    def fill(text: str, /, **values) -> str:
        kept = {path.name: path.read_text(encoding="utf-8") for path in TEMPLATES.glob("*.jinja")}
        monkeypatch.setattr(environment, "loader", DictLoader({**kept, "test.html.jinja": text}))
        environment.cache.clear()
        return render("test.html.jinja", **values)

    yield fill
    environment.cache.clear()


def table(filled, *arguments) -> str:
    return filled('{% from "parts.html.jinja" import table %}{{ table(*arguments) }}', arguments=arguments)


def test_a_page_has_its_title_styles_and_policy(filled):
    text = (
        '{% extends "page.html.jinja" %}{% block title %}{{ title }}{% endblock %}{% block style %}.more{% endblock %}'
    )
    page = filled(text + "{% block allowed %}; img-src data:{% endblock %}", title=HOSTILE)
    assert page.count(SAFE) == 2 and "<script" not in page
    assert page.startswith("<!DOCTYPE html>") and page.endswith("</html>\n")
    assert page.index("--paper") < page.index(".more") < page.index("</style>")
    (policy,) = re.findall('Content-Security-Policy" content="([^"]*)"', page)
    assert policy.split("; ") == [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "base-uri 'none'",
        "form-action 'none'",
        "img-src data:",
    ]
    assert "img-src" not in filled(text, title="")


def test_what_a_template_prints_is_escaped_and_visible(filled):
    assert filled("{{ text }}|{{ [text, text]|join(' ') }}", text=HOSTILE) == f"{SAFE}|{SAFE} {SAFE}"
    assert filled('<b{{ {"class": text}|xmlattr }} id="{{ text }}">', text='"> x').count("&#34;&gt;") == 2
    assert filled("{{ markup }}{{ number }}", markup=Markup("<b>"), number=3) == "<b>3"


def test_a_value_that_is_not_given_is_an_error(filled):
    with pytest.raises(UndefinedError, match="missing"):
        filled("{{ missing }}")


def test_a_table_has_its_groups_and_escapes_all_but_markup(filled):
    groups = {"": [[HOSTILE, Markup("<b>1</b>")]], HOSTILE: [["b", HOSTILE]]}
    page = table(filled, ["", HOSTILE], groups, HOSTILE, "matrix")
    assert page.count(SAFE) == 5 and "<script" not in page and '<td class="number"><b>1</b></td>' in page
    assert page.count("<tbody>") == 2 and f'<th scope="rowgroup" class="soft" colspan="2">{SAFE}</th>' in page
    assert '<table class="matrix"><caption>' in page and re.search(r"<thead><tr><td></td>\s*<th", page)
    assert '<thead><tr><th scope="col">a</th>' in table(filled, ["a"], {})


def test_a_table_may_have_no_head(filled):
    page = table(filled, [], {"": [["a", "1"]]})
    assert "<thead" not in page and "<caption" not in page and "<table>" in page


def test_a_script_is_known_by_its_hash(filled):
    (source,) = TEMPLATES.glob("*.js")
    page = filled(f'{{{{ script_hash("{source.name}") }}}} {{{{ file("{source.name}") }}}}')
    head, text = page.split(" ", 1)
    assert text == source.read_text(encoding="utf-8")
    assert head == "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def test_the_templates_load_nothing_from_other_hosts():
    paths = list(TEMPLATES.iterdir())
    assert len(paths) >= 9 and {path.suffix for path in paths} == {".jinja", ".css", ".js"}
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?:|url\(|@import|<link|<iframe|\son\w+=|\|\s*safe|autoescape", text), path.name


def test_texts_are_spelled_for_people():
    assert visible("a\u200bé 😀") == "a<U+200B>é 😀" and visible("\ud83d\n") == "<U+D83D><U+000A>"
    assert label("wrong_type") == "wrong type" and percent(0.1234) == "12.34"
