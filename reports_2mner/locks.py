"""Keep a folder or file to one writer at a time; the system lifts the lock when its process dies, however it dies."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from reports_2mner.files import short_name


@contextmanager
def only_writer(path: Path | str, argument: str, is_first: bool = True) -> Iterator[None]:
    """Hold the lock of a folder or file while it is written.

    The lock is a small file `.NAME.lock` beside `path` that names its holder. It goes with the lock; one that a killed
    process left does no harm.

    Args:
        path: what is written; it need not exist yet.
        argument: the option that names it, for the error.
        is_first: whether this is the first process of a distributed run; the others do not lock what it holds for all.

    Raises:
        ValueError: if another process holds the lock, with its number, machine and start.
    """
    if not is_first:
        yield
        return
    path = Path(path).resolve()
    is_new = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock_path = path.with_name(f".{short_name(path.name)}.lock")
    lock = FileLock(lock_path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(
            f"`{argument}` {path} is being written by {_holder(lock_path)}; wait until it has finished, or name another."
        ) from error
    try:
        _sign(lock_path)
        yield
    finally:
        with suppress(OSError):  # on Windows, which removes no open file; there `release` does it
            lock_path.unlink()  # while it is held: filelock never takes a lock on a file that is gone
        lock.release()
        if is_new:  # and nothing was written
            with suppress(OSError):
                path.parent.rmdir()


def _sign(lock_path: Path) -> None:
    """Write who holds the lock into its file, in place: a new file would be another lock."""
    holder = {
        "process": os.getpid(),
        "machine": platform.node(),
        "program": Path(sys.argv[0]).name,
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    with open(lock_path, "r+", encoding="utf-8") as file:
        file.write(json.dumps(holder))
        file.truncate()


def _holder(lock_path: Path) -> str:
    try:
        holder = json.loads(lock_path.read_text(encoding="utf-8"))
        return "process {process} on {machine} ({program}, since {since})".format(**holder)
    except (OSError, ValueError, KeyError):  # it has not signed yet
        return "another process"
