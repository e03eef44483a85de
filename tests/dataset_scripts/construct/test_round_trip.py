"""The authors' English test file through two simulated annotators and an inspector."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from dataset_scripts.conll import read_conll
from dataset_scripts.construct.__main__ import main
from dataset_scripts.construct.records import spans_of_tags
from dataset_scripts.construct.stages import ORDER, Work
from tests.dataset_scripts.construct.annotators import answer, disturbed, plain

ROOT = Path(__file__).resolve().parents[3]
REAL = (
    ROOT / ".." / "shared" / "data" / "mmnerd" / "train_valid_test" / "train_valid_test_en" / "test_conll_format.txt"
)
STAGES = ("captions", "tweets", "tasks", "collect", "agree", "adjudicate")


@pytest.fixture(scope="module")
def mmnerd(tmp_path_factory):
    """A folder of text files, of which only that of the test split has entities."""
    if not REAL.is_file():
        pytest.skip("the authors' English files are not beside this checkout (../shared/data/mmnerd)")
    folder = tmp_path_factory.mktemp("real") / "train_valid_test_en"
    folder.mkdir()
    for name in ("train", "valid"):
        (folder / f"{name}_conll_format.txt").write_text(f"IMGID:O_{name}\nx\tO\n", "utf-8")
    (folder / "test_conll_format.txt").write_bytes(REAL.read_bytes())
    return folder.parent


@pytest.fixture(scope="module")
def entities(mmnerd):
    """All entities by uid, in the order of the files: the disturbed ones depend on it."""
    found = {"en/O_train": [], "en/O_valid": []}
    for sentence in read_conll(REAL):
        uids = [f"en/{sentence.image_id}", *(f"en/{sentence.image_id}#{n}" for n in range(2, 99))]
        found[next(uid for uid in uids if uid not in found)] = plain(spans_of_tags(sentence.tags, ""))
    return found


def commands(work: Path, mmnerd: Path) -> dict[str, list[str]]:
    answers = work / "answers"
    return {
        "captions": ["captions", str(work), f"--mmnerd={mmnerd}", "--keep_labels", "--records_per_part=500"],
        "tweets": ["tweets", str(work), f"--mmnerd={mmnerd}", "--records_per_part=500"],
        "tasks": ["tasks", str(work), "--annotators", "ana", "ben"],
        "collect": ["collect", str(work), "--answers", str(answers / "annotators"), "--num_proc=2"],
        "agree": ["agree", str(work)],
        "adjudicate": ["adjudicate", str(work), "--answers", str(answers / "inspector")],
        "release": ["release", str(work), "--output", str(work.parent / "new")],
    }


def annotate(work: Path, entities, share: float) -> None:
    """Answer the tasks: Ana as in the files, Ben with a share disturbed."""
    tasks, answers = Work(work).place("tasks"), work / "answers" / "annotators"
    answer(tasks / "ana.jsonl", answers / "ana.jsonl", entities)
    answer(tasks / "ben.jsonl", answers / "ben.jsonl", disturbed(entities, share))


def inspect(work: Path, entities) -> None:
    """Answer the conflicts as in the files."""
    tasks = Work(work).place("agree") / "inspector" / "inspector.jsonl"
    answer(tasks, work / "answers" / "inspector" / "inspector.jsonl", entities)


def run(work: Path, mmnerd: Path, entities, share: float, perform=main) -> None:
    for stage, command in commands(work, mmnerd).items():
        perform(command)
        if stage == "tasks":
            annotate(work, entities, share)
        if stage == "agree":
            inspect(work, entities)


def files(work: Path) -> dict[str, bytes]:
    """All files of the stages, but the manifests, which hold times and places."""
    places = [*(Work(work).place(stage) for stage in ORDER), work.parent / "new"]
    found = (
        path
        for place in places
        for path in place.rglob("*")
        if path.is_file() and path.name not in ("manifest.json", "asked.json")
    )
    return {path.relative_to(work.parent).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize(("share", "kappa"), [(0.05, 0.976), (0.10, 0.948), (0.20, 0.891)])
def test_a_share_of_disturbed_entities_gives_the_kappa_that_was_measured(mmnerd, entities, tmp_path, share, kappa):
    work = tmp_path / "work"
    run(work, mmnerd, entities, share)
    found = json.loads((Work(work).place("agree") / "agreement.json").read_text("utf-8"))["overall"]
    assert found["kappa, all words"] == pytest.approx(kappa, abs=0.004)
    assert found["alpha"] == pytest.approx(found["kappa, all words"], abs=0.002)
    assert found["sentences"] == 2_535
    settled = list(Work(work).records("release"))
    assert {record.uid: plain(record.gold) for record in settled} == entities
    by = {record.steps[-1]["state"] for record in settled}
    assert by == {"agreed", "settled by the inspector"} and found["conflicts"] > 100


def whole_way(folder: Path, perform) -> None:
    """Go from real tweets to a data set in two languages, with two annotators who disagree, and an inspector."""
    work, answers = str(folder / "work"), folder / "answers"
    construct, places = "dataset_scripts.construct", Work(folder / "work")
    perform(
        construct,
        "tweets",
        work,
        "--mmnerd",
        str(REAL.parents[2]),
        "--only_persons",
        "--limit=600",
        "--records_per_part=100",
    )
    perform(construct, "translate", work, "--engine", f"dictionary:{folder.parent / 'words.tsv'}", "--to", "es")
    perform(construct, "project", work)
    perform(construct, "tasks", work, "--annotators", "ana", "ben")
    lines = map(json.loads, (places.place("tasks") / "ana.jsonl").read_text("utf-8").splitlines())
    proposed = {line["uid"]: line["spans"] for line in lines}
    answer(places.place("tasks") / "ana.jsonl", answers / "annotators" / "ana.jsonl", proposed)
    answer(places.place("tasks") / "ben.jsonl", answers / "annotators" / "ben.jsonl", disturbed(proposed, 0.1))
    perform(construct, "collect", work, "--answers", str(answers / "annotators"), "--num_proc=2")
    perform(construct, "agree", work)
    answer(places.place("agree") / "inspector" / "inspector.jsonl", answers / "inspector.jsonl", proposed)
    perform(construct, "adjudicate", work, "--answers", str(answers / "inspector.jsonl"))
    perform(construct, "release", work, "--output", str(folder / "new"))
    words = ["--source", str(folder / "new"), "--no_images", "--split", "grouped", "--output", str(folder / "set")]
    words += ["--overwrite"]  # a build that is killed behind its last file is complete, and would be refused
    perform("dataset_scripts.build", *words, "--collection", "other", "--languages", "en", "es")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_from_tweets_to_a_data_set_ten_kills_at_random_leave_the_same_files(mmnerd, tmp_path):
    pytest.importorskip("thot", reason="sil-thot is not installed: pip install '2m-ner[construct]'")
    (tmp_path / "words.tsv").write_text("the\tel\nin\ten\n", "utf-8")
    seconds: list[float] = []
    rng, kills = Random(0), []

    def left_in_peace(*words: str) -> None:
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True, capture_output=True)
        seconds.append(time.monotonic() - started)

    def killed(*words: str) -> None:
        length = seconds.pop(0)
        for _ in range(3):
            process = subprocess.Popen(
                [sys.executable, "-m", *words], cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
            )
            try:
                assert process.wait(length * rng.uniform(0.05, 0.5)) == 0
                return  # it was faster than the first time
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills.append(words[1])
        subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True, capture_output=True)

    whole_way(tmp_path / "whole", left_in_peace)
    whole_way(tmp_path / "killed", killed)
    assert len(kills) >= 10, kills
    found = [files(tmp_path / name / "work") | built(tmp_path / name / "set") for name in ("whole", "killed")]
    assert found[0] == found[1] and any(name.endswith(".parquet") for name in found[0])


def built(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_what_people_have_settled_can_be_built_and_trained_on(mmnerd, entities, tmp_path):
    run(tmp_path / "work", mmnerd, entities, 0.2)
    construction = json.loads((tmp_path / "new" / "construction.json").read_text("utf-8"))
    assert construction["people"] == {"annotators": 2, "sentences": 2_535, "settled": 2_535}
    assert sum(construction["entities"].values()) == sum(map(len, entities.values()))
    card = (tmp_path / "new" / "README.md").read_text("utf-8")
    assert "| all | 2,535 | 918 |" in card and "guideline of version 1" in card
    assert not any(
        name in text for name in ("ana", "ben") for text in re.findall(r"\w+", card + json.dumps(construction))
    )

    program, *words = shlex.split(construction["build"])
    assert program == "python"
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, *words], cwd=tmp_path, env=surroundings, check=True, capture_output=True)
    settings = {"model": "bert-crf-demo", "tokenizer": "new", "vocabulary_size": 500, "dataset": "new-set"}
    settings |= {"dataset_config": "all", "output_dir": "run", "max_steps": 3, "use_cpu": True, "seed": 19}
    (tmp_path / "run.yaml").write_text(json.dumps(settings), "utf-8")
    training = [sys.executable, str(ROOT / "train_hf.py"), "run.yaml"]
    ended = subprocess.run(training, cwd=tmp_path, env=surroundings, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert (tmp_path / "run" / "model.safetensors").is_file() and (tmp_path / "run" / "all_results.json").is_file()
