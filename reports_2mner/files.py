"""Write files atomically: no reader sees a partial file, and an old file stays until the new one is complete."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield the path of a draft beside `path`, and move the draft to `path` on success.

    The draft has a unique name, so that two writers do not collide, and is removed after an error. Its folder is
    created.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{short_name(path.name)}.{token_hex(8)}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def short_name(name: str) -> str:
    """The beginning of a file's name, so that something can be added: most systems allow 255 bytes, not characters."""
    return os.fsdecode(os.fsencode(name)[:200])


def write_file(path: Path | str, content: str | bytes | Iterable[str]) -> None:
    """Write bytes, or one or more texts in UTF-8 with unchanged line ends."""
    with whole_file(path) as draft, draft.open("wb") as file:
        for part in (content,) if isinstance(content, str | bytes) else content:
            file.write(part.encode("utf-8") if isinstance(part, str) else part)


def write_lines(path: Path | str, lines: Iterable[str]) -> None:
    """Write lines, which are given without line ends."""
    write_file(path, (f"{line}\n" for line in lines))


def write_json(path: Path | str, content: Any, **options: Any) -> None:
    """Write plain values as JSON with a final line end; `options` are those of `json.dumps`."""
    write_file(path, f"{json.dumps(content, **options)}\n")


def read_json(path: Path | str, remedy: str = "write it again") -> Any:
    """Read a JSON file.

    Raises:
        ValueError: if it is none, with its path and what to do.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); {remedy}.") from error


def file_sha256(*paths: Path) -> str:
    """Return the SHA-256 of the contents of a file, or of several files one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
