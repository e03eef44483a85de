"""The measurement of `torch.compile`: every work is run as it is, compiled, and by oneDNN."""

from __future__ import annotations

import pytest
import torch

from benchmarks import compiled


def test_every_work_has_a_row_and_the_compiled_network_runs(capsys, monkeypatch):
    calls = []

    def compile_(network, dynamic):
        assert dynamic
        return lambda **inputs: calls.append(inputs["input_ids"].shape) or network(**inputs)

    monkeypatch.setattr(torch, "compile", compile_)
    compiled.main(["--small", "--repeats", "1"])
    _, _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines] == [name for name, *_ in compiled.WORKS]
    rounds = 1 + 2 * len(compiled.LENGTHS)  # the first call, one round that does not count, and one that does
    assert len(calls) == rounds * len(compiled.WORKS)
    for line in lines:
        eager, fast, ratio = (float(cell.strip(" x")) for cell in line.split("|")[2:5])
        assert eager > 0 and ratio == pytest.approx(eager / fast, rel=0.2)
