"""Open a picture from whatever the caller has, without ever failing a batch."""

import os
import re
import stat
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageOps

# A small file can hold a picture that fills the memory; Pillow only warns, from 89 megapixels.
MAX_PIXELS = 64_000_000
# Tracking pixels and rulers show nothing when resized to a square.
MIN_SIDE = 8
MAX_ASPECT = 50
# Formats that Pillow decodes itself; for some of the others it starts another program.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

_Stored: TypeAlias = str | os.PathLike[str] | bytes | bytearray
PictureSource: TypeAlias = Image.Image | _Stored | dict[str, Any] | None


@dataclass(frozen=True)
class LoadedImage:
    """A picture in RGB, or `None` and the reason.

    Args:
        image (`PIL.Image.Image`, *optional*): upright, in RGB, transparent parts on white; the first frame if
            there are several.
        status (`str`): `"ok"`, `"missing"`, `"unreadable"` or `"degenerate"`.
        reason (`str`): why there is no picture; empty if there is one.
    """

    image: Image.Image | None
    status: str
    reason: str = ""


def load_image(source: PictureSource) -> LoadedImage:
    """Open a picture given as PIL image, path, bytes, `{"bytes": ..., "path": ...}` or `None`.

    Problems with a picture are reported in `status` and `reason`, never raised. URLs are not fetched.

    Raises:
        TypeError: if `source` is not one of these kinds.
    """
    source = _unwrap(source)
    if source is None:
        return LoadedImage(None, "missing", "no picture given")
    try:
        return _decode(source)
    except FileNotFoundError as error:
        return LoadedImage(None, "missing", f"no such file: {error.filename}")
    except Exception as error:  # Pillow's decoders raise a dozen unrelated kinds for broken files
        return LoadedImage(None, "unreadable", f"{type(error).__name__}: {error}")


def picture_key(source: PictureSource) -> tuple[str, int] | str | bytes | None:
    """A hashable key of a picture: the same for an object, path or byte string that occurs twice.

    Raises:
        TypeError: as [`load_image`] does.
    """
    source = _unwrap(source)
    if isinstance(source, Image.Image):
        return ("object", id(source))
    if isinstance(source, os.PathLike):
        return os.fspath(source)
    return bytes(source) if isinstance(source, bytearray) else source


def _unwrap(source: PictureSource) -> Image.Image | _Stored | None:
    """Unpack a data set's cell, and refuse what cannot be a picture."""
    if isinstance(source, dict):
        source = source.get("bytes") or source.get("path")
    if source is None or isinstance(source, (Image.Image, str, os.PathLike, bytes, bytearray)):
        return source
    raise TypeError(f"a picture must be a PIL image, a path, bytes or None, not {type(source).__name__}.")


def _decode(source: Image.Image | _Stored) -> LoadedImage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of size, where the limits here are stricter, and of odd metadata
        image = source if isinstance(source, Image.Image) else _open(source)
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"{width} x {height} pixels, more than {MAX_PIXELS}")
        if min(width, height) < MIN_SIDE or max(width, height) > MAX_ASPECT * min(width, height):
            return LoadedImage(None, "degenerate", f"{width} x {height} pixels")
        return LoadedImage(_to_rgb(_upright(image)), "ok")


def _open(source: _Stored) -> Image.Image:
    if isinstance(source, (bytes, bytearray)):
        return Image.open(BytesIO(source), formats=FORMATS)
    if _URL.match(str(source)):
        raise ValueError("URLs are not fetched; download the picture and pass its path or bytes")
    if not stat.S_ISREG(os.stat(source).st_mode):
        raise ValueError("not a regular file")
    with open(source, "rb") as file:  # Pillow would keep it open until the picture is loaded
        return Image.open(BytesIO(file.read()), formats=FORMATS)


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # only the metadata is broken, not the pixels
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _scale_to_bytes(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _scale_to_bytes(image: Image.Image) -> Image.Image:
    """Map 16-bit grey, or any other range, to 0-255; `convert` would clip everything above 255 to white."""
    values = np.asarray(image, dtype=np.float64)
    top = 65535.0 if image.mode.startswith("I") and values.max(initial=0.0) > 255 else 255.0
    top = max(top, float(values.max(initial=0.0)))
    return Image.fromarray((values.clip(min=0) * (255.0 / top)).round().astype(np.uint8))


__all__ = ["LoadedImage", "PictureSource", "load_image", "picture_key"]
