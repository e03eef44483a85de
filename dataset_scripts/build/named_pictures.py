"""Find the file of a picture that an annotation names, by path, by name without suffix, or by address."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_TRIED = ("", *SUFFIXES, *map(str.upper, SUFFIXES))
_HASH_LENGTH = 8  # of what Label Studio puts before the name of an uploaded file, followed by "-"


def find_picture(folder: Path, name: str, beside: Path | None = None) -> str:
    """Return the path of a picture in its folder; the plain name if there is no such file.

    Args:
        folder: of the pictures.
        name: as in the annotation: `O_1`, `O_1.jpg`, `part/O_1.jpg`, an absolute path, or an address of Label Studio.
        beside: the folder of the file of annotations, in which relative paths may start.
    """
    for place in _places(folder, name, beside):
        for spelt in _spellings(place):
            for suffix in _TRIED:
                if os.path.isfile(os.path.join(folder, spelt + suffix)):
                    return spelt + suffix
    return plain_name(folder, name)


def _spellings(name: str) -> Iterable[str]:
    """Return a name as it is, with composed and with decomposed accents: macOS stores the latter, editors write the former."""
    return dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)))


def plain_name(folder: Path, name: str) -> str:
    """Return a name without what belongs to one machine: the address, or the folders of an absolute path."""
    path = _path_of(name)
    if not os.path.isabs(path):
        return path
    inside = os.path.relpath(path, os.path.abspath(folder))
    return PurePosixPath(path).name if inside.startswith("..") else Path(inside).as_posix()


def _places(folder: Path, name: str, beside: Path | None) -> Iterator[str]:
    """Yield where the picture may be, relative to the folder; an address or a foreign path may start further up."""
    path = _path_of(name)
    if path == name and not os.path.isabs(path):
        start = Path(os.path.relpath(beside.resolve(), folder.resolve())) if beside else Path()
        if start.parts and ".." not in start.parts:
            yield (start / path).as_posix()
        yield path
        return
    if os.path.isabs(path):
        yield plain_name(folder, path)
    parts = [part for part in PurePosixPath(path).parts if part != "/"]
    yield from ("/".join(parts[first:]) for first in range(len(parts)))
    if parts and parts[-1][_HASH_LENGTH : _HASH_LENGTH + 1] == "-":
        yield parts[-1][_HASH_LENGTH + 1 :]


def _path_of(name: str) -> str:
    """Return the path in an address; a name that is no address stays, since it may have any characters."""
    parts = urlsplit(name) if name.startswith(("http://", "https://", "/data/")) else None
    if parts is None:
        return name
    asked = parse_qs(parts.query).get("d")  # /data/local-files/?d=folder/O_1.jpg, of Label Studio
    if asked:
        return asked[0].lstrip("/")
    return unquote(parts.path) if parts.netloc or parts.path.startswith("/data/upload/") else name
