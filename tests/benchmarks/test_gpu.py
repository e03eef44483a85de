"""The script for a GPU, with tiny networks on the CPU, and the page that states what it found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu

BENCHMARKS = Path(gpu.__file__).parent
TINY = ["--small", "--device", "cpu", "--steps", "1"]


def run(capsys, *arguments: str) -> list[list[str]]:
    gpu.main([*TINY, *arguments])
    _, _, *lines = capsys.readouterr().out.splitlines()
    return [line.strip("| ").split(" | ") for line in lines]


def test_each_group_gives_its_lines(capsys, tmp_path, monkeypatch):
    output = tmp_path / "gpu.json"
    monkeypatch.setattr(gpu, "CRF_SHAPES", ((2, 3),))
    monkeypatch.setattr(gpu, "ENCODERS", ("text_model",))  # are compiled, which takes seconds each
    lines = run(capsys, "--only", "crf", "forward", "step", "--output", str(output))
    assert len(lines) == 3 * 3 + 2 * 4 + 7
    assert all(float(line[2].replace(",", "")) > 0 for line in lines)
    gpu.main(["--table", str(output)])
    assert gpu.table([gpu.Row(**row) for row in json.loads(output.read_text("utf-8"))["rows"]]).markdown() in (
        capsys.readouterr().out
    )


def test_pipeline_and_loader_give_their_lines(capsys):
    assert [line[:2] for line in run(capsys, "--only", "pipeline", "loader")] == [
        ["pipeline, text", "fp32, 0 processes load"],
        ["pipeline, text", "fp32, 1 processes load"],
        ["pipeline, text and picture", "fp32, 0 processes load"],
        ["pipeline, text and picture", "fp32, 1 processes load"],
        ["loader, sentences with pictures", "0 processes"],
        ["loader, sentences with pictures", "1 processes"],
    ]


def test_launches_and_waits_are_counted():
    ones = torch.ones(3)
    once, no_wait = gpu.count_events(lambda: ones + 1, torch.device("cpu"))
    twice, waits = gpu.count_events(lambda: ((ones + 1) + 1).sum().item(), torch.device("cpu"))
    assert 0 < once < twice
    assert (no_wait, waits) == (0, 1)


def test_what_fails_and_what_has_no_time_say_so(monkeypatch):
    def fail(bench):
        yield gpu.Task("work", "way", "s", lambda: 1 / torch.ones(1).reshape(2)[0])

    monkeypatch.setitem(gpu.GROUPS, "crf", fail)
    options = gpu.read_command_line([*TINY, "--only", "crf"])
    [row] = gpu.measure(options)
    assert row.value is None and "shape" in row.error and row.cells()[2].startswith("not measured: ")
    options.limit_s = -1.0
    [row] = gpu.measure(options)
    assert row.error == "no time was left"


def test_a_device_that_is_not_there_is_named():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit, match="`device` is cuda, but there is no GPU"):
        gpu.main([])


def test_the_page_states_what_was_measured():
    page, path = (BENCHMARKS / "RESULTS.md").read_text("utf-8"), BENCHMARKS / "gpu.json"
    section = page.split("## On a GPU\n")[1].split("\n## ")[0]
    assert (gpu.show(json.loads(path.read_text("utf-8"))) if path.exists() else "not measured") in section
