"""Write files whole: nobody ever sees a part of one, and what was there stays until the new one is complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Give a draft's path beside `path`, and move what was written there to `path` when all went well.

    The draft's name is its own, so that two writers do not meet, and it is gone after an error. Its folder is made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name[:200]}.{token_hex(8)}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_file(path: Path | str, content: str | bytes | Iterable[str]) -> None:
    """Write text, in UTF-8 and with the line ends that it has, or bytes; several texts one after the other."""
    with whole_file(path) as draft, draft.open("wb") as file:
        for part in (content,) if isinstance(content, str | bytes) else content:
            file.write(part.encode("utf-8") if isinstance(part, str) else part)


def write_lines(path: Path | str, lines: Iterable[str]) -> None:
    """Write lines, which have no ends yet."""
    write_file(path, (f"{line}\n" for line in lines))


def write_json(path: Path | str, content: Any, **options: Any) -> None:
    """Write plain values as JSON, and the end of the line; `options` are those of `json.dumps`."""
    write_file(path, f"{json.dumps(content, **options)}\n")
