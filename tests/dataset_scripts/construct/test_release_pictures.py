"""Captions with addresses, from the listing to the pictures of the built data set."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shlex
import shutil
from collections import Counter

import pytest
from datasets import load_dataset

from dataset_scripts.build.__main__ import main as build
from dataset_scripts.construct import captions, fetch, picture_store, recognise, release
from dataset_scripts.construct.stages import Work
from tests.dataset_scripts.construct.hostile_server import HostileServer, draw

pytest.importorskip("protego", reason="pip install '2m-ner[construct]'")

KINDS = [*["good"] * 17, "missing", "truncated", "disallowed"]
NAMES = [f"{n:08d}---{kind}%2F{n}" for n, kind in enumerate(KINDS)]
STATES = {"ok": 17, "missing: http 404": 1, "unreadable": 1, "refused: robots.txt": 1}


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """A work folder with pictures of most of its captions, from a server that is gone."""
    folder = tmp_path_factory.mktemp("fetched")
    work = Work(folder / "work", quiet=True)
    server = HostileServer()
    with open(folder / "listing.tsv", "w", encoding="utf-8", newline="") as file:
        rows = [
            (f"{name}.jpg", f"Ana in Rome {n}", server.url(f"/{kind}/{n}"), "en")
            for n, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True))
        ]
        csv.writer(file, delimiter="\t").writerows([captions.COLUMNS, *rows])
    (folder / "words.tsv").write_text("Ana\tPERSON\nRome\tGPE\n", "utf-8")
    captions.run(work, captions.Settings(listing=str(folder / "listing.tsv")))
    recognise.run(work, recognise.Settings(f"dictionary:{folder / 'words.tsv'}"))
    fetch.run(work, fetch.Settings(delay=0.0, first_wait=0.01, attempts=1), allow_loopback=True)
    server.close()
    return work


@pytest.fixture
def work(fetched, tmp_path):
    shutil.copytree(fetched.folder, tmp_path / "work")
    return Work(tmp_path / "work", quiet=True)


def construction(folder):
    return json.loads((folder / "construction.json").read_text("utf-8"))


def provenance(folder):
    lines = (folder / "provenance.jsonl").read_text("utf-8").splitlines()
    return {entry["image_id"]: entry for entry in map(json.loads, lines)}


def built(folder, monkeypatch):
    """The rows of the data set that the card's own command makes, by image id."""
    command = construction(folder)["build"]
    assert f"    {command}\n" in (folder / "README.md").read_text("utf-8")
    monkeypatch.chdir(folder.parent)
    build(shlex.split(command.removeprefix("python -m dataset_scripts.build")))
    splits = load_dataset(str(folder.parent / f"{folder.name}-set"), cache_dir=str(folder.parent / "cache"))
    return {row["image_id"]: row for split in splits.values() for row in split}


def test_the_data_set_has_the_pictures_that_were_fetched(work, tmp_path, monkeypatch):
    new = tmp_path / "new"
    release.run(work, release.Settings(output=new))
    assert construction(new)["pictures"] == {"included": 17, "sentences": STATES}
    card = (new / "README.md").read_text("utf-8")
    assert (
        "are the pictures as they were found" in card and "1 missing: http 404; 17 ok; 1 refused: robots.txt" in card
    )
    assert {path.name for path in (new / "images").iterdir()} == {f"{name}.jpg" for name in NAMES[:17]}

    entries = provenance(new)
    for n, name in enumerate(NAMES):
        entry, found = entries[name], new / "images" / f"{name}.jpg"
        assert entry["url"].endswith(f"/{KINDS[n]}/{n}")
        assert (entry["picture"]["status"] == "ok") == found.exists()
        if n < 17:
            assert found.read_bytes() == draw(f"/good/{n}")
            sha256 = entry["picture"]["sha256"]
            assert sha256 == hashlib.sha256(found.read_bytes()).hexdigest()
            assert os.path.samefile(found, work.folder / "pictures" / "files" / sha256[:2] / f"{sha256}.jpg")
    assert entries[NAMES[19]]["picture"] == {"status": "refused", "why": "robots.txt", "sha256": None}

    rows = built(new, monkeypatch)
    assert {name: row["image"] is not None for name, row in rows.items()} == {n: n in NAMES[:17] for n in NAMES}
    assert Counter(row["image_status"] for row in rows.values()) == {"ok": 17, "missing": 3}
    assert rows[NAMES[0]]["image"].size == (48, 40)


def test_pictures_can_be_left_out(work, tmp_path, monkeypatch):
    new = tmp_path / "new"
    release.run(work, release.Settings(output=new))
    release.run(work, release.Settings(output=new, leave_out_pictures=True))
    assert construction(new)["pictures"] == {"included": 0, "sentences": STATES} and not (new / "images").exists()
    assert "holds their addresses and hashes" in (new / "README.md").read_text("utf-8")
    assert provenance(new)[NAMES[0]]["picture"]["sha256"] == hashlib.sha256(draw("/good/0")).hexdigest()
    assert {row["image"] for row in built(new, monkeypatch).values()} == {None}


def test_the_licence_has_a_layer_for_pictures(work, tmp_path):
    release.run(work, release.Settings(output=tmp_path / "new"))
    licence = (tmp_path / "new" / "LICENSE.md").read_text("utf-8")
    assert "| Pictures of captions | They belong to their owners." in licence and "{%" not in licence


def test_the_next_command_is_that_of_the_folder(work, tmp_path, capsys):
    release.run(Work(work.folder), release.Settings(output=tmp_path / "new"))
    assert "next: python -m dataset_scripts.build --source new --images new/images" in capsys.readouterr().out
    release.run(Work(work.folder), release.Settings(output=tmp_path / "other", leave_out_pictures=True))
    assert "next: python -m dataset_scripts.build --source other --no_images" in capsys.readouterr().out


def test_a_release_of_another_name_has_its_own_command(work, tmp_path):
    for name in ("new", "other"):
        release.run(work, release.Settings(output=tmp_path / name))
        assert f"--source {name} --images {name}/images" in construction(tmp_path / name)["build"]


def test_a_release_that_was_stopped_goes_on_with_the_pictures_that_are_there(work, tmp_path, monkeypatch):
    linked, link = [], picture_store.link_file

    def stop_after_five(source, target):
        if len(linked) == 5:
            raise KeyboardInterrupt
        linked.append(target.name)
        link(source, target)

    monkeypatch.setattr(release, "link_file", stop_after_five)
    with pytest.raises(KeyboardInterrupt):
        release.run(work, release.Settings(output=tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(
        release, "link_file", lambda source, target: (linked.append(target.name), link(source, target))
    )
    release.run(work, release.Settings(output=tmp_path / "new"))
    assert sorted(linked) == [f"{name}.jpg" for name in NAMES[:17]]  # each once
    assert len(list((tmp_path / "new" / "images").iterdir())) == 17
    assert not list(tmp_path.glob(".new.*.partial"))


def test_without_hard_links_pictures_are_copied(work, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    release.run(work, release.Settings(output=tmp_path / "new"))
    found = tmp_path / "new" / "images" / f"{NAMES[0]}.jpg"
    assert found.read_bytes() == draw("/good/0") and found.stat().st_nlink == 1


def test_a_picture_that_is_gone_is_asked_for(work, tmp_path):
    shutil.rmtree(work.folder / "pictures" / "files")
    with pytest.raises(ValueError, match="run `fetch` again"):
        release.run(work, release.Settings(output=tmp_path / "new"))
    assert not (tmp_path / "new").exists()
