"""A runner that dies at any moment loses nothing but time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dataset_scripts.mini.generator import write_mini
from experiments.records import read_records
from experiments.tables.results import results_page

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ["table5", "--settings", "demo", "--seeds", "1", "--only", "bilstm-crf,hbilstm-crf", "--languages", "en"]
SHORT = ["--", "--num_train_epochs", "6", "--use_cpu", "True", "--dataloader_num_workers", "0"]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start the runner as a process of its own, with this output folder."""
    data = tmp_path_factory.mktemp("data") / "mini"
    write_mini(data, seed=3, sizes=(512, 32, 32))
    environment = {**os.environ, "HF_DATASETS_CACHE": str(data.parent / "cache"), "OMP_NUM_THREADS": "1"}

    def run(output: Path) -> subprocess.Popen:
        command = [sys.executable, "-m", "experiments.run", *OPTIONS, "--dataset", str(data), "--output", str(output)]
        return subprocess.Popen(
            [*command, *SHORT], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    return run


def wait_for(pattern: str, folder: Path, process: subprocess.Popen) -> None:
    while not list(folder.glob(pattern)):
        assert process.poll() is None, "the runner ended before it could be killed"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_runner_goes_on_and_ends_with_the_same_tables(start, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(whole).wait() == 0
    second = "models/hbilstm-crf.en.seed-19/checkpoint-*"
    for pattern in (
        "models/bilstm-crf.en.seed-19/checkpoint-*",
        second,
    ):  # in the middle of the first, then of the second
        process = start(broken)
        wait_for(pattern, broken, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = (broken / "bilstm-crf.en.seed-19.json").read_bytes()
    process = start(broken)
    printed, _ = process.communicate()
    assert process.returncode == 0 and "2 runs, of which 1 are finished." in printed
    assert (broken / "bilstm-crf.en.seed-19.json").read_bytes() == finished
    for scheme in ("strict", "lenient"):
        assert results_page(read_records(broken), scheme) == results_page(read_records(whole), scheme)
    for path in whole.glob("*.json"):
        expected, found = (json.loads((folder / path.name).read_text()) for folder in (whole, broken))
        assert found["test"] == expected["test"] and found["dev"] == expected["dev"]
