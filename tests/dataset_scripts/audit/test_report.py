import json

import pytest

from dataset_scripts.audit.findings import CHECKS, Finding, FindingExample
from dataset_scripts.audit.report import flatten, make_report, report_to_json, report_to_text, shorten, spell
from dataset_scripts.audit.rows import AuditRow
from dataset_scripts.mini.generator import write_mini

ROW = AuditRow("en/1", "1", "en", "train", ("Rome",), ("B-LOC",))
ESCAPE = "\x1b[2J\u202e"
MORE = tuple(FindingExample((str(number),), "more") for number in range(4))
RESULTS = [
    Finding("odd_ids", 3, 9, (FindingExample((ESCAPE,), f"é {ESCAPE}"), *MORE), {"kinds": {"dots": 3}}),
    Finding("iob2_faults", 0, 9),
    Finding("leaked_texts", 1, 2, (), {"configurations": {f"c{n}": {"test": {"rows": 2000}} for n in range(10)}}),
    Finding("similar_pictures", 0, 0),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "mini"
    write_mini(folder, 19, sizes=(16, 16, 16))
    return make_report(folder, [ROW], {"similarity": 0.8}, RESULTS)


def test_results_are_findings_or_passed_or_skipped(report):
    assert [finding.name for finding in report.findings] == ["leaked_texts", "odd_ids"]
    assert [finding.name for finding in report.passed] == ["iob2_faults"]
    assert report.skipped["similar_pictures"] == "nothing to check"
    assert report.skipped["overlap"] == "not requested"
    assert len(report.skipped) == len(CHECKS) - 3
    assert report.by_severity() == {"error": 1, "warning": 0, "info": 1}


def test_the_fingerprint_is_the_one_in_the_card(report, tmp_path):
    write_mini(tmp_path / "mini", 19, sizes=(16, 16, 16))
    assert f"Files {report.fingerprint}" in (tmp_path / "mini" / "README.md").read_text(encoding="utf-8")


def test_json_holds_everything(report):
    content = json.loads(report_to_json(report))
    assert (content["schema_version"], content["dataset"]) == (1, "mini")
    assert content["counts"] == {"en": {"train": {"rows": 1, "words": 1, "entities": 1}}}
    assert content["severities"] == {"error": 1, "warning": 0, "info": 1}
    finding = content["findings"][1]
    assert (finding["name"], finding["severity"], finding["unit"]) == ("odd_ids", "info", "picture ids")
    assert (finding["count"], finding["total"], finding["details"]) == (3, 9, {"kinds": {"dots": 3}})
    assert len(finding["examples"]) == 5 and finding["examples"][0] == {"rows": [ESCAPE], "text": f"é {ESCAPE}"}
    assert content["passed"][0]["name"] == "iob2_faults"
    assert "é" in report_to_json(report) and report_to_json(report).endswith("}\n")


def test_text_names_the_worst_first_and_steers_no_terminal(report):
    text = report_to_text(report)
    assert text.index("ERROR leaked_texts: 1 of 2 held-out rows") < text.index("INFO odd_ids")
    assert "error: 1, warning: 0, info: 1; 1 checks found nothing." in text
    assert "e.g. <U+001B>[2J<U+202E>: é <U+001B>[2J<U+202E>" in text
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "configurations c7 test: rows 2,000" in text and "c8 test" not in text
    assert "... 2 more lines" in text and text.count("more lines") == 1
    assert text.count("e.g. ") == 3
    assert "Nothing to check: similar_pictures." in text and "held_out_in_their_train" in text


def test_nested_counts_become_lines():
    table = {"a": 1, "b": {"c": {"d": 2, "e": 3}, "f": 4}}
    assert list(flatten(table)) == [("", {"a": 1}), ("b", {"f": 4}), ("b c", {"d": 2, "e": 3})]


def test_values_are_spelled_for_people():
    assert [spell(12345), spell(0.25), spell("a\n")] == ["12,345", "0.25", "a<U+000A>"]
    assert [shorten("abcdef", 6), shorten("abcdefg", 6)] == ["abcdef", "abc..."]
