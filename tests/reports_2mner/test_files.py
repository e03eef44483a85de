from __future__ import annotations

import os
from pathlib import Path

import pytest

from reports_2mner.files import whole_file, write_file, write_json, write_lines
from reports_2mner.locks import only_writer


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_bytes_lines_and_json_are_written_as_they_are(tmp_path):
    folder = tmp_path / "new"
    write_file(folder / "text", "Köln\r\n")
    write_file(folder / "bytes", b"\xff\r\n")
    write_file(folder / "parts", (part for part in ("Kö", "ln")))
    write_lines(folder / "lines", ["a", "", "b"])
    write_json(folder / "json", {"a": ["ö"]}, ensure_ascii=False)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {
        "text": "Köln\r\n".encode(),
        "bytes": b"\xff\r\n",
        "parts": "Köln".encode(),
        "lines": b"a\n\nb\n",
        "json": '{"a": ["ö"]}\n'.encode(),
    }


def test_what_was_there_stays_until_the_new_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_file(path, "old")

    def stop(source, target):
        assert path.read_text() == "old" and Path(source).read_text() == "new"
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_file(path, "new")
    assert path.read_text() == "old" and names(tmp_path) == ["record.json"]


def test_nothing_is_left_of_a_file_that_failed_in_its_middle(tmp_path):
    def lines():
        yield "first"
        raise RuntimeError("no second")

    with pytest.raises(RuntimeError, match="no second"):
        write_lines(tmp_path / "file", lines())
    with pytest.raises(UnicodeEncodeError):
        write_file(tmp_path / "file", "half a pair: \ud83d")
    assert names(tmp_path) == []


def test_two_writers_of_a_file_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with whole_file(path) as first, whole_file(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first.name.startswith(".file.") and not path.exists()
    assert path.read_text() == "first" and names(tmp_path) == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_others_may_read_a_file_where_the_user_lets_them(tmp_path):
    write_file(tmp_path / "file", "text")
    (tmp_path / "plain").write_text("text")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_long_name_has_room_for_its_draft(tmp_path):
    write_file(tmp_path / ("n" * 255), "text")
    assert (tmp_path / ("n" * 255)).read_text() == "text"


@pytest.mark.parametrize("name", ["名" * 84, "é" * 125])
def test_names_are_measured_in_bytes(tmp_path, name):
    with only_writer(tmp_path / name, "output"):
        write_file(tmp_path / name, "text")
    assert (tmp_path / name).read_text(encoding="utf-8") == "text"
