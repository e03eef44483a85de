from __future__ import annotations

import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from dataset_scripts.mini.generator import write_mini
from dataset_scripts.reading import read_rows
from training_2mner.predict.rows import ParquetRecords


@pytest.fixture
def write(tmp_path):
    """Write rows to a file, in groups of two."""

    def build(rows: list[dict], name: str = "a.parquet"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name, row_group_size=2)
        return tmp_path / name

    return build


def test_a_data_set_folder_is_read_with_names_and_pictures(tmp_path):
    write_mini(tmp_path / "mini", seed=3, sizes=(16, 16, 16))
    rows = {row["id"]: row for row in read_rows(tmp_path / "mini")}

    records = ParquetRecords(tmp_path / "mini")

    assert len(records) == len(rows) == 48
    for record in records:
        row = rows[record.fields["id"]]
        assert record.sentence == {"words": row["tokens"], "image": row["image"]}
        left_out = ("image", "image_status", "split")
        assert record.fields == {column: value for column, value in row.items() if column not in left_out}


def test_rows_are_read_from_any_place_and_travel_to_other_processes(write, tmp_path):
    write([{"text": text} for text in "abcde"])
    write([{"text": "f"}], "b.parquet")
    records = ParquetRecords(tmp_path)

    for opened in (records, pickle.loads(pickle.dumps(records))):
        assert [opened[index].sentence["text"] for index in (5, 0, 4, 3)] == ["f", "a", "e", "d"]
        assert [record.sentence["text"] for record in opened] == list("abcdef")
        assert opened[4].place == f"{tmp_path / 'a.parquet'}: row 5"
        assert opened[5].place == f"{tmp_path / 'b.parquet'}: row 1"


def test_rows_without_picture_find_it_by_its_id(write, tmp_path):
    rows = [
        {"tokens": ["a"], "image_id": "7", "image": {"bytes": b"given", "path": None}},
        {"tokens": ["b"], "image_id": "8", "image": None},
        {"tokens": ["c"], "image_id": None, "image": None},
    ]
    path = write(rows)

    assert [record.sentence["image"] for record in ParquetRecords(path)] == [rows[0]["image"], None, None]
    found = [record.sentence["image"] for record in ParquetRecords(path, tmp_path)]
    assert found == [rows[0]["image"], str(tmp_path / "8.jpg"), None]


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([{"sentence": "a"}], "must have exactly one of the columns text, words, tokens"),
        ([{"text": "a", "tokens": ["a"]}], "must have exactly one of the columns"),
        ([{"text": "a", "entities": "b"}], "rename it"),
    ],
)
def test_other_columns_are_an_error(write, rows, error):
    with pytest.raises(ValueError, match=error):
        ParquetRecords(write(rows))


def test_a_folder_without_rows_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="holds no data set"):
        ParquetRecords(tmp_path)


def test_a_tag_that_is_not_known_has_no_name(tmp_path, caplog):
    features = Features({"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=["O", "B-PER"]))})
    rows = {"tokens": [["Anna", "in"]], "ner_tags": [[1, -1]]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "a.parquet")

    assert ParquetRecords(tmp_path)[0].fields["ner_tags"] == ["B-PER", None]
    assert "1 gold tags are not known (-1)" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"tokens": ["a"]}] * 3 + [{"tokens": None}], "row 4: `tokens` is None"),
        ([{"words": ["a"]}, {"words": ["b", None]}], "row 2, word 1: None is not a string"),
        ([{"text": "a"}, {"text": None}], "row 2: `text` is None"),
    ],
)
def test_null_words_are_told_before_the_model_runs(write, rows, message):
    with pytest.raises(ValueError, match=message):
        ParquetRecords(write(rows))
