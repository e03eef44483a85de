from collections import Counter

from dataset_scripts.audit.findings import (
    CHECKS,
    SEVERITIES,
    Finding,
    FindingExample,
    first_examples,
    in_order,
    worst_first,
)


def test_every_check_is_described_and_has_a_known_severity():
    assert {check.severity for check in CHECKS.values()} == set(SEVERITIES)
    assert all(check.unit and check.title and check.advice.endswith(".") for check in CHECKS.values())


def test_what_the_command_fails_on_stays_an_error():
    errors = {name for name, check in CHECKS.items() if check.severity == "error"}
    leaks = {"leaked_picture_ids", "leaked_picture_bytes", "leaked_texts", "ids_in_several_splits"}
    assert errors >= leaks | {"held_out_in_their_train", "their_held_out_in_train", "unsafe_ids", "iob2_faults"}


def test_a_finding_says_how_much_of_what_it_is():
    finding = Finding("invisible_words", 1200, 34567)
    assert finding.severity == "warning"
    assert finding.title == "1,200 of 34,567 words consist only of invisible characters."
    assert finding.advice == CHECKS["invisible_words"].advice


def test_worst_findings_come_first_and_equal_ones_in_the_order_of_the_table():
    names = ["overlap", "placeholders", "picture_status", "iob2_faults", "label_conflicts", "missing_ids"]
    ordered = [finding.name for finding in worst_first(Finding(name, 1, 2) for name in names)]
    assert ordered == ["missing_ids", "iob2_faults", "label_conflicts", "placeholders", "picture_status", "overlap"]


def test_reports_show_five_examples():
    assert [example.text for example in first_examples(FindingExample((), str(n)) for n in range(9))] == list("01234")


def test_counts_are_in_an_order_that_does_not_depend_on_the_rows():
    assert list(in_order(Counter("bbacca")).items()) == [("a", 2), ("b", 2), ("c", 2)]
    assert list(in_order(Counter("bbac"))) == ["b", "a", "c"]
