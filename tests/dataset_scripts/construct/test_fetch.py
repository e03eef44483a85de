from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from dataset_scripts.build.pictures import read_picture_file
from dataset_scripts.construct import fetch
from dataset_scripts.construct.__main__ import main
from dataset_scripts.construct.fetch import Settings
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.stages import Work
from tests.dataset_scripts.construct.hostile_server import ANSWERS, KIND_OF, NOWHERE, HostileServer, draw, plain

pytest.importorskip("protego", reason="pip install '2m-ner[construct]'")

ROOT = Path(__file__).resolve().parents[3]
FAST = {"connections": 32, "per_host": 32, "delay": 0.0, "attempts": 2, "first_wait": 0.01, "max_seconds": 1.0}
FAST |= {"max_bytes": 1_000_000}


@pytest.fixture
def server():
    server = HostileServer()
    yield server
    server.close()


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path / "work", quiet=True, records_per_part=100)


def record(image_id: str, url: str | None = None, lang: str = "en") -> Record:
    return Record(f"{lang}/{image_id}", image_id, lang, "cc12m", "word", ("word",), ((0, 4),), url=url)


def captions(work: Work, records: list[Record]) -> None:
    def make(counts):
        counts.read += len(records)
        return iter(records)

    work.write_records("captions", make, {}, {"records": str(hash(tuple(map(repr, records))))})


def run(work: Work, **settings):
    return fetch.run(work, Settings(**{**FAST, **settings}), allow_loopback=True)


def images(work: Work) -> dict[str, dict]:
    return {found.image_id: found.more["image"] for found in work.records("tasks")}


def manifest(work: Work, columns: str = "*") -> list[tuple]:
    with closing(sqlite3.connect(work.folder / "pictures" / "manifest.sqlite")) as base:
        return base.execute(f"SELECT {columns} FROM manifest ORDER BY uid").fetchall()


def test_pictures_are_fetched_and_the_builder_finds_them(work, server):
    image_id = "00000042---a%2Fb*?"
    captions(work, [record(image_id, server.url("/good/a")), record("no address")])
    result = run(work, contact="me@example.org")
    assert result["counts"]["notes"] == {"pictures: ok": 1, "pictures: missing, no address": 1}
    assert read_picture_file(work.folder / "pictures" / "images", image_id).image["bytes"] == draw("/good/a")
    found = images(work)[image_id]
    assert (found["status"], found["class"], found["width"], found["height"]) == ("ok", "ok", 48, 40)
    assert (work.folder / found["path"]).read_bytes() == draw("/good/a")
    assert server.agents == {"2m-ner/0.1 (me@example.org)"}
    assert manifest(work, "uid, status, class, attempts, bytes, width, height")[0] == (
        *(f"en/{image_id}", "ok", "ok", 1),
        *(len(draw("/good/a")), 48, 40),
    )


def hostile_records(server: HostileServer) -> tuple[list[Record], dict[str, str]]:
    """Records whose addresses are hostile or broken, 300 of them, and good ones; and the class of each."""
    found = [(f"{kind}-{n}", server.url(f"/{kind}/{n}.jpg"), KIND_OF[kind]) for n in range(6) for kind in KIND_OF]
    found += [(f"nowhere-{n}-{kind}", url, kind) for kind, urls in NOWHERE.items() for n, url in enumerate(urls)]
    return [record(image_id, url) for image_id, url, _ in found], {image_id: kind for image_id, _, kind in found}


def test_hostile_addresses_all_end_in_a_class_and_are_asked_once(work, server, monkeypatch):
    asked: Counter[str] = Counter()
    connect = socket.create_connection

    def watch(address, *rest, **named):
        asked[address[0]] += 1
        return connect(address, *rest, **named)

    def look_up(host, *rest, **named):
        if host == "nowhere.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return find(host, *rest, **named)

    find = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "create_connection", watch)
    records, expected = hostile_records(server)
    assert sum(kind != "ok" for kind in expected.values()) >= 300
    captions(work, records)
    begin, slowly = time.monotonic(), {"max_seconds": 2.5}  # a busy machine takes its time
    result = run(work, **slowly)
    assert result["counts"]["read"] == result["counts"]["written"] == len(records)
    found = {image_id: image.get("class") for image_id, image in images(work).items()}
    assert {image_id: (found[image_id], kind) for image_id, kind in expected.items() if found[image_id] != kind} == {}
    assert {reason for status, reason in manifest(work, "status, reason") if status == "too large"} == {
        f"TooLarge: more than {FAST['max_bytes']} bytes"
    }
    assert set(asked) == {"127.0.0.1"}
    assert time.monotonic() - begin < 60
    assert not any(path.startswith("/disallowed/") for path in server.requests)
    for path, times in server.requests.items():
        if path.split("/")[1] in ANSWERS["permanent"] and "/loop/" not in path:
            assert times == 1, path

    before = server.requests.copy()
    assert run(work, **slowly)["skipped"] and server.requests == before  # nothing is asked again
    run(work, **slowly, retry=("transient",))
    again = server.requests - before
    assert {path.split("/")[1] for path in again} == set(ANSWERS["transient"])
    assert {image_id: image.get("class") for image_id, image in images(work).items()} == found


