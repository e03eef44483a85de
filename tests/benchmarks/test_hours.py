from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import hours
from benchmarks.hours import (
    Cost,
    Machine,
    compute_cost,
    hours_table,
    read_measures,
    run_hours,
    sentence_counts,
    systems,
)
from benchmarks.networks import (
    COUNTED_BATCH,
    Length,
    LSTMProducts,
    count,
    make_model,
    make_processor,
    make_rows,
    make_tokenizer,
    objective,
)
from configuration_2mner import load_preset
from dataset_scripts.statistics.paper import TABLE_3
from experiments.plan import ALPHAS, BEYOND, LEARNING_RATES, TABLES, Run, plan_runs
from modeling_2mner.encoders import build_encoder

SHORT = Length(words=4, pieces=8)
COST = Cost(train=3.6, evaluate=0.36, load=7.2, epochs=2)


def forward_flops(config, pixels: tuple[int, ...]) -> int:
    with torch.device("meta"):
        encoder = build_encoder(config).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            encoder(pixel_values=torch.zeros(pixels))
    return flops.get_total_flops()


def test_encoders_cost_what_is_known_of_them():
    config = load_preset("2m-ner")
    assert forward_flops(config.resnet_config, (1, 3, 224, 224)) == pytest.approx(2 * 11.5e9, rel=0.02)
    assert forward_flops(config.vision_config, (1, 3, 224, 224)) == pytest.approx(2 * 4.4e9, rel=0.02)


def test_a_bert_costs_what_its_layers_multiply():
    found = count(Run("bert"), "paper", Length(words=17, pieces=30))
    weights = 12 * (4 * 768**2 + 2 * 768 * 3072)
    attention = 12 * 2 * 30 * 30 * 768
    tags = 17 * 768 * 9
    assert found.evaluate == 2 * (30 * weights + attention + tags)
    assert found.train == 3 * found.evaluate


def test_a_frozen_encoder_has_no_backward_pass():
    found = count(Run("adacan"), "paper", SHORT)
    text = count(Run("adacan", "text"), "paper", SHORT)
    assert found.evaluate - text.evaluate == pytest.approx(2 * 15.4e9, rel=0.02)  # VGG-16
    assert found.train - text.train < 1.05 * (found.evaluate - text.evaluate)


def test_an_lstm_multiplies_inputs_and_states_by_its_weights():
    lstm = LSTMProducts(nn.LSTM(5, 3, batch_first=True, bidirectional=True, device="meta"))
    states = torch.zeros(2, 7, 5, device="meta", requires_grad=True)
    with FlopCounterMode(display=False) as flops:
        outputs, last = lstm(states, torch.full((2,), 7, device="meta"))
        forward = flops.get_total_flops()
        (outputs.sum() + last.sum()).backward()
    assert forward == 2 * 7 * 2 * (2 * 4 * 3 * (5 + 3))  # rows, steps, directions
    assert flops.get_total_flops() == 3 * forward
    assert outputs.shape == (2, 7, 6) and last.shape == (2, 6)


def test_the_count_without_values_is_that_of_a_real_step():
    run = Run("2m-ner")
    model = make_model(run, "demo").train()
    model.set_attn_implementation("eager")  # some fused kernels compute scores twice
    batch = make_processor(run, "demo", model, SHORT)(*make_rows(True, COUNTED_BATCH, SHORT))
    with FlopCounterMode(display=False) as flops:
        objective(model, batch).backward()
    assert count(run, "demo", SHORT).train == pytest.approx(
        flops.get_total_flops() / COUNTED_BATCH, rel=2e-4
    )  # but for the cosines


def test_every_run_of_the_tables_has_a_count():
    known = systems()
    assert {run.system for run in plan_runs(TABLES, seeds=2)} == set(known)
    for run in known.values():
        found = count(run, "demo", SHORT)
        assert found.train > found.evaluate > 0 and found.train_launches > found.evaluate_launches / 2 > 0
        assert found.pictures == (
            run.model in ("adacan", "umt", "umgf", "mkgformer", "2m-ner") and run.variant != "text"
        )


@pytest.mark.parametrize("length", [Length(17, 30), Length(4, 6), Length(3, 12)])
def test_sentences_have_their_pieces(length):
    pieces = make_tokenizer()(length.sentence(), is_split_into_words=True)["input_ids"]
    assert len(length.sentence()) == length.words and len(pieces) == length.pieces


def test_a_batch_takes_as_long_as_arithmetic_or_launching():
    machine = Machine(tflops=10, bandwidth=1000, launch_us=5)
    assert machine.seconds(2e12, launches=1000, weights=10**9) == pytest.approx(0.2 + 0.028)
    assert machine.seconds(2e9, launches=1000) == pytest.approx(0.005)


