"""Read the picture of a row from a folder of `<image id>.jpg` files, trusting neither names nor contents."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from dataset_scripts.conll import QUOTED_CHARACTERS

# A larger file is not a picture of a data set; reading many of them would fill the memory.
MAX_FILE_BYTES = 50_000_000
MAX_NAME_BYTES = 255
# The authors' picture with the words "image not found"; it is also an ordinary row of the train split.
DEFAULT_IMAGE_ID = "17_06_4705"
DEFAULT_SIZE = (400, 300)
JPEG_QUALITY = 90
PLAIN_FORMATS = ("JPEG", "PNG")
PLAIN_MODES = ("RGB", "L")
ORIENTATION = 0x0112  # EXIF tag, 1 is upright
FORMAT_SUFFIXES = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "GIF": ".gif",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "TIFF": ".tif",
}


@dataclass(frozen=True)
class PreparedPicture:
    """The cell for `image`, the `image_status`, and the reason if it is not "ok"."""

    image: dict[str, Any] | None
    status: str
    reason: str = ""


def find_unsafe_part(image_id: str) -> str | None:
    """Return what makes `<image_id>.jpg` unsafe as the name of a file inside a folder, or None."""
    if re.search(r"[/\\]", image_id):
        return "a path separator"
    if "\0" in image_id:
        return "a NUL character"
    if re.match(r"[A-Za-z]:", image_id):
        return "a drive letter"
    if len(f"{image_id}.jpg".encode()) > MAX_NAME_BYTES:
        return f"more than {MAX_NAME_BYTES} bytes with .jpg"
    return None


def read_picture_file(folder: Path, image_id: str, max_side: int | None = None) -> PreparedPicture:
    """Return the picture `<image_id>.jpg` of a folder if it decodes.

    With `max_side`, in pixels, it is converted to a form that every reader decodes alike: upright RGB or grey of at
    most that size, as JPEG unless it already has that form; without, its bytes are unchanged. Links may only point to
    files inside the folder. Any fault, including one of the id, is reported by status and reason, never raised.
    """
    if unsafe := find_unsafe_part(image_id):
        return PreparedPicture(
            None, "unreadable", f"refused, the image id has {unsafe}: {image_id[:QUOTED_CHARACTERS]!r}"
        )
    return _read_inside(folder, f"{image_id}.jpg", max_side)


def read_picture_of(folder: Path, image_id: str, picture: str | None, max_side: int | None = None) -> PreparedPicture:
    """Return the picture of a row as `read_picture_file` does.

    `picture` is its file in the folder, None if the row has none, and "" if it is `<image_id>.jpg`.
    """
    if picture is None:
        return PreparedPicture(None, "missing", "the sentence names no picture")
    if not picture:
        return read_picture_file(folder, image_id, max_side)
    if "\0" in picture:
        return PreparedPicture(None, "unreadable", f"refused, a NUL character: {picture[:QUOTED_CHARACTERS]!r}")
    return _read_inside(folder, picture, max_side)


def _read_inside(folder: Path, name: str, max_side: int | None) -> PreparedPicture:
    try:
        data = read_file_inside(folder, name)
    except FileNotFoundError:
        return PreparedPicture(None, "missing", "no such file")
    except (OSError, ValueError) as error:
        return PreparedPicture(None, "unreadable", f"{name!r}: {error}")
    return prepare_picture(data, max_side)


def prepare_picture(data: bytes, max_side: int | None = None) -> PreparedPicture:
    """Return the picture in `data` as `read_picture_file` does."""
    from modeling_2mner.images import load_image, open_picture  # loads torch, as all of its package

    loaded = load_image(data)
    if loaded.image is None:
        return PreparedPicture(None, loaded.status, loaded.reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about faults that `load_image` has accepted
        with open_picture(data) as header:
            suffix = FORMAT_SUFFIXES[str(header.format)]
            plain = max_side is None or _is_plain(header, max_side)
    if max_side is None or plain:
        return PreparedPicture(_cell(data, suffix), "ok")
    return PreparedPicture(_cell(_to_jpeg(loaded.image, max_side), ".jpg"), "ok")


def stand_in_picture(folder: Path | None, max_side: int | None = None) -> PreparedPicture:
    """Return the authors' stand-in for an unusable picture, or a drawn one if `folder` lacks it."""
    picture = read_picture_file(folder, DEFAULT_IMAGE_ID, max_side) if folder else PreparedPicture(None, "missing")
    image = picture.image or _cell(_to_jpeg(_draw_default(), max_side or max(DEFAULT_SIZE)), ".jpg")
    return PreparedPicture(image, "default")


def _draw_default() -> PIL.Image.Image:
    picture = PIL.Image.new("RGB", DEFAULT_SIZE, "#e4e4e4")
    draw = PIL.ImageDraw.Draw(picture)
    draw.rectangle((150, 70, 250, 150), outline="#8c8c8c", width=4)
    draw.polygon(((160, 140), (190, 105), (208, 124), (222, 112), (240, 140)), fill="#8c8c8c")
    draw.ellipse((215, 82, 231, 98), fill="#8c8c8c")
    draw.line((140, 160, 260, 60), fill="#8c8c8c", width=6)
    draw.text((200, 215), "image not found", fill="#5a5a5a", font=PIL.ImageFont.load_default(32), anchor="mm")
    return picture


def _cell(data: bytes, suffix: str) -> dict[str, Any]:
    """Name a picture by its contents: image ids are not safe file names, and paths reveal the machine."""
    return {"bytes": data, "path": f"{hashlib.sha256(data).hexdigest()[:16]}{suffix}"}


def _is_plain(header: PIL.Image.Image, max_side: int) -> bool:
    return (
        header.format in PLAIN_FORMATS
        and header.mode in PLAIN_MODES
        and max(header.size) <= max_side
        and not header.has_transparency_data
        and not getattr(header, "is_animated", False)
        and _is_upright(header)
    )


def _is_upright(header: PIL.Image.Image) -> bool:
    try:
        return header.getexif().get(ORIENTATION, 1) == 1
    except Exception:  # Pillow raises several kinds for broken metadata; a new file has no metadata
        return False


def _to_jpeg(image: PIL.Image.Image, max_side: int) -> bytes:
    from modeling_2mner.images import MIN_SIDE

    # The short side stays long enough for readers of the data set not to find the picture "degenerate".
    scale = min(1.0, max(max_side / max(image.size), MIN_SIDE / min(image.size)))
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), PIL.Image.Resampling.LANCZOS, reducing_gap=3.0)
    out = BytesIO()
    image.save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


def read_file_inside(folder: Path, name: str) -> bytes:
    """Return a file of a folder; OSError or ValueError if it is absent, too large or a link to another place."""
    from modeling_2mner.images import read_file

    root = os.path.realpath(folder)
    path = os.path.realpath(os.path.join(root, name), strict=True)
    if not path.startswith(os.path.join(root, "")):
        raise ValueError("a link out of the picture folder")
    return read_file(path, MAX_FILE_BYTES)
