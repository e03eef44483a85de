"""Where the words of an entity looked: attention weights as a coloured layer over the picture."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
from jinja2 import Template
from PIL import Image, ImageChops, ImageOps

_TEMPLATE = Path(__file__).with_name("heat_map.html.jinja").read_text(encoding="utf-8")
_HTML = Template(_TEMPLATE, autoescape=True, trim_blocks=True).module

# White, yellow, orange, red, after ColorBrewer's YlOrRd, each darker than the one before, so that the order is visible
# without colour. They are multiplied with the picture in light grey, so that its lines remain visible below them.
SCALE_COLOURS = np.array([(255, 255, 255), (254, 217, 118), (253, 141, 60), (222, 60, 32)], dtype=np.float32)
DARKEST = 170  # the grey that black becomes in the light picture


@dataclass(frozen=True)
class Look:
    """How the attention of an entity is spread over a picture.

    Args:
        regions (`np.ndarray` of shape `(rows, columns)`): shares of the attention, from the top left of the picture.
        whole (`float`): the share of the class token, which represents the whole picture, not a region.
    """

    regions: np.ndarray
    whole: float = 0.0


def spread_attention(attention: np.ndarray, words: list[int], class_token: bool) -> Look:
    """Average the attention of an entity's words and arrange it as the grid of regions.

    Args:
        attention: `(words, regions)`; each row sums to one.
        words: the entity's words.
        class_token: whether region 0 is the class token.
    """
    shares = attention[words].mean(axis=0)  # (regions,)
    whole = float(shares[0]) if class_token else 0.0
    shares = shares[int(class_token) :]
    return Look(shares.reshape(grid_shape(len(shares))), whole)


def grid_shape(regions: int) -> tuple[int, int]:
    """The rows and columns of the grid of `regions` that is closest to a square, as both branches' inputs are."""
    shapes = [(rows, regions // rows) for rows in range(1, regions + 1) if regions % rows == 0]
    return min(shapes, key=lambda shape: abs(log(shape[0] / shape[1])))


def colour(values: np.ndarray) -> np.ndarray:
    """The colours `(..., 3)`, from 0 to 255, of values from 0 (white) to 1 (red)."""
    places = np.linspace(0, 1, len(SCALE_COLOURS))
    return np.stack([np.interp(values, places, channel) for channel in SCALE_COLOURS.T], axis=-1)


def draw_heat_map(picture: Image.Image, regions: np.ndarray) -> Image.Image:
    """Lay regions `(rows, columns)` over a picture; the smallest share is white, the greatest red.

    Each region is a uniform rectangle: a smooth layer would suggest a precision that the network does not have.
    """
    low, high = regions.min(), regions.max()
    scaled = (regions - low) / (high - low) if high > low else np.zeros_like(regions)
    layer = Image.fromarray(colour(scaled).round().astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
    light = ImageOps.grayscale(picture).point([DARKEST + grey * (255 - DARKEST) // 255 for grey in range(256)])
    return ImageChops.multiply(light.convert("RGB"), layer)


def legend(branch: str, look: Look) -> str:
    """HTML that names the branch and explains the colours."""
    stops = ", ".join(f"rgb({red:.0f} {green:.0f} {blue:.0f})" for red, green, blue in SCALE_COLOURS)
    return _HTML.legend(branch, look, stops)
