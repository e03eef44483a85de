from __future__ import annotations

from pathlib import Path

import pytest

from experiments.compare import main
from experiments.counts import scores
from experiments.pairs import HEADER, compare_folders
from experiments.plan import Run
from experiments.records import describe_scores, read_records, write_record

GOLD = [["B-LOC", "O"], ["B-ORG", "O"]] * 40


def write(folder, run: Run, right: int, gold=GOLD, fingerprint: str = "f") -> None:
    """A record of a run that has the first `right` sentences right and no entity in the others."""
    tags = [sentence if row < right else ["O", "O"] for row, sentence in enumerate(gold)]
    test = {"lang": ["en"] * len(gold), "source": ["x"] * len(gold), "picture": list(range(len(gold)))}
    data = {"name": "d", "config": "en", "revision": None, "fingerprint": fingerprint, "split": None}
    write_record(folder / f"{run.name}.json", run, data=data, test=test | {"dev": describe_scores(gold, tags)})


def run(seed: int, model: str = "bert-crf") -> Run:
    return Run(model, "", "en", seed)


@pytest.fixture
def folders(tmp_path):
    for seed in (19, 20):
        write(tmp_path / "plain", run(seed), 40 + seed)
        write(tmp_path / "better", run(seed), 60 + seed - 19)
        write(tmp_path / "same", run(seed), 40 + seed)
    write(tmp_path / "plain", run(19, "umt"), 10)
    return tmp_path


def test_the_difference_is_that_of_the_pooled_runs(folders):
    better, same = compare_folders(folders / "plain", [folders / "better", folders / "same"])
    f1 = {
        name: [100 * scores(r.counts())["f1"] for r in read_records(folders / name)[:2]]
        for name in ("plain", "better")
    }
    assert better.plain.tolist() == pytest.approx(f1["plain"]) and better.changed.tolist() == pytest.approx(
        f1["better"]
    )
    pooled = [2 * right / (right + 160) for right in (59 + 60, 60 + 61)]
    assert better.found.difference == pytest.approx(pooled[1] - pooled[0])
    assert better.found.low <= better.found.difference <= better.found.high
    assert (same.found.difference, same.found.p_value) == (0, 1) and same.change == "same"


def test_the_table_is_printed(folders, capsys):
    main([str(folders / name) for name in ("plain", "better", "same")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| " + " | ".join(HEADER) + " |"
    assert [line.split(" | ")[:3] for line in lines[2:4]] == [
        ["| better", "BERT-CRF", "2"],
        ["| same", "BERT-CRF", "2"],
    ]
    assert "| +0.00 | +0.00 to +0.00 | 1.000 |" in lines[3]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda folder: write(folder, run(20), 5, fingerprint="g"), "other sentences or other data"),
        (lambda folder: write(folder, run(20), 5, gold=[["B-ORG", "O"]] * 80), "other sentences or other data"),
    ],
)
def test_what_cannot_be_paired_is_refused(folders, change, message):
    change(folders / "better")
    with pytest.raises(SystemExit, match=message):
        main([str(folders / "plain"), str(folders / "better")])


def test_folders_that_share_no_model_are_refused(folders):
    write(folders / "other", run(19, "bert"), 5)
    with pytest.raises(SystemExit, match="other shares no model with plain"):
        main([str(folders / "plain"), str(folders / "other")])
    with pytest.raises(SystemExit):
        main([str(folders / "plain")])


def test_the_seeds_that_both_have_are_compared(folders):
    (before,) = compare_folders(folders / "plain", [folders / "better"])
    write(folders / "better", run(21), 5)
    (found,) = compare_folders(folders / "plain", [folders / "better"])
    assert found.row == before.row
    write(folders / "other", run(21), 5)
    with pytest.raises(SystemExit, match=r"bert-crf has the seeds \[19, 20\] in plain and \[21\] in other"):
        main([str(folders / "plain"), str(folders / "other")])


def test_a_run_with_two_records_is_refused(folders):
    record = folders / "better" / f"{run(19).name}.json"
    (folders / "better" / "copy.json").write_bytes(record.read_bytes())
    with pytest.raises(SystemExit, match="better has bert-crf with one seed twice"):
        main([str(folders / "plain"), str(folders / "better")])


def test_a_broken_record_is_told_by_its_name(folders):
    (folders / "better" / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"broken\.json is not valid JSON"):
        main([str(folders / "plain"), str(folders / "better")])


def test_both_schemes_and_the_pictures_count(folders):
    stray = [["I-LOC", "O"], ["B-ORG", "O"]] * 40
    for seed in (19, 20):
        test = {"lang": ["en"] * 80, "source": ["x"] * 80, "picture": list(range(80))}
        data = {"name": "d", "config": "en", "revision": None, "fingerprint": "f", "split": None}
        scored = {"dev": describe_scores(GOLD, stray)}
        write_record(folders / "stray" / f"{run(seed).name}.json", run(seed), data=data, test=test | scored)
        test["picture"] = [0] * 80
        write_record(folders / "other" / f"{run(seed).name}.json", run(seed), data=data, test=test | scored)
    (strict,), (lenient,) = (
        compare_folders(folders / "plain", [folders / "stray"], scheme) for scheme in ("strict", "lenient")
    )
    assert strict.found.difference < lenient.found.difference == pytest.approx(1 - 2 * 119 / (119 + 160))
    with pytest.raises(SystemExit, match="other sentences or other data"):
        main([str(folders / "plain"), str(folders / "other")])


def test_the_folder_one_is_in_has_its_name(folders, monkeypatch):
    monkeypatch.chdir(folders / "better")
    (found,) = compare_folders(Path("../plain"), [Path(".")])
    assert found.change == "better"
