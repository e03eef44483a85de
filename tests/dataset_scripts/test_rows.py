import pytest

from dataset_scripts.rows import SplitCounts, encode_row

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
        ({"extra": 1}, "exactly the columns"),
        ({"id": ""}, "`id` must be a string"),
        ({"tokens": []}, "at least one"),
        ({"tokens": ["Marie", "", "in", "Paris"]}, "none empty"),
        ({"tokens": ["Marie"]}, "same length, got 1 and 4"),
        ({"ner_tags": ["B-PER", "I-PER", "O", "B-GPE"]}, "unknown tag 'B-GPE'"),
        ({"ner_tags": [1, 2, 0, 9]}, "unknown tag 9"),
        ({"ner_tags": [1, 2, 0, -1]}, "unknown tag -1"),
        ({"ner_tags": ["O", "I-PER", "O", "B-LOC"]}, r"'I-PER' of token 1 \('Curie'\).*'B-PER'"),
        ({"image_status": "fine"}, "`image_status` must be one of"),
        ({"image_status": "missing"}, "`image` is a picture but `image_status` is 'missing'"),
        ({"image": None}, "`image` is None but `image_status` is 'ok'"),
        ({"image": {"bytes": b"", "path": "1.jpg"}}, "not empty"),
        ({"image": {"bytes": None, "path": "1.jpg"}}, "not empty"),
        ({"image": {"bytes": b"x", "path": "/home/me/1.jpg"}}, "bare file name"),
        ({"image": {"bytes": b"x", "path": "..\\1.jpg"}}, "bare file name"),
        ({"lang": "it"}, "`lang` must be one of"),
        ({"source": "web"}, "`source` must be one of"),
    ],
)
def test_broken_rows_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        encode_row({**ROW, **change})


def test_counts_are_of_words_spans_sources_and_statuses():
    counts = SplitCounts()
    counts.add(encode_row(ROW))
    counts.add(encode_row({**ROW, "image": None, "image_status": "missing", "ner_tags": [5, 5, 6, 0]}))
    assert (counts.sentences, counts.tokens) == (2, 8)
    assert counts.mentions == {"PER": 1, "LOC": 1, "ORG": 2}
    assert counts.sources == {"cc12m": 2}
    assert counts.statuses == {"ok": 1, "missing": 1}
