from __future__ import annotations

import pickle

import pytest
from accelerate.utils import find_batch_size
from transformers import BertTokenizer, CLIPImageProcessorPil

from modeling_2mner.processing_one_image import OneImageProcessor
from training_2mner.collator import TwoMNERDataCollator


@pytest.fixture
def collator(processor) -> TwoMNERDataCollator:
    return TwoMNERDataCollator(processor)


@pytest.fixture
def rows(make_row, make_dataset) -> list[dict]:
    """Three sentences: with a picture, with the same picture, without one."""
    rows = [
        make_row(["Anna", "Meier", "in", "Paris"], ["B-PER", "I-PER", "O", "B-LOC"], 1),
        make_row(["Paris"], ["B-LOC"], 1),
        make_row(["the"] * 3, ["O"] * 3, None),
    ]
    return list(make_dataset(rows))


def test_makes_the_processors_batch(collator, rows):
    batch = collator(rows)

    assert batch["labels"].tolist() == [[1, 2, 0, 3], [3, -100, -100, -100], [0, 0, 0, -100]]
    assert batch["image_index"].tolist() == [0, 0, -1]
    assert batch["pixel_values"].shape == batch["resnet_pixel_values"].shape == (1, 3, 32, 32)
    assert batch.words == [row["tokens"] for row in rows]


def test_the_batch_size_can_be_told_from_the_first_tensor(collator, rows, make_row):
    """Accelerate counts by it, also where a long sentence has several windows."""
    long = make_row(["Louvre"] * 80, ["B-ORG"] * 80, 1)
    batch = collator([*rows, long])

    assert len(batch["input_ids"]) > 4
    assert find_batch_size(batch) == 4


def test_a_data_set_without_pictures_and_tags(collator, rows):
    batch = collator([{"tokens": row["tokens"]} for row in rows])

    assert "labels" not in batch
    assert "pixel_values" not in batch
    assert batch["image_index"].tolist() == [-1, -1, -1]


def test_a_broken_picture_counts_as_none_and_is_told(collator, rows):
    rows[0]["image"] = {"bytes": b"not a picture", "path": None}
    batch = collator(rows)

    assert batch["image_index"].tolist() == [-1, 0, -1]
    assert batch.image_status == ["unreadable", "ok", "missing"]


def test_batches_travel_between_processes(collator, rows):
    """A loader with workers pickles them."""
    batch = collator(rows)
    copy = pickle.loads(pickle.dumps(batch))

    assert copy.image_status == batch.image_status
    assert copy["labels"].equal(batch["labels"])


def test_boxes_come_from_their_columns(one_image_processor, rows):
    rows = [{**row, "objects": [[0, 0, 10, 10]], "faces": None} for row in rows]
    batch = TwoMNERDataCollator(one_image_processor, "objects", "faces")(rows)

    assert batch["object_mask"].tolist() == [[True], [True], [False]]  # the third has no picture
    assert batch["object_pixel_values"].shape == (3, 1, 3, 32, 32)
    assert batch["small_object_mask"].shape == (3, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ner_tags": [0, 99, 0]}, "The row 'en/7' of the data set cannot be used: `ner_tags` holds 99; write one of"),
        ({"ner_tags": [0]}, "The row 'en/7' of the data set cannot be used: `ner_tags` has 1 tags for 3 words"),
        (
            {"tokens": ["a", None, "b"]},
            r"The row 'en/7' of the data set cannot be used: `tokens` is \['a', None, 'b'\]",
        ),
        ({"tokens": None, "ner_tags": None}, "The row 'en/7' of the data set cannot be used: "),
    ],
)
def test_errors_name_the_row_of_the_data_set_not_of_the_batch(collator, rows, change, message):
    named = [{**row, "id": f"en/{5 + place}"} for place, row in enumerate(rows)]
    with pytest.raises(ValueError, match=message):
        collator([*named[:2], {**named[2], **change}])


def test_a_row_without_id_is_named_by_its_words(collator, rows):
    bad = [{**{name: row[name] for name in ("tokens", "ner_tags")}} for row in rows]
    bad[1]["ner_tags"] = [77]
    with pytest.raises(
        ValueError, match=r"The row with the words \['Paris'\] of the data set cannot be used: `ner_tags` holds 77"
    ):
        collator(bad)


def test_boxes_are_named_by_their_column(make_row):
    processor = OneImageProcessor(
        CLIPImageProcessorPil(size={"height": 32, "width": 32}),
        BertTokenizer(vocab={name: n for n, name in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}),
        object_size=8,
        max_objects=2,
    )
    rows = [
        {"id": name, "tokens": ["a"], "image": None, "found": found} for name, found in (("x", []), ("y", [[1, 2]]))
    ]
    with pytest.raises(ValueError, match="The row 'y' of the data set cannot be used: `found` holds"):
        TwoMNERDataCollator(processor, boxes="found")(rows)
