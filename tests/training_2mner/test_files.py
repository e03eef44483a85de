from __future__ import annotations

import os
from pathlib import Path

import pytest

from training_2mner.files import write_file


def test_text_and_bytes_are_written_as_they_are(tmp_path):
    write_file(tmp_path / "new" / "text.txt", "Köln\n")
    write_file(tmp_path / "new" / "bytes", b"\r\n")
    assert (tmp_path / "new" / "text.txt").read_bytes() == "Köln\n".encode()
    assert (tmp_path / "new" / "bytes").read_bytes() == b"\r\n"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["bytes", "text.txt"]


def test_what_was_there_stays_until_the_new_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_file(path, "old")

    def stop(source, target):
        assert path.read_text() == "old" and Path(source).read_text() == "new"
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_file(path, "new")
    assert path.read_text() == "old"
