import pytest

from dataset_scripts.parquet import parquet_path, write_dataset, write_parquet
from dataset_scripts.reading import count_rows, find_parquet_files, read_rows
from dataset_scripts.rows import encode_row
from dataset_scripts.schema import COLUMNS

PICTURE = {"bytes": b"not decoded", "path": "1.jpg"}


def row(name, lang="en", **changes):
    return {
        "id": f"{lang}/{name}",
        "tokens": ["In", "New", "York"],
        "ner_tags": ["O", "B-LOC", "I-LOC"],
        "image": None,
        "image_id": name,
        "image_status": "missing",
        "lang": lang,
        "source": "cc12m",
        **changes,
    }


@pytest.fixture
def folder(tmp_path):
    """German test and validation rows and English train rows, these in three files, the second longer than a batch."""
    german = {"source": "twitter2017", "tw2017_split": "test", "quality": ["placeholder"], "url": "http://x/y"}
    rows = {
        ("de", "test"): [row("d", "de", **german)],
        ("de", "validation"): [row("e", "de", image=PICTURE, image_status="ok")],
    }
    write_dataset(tmp_path / "set", rows, "card")
    for index, names in enumerate(("ab", map(str, range(250)), "c")):
        path = parquet_path(tmp_path / "set" / "data", "en", "train", index, 3)
        write_parquet((encode_row(row(name)) for name in names), path)
    return tmp_path / "set"


def test_files_are_found_in_order_by_language_and_split(folder):
    (folder / "data" / "en" / ".train-00000-of-00001.parquet.partial").touch()
    (folder / "data" / "en" / "notes.txt").touch()
    found = find_parquet_files(str(folder))
    assert list(found) == [("en", "train"), ("de", "validation"), ("de", "test")]
    names = [f"train-{index:05d}-of-00003.parquet" for index in range(3)]
    assert found["en", "train"] == [folder / "data" / "en" / name for name in names]
    assert found["de", "test"] == [folder / "data" / "de" / "test-00000-of-00001.parquet"]


def test_all_rows_are_counted(folder):
    assert count_rows(folder) == 2 + 250 + 1 + 2


def test_rows_come_in_the_order_of_their_files(folder):
    rows = list(read_rows(folder, ["id"]))
    expected = ["a", "b", *map(str, range(250)), "c"]
    assert rows[:-2] == [{"id": f"en/{name}", "split": "train"} for name in expected]
    assert rows[-2:] == [{"id": "de/e", "split": "validation"}, {"id": "de/d", "split": "test"}]


def test_rows_have_names_for_numbers(folder):
    (read,) = read_rows(folder, languages=["de"], splits=["test"])
    assert list(read) == [*COLUMNS, "split"]
    assert (read["lang"], read["source"], read["split"]) == ("de", "twitter2017", "test")
    assert read["ner_tags"] == ["O", "B-LOC", "I-LOC"]
    assert read["tokens"] == ["In", "New", "York"]
    assert (read["quality"], read["url"], read["tw2017_split"]) == (["placeholder"], "http://x/y", "test")
    assert (read["image"], read["image_status"]) == (None, "missing")


def test_pictures_are_not_decoded(folder):
    (read,) = read_rows(folder, ["image", "sha256"], ["de"], ["validation"])
    assert set(read) == {"image", "sha256", "split"}
    assert read["image"] == PICTURE


@pytest.mark.parametrize("columns", [["lang"], ["source"], ["ner_tags"], ["tokens", "quality"], list(COLUMNS)])
def test_only_the_columns_asked_for_are_read(folder, columns):
    assert set(next(iter(read_rows(folder, columns)))) == {*columns, "split"}


def test_languages_and_splits_are_chosen(folder):
    def read(**choice):
        return [row["id"] for row in read_rows(folder, ["id"], **choice)]

    assert read(languages=("de", "fr")) == ["de/e", "de/d"]
    assert read(splits=("validation",)) == ["de/e"]
    assert read(languages=("en",), splits=("test",)) == []


def test_rows_survive_unchanged(folder):
    (read,) = read_rows(folder, languages=["de"], splits=["validation"])
    assert encode_row({column: read[column] for column in COLUMNS}) == encode_row(
        row("e", "de", image=PICTURE, image_status="ok")
    )


@pytest.mark.parametrize("action", [find_parquet_files, count_rows, lambda folder: list(read_rows(folder))])
def test_a_folder_without_a_data_set_is_refused(tmp_path, action):
    (tmp_path / "data" / "italian").mkdir(parents=True)
    (tmp_path / "data" / "italian" / "train-00000-of-00001.parquet").touch()
    with pytest.raises(ValueError, match=r"holds no data set: it has no data/<language>/<split>-\*\.parquet"):
        action(tmp_path)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([0, 4, 4], "row 1, word 1 .*'I-LOC' continues no entity"),
        ([0, -1, -1], "row 1, word 1 .*holds -1"),
        (None, "row 1: `ner_tags`"),
    ],
)
def test_tags_that_are_wrong_are_told_with_their_row(folder, tags, message):
    """No builder writes them, but files can come from elsewhere."""
    path = parquet_path(folder / "data", "en", "train", 2, 3)
    write_parquet([encode_row(row("c")), encode_row(row("f")) | {"ner_tags": tags}], path)
    with pytest.raises(ValueError, match=f"train-00002-of-00003.parquet, {message}"):
        list(read_rows(folder))
