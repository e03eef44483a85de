"""The stages that talk to Label Studio, cut off at each of their requests and repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest

from dataset_scripts.annotations.label_studio_server import Server
from dataset_scripts.annotations.sentence import Faults
from dataset_scripts.construct.__main__ import main
from dataset_scripts.construct.stages import Work
from tests.dataset_scripts.annotations.label_studio_double import TOKEN, LabelStudioDouble, running
from tests.dataset_scripts.construct.test_people import given, sentence

pytest.importorskip("httpx")
UIDS = [f"es/{number}" for number in range(3)]
ANA = {uid: [(2, 10, "PER"), (14, 19, "LOC")] for uid in UIDS}  # behind an emoji, in code points
BEN = {**ANA, "es/0": [(2, 5, "PER"), (14, 19, "LOC")]}


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", TOKEN)


@pytest.fixture
def work(tmp_path):
    (tmp_path / "pictures").mkdir()
    words = "🎉 Ana Ruiz en París"
    return given(tmp_path / "news", [sentence(n, words, ((1, 3, "PER"), (4, 5, "LOC"))) for n in range(3)])


def tasks(work, address):
    images = ["--images", str(work.folder.parent / "pictures"), "--document_root", str(work.folder.parent)]
    main(["tasks", str(work.folder), "--format", "label_studio", "--server", address, *images])


def annotated(work, double, address):
    """Hand the tasks out, and let Ana and Ben answer; they differ in the first sentence."""
    tasks(work, address)
    double.say("news", 2, ANA)
    double.say("news", 3, BEN)


def stage(name):
    return lambda work, address: main([name, str(work.folder), "--server", address])


def cut_everywhere(double, perform, result):
    """Cut a command off at each of its requests, before or after the server has carried it out, and repeat it.

    Yields whatever `result` returns after each repetition; the first is that of a command that was not cut off.
    """
    before = deepcopy(vars(double))
    double.requests = 0
    perform()
    number, expected = double.requests, result()
    assert number > 1
    for cut in range(1, number + 1):
        for done in (True, False):
            vars(double).update(deepcopy(before))
            double.requests, double.cut, double.done = 0, cut, done
            with pytest.raises(SystemExit, match="cannot be reached"):
                perform()
            double.cut = None
            perform()
            assert result() == expected, f"cut off at request {cut}, which was {'' if done else 'not '}carried out"


def test_an_import_that_is_cut_off_and_repeated_makes_one_project_without_doubles(work, capsys):
    double = LabelStudioDouble()
    with running(double) as address:
        cut_everywhere(
            double,
            lambda: tasks(work, address),
            lambda: (double.titles(), [s["path"] for s in double.storages], double.uids("news")),
        )
        assert (double.titles(), double.uids("news"), len(double.storages)) == (["news"], UIDS, 1)
        tasks(work, address)
        assert "0 tasks imported into 'news'" in capsys.readouterr().out and double.uids("news") == UIDS


@pytest.mark.parametrize("name", ["collect", "adjudicate"])
def test_answers_that_are_cut_off_and_taken_again_are_the_same(work, name):
    double = LabelStudioDouble()
    with running(double) as address:
        annotated(work, double, address)
        if name == "adjudicate":
            stage("collect")(work, address)
            stage("agree")(work, address)
            double.say("news (inspector)", 4, ANA)
        cut_everywhere(
            double,
            lambda: stage(name)(work, address),
            lambda: (
                (work.folder / "answers" / f"{name}.jsonl").read_text("utf-8")
                + "".join(path.read_text("utf-8") for path in work.parts(name))
            ),
        )
    found = {record.uid: record for record in work.records("release")}
    if name == "collect":
        ana, ben = found["es/0"].annotations
        assert [span["end"] for span in ana["spans"] + ben["spans"]] == [3, 5, 2, 5] and ana["round"] == "news"
    else:
        assert [(e.start, e.end, e.by) for e in found["es/0"].gold] == [(1, 3, "eva"), (4, 5, "eva")]


def test_the_inspectors_import_may_be_cut_off_too(work):
    double = LabelStudioDouble()
    with running(double) as address:
        annotated(work, double, address)
        stage("collect")(work, address)
        cut_everywhere(
            double,
            lambda: stage("agree")(work, address),
            lambda: (double.titles(), double.uids("news (inspector)")),
        )
        assert double.uids("news (inspector)") == ["es/0"]


def test_doubles_of_an_import_that_ended_late_are_removed_but_answers_are_kept(work):
    double = LabelStudioDouble()
    with running(double) as address:
        tasks(work, address)
        double.answer("POST", "/api/projects/1/import", {}, [{"data": task["data"]} for task in double.tasks])
        answered = [double.tasks[number] for number in (0, 3, 4)]  # both of one sentence, the later of another
        for task in answered:
            task["annotations"] = [{"id": 1, "completed_by": 2, "was_cancelled": True, "result": []}]
        tasks(work, address)
        assert len(double.tasks) == 4 and set(double.uids("news")) == set(UIDS)
        assert [task["id"] for task in double.tasks if task["annotations"]] == [1, 4, 5]


def test_a_task_that_cannot_be_read_is_named(work):
    double = LabelStudioDouble()
    with running(double) as address:
        annotated(work, double, address)
        del double.tasks[1]["data"]["tokens"]
        with pytest.raises(SystemExit, match=r"`project` 'news', task 2: the task has no `tokens`.*remove the task"):
            stage("collect")(work, address)


def test_a_wrong_token_and_an_unknown_project_are_errors(work, monkeypatch):
    with running(LabelStudioDouble()) as address:
        with pytest.raises(ValueError, match="`project` 'none' is not on the server; run `tasks --server` first"):
            list(Server(address).sentences("none", Faults()))
        monkeypatch.setenv("LABEL_STUDIO_TOKEN", "wrong")
        with pytest.raises(ValueError, match="`server` refused GET /api/projects: 401"):
            Server(address).project("none")
    monkeypatch.delenv("LABEL_STUDIO_TOKEN")
    with pytest.raises(ValueError, match="needs the access token of its owner in the environment variable"):
        Server(address)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tasks", "collect"])
def test_a_process_that_is_killed_and_started_again_gives_the_same(work, name):
    double = LabelStudioDouble()
    command = [sys.executable, "-m", "dataset_scripts.construct", name, str(work.folder)]
    command += ["--format", "label_studio"] if name == "tasks" else []
    where = {"cwd": Path(__file__).resolve().parents[3], "env": {**os.environ, "LABEL_STUDIO_TOKEN": TOKEN}}
    with running(double) as address:
        if name == "collect":
            annotated(work, double, address)
        command += ["--server", address]
        carry_out = double.answer
        process = None

        def answer(method, path, query, body):
            found = carry_out(method, path, query, body)
            if process and (path.endswith("/import") or path.endswith("/export")):
                process.kill()
                process.wait()
            return found

        double.answer = answer
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **where)
        assert process.wait(120) == -signal.SIGKILL
        process = None
        subprocess.run(command, check=True, capture_output=True, **where)
    assert double.uids("news") == UIDS
    if name == "collect":
        said = [record.annotations for record in Work(work.folder).records("agree")]
        assert [len(each) for each in said] == [2, 2, 2] and json.dumps(said)
