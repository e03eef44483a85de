"""Colours, and a picture to draw on in coordinates from 0 to 1, for the mini data set."""

from __future__ import annotations

import colorsys
import math
from random import Random
from typing import Any

from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Point = tuple[float, float]

WHITE: Color = (250, 248, 240)
BLACK: Color = (28, 26, 34)
EARTH = ((248, 216, 190), (234, 190, 152), (206, 152, 112), (164, 110, 74), (120, 76, 50), (100, 64, 46))
FONT: Any = ImageFont.load_default(48)  # scalable: Pillow has FreeType


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Return the RGB colour, 0 to 255, of a hue, a saturation and a value between 0 and 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def shade(color: Color, factor: float) -> Color:
    """Darken (`factor` below 1) or lighten a colour."""
    red, green, blue = (min(255, round(part * factor)) for part in color)
    return red, green, blue


def regular(center: Point, radius: float, corners: int, inner: float = 1.0) -> list[Point]:
    """Return the corners of a regular polygon, or of a star if `inner` shortens every other radius."""
    angles = [2 * math.pi * i / corners - math.pi / 2 for i in range(corners)]
    lengths = [radius if i % 2 == 0 else radius * inner for i in range(corners)]
    return [
        (center[0] + length * math.cos(angle), center[1] + length * math.sin(angle))
        for angle, length in zip(angles, lengths, strict=True)
    ]


class Paint:
    """Random colours of any hue; background and subject differ in brightness."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.night = rng.random() < 0.35

    def back(self) -> Color:
        """Return a random colour for the background."""
        return self._any(0.08, 0.36) if self.night else self._any(0.7, 1.0)

    def front(self) -> Color:
        """Return a random colour for the subject; some are earth tones, so that skin is no clue."""
        if self.rng.random() < 0.12:
            return self.rng.choice(EARTH[:4] if self.night else EARTH[2:])
        return self._any(0.65, 1.0) if self.night else self._any(0.2, 0.62)

    def _any(self, low: float, high: float) -> Color:
        return hsv(self.rng.random(), self.rng.uniform(0.1, 0.8), self.rng.uniform(low, high))


class Tile:
    """A picture to draw on in coordinates from 0 to 1; circles stay round."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self._draw = ImageDraw.Draw(image)

    def shape(self, points: list[Point], fill: Color) -> None:
        """Fill a polygon."""
        self._draw.polygon([self._pixel(point) for point in points], fill=fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Color, radius: float = 0.0) -> None:
        """Fill a rectangle, with round corners if `radius` is given."""
        self._draw.rounded_rectangle((self._pixel((x0, y0)), self._pixel((x1, y1))), self._length(radius), fill)

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: Color) -> None:
        """Fill the ellipse inside a rectangle."""
        self._draw.ellipse((self._pixel((x0, y0)), self._pixel((x1, y1))), fill=fill)

    def disc(self, x: float, y: float, radius: float, fill: Color) -> None:
        """Fill a circle."""
        (px, py), length = self._pixel((x, y)), self._length(radius)
        self._draw.ellipse((px - length, py - length, px + length, py + length), fill=fill)

    def slice(self, box: tuple[float, float, float, float], start: int, end: int, fill: Color) -> None:
        """Fill the segment of an ellipse between two angles in degrees."""
        self._draw.chord((self._pixel(box[:2]), self._pixel(box[2:])), start, end, fill=fill)

    def arc(self, box: tuple[float, float, float, float], start: int, end: int, fill: Color, width: float) -> None:
        """Draw a part of an ellipse's edge between two angles in degrees."""
        self._draw.arc((self._pixel(box[:2]), self._pixel(box[2:])), start, end, fill, round(self._length(width)))

    def line(self, points: list[Point], fill: Color, width: float) -> None:
        """Draw a line with round joints and ends."""
        pixels, thickness = [self._pixel(point) for point in points], self._length(width)
        self._draw.line(pixels, fill, round(thickness), joint="curve")
        for x, y in (pixels[0], pixels[-1]):
            self._draw.ellipse((x - thickness / 2, y - thickness / 2, x + thickness / 2, y + thickness / 2), fill=fill)

    def text(self, x: float, y: float, height: float, words: str, fill: Color) -> None:
        """Write words centred on a point."""
        font = FONT.font_variant(size=max(6, round(self._length(height))))
        self._draw.text(self._pixel((x, y)), words, fill, font, anchor="mm")

    def _pixel(self, point: Point) -> tuple[float, float]:
        return point[0] * self.image.width, point[1] * self.image.height

    def _length(self, part: float) -> float:
        return part * min(self.image.size)
