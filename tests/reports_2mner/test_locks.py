from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reports_2mner.locks import only_writer

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys
from reports_2mner.locks import only_writer
with only_writer(sys.argv[1], "output"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_writer(path: Path) -> Iterator[subprocess.Popen]:
    """A process that writes `path` until it is killed."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_writer_learns_who_is_the_first(tmp_path):
    with another_writer(tmp_path / "new" / "run") as process:
        busy = f"`output_dir` .*run is being written by process {process.pid} on .*since"
        with pytest.raises(ValueError, match=busy), only_writer(tmp_path / "new" / "run", "output_dir"):
            pass
        with only_writer(tmp_path / "new" / "run2", "output_dir"):  # another folder is free
            pass


def test_the_lock_goes_with_its_process(tmp_path):
    with another_writer(tmp_path / "run") as process:
        process.kill()
        process.wait()
        with only_writer(tmp_path / "run", "output"):
            pass


def test_two_names_of_one_folder_are_one(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    with only_writer("run", "output"):
        for name in ("./run", "run/", "link", tmp_path / "run"):
            with pytest.raises(ValueError, match=f"process {os.getpid()}"), only_writer(name, "output"):
                pass


def test_only_the_first_of_several_processes_locks(tmp_path):
    with only_writer(tmp_path / "run", "output"), only_writer(tmp_path / "run", "output", is_first=False):
        pass


def test_an_error_inside_is_not_the_locks(tmp_path):
    with pytest.raises(ValueError, match="mine"), only_writer(tmp_path / "run", "output"):
        raise ValueError("mine")
    with only_writer(tmp_path / "run", "output"):
        pass


def test_nothing_is_left_of_a_lock(tmp_path):
    with only_writer(tmp_path / "run", "output"):
        assert [path.name for path in tmp_path.iterdir()] == [".run.lock"]
    assert not list(tmp_path.iterdir())


def test_a_folder_in_which_nothing_is_written_is_not_left(tmp_path):
    with only_writer(tmp_path / "new" / "run", "output"):
        assert (tmp_path / "new").is_dir()
    assert not list(tmp_path.iterdir())
