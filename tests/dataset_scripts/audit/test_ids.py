import pytest

from dataset_scripts.audit.ids import check_ids
from dataset_scripts.audit.rows import AuditRow


def find(name, *image_ids):
    rows = [
        AuditRow(f"row {place}", image_id, "en", "train", ("a",), ("O",)) for place, image_id in enumerate(image_ids)
    ]
    (finding,) = [finding for finding in check_ids(rows) if finding.name == name]
    return finding


def test_ids_are_counted_once_however_many_rows_have_them():
    finding = find("odd_ids", "a?b", "a?b", "O_1", "")
    assert (finding.count, finding.total) == (1, 2)
    assert [example.rows for example in finding.examples] == [("row 0",)] * 3


def test_ids_that_would_leave_a_folder_are_unsafe():
    finding = find("unsafe_ids", "../a", "a/b", "a\\b", "C:a", "a\0b", "x" * 252, "x" * 251, "..", "O_1")
    assert (finding.count, finding.total) == (6, 9)
    assert finding.details["kinds"] == {
        "a NUL character": 1,
        "a drive letter": 1,
        "a path separator": 3,
        "more than 255 bytes with .jpg": 1,
    }
    assert finding.examples[0].text == "../a: a path separator"


@pytest.mark.parametrize(
    ("image_id", "kinds"),
    [
        ("O_1-a", []),
        ("a+b", ["outside_plain_ascii"]),
        ("é", ["outside_plain_ascii"]),
        ("a:b", ["outside_plain_ascii", "illegal_on_windows"]),
        ("a|b", ["outside_plain_ascii", "illegal_on_windows"]),
        ("a\x01", ["outside_plain_ascii", "illegal_on_windows"]),
        ("NUL", ["illegal_on_windows"]),
        ("com1.x", ["illegal_on_windows", "dots"]),
        ("console", []),
        ("a*", ["outside_plain_ascii", "illegal_on_windows", "glob_characters"]),
        ("[a", ["outside_plain_ascii", "glob_characters"]),
        ("a]", ["outside_plain_ascii", "glob_characters"]),
        ("a%2fb", ["outside_plain_ascii", "percent_escapes"]),
        ("100%", ["outside_plain_ascii"]),
        ("a.b", ["dots"]),
        ("a.", ["dots", "dot_at_end"]),
        ("06959512---", ["empty_stem"]),
        ("07820715-----", ["empty_stem"]),
        ("06959512---a", []),
        ("6959512---", []),
    ],
)
def test_every_kind_of_odd_id_is_told(image_id, kinds):
    finding = find("odd_ids", image_id)
    assert [kind for kind, count in finding.details["kinds"].items() if count] == kinds
    assert finding.count == bool(kinds)
    assert [example.text for example in finding.examples] == [f"{kind}: {image_id}" for kind in kinds]


def test_names_that_are_one_file_on_other_systems_are_found():
    finding = find("ids_equal_but_for_case", "Abc", "abc", "ABC", "abd", "abc")
    assert (finding.count, finding.total, finding.details) == (3, 4, {"groups": 1})
    assert finding.examples[0].rows == ("row 0", "row 1", "row 2")
    assert finding.examples[0].text == "Abc, abc, ABC"


def test_names_in_two_unicode_forms_are_found():
    finding = find("ids_equal_but_for_form", "caf\u00e9", "cafe\u0301", "cafe", "x")
    assert (finding.count, finding.total, finding.details) == (2, 4, {"groups": 1})
    assert find("ids_equal_but_for_form", "Abc", "abc").count == 0
