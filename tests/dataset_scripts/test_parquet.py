import re
from functools import partial

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from dataset_scripts import parquet
from dataset_scripts.card import dataset_card
from dataset_scripts.parquet import check_output_folder, write_dataset, write_parquet
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


@pytest.fixture
def write(tmp_path):
    """Write rows with pictures of these sizes, in bytes, and open the file."""

    def write(sizes):
        rows = (encode_row(make_row(number, size)) for number, size in enumerate(sizes))
        write_parquet(rows, tmp_path / "en" / "train.parquet")
        return pq.ParquetFile(tmp_path / "en" / "train.parquet")

    return write


def rows_of_groups(file):
    return [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]


def test_row_groups_are_bounded_in_rows(write):
    assert rows_of_groups(write([None] * 250)) == [100, 100, 50]


def test_row_groups_are_bounded_in_bytes(write, monkeypatch):
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1000)
    assert rows_of_groups(write([600] * 5)) == [2, 2, 1]


def test_equal_pictures_of_a_row_group_are_stored_once(write, tmp_path):
    size = 2_000_000  # more than a dictionary holds by default
    write([size] * 20)
    assert (tmp_path / "en" / "train.parquet").stat().st_size < 1.1 * size


def test_everything_but_pictures_is_compressed(write):
    group = write([600]).metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    assert {column.path_in_schema for column in columns if column.compression == "UNCOMPRESSED"} == {"image.bytes"}


def test_file_appears_only_when_it_is_complete(tmp_path):
    def rows():
        yield encode_row(make_row(1))
        assert not (tmp_path / "train.parquet").exists()
        raise KeyError("stopped")

    with pytest.raises(KeyError):
        write_parquet(rows(), tmp_path / "train.parquet")
    assert not (tmp_path / "train.parquet").exists()


def test_file_without_rows_can_be_read(write):
    file = write([])
    assert file.read().num_rows == 0
    assert file.schema_arrow.names == list(features())


def test_card_may_be_made_from_the_counts_and_the_contents(tmp_path):
    cards = []
    for folder, number in (("a", 1), ("b", 1), ("c", 2)):
        rows = {("en", "test"): [make_row(number)]}
        write_dataset(tmp_path / folder, rows, lambda counts, contents: f"{counts['en', 'test'].tokens} {contents}")
        cards.append((tmp_path / folder / "README.md").read_text())
    assert cards[0] == cards[1] != cards[2]
    assert re.fullmatch("2 [0-9a-f]{16}", cards[0])


def test_changed_data_are_not_read_from_the_cache_of_the_old(tmp_path):
    card = partial(dataset_card, name="set", title="T", summary="S")
    for number in (1, 2):
        write_dataset(tmp_path / "set", {("en", "train"): [make_row(number)]}, card, overwrite=True)
        rows = load_dataset(str(tmp_path / "set"), "en", split="train", cache_dir=str(tmp_path / "cache"))
        assert rows["image_id"][:] == [str(number)]


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
        check_output_folder(tmp_path, overwrite=True)
    with pytest.raises(ValueError, match="is a file"):
        check_output_folder(tmp_path / "thesis.tex", overwrite=True)


def test_empty_folder_is_used(tmp_path):
    (tmp_path / "set").mkdir()
    write_dataset(tmp_path / "set", {("en", "train"): [make_row(1)]}, CARD)
    assert (tmp_path / "set" / "data" / "en" / "train-00000-of-00001.parquet").is_file()
