"""Equal pictures are decoded and encoded once per window of batches, whatever their sentences."""

from __future__ import annotations

import random
from io import BytesIO

import pytest
import torch
from PIL import Image

from modeling_2mner import TwoMNERPipeline, images
from modeling_2mner.images import OpenedPictures, load_image
from modeling_2mner.kept_features import KeptFeatures

WORDS = ["Anna", "Meier", "wohnt", "in", "Köln", "the", "Louvre", "Paris"]


@pytest.fixture(scope="module")
def files(make_picture) -> list[bytes]:
    """The bytes of five different pictures."""
    buffers = [BytesIO() for _ in range(5)]
    for number, buffer in enumerate(buffers):
        make_picture(number).save(buffer, "PNG")
    return [buffer.getvalue() for buffer in buffers]


@pytest.fixture(scope="module")
def rows(files) -> list[dict]:
    """Sentences of random lengths, with pictures in dicts of their own; several have equal pictures, some have none."""
    chance = random.Random(4)
    found = []
    for _ in range(60):
        data = chance.choice([*files, None])
        image = None if data is None else {"bytes": bytes(bytearray(data)), "path": None}
        found.append({"words": chance.choices(WORDS, k=chance.randrange(1, 60)), "image": image})
    return found


@pytest.fixture
def encoded(monkeypatch):
    """Count the pictures that an image tower gets."""

    def of(tower) -> list[int]:
        counts: list[int] = []
        handles.append(
            tower.register_forward_pre_hook(
                lambda _, args, kwargs: counts.append(len(kwargs["pixel_values"])), with_kwargs=True
            )
        )
        return counts

    handles: list = []
    yield of
    for handle in handles:
        handle.remove()


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """Count the pictures whose bytes reach Pillow."""
    counts: list[int] = []
    plain = images.open_picture
    monkeypatch.setattr(images, "open_picture", lambda *given: counts.append(1) or plain(*given))
    return counts


@pytest.mark.parametrize("kind", ["2m-ner", "umt", "umgf", "mkgformer"])
def test_once_per_window(make_model, make_baseline, processor, one_image_processor, rows, encoded, decoded, kind):
    model = make_model() if kind == "2m-ner" else make_baseline(kind)
    reader = processor if kind == "2m-ner" else one_image_processor
    pipe = TwoMNERPipeline(model=model, processor=reader, device="cpu")
    alone = [pipe(row, return_word_tags=True) for row in rows]
    towers = dict(model.model.named_children())
    tower = towers["resnet_model"] if "resnet_model" in towers else towers["vision_model"].embeddings.patch_embedding
    if kind == "mkgformer":
        tower.register_forward_pre_hook(lambda _, args: counts.append(len(args[0])))
        counts: list[int] = []
    else:
        counts = encoded(tower)
    decoded.clear()
    together = pipe(rows, batch_size=4, return_word_tags=True)
    assert sum(counts) == len(decoded) == 5
    for found, expected in zip(together, alone, strict=True):
        assert [word["tag"] for word in found["words"]] == [word["tag"] for word in expected["words"]]
        scores = ([word["score"] for word in answer["words"]] for answer in (found, expected))
        assert list(next(scores)) == pytest.approx(list(next(scores)), abs=1e-5)
        assert found["image_status"] == expected["image_status"]


def test_each_window_has_its_own(model, processor, rows, encoded, decoded):
    pipe = TwoMNERPipeline(model=model, processor=processor, device="cpu")
    counts = encoded(model.model.vision_model)
    together = pipe(rows, batch_size=4, window_batches=5, threshold=0.3)
    windows = [{row["image"]["bytes"] for row in rows[start : start + 20] if row["image"]} for start in (0, 20, 40)]
    assert sum(counts) == len(decoded) == sum(map(len, windows))
    for row, found in zip(rows, together, strict=True):
        expected = pipe(row, threshold=0.3)
        assert [entity["start"] for entity in found] == [entity["start"] for entity in expected]


