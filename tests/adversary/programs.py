"""Run the project's programs as processes of their own, kill them, and let the disk fill up under them."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Runs a module with files that cannot grow beyond so many bytes: what a full disk looks like to a program.
LIMITED = (
    "import resource, runpy, sys; limit = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)); "
    "sys.argv = sys.argv[2:]; module = sys.argv[0]; runpy.run_module(module, run_name='__main__', alter_sys=True)"
)


def environment(workplace: Path) -> dict[str, str]:
    """Variables of a process that shares no cache with others."""
    own = {"HF_DATASETS_CACHE": str(workplace / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own, "PYTHONPATH": str(ROOT)}


def start(module: str, arguments: Sequence[str], workplace: Path) -> subprocess.Popen:
    """Start `python -m module`."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=workplace,
        env=environment(workplace),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(module: str, arguments: Sequence[str], workplace: Path) -> float:
    """Run `python -m module` to its end and return the seconds that it took."""
    begun = time.monotonic()
    process = start(module, arguments, workplace)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    return time.monotonic() - begun


def kill(module: str, arguments: Sequence[str], workplace: Path, seconds: float) -> bool:
    """Start `python -m module` and kill it after so many seconds; returns whether it was still alive then."""
    process = start(module, arguments, workplace)
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    assert process.returncode == 0, errors[-2000:]
    return False


def run_on_full_disk(
    module: str, arguments: Sequence[str], workplace: Path, limit: int
) -> subprocess.CompletedProcess:
    """Run `python -m module` with no room for a file of more than `limit` bytes."""
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), module, *arguments],
        cwd=workplace,
        env=environment(workplace),
        capture_output=True,
        text=True,
        timeout=300,
    )


def digest(path: Path) -> dict[str, str]:
    """The content of a file, or of all files in a folder, hidden ones aside."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path.parent).parts)
    }


def moment(chance: random.Random, seconds: float) -> float:
    """When to kill: mostly late, since a program imports before it works."""
    return seconds * chance.triangular(0.1, 1.0, 0.8)
