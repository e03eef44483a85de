"""Read the picture of a row from a folder of `<image id>.jpg` files, trusting neither names nor contents."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import PIL.Image

from modeling_2mner.images import FORMATS, MAX_ASPECT, MAX_PIXELS, MIN_SIDE

# A file this large is no picture of a data set; reading many of them would fill the memory.
MAX_BYTES = 50_000_000
MAX_NAME_BYTES = 255
SUFFIXES = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "GIF": ".gif",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "TIFF": ".tif",
}


@dataclass(frozen=True)
class Picture:
    """The cell for `image`, the `image_status`, and for a picture that is not "ok" the reason in words."""

    image: dict[str, bytes | str] | None
    status: str
    reason: str = ""


def find_unsafe_part(image_id: str) -> str | None:
    """Say what makes `<image_id>.jpg` unfit as the name of a file inside a folder, or return None."""
    if re.search(r"[/\\]", image_id):
        return "a path separator"
    if "\0" in image_id:
        return "a NUL character"
    if re.match(r"[A-Za-z]:", image_id):
        return "a drive letter"
    if len(f"{image_id}.jpg".encode()) > MAX_NAME_BYTES:
        return f"more than {MAX_NAME_BYTES} bytes with .jpg"
    return None


def read_picture(folder: Path, image_id: str) -> Picture:
    """Return the picture of a safe `image_id`, verified to decode, with its bytes unchanged.

    Links may point to files inside the folder only. Whatever is wrong is told by status and reason, never raised.
    """
    try:
        data = _read_file(folder, f"{image_id}.jpg")
        return _verify(data)
    except FileNotFoundError:
        return Picture(None, "missing", "no such file")
    except Exception as error:  # Pillow's decoders raise a dozen unrelated kinds for broken files
        return Picture(None, "unreadable", f"{type(error).__name__}: {error}")


def _read_file(folder: Path, name: str) -> bytes:
    root = os.path.realpath(folder)
    path = os.path.realpath(os.path.join(root, name), strict=True)
    if not Path(path).is_relative_to(root):
        raise ValueError("a link that leaves the picture folder")
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    if status.st_size > MAX_BYTES:
        raise ValueError(f"{status.st_size} bytes, more than {MAX_BYTES}")
    return Path(path).read_bytes()


def _verify(data: bytes) -> Picture:
    from datasets import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about size, where the limits here are stricter, and about odd metadata
        with PIL.Image.open(BytesIO(data), formats=FORMATS) as picture:
            (width, height), suffix = picture.size, SUFFIXES[picture.format]
        if width * height > MAX_PIXELS:
            raise ValueError(f"{width} x {height} pixels, more than {MAX_PIXELS}")
        if min(width, height) < MIN_SIDE or max(width, height) > MAX_ASPECT * min(width, height):
            return Picture(None, "degenerate", f"{width} x {height} pixels")
        # The same decoding that `load_dataset` will do on access.
        Image().decode_example({"bytes": data, "path": None})
    name = hashlib.sha256(data).hexdigest()[:16]
    return Picture({"bytes": data, "path": f"{name}{suffix}"}, "ok")
