import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_scripts.audit.findings import FindingExample
from dataset_scripts.audit.overlap import check_overlap, normalise_text, read_other
from dataset_scripts.audit.rows import AuditRow


def row(name, split, words, image_id=None, **changes):
    words = tuple(words.split())
    return AuditRow(name, image_id or name, "en", split, words, ("O",) * len(words), **changes)


OURS = [
    row("a", "train", "in train of both"),
    row("b", "train", "one text"),
    row("c", "validation", "another text"),
    row("d", "test", "the 6 , th", sha256="p"),
    row("e", "test", "nobody else has this"),
    row("f", "test", "same picture only", sha256="q"),
]
THEIRS = [
    row("t1", "train", "words differ", "a"),
    row("t2", "test", "One text"),
    row("t3", "train", "another one", "c"),
    row("t4", "train", "THE 6, th"),
    row("t5", "validation", "no words in common", "d"),
    row("t6", "train", "unlike", sha256="q"),
    row("t7", "test", "unlike too", sha256="q"),
]


def find(name, ours=OURS, theirs=THEIRS):
    (finding,) = [finding for finding in check_overlap(ours, theirs, "other") if finding.name == name]
    return finding


def test_word_boundaries_case_and_unicode_form_do_not_count():
    assert normalise_text(["6", ",", "th"]) == normalise_text(["6,", "TH"]) == "6,th"
    assert normalise_text(["ﬁne\u00a0", "STRASSE"]) == normalise_text(["fi", "ne", "straße"])
    assert normalise_text(["24", "06"]) != normalise_text(["24.06"])


def test_held_out_rows_in_their_train_are_found_by_id_picture_and_text():
    finding = find("held_out_in_their_train")
    assert finding.severity == "error"
    assert (finding.count, finding.total) == (3, 4)
    assert finding.details == {
        "other": "other",
        "splits": {"test": 2, "validation": 1},
        "same": {"picture_id": 1, "sha256": 1, "text": 1},
    }
    partners = [("c", "t3"), ("d", "t4"), ("f", "t6")]
    assert [example.rows for example in finding.examples] == partners


def test_their_held_out_rows_in_our_train_are_found():
    finding = find("their_held_out_in_train")
    assert finding.severity == "error"
    assert (finding.count, finding.total) == (1, 3)
    assert finding.details["splits"] == {"test": 1} and finding.details["same"]["text"] == 1
    assert finding.examples == (FindingExample(("t2", "b"), "One text"),)


def test_tables_count_what_each_pair_of_splits_shares():
    finding = find("overlap")
    assert (finding.count, finding.total) == (5, 6)
    none = {"their_train": 0, "their_validation": 0, "their_test": 0}
    assert finding.details["same_picture_id"] == {
        "train": {**none, "their_train": 1},
        "validation": {**none, "their_train": 1},
        "test": {**none, "their_validation": 1},
    }
    assert finding.details["same_sha256"] == {"test": {"their_train": 1, "their_test": 1}}
    assert finding.details["same_text"]["train"] == {**none, "their_test": 1}
    assert finding.details["same_text"]["test"] == {**none, "their_train": 1}


def test_an_id_that_several_rows_have_counts_once_in_the_table():
    finding = find("overlap", [*OURS, row("a2", "train", "a translation", "a")])
    assert finding.count == 6
    assert finding.details["same_picture_id"]["train"]["their_train"] == 1


def test_sets_without_anything_in_common_are_clean():
    findings = check_overlap(OURS[3:4], [row("x", "test", "new"), row("", "test", "")], "other")
    assert [finding.count for finding in findings] == [0, 0, 0]
    assert "same_sha256" not in findings[-1].details


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.txt", "train"),
        ("valid_conll_format.txt", "validation"),
        ("dev.conll", "validation"),
        ("twitter-test.txt", "test"),
    ],
)
def test_conll_files_tell_their_split(tmp_path, name, split):
    (tmp_path / name).write_text("IMGID:7\nthe\tO\n\nIMGID:8\nend\tI-OTHER\n")
    rows = read_other(tmp_path / name)
    assert [(found.id, found.image_id, found.split) for found in rows] == [
        (f"{name}:1", "7", split),
        (f"{name}:4", "8", split),
    ]
    assert rows[1].tokens == ("end",)


def test_a_file_without_a_split_is_taken_as_train_with_a_warning(tmp_path, caplog):
    (tmp_path / "contest.txt").write_text("IMGID:7\nthe\tO\n")
    assert [found.split for found in read_other(tmp_path / "contest.txt")] == ["train"]
    assert "contest.txt contains no split" in caplog.text


def test_a_folder_of_conll_files_is_read_without_its_other_files(tmp_path):
    for name in ("train.txt", "test.txt"):
        (tmp_path / name).write_text("IMGID:7\nthe\tO\n")
    (tmp_path / "readme.txt").write_text("no sentence")
    (tmp_path / "train.json").write_text("{}")
    assert [found.id for found in read_other(tmp_path)] == ["test.txt:1", "train.txt:1"]


def test_a_data_set_folder_is_read(tmp_path):
    (tmp_path / "data" / "fr").mkdir(parents=True)
    table = pa.Table.from_pylist([{"id": "fr/1", "tokens": ["a"], "ner_tags": [0], "image_id": "1"}])
    pq.write_table(table, tmp_path / "data" / "fr" / "test-00000-of-00001.parquet")
    assert [(found.id, found.split) for found in read_other(tmp_path)] == [("fr/1", "test")]


def test_what_holds_no_sentences_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=r"is not a data set folder .*, a CoNLL file"):
            read_other(path)
    (tmp_path / "train.txt").write_text("no sentence")
    with pytest.raises(ValueError, match=r"train.txt:1: a word outside a sentence"):
        read_other(tmp_path)
