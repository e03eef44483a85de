"""A pipeline of the tiny model, and what to give it."""

from __future__ import annotations

import sys
import unicodedata
from collections import defaultdict
from io import BytesIO
from pathlib import Path

import datasets
import pytest

from modeling_2mner import TwoMNERPipeline

SENTENCE = ["Das", "Louvre-Museum", "ist", "in", "Paris", ",", "nicht", "Köln", "!"]


@pytest.fixture(scope="module")
def pipe(model, processor) -> TwoMNERPipeline:
    return TwoMNERPipeline(model=model, processor=processor, device="cpu")


@pytest.fixture(scope="module")
def png(make_picture) -> bytes:
    buffer = BytesIO()
    make_picture(0).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def path(tmp_path_factory, png) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "zero.png"
    path.write_bytes(png)
    return path


@pytest.fixture(scope="module")
def rows(png, pictures) -> datasets.Dataset:
    """Rows like those of MMNERD: two sentences with pictures, one without."""
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "tokens": datasets.List(datasets.Value("string")),
            "image": datasets.Image(),
            "image_status": datasets.Value("string"),
        }
    )
    sentences = [(SENTENCE, {"bytes": png, "path": None}), (["Hi"], None), (["São", "Paulo"], {"bytes": png})]
    rows = [{"id": "1", "tokens": words, "image": image, "image_status": "?"} for words, image in sentences]
    return datasets.Dataset.from_list(rows, features=features)


@pytest.fixture(scope="module")
def characters() -> dict[str, list[str]]:
    """All characters by Unicode category."""
    by_category = defaultdict(list)
    for character in map(chr, range(sys.maxunicode + 1)):
        by_category[unicodedata.category(character)].append(character)
    return by_category
