import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_scripts.audit.rows import AuditRow, count_by_split, entity_strings, read_audit_rows
from dataset_scripts.parquet import write_dataset

ROW = AuditRow(
    "en/1", "1", "en", "train", ("New", "York", "and", "NEW", "York"), ("B-LOC", "I-LOC", "O", "B-ORG", "O")
)


def write_foreign(folder, lang, split, rows):
    (folder / "data" / lang).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / lang / f"{split}-00000-of-00001.parquet")
    return folder


def test_rows_of_a_built_folder_have_names_for_numbers(tmp_path):
    row = {"id": "de/1", "tokens": ["Anna", "!"], "ner_tags": ["B-PER", "O"], "image_id": "1", "lang": "de"}
    row |= {"image": {"bytes": b"x", "path": "1.jpg"}, "image_status": "ok", "source": "synthetic"}
    write_dataset(tmp_path / "set", {("de", "test"): [row]}, "card")
    (found,) = read_audit_rows(tmp_path / "set")
    assert (found.id, found.image_id, found.lang, found.split) == ("de/1", "1", "de", "test")
    assert (found.tokens, found.tags) == (("Anna", "!"), ("B-PER", "O"))
    assert (found.source, found.status) == ("synthetic", "ok")
    assert len(found.sha256) == 64 and found.picture == found.sha256 and found.look is None


def test_files_are_read_in_order(tmp_path):
    for lang, split in (("de", "train"), ("en", "test"), ("en", "train"), ("en", "validation")):
        rows = [
            {"id": f"{lang} {split} {n}", "tokens": ["a"], "ner_tags": [0], "image_id": str(n)} for n in range(102)
        ]
        write_foreign(tmp_path, lang, split, rows)
    names = [row.id for row in read_audit_rows(tmp_path)]
    places = ["en train", "en validation", "en test", "de train"]
    assert names == [f"{place} {n}" for place in places for n in range(102)]


def test_what_another_tool_wrote_is_read_as_it_is(tmp_path):
    rows = [
        {"id": None, "tokens": ["a", None, ""], "ner_tags": [9, -1, None], "image_id": "1", "source": 17},
        {"id": "2", "tokens": None, "ner_tags": None, "image_id": None, "source": None},
        {"id": "3", "tokens": [], "ner_tags": [], "image_id": "3", "source": 0},
        {"id": "4", "tokens": [], "ner_tags": [], "image_id": "4", "source": -1},
    ]
    first, second, *others = read_audit_rows(write_foreign(tmp_path, "en", "train", rows))
    assert (first.id, first.tokens, first.tags) == ("", ("a", "", ""), ("<9>", "<-1>", "<None>"))
    assert (first.source, first.status, first.sha256) == ("17", "", None)
    assert [row.source for row in others] == ["twitter2017", "-1"]
    assert (second.image_id, second.tokens, second.tags, second.source) == ("", (), (), "")


def test_tags_may_be_words(tmp_path):
    rows = [{"id": "1", "tokens": ["a", "b"], "ner_tags": ["B-PER", "B-GPE"], "image_id": "1", "source": "web"}]
    (row,) = read_audit_rows(write_foreign(tmp_path, "en", "train", rows))
    assert (row.tags, row.source) == (("B-PER", "<B-GPE>"), "web")


def test_a_missing_column_and_a_folder_without_data_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no data set"):
        read_audit_rows(tmp_path)
    write_foreign(tmp_path, "en", "train", [{"id": "1", "tokens": ["a"], "image_id": "1"}])
    with pytest.raises(ValueError, match=r"has no column 'ner_tags'; an audit needs id, tokens"):
        read_audit_rows(tmp_path)


def test_a_stand_in_is_no_picture_of_the_row():
    assert AuditRow("1", "1", "en", "train", (), (), status="default", sha256="ab").picture is None
    assert AuditRow("1", "1", "en", "train", (), (), status="ok", sha256="ab").picture == "ab"


def test_validation_and_test_are_held_out():
    splits = ("train", "validation", "test")
    assert [AuditRow("1", "1", "en", split, (), ()).held_out for split in splits] == [False, True, True]


def test_entity_strings_are_lower_case():
    assert entity_strings(ROW) == [("new york", "LOC"), ("new", "ORG")]
    assert entity_strings(AuditRow("1", "1", "en", "train", ("a", "b"), ("<9>", "B-PER"))) == [("b", "PER")]


def test_counts_are_by_language_and_split():
    other = AuditRow("de/1", "1", "de", "test", ("a",), ("O",))
    assert count_by_split([ROW, ROW, other]) == {
        "en": {"train": {"rows": 2, "words": 10, "entities": 4}},
        "de": {"test": {"rows": 1, "words": 1, "entities": 0}},
    }
