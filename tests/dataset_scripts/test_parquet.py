import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from dataset_scripts import parquet
from dataset_scripts.parquet import check_output, write_dataset, write_split
from dataset_scripts.rows import encode_row
from dataset_scripts.schema import features

CARD = "---\nconfigs:\n- config_name: all\n  data_files:\n  - {split: train, path: data/en/train-*.parquet}\n---\n"


def make_row(number, size=None, lang="en"):
    return {
        "id": f"{lang}/{number}",
        "tokens": ["Paris", "!"],
        "ner_tags": ["B-LOC", "O"],
        "image": {"bytes": bytes(size), "path": f"{number}.jpg"} if size else None,
        "image_id": str(number),
        "image_status": "ok" if size else "missing",
        "lang": lang,
        "source": "synthetic",
    }


def test_rows_come_back_with_types_in_order(tmp_path):
    rows = [make_row(number) for number in range(5)]
    counts = write_dataset(tmp_path / "set", {("en", "train"): iter(rows)}, CARD)
    dataset = load_dataset(str(tmp_path / "set"), split="train", cache_dir=str(tmp_path / "cache"))
    assert dataset.features == features()
    assert dataset["id"][:] == [row["id"] for row in rows]
    assert dataset[0]["ner_tags"] == [3, 0] and dataset[0]["image"] is None
    assert counts["en", "train"].sentences == 5


def test_row_groups_are_bounded_in_rows(tmp_path):
    (path,) = write_split((encode_row(make_row(number)) for number in range(250)), tmp_path / "train")
    metadata = pq.ParquetFile(path).metadata
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [100, 100, 50]


def test_row_groups_are_bounded_in_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1000)
    (path,) = write_split((encode_row(make_row(number, size=600)) for number in range(5)), tmp_path / "train")
    metadata = pq.ParquetFile(path).metadata
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [2, 2, 1]


def test_large_splits_become_several_shards(tmp_path):
    rows = (encode_row(make_row(number, size=1000)) for number in range(10))
    paths = write_split(rows, tmp_path / "train", rows_per_group=2, shard_bytes=5000)
    assert [path.name for path in paths] == [f"train-0000{index}-of-00003.parquet" for index in range(3)]
    assert sorted(tmp_path.iterdir()) == paths
    assert [pq.read_metadata(path).num_rows for path in paths] == [4, 4, 2]
    assert [row["id"] for path in paths for row in pq.read_table(path).to_pylist()] == [f"en/{n}" for n in range(10)]


def test_split_without_rows_still_has_a_file(tmp_path):
    (path,) = write_split([], tmp_path / "test")
    assert path.name == "test-00000-of-00001.parquet"
    assert pq.read_table(path).num_rows == 0


def test_card_may_be_made_from_the_counts(tmp_path):
    write_dataset(tmp_path / "set", {("en", "test"): [make_row(1)]}, lambda counts: f"{counts['en', 'test'].tokens}")
    assert (tmp_path / "set" / "README.md").read_text() == "2"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({("en", "train"): [make_row(1)], ("en", "test"): [make_row(1)]}, "'en/1': `id` occurs twice"),
        ({("en", "train"): [make_row(1, lang="de")]}, "`lang` 'de' but was given as 'en'"),
        ({("it", "train"): []}, r"key \('it', 'train'\)"),
        ({("en", "valid"): []}, r"key \('en', 'valid'\)"),
    ],
)
def test_refused_rows_leave_nothing_behind(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path / "set", rows, CARD)
    assert list(tmp_path.iterdir()) == []


def test_output_in_use_is_kept_unless_overwritten(tmp_path):
    output = tmp_path / "set"
    write_dataset(output, {("en", "train"): [make_row(1)]}, "old")
    with pytest.raises(ValueError, match="not empty"):
        write_dataset(output, {("en", "train"): [make_row(2)]}, "new")
    assert (output / "README.md").read_text() == "old"
    write_dataset(output, {("en", "train"): [make_row(2)]}, "new", overwrite=True)
    assert (output / "README.md").read_text() == "new"
    assert list(tmp_path.iterdir()) == [output]


def test_failed_overwrite_keeps_the_old_data(tmp_path):
    output = tmp_path / "set"
    write_dataset(output, {("en", "train"): [make_row(1)]}, "old")
    with pytest.raises(ValueError, match="occurs twice"):
        write_dataset(output, {("en", "train"): [make_row(2), make_row(2)]}, "new", overwrite=True)
    assert (output / "README.md").read_text() == "old"
    assert list(tmp_path.iterdir()) == [output]


def test_folder_with_other_files_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"no builder wrote \('thesis.tex'"):
        check_output(tmp_path, overwrite=True)
    with pytest.raises(ValueError, match="is a file"):
        check_output(tmp_path / "thesis.tex", overwrite=True)


def test_empty_folder_is_used(tmp_path):
    (tmp_path / "set").mkdir()
    write_dataset(tmp_path / "set", {("en", "train"): [make_row(1)]}, CARD)
    assert (tmp_path / "set" / "data" / "en" / "train-00000-of-00001.parquet").is_file()
