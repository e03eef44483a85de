from io import BytesIO

import PIL.Image
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value

from dataset_scripts.any_data_set import open_data_set
from dataset_scripts.audit.__main__ import main as audit_main
from dataset_scripts.audit.auditing import audit_dataset
from dataset_scripts.mini.generator import write_mini
from dataset_scripts.statistics.__main__ import main as statistics_main
from dataset_scripts.statistics.counts import count_statistics

TAGS = ["O", "B-PROD", "I-PROD"]
TRAIN = [(["a", "new", "phone"], [0, 1, 2]), (["it", "works"], [0, 0])]
TEST = [(["a", "new", "phone"], [0, 1, 2]), (["unseen"], [0])]


def picture(colour):
    out = BytesIO()
    PIL.Image.new("RGB", (40, 30), colour).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def make(rows, named=True, **columns):
    tags = [[TAGS[tag] for tag in tags] if not named else tags for _, tags in rows]
    features = {
        "tokens": List(Value("string")),
        "ner_tags": List(ClassLabel(names=TAGS) if named else Value("string")),
    }
    features |= {name: Image() if name == "image" else Value("string") for name in columns}
    return Dataset.from_dict({"tokens": [w for w, _ in rows], "ner_tags": tags, **columns}, Features(features))


@pytest.fixture(params=["parquet", "parquet with tags as text", "jsonl", "save_to_disk"])
def foreign(request, tmp_path):
    """The same data set in forms that no builder of this project wrote."""
    named = request.param in ("parquet", "save_to_disk")
    splits = DatasetDict({"train": make(TRAIN, named), "test": make(TEST, named)})
    folder = tmp_path / "foreign"
    if request.param == "save_to_disk":
        splits.save_to_disk(str(folder))
        return folder
    folder.mkdir()
    for name, rows in splits.items():
        rows.to_json(folder / f"{name}.jsonl") if request.param == "jsonl" else rows.to_parquet(
            folder / f"{name}.parquet"
        )
    return folder


def named(report):
    return {finding.name: finding for finding in report.findings}


def test_words_and_tags_are_enough_for_an_audit(foreign):
    report = audit_dataset(foreign)
    assert report.dataset == "foreign"
    assert report.counts["und"] == {
        "train": {"rows": 2, "words": 5, "entities": 1},
        "test": {"rows": 2, "words": 4, "entities": 1},
    }
    found = named(report)
    assert found["leaked_texts"].count == 1 and found["leaked_texts"].examples[0].rows == ("test/0", "train/0")
    assert set(found) == {"leaked_texts", "leaked_similar_texts", "picture_status"}
    assert report.skipped["leaked_picture_ids"] == report.skipped["undecodable_pictures"] == "nothing to check"
    assert "image_id" in report.settings["columns_without_values"]


def test_words_and_tags_are_enough_for_statistics(foreign):
    statistics = count_statistics(foreign)
    assert (statistics.name, statistics.types, statistics.pictures) == ("foreign", ("PROD",), 0)
    assert {key: count.sentences for key, count in statistics.spans.items()} == {
        ("und", "train"): 2,
        ("und", "test"): 2,
    }
    assert statistics.spans["und", "test"].mentions == {"PROD": 1}


def test_programs_take_such_a_folder(foreign, capsys):
    with pytest.raises(SystemExit) as stop:
        audit_main([str(foreign)])
    assert stop.value.code == 1 and "leaked_texts" in capsys.readouterr().out
    statistics_main([str(foreign)])
    assert "PROD" in capsys.readouterr().out


def test_more_columns_allow_more_checks(tmp_path):
    columns = {
        "image": [picture("red"), picture("blue")],
        "image_id": ["1", "2"],
        "lang": ["en", "it"],
        "id": ["a", "b"],
    }
    broken = {**columns, "image": [picture("red"), {"bytes": b"no picture", "path": None}], "id": ["c", "a"]}
    splits = DatasetDict({"train": make(TRAIN, **columns), "dev": make(TEST, **broken)})
    for name, rows in splits.items():
        rows.to_parquet(tmp_path / "set" / f"{name}.parquet")
    report = audit_dataset(tmp_path / "set")
    found = named(report)
    assert list(report.counts) == ["en", "it"] and list(report.counts["en"]) == ["train", "validation"]
    assert {"undecodable_pictures", "leaked_picture_bytes", "leaked_picture_ids", "repeated_row_ids"} <= set(found)
    assert found["undecodable_pictures"].examples[0].rows == ("a",)


def test_wrong_tags_are_listed_by_the_audit_and_refused_by_the_count(tmp_path):
    rows = Dataset.from_dict({"tokens": [["a"], ["b"], ["c", "d"]], "ner_tags": [["PER"], ["I-PER"], ["O"]]})
    rows.to_parquet(tmp_path / "set" / "train.parquet")
    found = named(audit_dataset(tmp_path / "set"))
    assert (found["unknown_tags"].count, found["iob2_faults"].count, found["tag_counts"].count) == (1, 1, 1)
    with pytest.raises(
        ValueError, match=r"und train, cannot be counted: the tag 'PER' is not IOB2, in 'a'. Give every word"
    ):
        count_statistics(tmp_path / "set")


def test_numbers_without_a_name_are_listed_and_refused(tmp_path):
    features = Features({"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=TAGS))})
    rows = Dataset.from_dict({"tokens": [["a", "b"]], "ner_tags": [[-1, 0]]}, features)
    rows.to_parquet(tmp_path / "set" / "train.parquet")
    assert named(audit_dataset(tmp_path / "set"))["unknown_tags"].details["tags"] == {"<-1>": 1}
    with pytest.raises(
        ValueError,
        match=r"`dataset` set, und train, row 0, word 0 \('a'\): `ner_tags` holds -1, not one of the 3 labels",
    ):
        count_statistics(tmp_path / "set")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"words": [["a"]], "ner_tags": [["O"]]}, "has no column 'tokens', only words, ner_tags; rename"),
        (
            {"tokens": [["a"]], "ner_tags": [[3]]},
            "make it a list of `ClassLabel`, which names the tags, or of strings",
        ),
        ({"tokens": [["a"]], "ner_tags": ["O"]}, "make it a list of `ClassLabel`"),
    ],
)
def test_what_cannot_be_checked_is_refused(tmp_path, rows, message):
    Dataset.from_dict(rows).to_parquet(tmp_path / "set" / "train.parquet")
    for read in (audit_dataset, count_statistics):
        with pytest.raises(ValueError, match=message):
            read(tmp_path / "set")


def test_a_folder_of_the_builder_is_read_in_place_and_others_leave_nothing(tmp_path, foreign):
    write_mini(tmp_path / "mini", sizes=(16, 16, 16))
    with open_data_set(tmp_path / "mini") as folder:
        assert folder == tmp_path / "mini"
    with open_data_set(foreign) as folder:
        assert folder.name == "foreign" and folder != foreign and folder.is_dir()
    assert not folder.exists()


def test_rows_that_changed_at_the_same_place_are_the_new_ones(tmp_path):
    for words in ("old", "new"):
        Dataset.from_dict({"tokens": [[words]], "ner_tags": [["O"]]}).to_parquet(tmp_path / "set" / "train.parquet")
        with open_data_set(tmp_path / "set") as folder:
            from dataset_scripts.reading import read_rows

            assert [row["tokens"] for row in read_rows(folder, ["tokens", "ner_tags"])] == [[words]]
