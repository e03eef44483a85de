"""Large JPEG files decoded at a smaller size, on request: limits, orientation and keys stay those of the files."""

from __future__ import annotations

import copy
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from modeling_2mner import OneImageProcessor, TwoMNERPipeline, TwoMNERProcessor
from modeling_2mner import images as images_module
from modeling_2mner.images import OpenedPictures, load_image
from training_2mner.features.towers import describe_towers


def saved(picture: Image.Image, kind: str = "JPEG", **options) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def photograph() -> Image.Image:
    """A picture of 320 x 160 pixels, dark on the left and a little rough."""
    rough = np.random.default_rng(0).integers(-20, 21, (160, 320, 3))
    return Image.fromarray((np.linspace(20, 235, 320)[None, :, None] + rough).astype(np.uint8))


@pytest.fixture
def drafting(processor) -> TwoMNERProcessor:
    return TwoMNERProcessor(
        processor.image_processor, processor.resnet_image_processor, processor.tokenizer, jpeg_draft=True
    )


@pytest.mark.parametrize(("side", "size"), [(None, 320), (161, 320), (80, 160), (40, 80), (32, 80), (20, 40), (1, 40)])
def test_a_picture_is_never_smaller_than_needed(photograph, side, size):
    data = saved(photograph)
    found = load_image(data, OpenedPictures(draft_side=side))
    assert found.image.size == (size, size // 2) and found.status == "ok"
    assert found.digest == load_image(data).digest
    middle = found.image.resize((8, 4)), load_image(data).image.resize((8, 4))
    assert np.abs(np.asarray(middle[0], float) - np.asarray(middle[1], float)).max() < 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_files_and_objects_are_read_whole(photograph, kind):
    opened = OpenedPictures(draft_side=32)
    assert load_image(saved(photograph, kind), opened).image.size == (320, 160)
    given = Image.open(BytesIO(saved(photograph)))
    assert load_image(given, opened).image.size == given.size == (320, 160)


def test_it_is_upright(photograph):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    data = saved(photograph, exif=exif)
    found, whole = load_image(data, OpenedPictures(draft_side=32)).image, load_image(data).image
    assert (found.size, whole.size) == ((40, 80), (160, 320))
    assert found.getpixel((20, 2))[0] < 70 and found.getpixel((20, 77))[0] > 180


def test_grey_pictures_become_rgb(photograph):
    found = load_image(saved(photograph.convert("L")), OpenedPictures(draft_side=32)).image
    assert found.mode == "RGB" and found.size == (80, 40)


def test_limits_are_those_of_the_whole_picture(photograph, monkeypatch):
    monkeypatch.setattr(images_module, "MAX_PIXELS", 320 * 160 - 1)
    found = load_image(saved(photograph), OpenedPictures(draft_side=32))
    assert found.status == "unreadable" and "320 x 160 pixels" in found.reason


def test_it_is_off_unless_the_processor_says_so(photograph, processor, drafting, tmp_path):
    data, words = saved(photograph), [["Anna"]]
    whole, draft = (each(words, [data])["pixel_values"] for each in (processor, drafting))
    assert not torch.equal(whole, draft) and torch.allclose(whole, draft, atol=0.3)
    assert torch.equal(whole, processor(words, [photograph_of(data)])["pixel_values"])
    drafting.save_pretrained(tmp_path)
    loaded = TwoMNERProcessor.from_pretrained(tmp_path)
    assert loaded.jpeg_draft and loaded.draft_side == 32 and processor.draft_side is None
    assert torch.equal(loaded(words, [data])["pixel_values"], draft)
    assert not TwoMNERProcessor.from_pretrained(tmp_path, jpeg_draft=False).jpeg_draft


def photograph_of(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data)).convert("RGB")


def test_the_pipeline_decodes_as_the_processor_does(photograph, model, drafting, predict):
    data, words = saved(photograph), ["Anna", "in", "Paris"]
    seen = []
    pipe = TwoMNERPipeline(model=model, processor=copy.copy(drafting))
    pipe.processor.encode_images = lambda images: seen.extend(images) or drafting.encode_images(images)
    pipe({"words": words, "image": data})
    pipe([{"words": words, "image": data}] * 3, batch_size=2)
    assert [picture.size for picture in seen] == [(80, 40), (80, 40)]


def test_crops_of_objects_are_of_the_whole_picture(photograph, one_image_processor):
    settings = {"object_size": 32, "max_length": 64}
    reader = OneImageProcessor(
        one_image_processor.image_processor, one_image_processor.tokenizer, jpeg_draft=True, **settings
    )
    data, boxes = saved(photograph), [[[160, 0, 320, 160]]]
    found = reader([["Anna"]], [data], boxes=boxes)
    whole = one_image_processor([["Anna"]], [data], boxes=boxes)
    assert reader.draft_side == 32 and not torch.equal(found["pixel_values"], whole["pixel_values"])
    assert torch.equal(found["object_pixel_values"], whole["object_pixel_values"])


def test_stored_features_tell_the_decodings_apart(model, processor, drafting):
    whole, draft = (describe_towers(model, each, "float32") for each in (processor, drafting))
    assert whole != draft and "jpeg_draft" not in whole  # what was stored before is found
