from __future__ import annotations

import numpy as np
import pytest
import torch

from demo import reading
from demo.highlight import words_of
from demo.reading import SHOWN_SIDE, SentenceReader
from modeling_2mner import TwoMNERPipeline

TEXT = "Anna Meier wohnt in Köln, nicht in São Paulo"
MODELS = {
    "full": {},
    "patches": {"vit_tokens": "patches"},
    "vit": {"use_resnet": False},
    "resnet": {"use_vit": False},
    "pooled": {"resnet_features": "pooled"},
    "text only": {"use_vit": False, "use_resnet": False},
}
# Regions of the tiny networks: 2 x 2 patches with the class token, 4 x 4 places of the ResNet's grid.
REGIONS = {
    "full": {"ViT": 5, "ResNet": 16},
    "patches": {"ViT": 4, "ResNet": 16},
    "vit": {"ViT": 5},
    "resnet": {"ResNet": 16},
    "pooled": {"ViT": 5, "ResNet": 1},
    "text only": {},
}


@pytest.fixture
def make_reader(make_model, processor, monkeypatch):
    """A reader of a tiny model, in place of one that is loaded from a folder."""

    def build(**changes) -> SentenceReader:
        pipe = TwoMNERPipeline(model=make_model(**changes), processor=processor, device="cpu")
        asked = []
        monkeypatch.setattr(reading, "pipeline", lambda *arguments, **named: asked.append((arguments, named)) or pipe)
        reader = SentenceReader("folder")
        assert asked == [(("multimodal-ner",), {"model": "folder", "trust_remote_code": True})]
        return reader

    return build


@pytest.fixture
def path(tmp_path, make_picture) -> str:
    make_picture(3, 60, 45).save(tmp_path / "picture.png")
    return str(tmp_path / "picture.png")


def test_a_sentence_is_read_with_its_picture_and_without(make_reader, path):
    reader = make_reader()
    read = reader.read(TEXT, path)
    assert (read.text, read.status, read.reason) == (TEXT, "ok", "")
    assert read.with_picture == read.entities == reader.pipeline({"text": TEXT, "image": path})
    assert read.words_alone == reader.pipeline(TEXT)
    assert read.entities and read.words_alone != read.entities


@pytest.mark.parametrize("kind", MODELS)
def test_attention_has_its_branches_words_and_regions(make_reader, path, kind):
    reader = make_reader(**MODELS[kind])
    read = reader.read(TEXT, path)
    shapes = {branch: weights.shape for branch, weights in read.attention.items()}
    assert shapes == {branch: (len(read.offsets), count) for branch, count in REGIONS[kind].items()}
    assert list(reader.branches) == list(REGIONS[kind])
    assert reader.branches.get("ViT", False) == ("ViT" in REGIONS[kind] and kind != "patches")
    for weights in read.attention.values():
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_attention_is_the_models_own(make_reader, path):
    reader = make_reader()
    read = reader.read(TEXT, path)
    batch = reader.pipeline.processor([TEXT], [path])
    with torch.no_grad():
        vit, resnet = reader.pipeline.model(**batch, output_attentions=True).cross_attentions
    np.testing.assert_allclose(read.attention["ViT"], vit[0].mean(0), atol=1e-6)
    np.testing.assert_allclose(read.attention["ResNet"], resnet[0].mean(0), atol=1e-6)
    assert [TEXT[start:end] for start, end in read.offsets] == batch.words[0]
    for entity in read.entities:
        assert "".join(batch.words[0][word] for word in words_of(entity, read.offsets)) == entity["word"].replace(
            " ", ""
        )


def test_the_picture_is_shown_upright_and_large_enough(make_reader, tmp_path, make_picture):
    picture = make_picture(3, 60, 30)
    exif = picture.getexif()
    exif[0x0112] = 6  # lies on its side
    picture.save(tmp_path / "lying.jpg", exif=exif)
    assert make_reader().read(TEXT, str(tmp_path / "lying.jpg")).picture.size == (SHOWN_SIDE // 2, SHOWN_SIDE)


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_without_a_usable_picture_only_the_words_are_read(make_reader, tmp_path, content):
    path = tmp_path / "bad.jpg"
    if content is not None:
        path.write_bytes(content)
    reader = make_reader()
    read = reader.read(TEXT, None if content is None else str(path))
    assert read.status == ("missing" if content is None else "unreadable")
    assert read.with_picture is None and read.picture is None and not read.attention
    assert read.entities == read.words_alone == reader.pipeline(TEXT)


def test_a_model_of_words_alone_uses_no_picture(make_reader, path):
    reader = make_reader(**MODELS["text only"])
    read = reader.read(TEXT, path)
    assert not reader.looks and read.status == "ok"
    assert read.with_picture is None and not read.attention


def test_the_released_network_shows_no_maps(make_reader, path):
    reader = make_reader()
    reader.pipeline.model.config.model_type = "2m-ner-released"
    read = reader.read(TEXT, path)
    assert reader.looks and reader.branches == {} and read.attention == {}
    assert read.with_picture is not None


def test_visitors_use_the_model_one_after_the_other(make_reader, path, monkeypatch):
    reader, free = make_reader(), []
    encode = reader.pipeline.processor._encode_text
    monkeypatch.setattr(
        reader.pipeline.processor,
        "_encode_text",
        lambda words: free.append(not reader._lock.locked()) or encode(words),
    )
    reader.read(TEXT, path)
    assert free == [False, False, False]  # the words alone, with the picture, and for the attention
    assert not reader._lock.locked()