def test_several_pictures_of_a_sentence(model, processor, files, encoded, decoded):
    chance = random.Random(6)
    inputs = [
        {
            "words": chance.choices(WORDS, k=chance.randrange(1, 40)),
            "images": chance.choices([*files, None], k=1 + number % 4),
        }
        for number in range(20)
    ]
    pipe = TwoMNERPipeline(model=model, processor=processor, device="cpu")
    alone = [pipe(each, return_word_tags=True) for each in inputs]
    counts = encoded(model.model.vision_model)
    decoded.clear()
    together = pipe(inputs, batch_size=3, return_word_tags=True)
    assert sum(counts) == len(decoded) == 5
    for found, expected in zip(together, alone, strict=True):
        assert [word["tag"] for word in found["words"]] == [word["tag"] for word in expected["words"]]
        assert found["image_status"] == expected["image_status"]


def test_workers_decode_and_the_window_encodes_once(model, processor, rows, encoded):
    pipe = TwoMNERPipeline(model=model, processor=processor, device="cpu")
    counts = encoded(model.model.vision_model)
    found = pipe(rows, batch_size=4, num_workers=2)
    assert sum(counts) == 5 and len(found) == len(rows)


def test_objects_and_files_are_known_by_what_they_hold(model, processor, files, tmp_path, encoded):
    pipe = TwoMNERPipeline(model=model, processor=processor, device="cpu")
    counts = encoded(model.model.vision_model)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        path.write_bytes(files[0])
    pipe([{"text": "Anna", "image": path} for path in paths], batch_size=2)
    assert counts == [1]
    objects = [Image.open(BytesIO(files[1])) for _ in range(3)]
    pipe([{"text": "Anna", "image": image} for image in objects], batch_size=2)
    assert counts == [1, 1]


def test_a_batch_encodes_files_with_equal_bytes_once(processor, files, tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(files[0])
    batch = processor([["Anna"]] * 3, [tmp_path / "a", tmp_path / "b", {"bytes": files[0], "path": "c"}])
    assert len(batch["pixel_values"]) == 1 and batch["image_index"].tolist() == [0, 0, 0]


def test_opened_pictures_are_limited(files):
    opened = OpenedPictures(max_pixels=2 * 48 * 40)
    first = load_image(files[0], opened)
    assert load_image(files[0], opened) is first
    load_image(files[1], opened)
    assert load_image(files[0], opened) is first
    load_image(files[2], opened)  # the second one goes
    assert load_image(files[0], opened) is first
    assert opened.find(load_image(files[1]).digest) is None
    assert opened.find(load_image(files[2]).digest) is not None


def test_broken_files_keep_their_own_reasons(tmp_path):
    opened = OpenedPictures()
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no picture")
        assert name in load_image(tmp_path / name, opened).reason


@torch.no_grad()
def test_features_are_kept_while_they_are_needed_and_no_longer(model, processor, files, encoded):
    a, b = (load_image(data) for data in files[:2])
    kept = KeptFeatures()
    kept.begin([a, b, a, b, b])
    counts = encoded(model.model.vision_model)
    kept.end_batch(kept.encode(model, processor, [a, b]))
    assert set(kept._kept) == {a.digest, b.digest}
    again = kept.encode(model, processor, [a, b])
    kept.end_batch(again)
    assert set(kept._kept) == {b.digest} and kept._bytes == sum(v.numel() * 4 for v in again[1].features.values())
    kept.end_batch(kept.encode(model, processor, [b]))
    assert not kept._kept and kept._bytes == 0 and counts == [2]


@torch.no_grad()
def test_memory_is_bounded(model, processor, files, encoded):
    pictures = [load_image(data) for data in files]
    size = sum(
        value.numel() * 4 for value in KeptFeatures().encode(model, processor, pictures[:1])[0].features.values()
    )
    kept = KeptFeatures(max_bytes=2 * size)
    kept.begin(pictures * 2)
    counts = encoded(model.model.vision_model)
    kept.end_batch(kept.encode(model, processor, pictures))
    assert len(kept._kept) == 2
    kept.end_batch(kept.encode(model, processor, pictures))
    assert counts == [5, 3] and not kept._kept


def test_features_of_some_pictures_only_are_refused(model, processor, files):
    a, b = (load_image(data) for data in files[:2])
    with torch.no_grad():
        a = KeptFeatures().encode(model, processor, [a])[0]
    with pytest.raises(ValueError, match="only 1 of them have features"):
        processor([["Anna"]] * 2, [a, b])
    batch = processor([["Anna"]] * 3, [a, None, a])
    assert batch["image_hashes"].tolist() == [int(a.digest[:16], 16) >> 1] and "pixel_values" not in batch
    assert batch["image_index"].tolist() == [0, -1, 0] and batch.image_status == ["ok", "missing", "ok"]
