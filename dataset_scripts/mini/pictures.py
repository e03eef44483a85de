"""The pictures of the mini data set: a background, clutter and a subject, processed like a snapshot from the web."""

from __future__ import annotations

import io
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from dataset_scripts.mini.canvas import WHITE, Paint, Tile, regular
from dataset_scripts.mini.subjects import draw_organisation, draw_person, draw_place, draw_thing

SUBJECTS = {"PER": draw_person, "LOC": draw_place, "ORG": draw_organisation, "MISC": draw_thing}
PICTURE_SIZES = ((224, 168), (216, 160), (208, 168), (192, 192), (176, 176), (176, 208), (168, 208), (168, 224))
OVERSAMPLING = 2


def draw_picture(subject: str | None, rng: Random) -> bytes:
    """Return a JPEG that shows a subject of the type PER, LOC, ORG or MISC, or only clutter for `None`.

    The same state of `rng` gives the same bytes.
    """
    width, height = rng.choice(PICTURE_SIZES)
    size = (width * OVERSAMPLING, height * OVERSAMPLING)
    picture = _snapshot(subject, rng, size) if rng.random() < 0.1 else _scene(subject, rng, size)
    return _finish(picture.reduce(OVERSAMPLING), rng)


def _scene(subject: str | None, rng: Random, size: tuple[int, int]) -> Image.Image:
    paint = Paint(rng)
    picture = _background(paint, size)
    _scatter(picture, paint, rng.randint(14, 22) if subject is None else rng.randint(0, 7))
    if subject == "LOC":
        draw_place(Tile(picture), paint)
    elif subject is not None:
        _place(picture, subject, paint)
    _scatter(picture, paint, rng.randint(0, 2))
    return picture


def _place(picture: Image.Image, subject: str, paint: Paint) -> None:
    rng, short = paint.rng, min(picture.size)
    pair = rng.random() < 0.12 and picture.width > picture.height
    for left, right in ((0.0, 0.5), (0.5, 1.0)) if pair else ((0.0, 1.0),):
        room = min(round((right - left) * picture.width), short)
        side = round(room * (rng.uniform(0.8, 0.98) if pair else rng.uniform(0.7, 1.0)))
        image = Image.new("RGBA", (side, side))
        SUBJECTS[subject](Tile(image), paint)
        image = image.rotate(rng.uniform(-6, 6))
        x = rng.triangular(left * picture.width, right * picture.width - side)
        picture.paste(image, (round(x), round(rng.triangular(0, picture.height - side))), image)


def _snapshot(subject: str | None, rng: Random, size: tuple[int, int]) -> Image.Image:
    """Draw a print of a scene, with a white border, on a table."""
    table = _background(Paint(rng), size)
    part = rng.uniform(0.74, 0.9)
    inner = _scene(subject, rng, (round(size[0] * part), round(size[1] * part)))
    edge = round(0.025 * min(size))
    card = Image.new("RGBA", (inner.width + 2 * edge, inner.height + 2 * edge), (*WHITE, 255))
    card.paste(inner, (edge, edge))
    card = card.rotate(rng.uniform(-6, 6), expand=True)
    corner = (rng.randint(0, size[0] // 12), rng.randint(0, size[1] // 12))
    table.paste(card, corner, card)
    return table


def _background(paint: Paint, size: tuple[int, int]) -> Image.Image:
    """Mix two colours by a smooth random field, a gradient, or soft stripes."""
    rng, kind = paint.rng, paint.rng.random()
    first, second = np.array(paint.back(), np.float32), np.array(paint.back(), np.float32)
    y, x = np.mgrid[0:1:40j, 0:1:40j].astype(np.float32)
    slope = x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)
    if kind < 0.4:
        mix = slope
    elif kind < 0.75:
        cells = np.array([[rng.random() for _ in range(6)] for _ in range(5)], np.float32)
        mix = np.asarray(Image.fromarray(cells).resize((40, 40), Image.Resampling.BICUBIC))
    else:
        mix = 0.3 * np.sin(rng.uniform(12, 40) * slope) + 0.5 * slope
    mix = (mix - mix.min()) / (np.ptp(mix) + 1e-6)
    colors = first + (second - first) * mix[..., None]
    return Image.fromarray(colors.clip(0, 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)


def _scatter(picture: Image.Image, paint: Paint, count: int) -> None:
    """Scatter small meaningless shapes."""
    rng, tile = paint.rng, Tile(picture)
    for _ in range(count):
        x, y, size, color = rng.random(), rng.random(), rng.uniform(0.015, 0.06), paint.front()
        kind = rng.randrange(4)
        if kind == 0:
            tile.disc(x, y, size, color)
        elif kind == 1:
            tile.shape(regular((x, y), size * 1.3, rng.choice((3, 4, 5))), color)
        elif kind == 2:
            tile.line([(x, y), (x + rng.uniform(-0.2, 0.2), y + rng.uniform(-0.2, 0.2))], color, size * 0.3)
        else:
            tile.box(x, y, x + size, y + size * rng.uniform(0.5, 2), color)


def _finish(picture: Image.Image, rng: Random) -> bytes:
    """Add blur, uneven light and sensor noise, and compress."""
    if rng.random() < 0.4:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.1)))
    pixels = np.asarray(picture, np.float32)
    light = np.linspace(rng.uniform(0.8, 1.15), rng.uniform(0.8, 1.15), picture.width, dtype=np.float32)
    grain = np.random.default_rng(rng.getrandbits(32)).standard_normal(pixels.shape[:2], np.float32)
    pixels = pixels * light[None, :, None] + grain[..., None] * rng.uniform(0, 7)
    out = io.BytesIO()
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    image.save(out, "JPEG", quality=rng.randint(60, 92))
    return out.getvalue()
