import re
from html.parser import HTMLParser

from dataset_scripts.audit.findings import Finding, FindingExample
from dataset_scripts.audit.page import report_to_html
from dataset_scripts.audit.report import AuditReport

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\u202e"


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.names, self.attributes, self.text = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text.append(data)


def make_page(*findings, dataset="set", settings=None):
    counts = {"en": {"train": {"rows": 1234, "words": 5, "entities": 6}}}
    passed, skipped = [Finding("iob2_faults", 0, 3)], {"overlap": "not requested"}
    return report_to_html(AuditReport(dataset, "0123abcd", counts, settings or {}, list(findings), passed, skipped))


def read(page):
    elements = Elements()
    elements.feed(page)
    return elements


def test_hostile_words_names_and_keys_are_text():
    details = {"tags": {HOSTILE: 3}, HOSTILE: HOSTILE, "more": {HOSTILE: {HOSTILE: {HOSTILE: HOSTILE}}}}
    finding = Finding("unknown_tags", 1, 2, (FindingExample((HOSTILE, "en/2"), HOSTILE),), details)
    elements = read(make_page(finding, dataset=HOSTILE, settings={"against": HOSTILE}))
    clean = read(
        make_page(
            Finding(
                "unknown_tags", 1, 2, (FindingExample(("1",), "a"),), {"tags": {"b": {"c": 3}, "d": {"c": 1}}, "e": 1}
            )
        )
    )
    assert elements.names <= clean.names and "script" not in elements.names
    assert elements.attributes <= clean.attributes
    assert "".join(elements.text).count("<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;<U+202E>") >= 9


def test_nothing_is_loaded_and_no_script_may_run():
    page = make_page(Finding("iob2_faults", 1, 2))
    assert "default-src 'none'" in re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace(
        "&#x27;", "'"
    )
    assert not {"script", "link", "img", "iframe", "base"} & read(page).names
    assert not re.search(r"https?:|url\(|@import|\ssrc=|\shref=", page)


def test_severities_can_be_hidden_and_only_those_found():
    page = make_page(Finding("iob2_faults", 1, 2), Finding("odd_ids", 1, 2), Finding("long_rows", 1, 2))
    assert 'id="show-error" checked> error (1)' in page and 'id="show-info" checked> info (2)' in page
    assert 'id="show-warning"' not in page
    assert "body:has(#show-info:not(:checked)) .finding.info { display: none; }" in page
    assert page.count('<section class="finding info">') == 2


def test_the_page_tells_findings_counts_and_what_did_not_look():
    example = FindingExample(("en/1", "en/2"), "x" * 600)
    details = {
        "similarity": 0.8,
        "kinds": {"dots_inside": 1625},
        "none": {},
        "splits": {"en": {"train": 7}, "de": {"test": 8}},
    }
    page = make_page(Finding("leaked_similar_texts", 46, 4996, (example,), details))
    text = " ".join(read(page).text)
    for part in (
        "46 of 4,996 held-out rows",
        "similarity: 0.8",
        "dots inside",
        "1,625",
        "en/1 ~ en/2",
        "1,234",
        "0123abcd",
    ):
        assert part in text
    assert "<caption>kinds</caption>" in page and "<caption>none</caption>" not in page
    assert "x" * 497 + "..." in text and "x" * 498 not in text
    assert "Findings: 1 of severity warning. 1 more checks found nothing." in text
    assert "iob2_faults" in text and "overlap" in text and "not requested" in text


def test_long_tables_are_cut():
    kinds = {f"kind {n:03}": n for n in range(100)}
    page = make_page(Finding("unknown_tags", 1, 2, (), {"tags": kinds}))
    assert "kind 059" in page and "kind 060" not in page
    nested = {name: {"count": n} for name, n in kinds.items()}
    page = make_page(Finding("unknown_tags", 1, 2, (), {"tags": nested}))
    assert "kind 059" in page and "kind 060" not in page


def test_a_clean_data_set_has_a_page_too():
    assert "1 checks found nothing." in make_page()
