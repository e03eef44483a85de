from __future__ import annotations

import json
import statistics

import pytest

from dataset_scripts.statistics.paper import PAPER_LANGUAGES
from experiments.counts import scores
from experiments.plan import Run
from experiments.records import read_records
from experiments.tables.__main__ import main
from experiments.tables.layout import PAPER_FIGURES, lay_out
from experiments.tables.noise import GAP_HEADER, MARGINS_HEADER, gap_rows, margin, margin_rows, seed_noise
from reports_2mner.language_table import language_name


@pytest.fixture(scope="module")
def records(paper_folder):
    return read_records(paper_folder)


@pytest.fixture(scope="module")
def margins(records):
    return [dict(zip(MARGINS_HEADER, row, strict=True)) for row in margin_rows(lay_out(records))]


def f1(records, system: str, languages: str, protocol: str = "dev") -> list[float]:
    found = [r for r in records if (r.run.system, r.run.languages, r.run.part) == (system, languages, "")]
    return [100 * scores(record.counts("lenient", protocol))["f1"] for record in found]


def test_the_papers_margins_are_those_of_its_tables(margins):
    paper = json.loads(PAPER_FIGURES.read_text(encoding="utf-8"))
    found = {(row["Table"], row["Setting"]): row for row in margins}
    assert len(found) == len(margins) == 11
    for table in ("5", "7"):
        for key in ("all", *PAPER_LANGUAGES):
            setting = "All" if key == "all" else language_name(key)
            values = {model: row["f1"] or 0 for model, row in paper[f"table{table}"][key].items()}
            ours, best = values.pop("2m-ner"), max(values, key=values.get)
            row = found[table, setting]
            assert float(row["paper: margin of 2M-NER"]) == pytest.approx(ours - values[best], abs=0.0051)
            assert row["paper: next best"].lower() == best
    assert found["9", "All"]["paper: next best"] == "-ViT"


def test_our_noise_is_that_of_the_seeds(margins, records):
    row = margins[0]
    models = ("bilstm-crf", "hbilstm-crf", "bert", "bert-crf", "adacan", "umt", "umgf", "mkgformer", "2m-ner")
    values = {model: f1(records, model, "all") for model in models}
    noise = statistics.fmean(statistics.variance(found) for found in values.values()) ** 0.5
    assert float(row["ours: standard deviation over seeds"]) == pytest.approx(noise, abs=0.0051)
    assert float(row["two runs differ by chance up to"]) == pytest.approx(1.96 * 2**0.5 * noise, abs=0.0051)
    assert row["paper's margin is larger"] == ("yes" if 1.96 * 2**0.5 * noise < 0.34 else "no")
    means = {model: statistics.fmean(found) for model, found in values.items()}
    margin, interval = row["ours: margin of 2M-NER (95 % interval)"].split(" ", 1)
    assert float(margin) == pytest.approx(means.pop("2m-ner") - max(means.values()), abs=0.0051)
    low, high = (float(value) for value in interval.strip("()").split(" to "))
    assert low < float(margin) < high


def test_without_our_own_model_the_papers_margin_still_stands_beside_the_noise(make_records, tmp_path):
    runs = [Run(model, seed=seed) for model in ("bert", "bert-crf") for seed in (19, 20)]
    (row,) = margin_rows(lay_out(read_records(make_records(tmp_path, runs))))
    row = dict(zip(MARGINS_HEADER, row, strict=True))
    assert row["paper: margin of 2M-NER"] == "+0.34" and row["ours: margin of 2M-NER (95 % interval)"] == ""
    assert float(row["ours: standard deviation over seeds"]) > 0


def test_other_data_and_single_seeds_leave_their_columns_empty(make_records, tmp_path):
    records = read_records(make_records(tmp_path, [Run("bert"), Run("2m-ner")], name="mmnerd-mini"))
    (row,) = margin_rows(lay_out(records))
    row = dict(zip(MARGINS_HEADER, row, strict=True))
    assert row["paper: margin of 2M-NER"] == row["ours: standard deviation over seeds"] == ""
    assert row["paper's margin is larger"] == "" and row["ours: next best"] == "BERT"
    assert seed_noise(lay_out(records)[0].groups[0]) is None


def test_a_margin_needs_two():
    assert margin({"2m-ner": 1.0}) is None and margin({"umt": 1.0}) is None
    assert margin({"2m-ner": 1.0, "umt": 3.0, "bert": 2.0}).value == -2.0


def test_the_gap_between_protocols_is_a_mean_over_runs(records):
    rows = {row[0]: dict(zip(GAP_HEADER, row, strict=True)) for row in gap_rows(records)}
    settings = ("all", "en", "fr", "es", "de")
    dev, released = ([v for data in settings for v in f1(records, "umt", data, p)] for p in ("dev", "released"))
    gains = [second - first for first, second in zip(dev, released, strict=True)]
    row = rows["UMT"]
    assert row["Runs"] == "10"
    for column, values in zip(GAP_HEADER[2:5], (dev, released, gains), strict=True):
        mean, spread = (float(part) for part in row[column].split(" ± "))
        assert mean == pytest.approx(statistics.fmean(values), abs=0.0051)
        assert spread == pytest.approx(statistics.stdev(values), abs=0.0051)
    assert [float(row["smallest"]), float(row["largest"])] == pytest.approx([min(gains), max(gains)], abs=0.0051)
    assert int(rows["all runs"]["Runs"]) == len(records)


def test_the_gap_is_told_in_strict_counting_too(records):
    row = dict(zip(GAP_HEADER, next(row for row in gap_rows(records) if row[0] == "UMT"), strict=True))
    runs = [record for record in records if record.run.system == "umt"]
    strict = [[100 * scores(run.counts("strict", protocol))["f1"] for run in runs] for protocol in ("dev", "released")]
    gains = [second - first for first, second in zip(*strict, strict=True)]
    for column, values in zip(GAP_HEADER[7:], (*strict, gains), strict=True):
        assert float(row[column].split(" ± ")[0]) == pytest.approx(statistics.fmean(values), abs=0.0051)
    assert row[GAP_HEADER[7]] != row[GAP_HEADER[2]]  # the synthetic predictions have stray I- tags


def test_several_folders_have_one_table_of_the_protocols_and_nothing_is_written(make_records, tmp_path, capsys):
    first = make_records(tmp_path / "first", [Run("umt", seed=seed) for seed in (19, 20)])
    second = make_records(tmp_path / "second", [Run("umt")], name="other")
    before = sorted(tmp_path.rglob("*"))
    main([str(first), str(second)])
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| first", "| second"))]
    rows = [[folder, *gap_rows(read_records(tmp_path / folder))[0]] for folder in ("first", "second")]
    assert told == ["| " + " | ".join(row) + " |" for row in rows] and [row[2] for row in rows] == ["2", "1"]
    assert sorted(tmp_path.rglob("*")) == before


def test_folders_without_a_run_by_both_protocols_are_an_error(make_records, tmp_path):
    folders = [str(make_records(tmp_path / name, [Run("umt")], released=False)) for name in ("first", "second")]
    with pytest.raises(SystemExit, match="no run of first, second was scored by both protocols"):
        main(folders)


def test_runs_of_one_protocol_have_no_gap(make_records, tmp_path):
    assert gap_rows(read_records(make_records(tmp_path, [Run("umt")], released=False))) == []