def test_seconds_of_a_sentence_from_operations():
    found = count(Run("bert"), "paper", Length(words=17, pieces=30))
    cost = compute_cost(Run("bert"), "paper", found, Machine(tflops=1, bandwidth=1e9, launch_us=0), 0.5)
    assert cost.train == pytest.approx(found.train / 1e12) and cost.evaluate == pytest.approx(found.evaluate / 1e12)
    assert (cost.epochs, cost.load, cost.measured) == (8, 0.0, "")


def test_sentences_are_those_of_the_paper():
    paper = TABLE_3[-1]
    assert sentence_counts(Run("bert")) == (paper.train, paper.validation, paper.test)
    assert sentence_counts(Run("2m-ner", part="3/5")) == (paper.train / 5, paper.validation, paper.test)
    german, french, both = (sentence_counts(Run("bert", languages=name)) for name in ("de", "fr", "de_fr"))
    assert both == tuple(map(sum, zip(german, french, strict=True)))


def test_hours_of_a_run_by_hand(monkeypatch):
    monkeypatch.setattr(hours, "sentence_counts", lambda run: (1000, 100, 50))
    assert run_hours(Run("bert"), COST, workers=100) == pytest.approx((2 * 1000 * 3.6 + 350 * 0.36) / 3600)
    assert run_hours(Run("bert"), COST, workers=4) == pytest.approx((2 * 1000 * 3.6 + 350 * 1.8) / 3600)
    assert run_hours(Run("bert"), COST, workers=1) == pytest.approx(2350 * 7.2 / 3600)
    assert run_hours(Run("bert"), COST, workers=0) == pytest.approx((2000 * 10.8 + 350 * 7.56) / 3600)


def test_a_table_sums_its_runs_and_the_whole_makes_none_twice(monkeypatch):
    monkeypatch.setattr(hours, "run_hours", lambda run, cost, workers: cost)
    costs = {system: 2.0 if system == "umt-text" else 1.0 for system in systems()}
    rows = re.findall(
        r"^\| (Tables? \d|improvements|grid).*?\| (\d+) \| ([\d.]+) \| (\d+) \| ([\d.]+) \|$",
        hours_table(costs, 4, 2),
        re.M,
    )
    names = ["Table 5", "Table 6", "Table 7", "Table 8", "Table 9", "Tables 5", "improvements", "grid"]
    assert [row[0] for row in rows] == names
    points = len(ALPHAS) * len(LEARNING_RATES)
    assert [float(cell) for cell in rows.pop()[1:]] == [points, points, 2 * points, 2 * points]
    for (name, *cells), tables in zip(rows, [*([table] for table in TABLES), TABLES, [BEYOND]], strict=True):
        for seeds, runs, total in ((1, *cells[:2]), (2, *cells[2:])):
            planned = plan_runs(tables, seeds)
            assert int(runs) == len(planned), name
            assert float(total) == len(planned) + sum(run.system == "umt-text" for run in planned), name


def test_a_measurement_is_kept_and_used(tmp_path, capsys):
    path = tmp_path / "here.json"
    small = ["--settings", "demo", "--words", "4", "--pieces", "8", "--measured", str(path)]
    chosen = ["adacan", "bert-crf", "hbilstm-crf"]
    hours.main([*small, "--measure", "--models", ",".join(chosen), "--steps", "1", "--device", "cpu"])
    printed = capsys.readouterr().out
    measures = read_measures(path)
    assert sorted(measures) == chosen
    assert all(min(found.train, found.evaluate, found.load, found.memory) > 0 for found in measures.values())
    assert re.search(
        r"^Measured: adacan \(CPU, .*, 4 words, 8 sub-words\); bert-crf \(.*\); hbilstm-crf \(.*\)\.$", printed, re.M
    )
    assert printed.count("| measured seconds |") == 3 and printed.count("| operations |") == len(systems()) - 3
    hours.main(small)
    again = capsys.readouterr().out
    assert again.partition("## Hours of a run")[2] == printed.partition("## Hours of a run")[2]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--models", "2mner"], "`models` names '2mner'; write any of 2m-ner, "),
        (["--steps", "0"], "argument --steps: must be at least 1, got 0"),
        (["--tflops", "-1"], "argument --tflops: must be at least 0.001, got -1"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_counted(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        hours.main(arguments)
    printed = capsys.readouterr()
    assert message in f"{ended.value}{printed.err}" and not printed.out
