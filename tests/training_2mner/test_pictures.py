from __future__ import annotations

import logging
from io import BytesIO

import pytest
from datasets import DatasetDict, Image

from training_2mner.pictures import count_pictures, describe_pictures


@pytest.fixture
def with_pictures(make_dataset, make_row, make_picture):
    """Splits of which the training one has these pictures: numbers, bytes, paths or `None`."""

    def build(*pictures) -> DatasetDict:
        rows = [make_row(["Paris"], ["B-LOC"], None if isinstance(one, dict) else one) for one in pictures]
        rows = [
            row | {"image": one} if isinstance(one, dict) else row for row, one in zip(rows, pictures, strict=True)
        ]
        sound = make_dataset([make_row(["Paris"], ["B-LOC"], 1)])
        return DatasetDict(train=make_dataset(rows), validation=sound, test=sound)

    return build


def test_every_status_is_counted_with_its_reason(with_pictures, make_picture, tmp_path, caplog):
    buffer = BytesIO()
    make_picture(1, 2, 2).save(buffer, "PNG")
    moved = {"bytes": None, "path": str(tmp_path / "moved" / "1.jpg")}
    splits = with_pictures(1, 1, 2, None, moved, b"broken", buffer.getvalue())

    with caplog.at_level(logging.INFO):
        counts = count_pictures(splits)

    assert describe_pictures(counts) == {
        "train": {"ok": 3, "missing": 2, "unreadable": 1, "degenerate": 1},
        "validation": {"ok": 1, "missing": 0, "unreadable": 0, "degenerate": 0},
        "test": {"ok": 1, "missing": 0, "unreadable": 0, "degenerate": 0},
    }
    assert "pictures of the split 'train': 3 ok, 2 missing, 1 unreadable, 1 degenerate" in caplog.text
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 1 and warned[0].startswith("57.1 % of the sentences of the split 'train'")
    assert "The first missing one: no picture given." in warned[0]


@pytest.mark.parametrize(("missing", "warns"), [(1, False), (2, True)])
def test_more_than_five_percent_is_warned_of(with_pictures, caplog, missing, warns):
    count_pictures(with_pictures(*[1] * (20 - missing), *[None] * missing))
    assert ("have no picture that can be used" in caplog.text) is warns


def test_a_stand_in_is_no_picture_of_the_sentence(with_pictures):
    splits = with_pictures(1, 1)
    splits["train"] = splits["train"].add_column("image_status", ["ok", "default"])
    counts = count_pictures(splits.cast_column("image", Image(decode=False)))
    assert (counts["train_pictures_ok"], counts["train_pictures_default"]) == (1, 1)


def test_without_the_column_all_are_missing(with_pictures):
    counts = count_pictures(with_pictures(1, 2).remove_columns("image"))
    assert (counts["train_pictures_ok"], counts["train_pictures_missing"]) == (0, 2)
