"""Load a data set from the Hub and compare it with the folder it was made of; `test_publish.py` runs this.

Arguments: the repository, and that folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq
from datasets import Image, load_dataset

from dataset_scripts.schema import LANGUAGES, SPLITS, features

TEXT = ["id", "tokens", "ner_tags"]


def read(folder: Path, languages: tuple[str, ...], split: str) -> list[dict]:
    """Read the rows, the bytes of the pictures as they are."""
    files = [path for lang in languages for path in sorted((folder / "data" / lang).glob(f"{split}-*.parquet"))]
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def main() -> None:
    """Compare a configuration, the default one, a stream read to its end, and some columns."""
    repo, folder = sys.argv[1], Path(sys.argv[2])
    for config, languages in (("en", ("en",)), (None, LANGUAGES)):
        loaded = load_dataset(repo, config)
        assert set(loaded) == set(SPLITS), loaded
        for split, rows in loaded.items():
            assert rows.features == features(), rows.features
            assert rows.cast_column("image", Image(decode=False)).to_list() == read(folder, languages, split), split
    english = read(folder, ("en",), "train")
    assert load_dataset(repo, "en", split="train")[0]["image"].size == (8, 6)
    stream = load_dataset(repo, "en", split="train", streaming=True)
    assert stream.features == features()
    assert list(stream.cast_column("image", Image(decode=False))) == english
    text = load_dataset(repo, "en", split="train", columns=TEXT)
    assert text.to_list() == [{column: row[column] for column in TEXT} for row in english]


if __name__ == "__main__":
    main()
