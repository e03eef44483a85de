"""Open a picture from whatever the caller has, without ever failing a batch."""

import hashlib
import os
import re
import stat
import warnings
from collections import OrderedDict
from collections.abc import Container, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Of a file or of bytes; as much as the largest picture takes that is not compressed. Reading more would fill the
# memory.
MAX_BYTES = 200_000_000
# A small file can hold a picture that fills the memory; Pillow only warns, from 89 megapixels.
MAX_PIXELS = 64_000_000
# Tracking pixels and rulers show nothing when resized to a square.
MIN_SIDE = 8
MAX_ASPECT = 50
# How far below zero the resizing of a sound picture can lead, as a part of its range.
UNDERSHOOT = 0.2
MOST_OF_UNIT_RANGE = 2.0  # resizing lets floats from 0 to 1 overshoot; up to here, 0 to 255 would be black
# Formats that Pillow decodes itself; for some of the others it starts another program.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

_Stored: TypeAlias = str | os.PathLike[str] | bytes | bytearray


@dataclass(frozen=True)
class LoadedImage:
    """A picture in RGB, or `None` and the reason.

    Args:
        image (`PIL.Image.Image`, *optional*): upright, in RGB, transparent parts on white; the first frame if
            there are several.
        status (`str`): `"ok"`, `"missing"`, `"unreadable"` or `"degenerate"`.
        reason (`str`): why there is no picture; empty if there is one.
        digest (`str`): SHA-256 of its file, or of the pixels of a picture that was given as an object, which is the same
            for equal pictures; empty if there is none.
        features (`Mapping[str, torch.Tensor]`, *optional*): what a model's `encode_images` returned for it, without the
            dimension of pictures; then it needs no image.
    """

    image: Image.Image | None
    status: str
    reason: str = ""
    digest: str = ""
    features: Mapping[str, Any] | None = None

    @property
    def usable(self) -> bool:
        """Whether there is a picture, or what is known of it in its place."""
        return self.image is not None or self.status == "ok"


PictureSource: TypeAlias = Image.Image | _Stored | Mapping[str, Any] | LoadedImage | None


class OpenedPictures:
    """Pictures by their digest, so that equal ones are decoded once.

    Args:
        max_pixels (`int`): those that were not needed for longest are dropped when they have more together.
        stored (`Container[str]`, *optional*): digests of pictures that need not be decoded.
        draft_side (`int`, *optional*): decode JPEG files that are at least twice as large, in pixels, at a half, a quarter
            or an eighth of their size, but no smaller than this; by default at their full size.
    """

    def __init__(
        self, max_pixels: int = MAX_PIXELS, stored: Container[str] = (), draft_side: int | None = None
    ) -> None:
        self._max_pixels, self._stored, self.draft_side = max_pixels, stored, draft_side
        self._pictures: OrderedDict[str, LoadedImage] = OrderedDict()
        self._pixels = 0

    def find(self, digest: str) -> LoadedImage | None:
        """The picture of this digest, or `None` if it has to be decoded."""
        if digest in self._stored:
            return LoadedImage(None, "ok", digest=digest)
        if digest in self._pictures:
            self._pictures.move_to_end(digest)
        return self._pictures.get(digest)

    def add(self, picture: LoadedImage) -> LoadedImage:
        """Remember a picture; returns the equal one that was remembered before, if there is one."""
        if picture.image is None or not picture.digest:
            return picture
        known = self.find(picture.digest)
        if known is not None:
            return known
        self._pictures[picture.digest] = picture
        self._pixels += count_image(picture)
        while self._pixels > self._max_pixels and len(self._pictures) > 1:
            self._pixels -= count_image(self._pictures.popitem(last=False)[1])
        return picture

    def clear(self) -> None:
        """Forget all pictures."""
        self._pictures.clear()
        self._pixels = 0


def count_image(picture: LoadedImage) -> int:
    """The pixels of a decoded picture; 0 if it is not decoded."""
    return 0 if picture.image is None else picture.image.width * picture.image.height


def load_image(source: PictureSource, opened: OpenedPictures | None = None) -> LoadedImage:
    """Open a picture given as PIL image, path, bytes, `{"bytes": ..., "path": ...}` or `None`.

    Problems with a picture are reported in `status` and `reason`, never raised. URLs are not fetched.

    Args:
        source: the picture; one that was opened before is returned as it is.
        opened (*optional*): the pictures that need not be decoded again. It is asked by the bytes of a file, before they
            are decoded.

    Raises:
        TypeError: if `source` is not one of these kinds.
    """
    unwrapped: Any = _unwrap(source)
    if _is_loaded(unwrapped):
        return unwrapped
    if unwrapped is None:
        return LoadedImage(None, "missing", "no picture given")
    try:
        return _open(unwrapped, _name(source), opened or OpenedPictures())
    except FileNotFoundError as error:
        return LoadedImage(None, "missing", f"no such file: {error.filename}")
    except Exception as error:  # Pillow's decoders raise a dozen unrelated kinds for broken files
        return LoadedImage(None, "unreadable", f"{type(error).__name__}: {error}")


def is_absent(source: object) -> bool:
    """Whether a cell of a table is empty: `None`, or what pandas and numpy have in its place."""
    if source is None or type(source).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(source, (float, np.floating)) and bool(np.isnan(source))


def picture_key(source: PictureSource) -> tuple[str, int | str] | str | bytes | None:
    """A hashable key of a picture: the same for an object, path or byte string that occurs twice.

    Raises:
        TypeError: as [`load_image`] does.
    """
    given: Any = _unwrap(source)
    if isinstance(given, Image.Image):
        return ("object", id(given))
    if _is_loaded(given):
        return ("digest", given.digest) if given.digest else ("object", id(given))
    if isinstance(given, os.PathLike):
        return os.fspath(given)
    return bytes(given) if isinstance(given, bytearray) else given


