from __future__ import annotations

import pytest

from benchmarks import side_by_side


def test_each_measurement_gives_a_row(capsys, monkeypatch):
    monkeypatch.setattr(side_by_side.torch, "set_num_threads", lambda count: None)
    side_by_side.main(["--repeats", "1", "--sentences", "16", "--batches", "1", "--only", "text", "networks"])
    header, rule, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("| work |") and rule.startswith("| --- |")
    works = [row.split(" | ")[0].removeprefix("| ") for row in rows]
    assert len(works) == len(set(works)) == 7
    assert all(float(cell) > 0 for row in rows for cell in row.split(" | ")[2:4])


def test_different_answers_are_an_error():
    pair = side_by_side.Pair("work", lambda: [1.0], lambda: [1.1], "sentence", 1, None)
    pair.equal = lambda one, other: side_by_side.check(side_by_side.close(one, other), "scores")
    with pytest.raises(ValueError, match="different scores"):
        pair.row(1)
    pair.ours = lambda: [1.0 + 1e-6]
    assert pair.row(1)[0] == "work"
