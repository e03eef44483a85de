"""Eighty kinds of pictures and of files that are none, as bytes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

MODES = {
    "JPEG": ("RGB", "L", "CMYK"),
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "GIF": ("RGB", "L", "P"),
    "WEBP": ("RGB", "RGBA", "L"),
    "BMP": ("RGB", "L", "P", "1"),
    "TIFF": ("RGB", "RGBA", "L", "CMYK", "F", "I;16", "1", "LAB"),
    # Formats that Pillow knows and this project does not let parse anything.
    "ICO": ("RGBA",),
    "TGA": ("RGB",),
    "PPM": ("RGB", "L"),
    "PCX": ("RGB",),
    "SGI": ("RGB",),
    "DDS": ("RGBA",),
    "ICNS": ("RGBA",),
    "JPEG2000": ("RGB",),
    "EPS": ("RGB",),
    "PDF": ("RGB",),
    "IM": ("RGB",),
    "SPIDER": ("F",),
    "XBM": ("1",),
}
SIZES = ((1, 1), (7, 7), (8, 8), (8, 401), (3000, 2), (64, 48))


def kinds() -> Iterator[tuple[str, bytes]]:
    """Yield a name and the bytes of each kind."""
    for format, modes in MODES.items():
        for mode in modes:
            yield f"{format} {mode}", encode(draw(mode), format)
    for size in SIZES:
        for format in ("PNG", "JPEG", "GIF"):
            yield f"{format} {size}", encode(draw("RGB", size), format)
    yield "animated GIF", encode(draw("P"), "GIF", save_all=True, append_images=[draw("P")] * 3)
    yield "animated PNG", encode(draw("RGB"), "PNG", save_all=True, append_images=[draw("RGB")] * 3)
    yield "pages of TIFF", encode(draw("RGB"), "TIFF", save_all=True, append_images=[draw("RGB")] * 3)
    for turned in (0, 3, 6, 9, 255):
        exif = Image.Exif()
        exif[0x0112] = turned
        yield f"orientation {turned}", encode(draw("RGB"), "JPEG", exif=exif)
    yield "transparent palette", encode(draw("P"), "PNG", transparency=0)
    yield "progressive", encode(draw("RGB"), "JPEG", progressive=True)
    yield "huge header", png_header(60_000, 60_000)
    yield "no size", png_header(0, 0)
    yield "one row of 2**31", png_header(2**31 - 1, 1)
    sound = encode(draw("RGB"), "JPEG")
    yield "half a JPEG", sound[: len(sound) // 2]
    yield "JPEG with a tail", sound + b"tail" * 1000
    yield from (
        ("nothing", b""),
        ("zeros", bytes(5000)),
        ("HTML", b"<!doctype html><title>404</title>"),
        ("SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>'),
        ("text", "Köln\n".encode() * 100),
        ("ZIP", b"PK\x03\x04" + bytes(100)),
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n"),
        ("program", b"#!/bin/sh\necho\n"),
    )


def draw(mode: str, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A picture of this mode."""
    width, height = size
    pixels = np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    if mode == "F":
        return Image.fromarray(pixels[..., 0].astype(np.float32) / 255)
    return Image.fromarray(pixels).convert("RGB" if mode == "LAB" else mode)


def encode(image: Image.Image, format: str, **options) -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims this size and holds one row of nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )
