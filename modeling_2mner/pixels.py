"""Pictures of the right size to the pixels that image encoders take."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil


def normalise(processor: Any, images: list[Any]) -> torch.Tensor:
    """Turn pictures of the processor's size into pixels `(images, 3, height, width)`.

    A byte of a channel has only 256 values, so that what the image processor makes of each is looked up: the same bits in
    a quarter of its time.
    """
    as_usual = processor.do_rescale and processor.do_normalize and not processor.do_center_crop
    if not as_usual or not images or any(image.mode != "RGB" for image in images):
        return processor(images=images, do_resize=False, return_tensors="pt")["pixel_values"]
    table = _normalised_values(processor.rescale_factor, tuple(processor.image_mean), tuple(processor.image_std))
    pixels = np.empty((len(images), 3, images[0].height, images[0].width), dtype=np.float32)
    for row, image in enumerate(images):
        values = np.asarray(image)  # (height, width, 3)
        for channel in range(3):
            np.take(table[channel], values[..., channel], out=pixels[row, channel], mode="clip")  # unbuffered
    return torch.from_numpy(pixels)


@lru_cache(maxsize=8)
def _normalised_values(rescale_factor: float, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """What an image processor makes of every value of every channel, `(3, 256)`, by its own arithmetic."""
    every = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")
    processor = CLIPImageProcessorPil(
        do_resize=False, do_center_crop=False, rescale_factor=rescale_factor, image_mean=mean, image_std=std
    )
    return processor(images=every, return_tensors="pt")["pixel_values"].numpy().reshape(3, 256)


__all__ = ["normalise"]