def test_without_leave_nothing_on_this_machine_is_asked(work, server, monkeypatch):
    def refuse(address, *_, **__):
        raise AssertionError(f"connects to {address}")

    monkeypatch.setattr(socket, "create_connection", refuse)
    hosts = [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ]
    captions(work, [record(str(n), f"http://{host}:{server.server_port}/good/a") for n, host in enumerate(hosts)])
    fetch.run(work, Settings(**FAST))
    assert {image["why"] for image in images(work).values()} == {"private address"}
    assert not server.requests


def test_a_picture_is_asked_and_kept_once(work, server):
    urls = [server.url("/same/1"), server.url("/same/1#part"), f" {server.url('/same/1')}".replace("http", "HTTP")]
    captions(work, [record(str(n), url) for n, url in enumerate([*urls, server.url("/same/2")])])
    run(work)
    assert server.requests == {"/robots.txt": 1, "/same/1": 1, "/same/2": 1}
    assert len(list((work.folder / "pictures" / "files").rglob("*.jpg"))) == 1
    assert len({image["sha256"] for image in images(work).values()}) == 1
    assert sorted(path.name for path in (work.folder / "pictures" / "images").iterdir()) == [
        f"{n}.jpg" for n in range(4)
    ]


def test_records_of_one_image_id_share_the_first_address(work, server):
    captions(work, [record("a"), record("a", server.url("/good/1"), "fr"), record("a", server.url("/good/2"), "es")])
    notes = run(work)["counts"]["notes"]
    assert notes == {"pictures: ok": 3, "further addresses of the same image id, not asked": 1}
    assert server.requests == {"/robots.txt": 1, "/good/1": 1}


