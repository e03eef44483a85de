from dataset_scripts.audit.rows import AuditRow
from dataset_scripts.audit.structure import check_structure


def row(name, words="a b", tags=("O", "O"), **changes):
    words = words.split(" ") if isinstance(words, str) else words
    return AuditRow(
        **{"id": name, "image_id": name, "lang": "en", "split": "train", **changes}, tokens=tuple(words), tags=tags
    )


GOOD = row("good", "Ann Lee in Rome", ("B-PER", "I-PER", "O", "B-LOC"))


def find(name, *rows, max_words=10):
    (finding,) = [finding for finding in check_structure([GOOD, *rows], max_words) if finding.name == name]
    return finding


def culprits(finding):
    return [example.rows[0] for example in finding.examples]


def test_sound_rows_have_no_finding():
    rows = [GOOD, row("other", "x", ("O",))]
    assert [finding.count for finding in check_structure(rows, 4)] == [0] * 9


def test_rows_without_a_name_are_found():
    finding = find("missing_ids", row("", image_id="1"), row("2", image_id=""), row("3"))
    assert (finding.count, finding.total, culprits(finding)) == (2, 4, ["", "2"])
    assert finding.examples[0].text == "en train: a b"


def test_a_second_row_with_a_name_is_found_and_the_first_is_not():
    finding = find("repeated_row_ids", row("1", "a b"), row("1", "c d"), row("1", "e f"), row(""), row(""))
    assert (finding.count, finding.total) == (2, 6)
    assert [example.text for example in finding.examples] == ["c d", "e f"]


def test_rows_without_words_are_found():
    finding = find("rows_without_words", row("1", (), ()), row("2"))
    assert (finding.count, finding.total, culprits(finding)) == (1, 3, ["1"])


def test_rows_with_more_or_fewer_tags_are_found():
    finding = find("tag_counts", row("1", tags=("O",)), row("2", tags=("O",) * 3), row("3"))
    assert (finding.count, culprits(finding)) == (2, ["1", "2"])
    assert finding.examples[0].text == "2 words, 1 tags"


def test_tags_that_are_no_labels_are_found_and_counted():
    finding = find("unknown_tags", row("1", tags=("<9>", "<9>")), row("2", tags=("O", "<-1>")), row("3"))
    assert (finding.count, finding.total, culprits(finding)) == (2, 4, ["1", "2"])
    assert finding.details == {"tags": {"<9>": 2, "<-1>": 1}}


def test_an_inside_tag_without_a_beginning_is_found_once_a_row():
    rows = [row("1", tags=("I-PER", "O")), row("2", tags=("B-PER", "I-LOC")), row("3", tags=("B-PER", "I-PER"))]
    finding = find("iob2_faults", *rows, row("4", "a", ("O", "I-ORG")))
    assert (finding.count, culprits(finding)) == (3, ["1", "2", "4"])
    assert finding.examples[1].text == "tag 1: I-LOC of 'b'"


def test_empty_words_are_counted_as_words():
    finding = find("empty_words", row("1", ("", "")), row("2", ("a", "")), row("3"))
    assert (finding.count, finding.total, finding.details) == (3, 10, {"rows": 2})


def test_blanks_of_every_kind_inside_a_word_are_found():
    finding = find("blank_words", row("1", ("a b", "c")), row("2", ("\u00a0", "x\u2028")), row("3", ("\u200b", "-")))
    assert (finding.count, finding.details["rows"], culprits(finding)) == (3, 2, ["1", "2", "2"])


def test_rows_are_long_above_the_limit():
    finding = find("long_rows", row("1", ["x"] * 5), row("2", ["x"] * 6), max_words=5)
    assert (finding.count, culprits(finding)) == (1, ["2"])
    assert finding.details == {"more_than": 5, "longest": 6}
