"""Describe what is wrong with a disk, whichever library noticed it."""

from __future__ import annotations

import errno
import os
import re

_FREE, _CHOOSE = "free some space, or choose another place for the output", "choose a place that can be written"
_PROBLEMS = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EFBIG: _FREE,
    errno.EROFS: _CHOOSE,
    errno.EACCES: "choose another place, or ask for the right to use this one",
}
# The only words of torch.save about a full disk.
_TORCH = re.compile(r"PytorchStreamWriter failed|\. unexpected pos \d+ vs \d+|iostream error")


def disk_problem(error: Exception) -> str | None:
    """Return cause, place and remedy of an error due to a full or read-only disk; None for any other error.

    Libraries in other languages pass on the system's message in exceptions of their own, so it is recognised as well.
    """
    if _TORCH.search(str(error)):
        return f"A checkpoint could not be written ({str(error).splitlines()[0]}): the disk may be full; {_FREE}."
    for code, remedy in _PROBLEMS.items():
        cause = os.strerror(code)
        if getattr(error, "errno", None) == code or f"{cause} (os error {code})" in str(error):
            place = getattr(error, "filename", None)
            return f"{cause}{f': {place}' if place else ''}; {remedy}."
    # Libraries wrap errors in their own; a ValueError explains itself.
    if isinstance(error.__cause__, Exception) and not isinstance(error, ValueError):
        return disk_problem(error.__cause__)
    return None