def test_pictures_that_look_alike_have_one_name(work, server, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, kind in (("a", "PNG"), ("b", "WEBP")):
        (folder / f"{name}.jpg").write_bytes(draw("one", kind, (90, 80)))
    (folder / "c.jpg").write_bytes(draw("another", "PNG", (90, 80)))
    captions(work, [record(name) for name in "abc"])
    run(work, images=folder)
    found = images(work)
    assert found["a"]["alike"] == found["b"]["alike"] != found["c"]["alike"]
    assert found["a"]["sha256"] != found["b"]["sha256"]
    assert not server.requests


def test_pictures_that_say_that_there_is_none_are_known(work, server, tmp_path):
    folder = tmp_path / "removed"
    folder.mkdir()
    (folder / "gone.png").write_bytes(draw("/good/removed", "PNG"))  # the same picture in another format
    captions(work, [record("a", server.url("/good/removed")), record("b", server.url("/good/b"))])
    run(work)
    assert {path.name for path in (work.folder / "pictures" / "images").iterdir()} == {"a.jpg", "b.jpg"}
    run(work, removed=folder)
    assert {name: (image["status"], image["why"]) for name, image in images(work).items()} == {
        "a": ("missing", "removed"),
        "b": ("ok", ""),
    }
    assert [path.name for path in (work.folder / "pictures" / "images").iterdir()] == ["b.jpg"]
    run(work)
    assert {image["status"] for image in images(work).values()} == {"ok"}
    assert server.requests == {"/robots.txt": 1, "/good/removed": 1, "/good/b": 1}


def test_a_picture_whose_file_is_gone_is_fetched_again(work, server):
    captions(work, [record("a", server.url("/good/a")), record("b", server.url("/good/b"))])
    run(work)
    path = work.folder / images(work)["a"]["path"]
    path.unlink()
    run(work)
    assert path.read_bytes() == draw("/good/a")
    assert server.requests == {"/robots.txt": 1, "/good/a": 2, "/good/b": 1}


@pytest.mark.parametrize("folder", [None, "pictures"])
def test_an_address_never_names_a_file_of_this_machine(work, tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path, tmp_path / "pictures"):
        place.mkdir(exist_ok=True)
        (place / "private.jpg").write_bytes(draw("private"))
    urls = ("folder:private", " folder:private", "\tfolder:private", (tmp_path / "private.jpg").as_uri())
    captions(work, [record(str(number), url) for number, url in enumerate(urls)])
    run(work, images=folder and Path(folder))
    assert {image["why"] for image in images(work).values()} == {"bad address"}


FIRST = """
import sys
from pathlib import Path
from dataset_scripts.construct import fetch
from tests.dataset_scripts.construct.test_fetch import Work, captions, record
work = Work(Path(sys.argv[1]) / "work", quiet=True)
captions(work, [record(str(number), f"http://127.0.0.{number}:9/") for number in range(20)])
settings = fetch.Settings(images=Path(sys.argv[1]), robots="ignore", connections=32)
print("modeling_2mner" in sys.modules, fetch.run(work, settings)["counts"]["notes"])
"""


def test_the_first_pictures_come_from_a_folder_and_from_servers_at_once(tmp_path):
    """In a fresh process, in which the threads would be the first to load the model's code."""
    (tmp_path / "0.jpg").write_bytes(draw("one"))
    command = [sys.executable, "-c", FIRST, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("False {'pictures: missing, ") and "'pictures: ok': 1" in done.stdout, done.stderr


def test_an_image_id_that_leads_out_of_the_folder_gets_no_file(work, server):
    captions(work, [record("../a", server.url("/good/a")), record("b/c", server.url("/good/b"))])
    run(work)
    assert {image["why"] for image in images(work).values()} == {"unsafe image id"}
    assert list((work.folder / "pictures" / "images").iterdir()) == [] and not server.requests


def test_robots_can_be_ignored(work, server):
    captions(work, [record("a", server.url("/disallowed/a"))])
    run(work)
    assert images(work)["a"] == {"status": "missing", "why": "robots.txt", "class": "refused"}
    run(work, robots="ignore", retry=("refused",))
    assert images(work)["a"]["status"] == "ok"
    assert server.requests == {"/robots.txt": 1, "/disallowed/a": 1}


def test_without_robots_txt_all_is_allowed_and_with_a_broken_one_nothing_for_now(work, server):
    captions(work, [record("a", server.url("/good/a"))])
    server.robots = plain(status=503)
    run(work)
    assert (images(work)["a"]["why"], images(work)["a"]["class"]) == ("http 503", "transient")
    assert set(server.requests) == {"/robots.txt"}
    server.robots = plain(status=404)
    run(work, retry=("transient",))
    assert images(work)["a"]["status"] == "ok"


def test_the_command_takes_pictures_from_a_folder(work, tmp_path, capsys):
    folder = tmp_path / "tweets"
    folder.mkdir()
    (folder / "O_1.jpg").write_bytes(draw("O_1"))
    (folder / "O_2.jpg").write_bytes(b"<html>")
    captions(work, [record(name) for name in ("O_1", "O_2", "O_3")])
    main(["fetch", str(work.folder), "--images", str(folder)])
    assert "fetch: 3 read, 3 written" in capsys.readouterr().out
    found = {name: (image["status"], image["why"]) for name, image in images(work).items()}
    assert found == {"O_1": ("ok", ""), "O_2": ("missing", "no picture"), "O_3": ("missing", "no address")}
    with pytest.raises(SystemExit, match="the folder that this stage writes"):
        main(["fetch", str(work.folder), "--images", str(work.folder / "pictures" / "images")])
    with pytest.raises(SystemExit, match="`images` must be a folder"):
        main(["fetch", str(work.folder), "--images", str(tmp_path / "nowhere")])


def test_addresses_of_released_captions_come_from_the_list(work, server, tmp_path):
    listing = tmp_path / "cc12m.tsv"
    listing.write_text(f"{server.url('/good/0.jpg')}\tcaption 0\n{server.url('/good/1.jpg')}\tcaption 1\n")
    captions(work, [record("00000001---1"), record("00000002---other")])
    run(work, urls=listing)
    found = {made.image_id: (made.url, made.more["image"]["status"]) for made in work.records("tasks")}
    assert found == {"00000001---1": (server.url("/good/1.jpg"), "ok"), "00000002---other": (None, "missing")}
    assert server.requests == {"/robots.txt": 1, "/good/1.jpg": 1}


PROGRAM = """
import sys, json
from pathlib import Path
from dataset_scripts.construct import fetch
from dataset_scripts.construct.stages import Work
settings = json.loads(sys.argv[2])
fetch.run(Work(Path(sys.argv[1]), quiet=True), fetch.Settings(**settings), allow_loopback=True)
"""


def start(work: Work, **settings) -> subprocess.Popen:
    values = json.dumps({**FAST, "connections": 4, "per_host": 4, "delay": 0.01, **settings})
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(work.folder), values], cwd=ROOT)


def parts(work: Work) -> list[bytes]:
    return [path.read_bytes() for path in work.parts("fetch")]


def test_a_killed_fetch_goes_on_where_it_was(work, server, tmp_path):
    records = [record(f"{n:03d}", server.url(f"/{kind}/{n}")) for n in range(60) for kind in ("good", "missing")]
    records = [record(f"{n:03d}", found.url) for n, found in enumerate(records)]
    captions(work, records)
    for stop in (30, 80):
        process = start(work)
        while sum(server.requests.values()) < stop and process.poll() is None:
            time.sleep(0.005)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert start(work).wait() == 0
    asked = {path: times for path, times in server.requests.items() if path != "/robots.txt"}
    assert len(asked) == 120 and sum(asked.values()) <= 120 + 2 * 4  # no more than were on their way at each end
    assert server.requests["/robots.txt"] == 1

    other = Work(tmp_path / "other", quiet=True, records_per_part=100)
    captions(other, records)
    run(other)
    assert parts(work) == parts(other)
    assert {path.name for path in (work.folder / "pictures" / "images").iterdir()} == {
        f"{n:03d}.jpg" for n in range(0, 120, 2)
    }
