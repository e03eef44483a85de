"""Pixels that are looked up have the bits that the image processors compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil

from modeling_2mner.pixels import normalise
from modeling_2mner.processing_2mner import clip_processor, imagenet_processor, whole_picture


@pytest.mark.parametrize("kind", [clip_processor, imagenet_processor])
def test_every_bit_of_the_pixels_is_the_image_processor_s(kind, make_picture, monkeypatch):
    reader = whole_picture(kind(32))
    every = Image.fromarray(np.arange(256, dtype=np.uint8).repeat(4).reshape(32, 32)).convert("RGB")
    pictures = [every, make_picture(1, 32, 32), make_picture(2, 32, 32)]
    expected = reader(images=pictures, do_resize=False, return_tensors="pt")["pixel_values"]
    normalise(reader, pictures)  # makes the table
    monkeypatch.setattr(CLIPImageProcessorPil, "__call__", lambda *_, **__: pytest.fail("the processor runs"))
    found = normalise(reader, pictures)
    assert found.dtype == torch.float32 and found.is_contiguous() and torch.equal(found, expected)


@pytest.mark.parametrize("field", ["do_rescale", "do_normalize"])
def test_an_image_processor_with_a_step_less_is_asked_itself(field, make_picture):
    reader = whole_picture(clip_processor(32))
    setattr(reader, field, False)
    expected = reader(images=[make_picture(1, 32, 32)], do_resize=False, return_tensors="pt")["pixel_values"]
    assert torch.equal(normalise(reader, [make_picture(1, 32, 32)]), expected)
    assert not torch.equal(normalise(whole_picture(clip_processor(32)), [make_picture(1, 32, 32)]), expected)
