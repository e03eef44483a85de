import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_scripts.rows import SplitCounts, encode_row, row_spans

REPOSITORY = Path(__file__).resolve().parents[2]

ROW = {
    "id": "en/1",
    "tokens": ["Marie", "Curie", "in", "Paris"],
    "ner_tags": ["B-PER", "I-PER", "O", "B-LOC"],
    "image": {"bytes": b"x", "path": "1.jpg"},
    "image_id": "1",
    "image_status": "ok",
    "lang": "de",
    "source": "cc12m",
}


def test_names_become_numbers():
    encoded = encode_row(ROW)
    assert encoded["ner_tags"] == [1, 2, 0, 3]
    assert (encoded["lang"], encoded["source"]) == (3, 1)
    assert encoded["tokens"] == ROW["tokens"] and encoded["image"] == ROW["image"]


def test_tags_may_be_numbers_already():
    assert encode_row({**ROW, "ner_tags": [1, 2, "O", 3]}) == encode_row(ROW)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "must have the columns .* may be left out"),
        ({"id": ""}, "`id` must be a non-empty string"),
        ({"tokens": []}, "one or more non-empty"),
        ({"tokens": ["Marie", "", "in", "Paris"]}, "one or more non-empty"),
        ({"tokens": ["Marie"]}, "same length, got 1 and 4"),
        ({"ner_tags": ["B-PER", "I-PER", "O", "B-GPE"]}, "unknown tag 'B-GPE'"),
        ({"ner_tags": [1, 2, 0, 9]}, "unknown tag 9"),
        ({"ner_tags": [1, 2, 0, -1]}, "unknown tag -1"),
        ({"ner_tags": ["O", "I-PER", "O", "B-LOC"]}, r"'I-PER' of token 1 \('Curie'\).*'B-PER'"),
        ({"image_status": "fine"}, "`image_status` must be one of"),
        ({"image_status": "missing"}, "there is a picture but `image_status` is 'missing'"),
        ({"image": None}, "`image` is None but `image_status` is 'ok'"),
        ({"image": {"bytes": b"", "path": "1.jpg"}}, "not empty"),
        ({"image": {"bytes": None, "path": "1.jpg"}}, "not empty"),
        ({"image": {"bytes": b"x", "path": "/home/me/1.jpg"}}, "bare file name"),
        ({"image": {"bytes": b"x", "path": "..\\1.jpg"}}, "bare file name"),
        ({"lang": "it"}, "`lang` must be one of"),
        ({"source": "web"}, "`source` must be one of"),
        ({"tw2017_split": "dev"}, "`tw2017_split` must be None or one of"),
        ({"quality": ["ugly"]}, "unknown flags .*ugly"),
    ],
)
def test_broken_rows_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        encode_row({**ROW, **change})


def test_a_required_column_may_not_be_left_out():
    with pytest.raises(ValueError, match="must have the columns"):
        encode_row({column: value for column, value in ROW.items() if column != "lang"})


def test_columns_about_the_origin_are_filled():
    encoded = encode_row({**ROW, "sha256": "of another picture"})
    assert encoded["sha256"] == hashlib.sha256(b"x").hexdigest()
    assert (encoded["url"], encoded["tw2017_split"], encoded["quality"]) == (None, None, [])
    origin = {"url": "http://x/y.jpg", "tw2017_split": "test", "quality": ["placeholder"]}
    assert origin.items() <= encode_row({**ROW, **origin}).items()


def test_a_picture_left_out_is_known_by_its_hash():
    assert encode_row({**ROW, "image": None, "sha256": "ab"})["sha256"] == "ab"


def test_counts_are_of_words_spans_sources_and_statuses():
    counts = SplitCounts()
    counts.add(encode_row(ROW))
    counts.add(encode_row({**ROW, "image": None, "image_status": "missing", "ner_tags": [5, 5, 6, 0]}))
    assert (counts.sentences, counts.tokens) == (2, 8)
    assert counts.mentions == {"PER": 1, "LOC": 1, "ORG": 2}
    assert counts.distinct == counts.mentions
    assert counts.sources == {"cc12m": 2}
    assert counts.statuses == {"ok": 1, "missing": 1}


def test_a_string_marked_twice_counts_once_as_distinct():
    counts = SplitCounts()
    tags = ["B-PER", "B-PER", "B-LOC", "B-PER"]
    counts.add(encode_row({**ROW, "tokens": ["Ann", "Ann", "Ann", "ann"], "ner_tags": tags}))
    assert counts.mentions == {"PER": 3, "LOC": 1}
    assert counts.distinct == {"PER": 2, "LOC": 1}


def test_spans_of_names_and_numbers():
    entities = [("PER", 0, 2), ("PER", 2, 3), ("LOC", 4, 5)]
    assert row_spans({"ner_tags": ["B-PER", "I-PER", "B-PER", "O", "B-LOC"]}) == entities
    assert row_spans({"ner_tags": [1, 2, 1, 0, 3]}) == entities


def test_programs_that_only_read_rows_start_without_the_models():
    code = "import dataset_scripts.statistics.__main__, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