def _unwrap(source: Any) -> Image.Image | _Stored | LoadedImage | None:
    """Unpack a data set's cell, and refuse what cannot be a picture."""
    if isinstance(source, Mapping):
        source = source.get("bytes") or source.get("path")
    if is_absent(source):
        return None
    if isinstance(source, (Image.Image, str, os.PathLike, bytes, bytearray)) or _is_loaded(source):
        return source
    raise TypeError(f"a picture must be a PIL image, a path, bytes or None, not {type(source).__name__}.")


def _is_loaded(source: object) -> bool:
    # By name: the code of a checkpoint has a class of its own.
    return type(source).__name__ == LoadedImage.__name__


def _open(source: Image.Image | _Stored, name: str, opened: OpenedPictures) -> LoadedImage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of size, where the limits here are stricter, and of odd metadata
        if isinstance(source, Image.Image):
            return opened.add(_decode(source, ""))
        data = _read(source)
        digest = picture_digest(data)
        known = opened.find(digest)
        return opened.add(_decode(open_picture(data, name), digest, opened.draft_side)) if known is None else known


def picture_digest(data: bytes | bytearray) -> str:
    """The digest of a picture's file."""
    return hashlib.sha256(data).hexdigest()


def _pixel_digest(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


def _decode(image: Image.Image, digest: str, draft_side: int | None = None) -> LoadedImage:
    """Turn a picture upright and into RGB; without a digest it gets that of its pixels.

    The limits are those of the whole picture, whatever `draft_side` is.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels, more than {MAX_PIXELS}")
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_ASPECT * min(width, height):
        return LoadedImage(None, "degenerate", f"{width} x {height} pixels")
    if draft_side is not None and image.format == "JPEG":
        image.draft(image.mode, (draft_side, draft_side))  # of half the size and less, the least that is no smaller
    colours = _to_rgb(_upright(image))
    return LoadedImage(colours, "ok", digest=digest or _pixel_digest(colours))


def open_picture(data: bytes | bytearray, name: str = "data") -> Image.Image:
    """Let Pillow read the header of a picture; the one place where foreign bytes reach its parsers.

    Args:
        data: a whole file, of at most `MAX_BYTES`.
        name: what an error calls it.

    Raises:
        ValueError: for too many bytes.
        OSError: for what is no picture in one of `FORMATS`; no other of Pillow's plugins sees it.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data)} bytes, more than {MAX_BYTES}; pass a smaller picture")
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:  # whose own text names an object in memory
        raise UnidentifiedImageError(f"cannot identify image {name} as one of {', '.join(FORMATS)}") from error


def count_pixels(data: bytes) -> int:
    """How many pixels a picture has by its header; 0 for what is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_picture(data) as header:
                return header.width * header.height
    except Exception:  # Pillow's decoders raise a dozen unrelated kinds for broken files
        return 0


def read_file(path: str | os.PathLike[str], most_bytes: int = MAX_BYTES) -> bytes:
    """Read a regular file, as many bytes as it says that it has, without ever waiting for it.

    Raises:
        ValueError: for a pipe, a device or a folder, and for a file of more than `most_bytes`.
        OSError: for a file that cannot be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # merely opening a device can set it to work
        raise ValueError("not a regular file")
    with open(path, "rb", opener=_open_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        if status.st_size > most_bytes:
            raise ValueError(f"{status.st_size} bytes, more than {most_bytes}; pass a smaller picture")
        return file.read(status.st_size)  # those of /proc say 0, and some of them can be read for ever


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def _read(source: _Stored) -> bytes | bytearray:
    if isinstance(source, (bytes, bytearray)):
        return source
    if _URL.match(str(source)):
        raise ValueError("URLs are not fetched; download the picture and pass its path or bytes")
    return read_file(source, MAX_BYTES)


def _name(source: PictureSource) -> str:
    """What an error calls a picture: the name of its file, if it has one."""
    path = source.get("path") if isinstance(source, Mapping) else source
    return repr(os.path.basename(os.fspath(path))) if isinstance(path, str | os.PathLike) else "data"


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
    """Map 16-bit grey, 0 to 1, or any other range, to 0-255; `convert` would clip everything above 255 to white.

    Raises:
        ValueError: for floats that are not finite, or negative as those of a normalised picture.
    """
    values = np.asarray(image, dtype=np.float64)
    _check_values(values, image.mode)
    top = 65535.0 if image.mode.startswith("I") and values.max(initial=0.0) > 255 else 255.0
    if image.mode == "F" and values.max(initial=0.0) <= MOST_OF_UNIT_RANGE:
        values, top = values.clip(max=1.0), 1.0
    top = max(top, float(values.max(initial=0.0)))
    return Image.fromarray((values.clip(min=0) * (255.0 / top)).round().astype(np.uint8))


def _check_values(values: np.ndarray, mode: str) -> None:
    unsound = values.size - int(np.isfinite(values).sum())
    if unsound:
        raise ValueError(
            f"{unsound} of {values.size} pixels are not finite numbers; replace them (`numpy.nan_to_num`)"
        )
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    if mode == "F" and low < -UNDERSHOOT * max(high, 1.0):
        raise ValueError(f"pixels from {low:g} to {high:g}; scale them to 0 to 1, or to 0 to 255")


__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "LoadedImage",
    "OpenedPictures",
    "PictureSource",
    "count_image",
    "count_pixels",
    "is_absent",
    "load_image",
    "open_picture",
    "picture_digest",
    "picture_key",
    "read_file",
]
