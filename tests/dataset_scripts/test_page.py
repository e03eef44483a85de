import re

from dataset_scripts.page import POLICY, html_page, html_row, html_table, label_of, percent, text_of

HOSTILE = "<script>alert(1)</script>\"'\u202e"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&lt;U+202E&gt;"


def test_a_page_has_its_title_styles_and_policy():
    page = html_page(HOSTILE, "<p>body</p>", ".more { color: red; }", "img-src data:")
    assert page.count(SAFE) == 2 and "<script" not in page and "<p>body</p>" in page
    assert page.index("--paper") < page.index(".more") < page.index("</style>")
    policy = re.search('Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#x27;", "'")
    assert policy == f"{POLICY}; img-src data:" and "img-src" not in html_page("", "")


def test_a_table_has_its_groups_and_escapes_all_but_cells():
    groups = {"": [html_row(HOSTILE, ["<b>1</b>"])], HOSTILE: [html_row("b", ["2"])]}
    table = html_table(["", HOSTILE], groups, HOSTILE, "matrix")
    assert table.count(SAFE) == 4 and "<script" not in table and '<td class="number"><b>1</b></td>' in table
    assert table.count("<tbody>") == 2 and f'<th scope="rowgroup" class="soft" colspan="2">{SAFE}</th>' in table
    assert '<table class="matrix"><caption>' in table and "<thead><tr><td></td><th" in table
    assert '<thead><tr><th scope="col">a</th>' in html_table(["a"], {})


def test_a_table_may_have_no_head():
    table = html_table((), {"": [html_row("a", ["1"])]})
    assert "<thead" not in table and "<caption" not in table and "<table><tbody>" in table


def test_texts_are_spelled_for_people():
    assert text_of("a\u200b<b>") == "a&lt;U+200B&gt;&lt;b&gt;"
    assert label_of("wrong_type") == "wrong type" and percent(0.1234) == "12.34"
