"""Timing by a clock that the work moves, the lines of a run with small networks, and the page that states them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from benchmarks import side_by_side
from benchmarks.speed import forward, measuring, steps
from benchmarks.speed.material import BATCH, Material, Networks
from benchmarks.speed.measuring import Goal, Row, Watch, Way, Work
from modeling_2mner.images import load_image

BENCHMARKS = Path(side_by_side.__file__).parent
TINY = ["--repeats", "1", "--step_repeats", "1", "--sentences", "32", "--batches", "1", "--step_batches", "1"]
TINY += ["--clients", "2", "--requests", "4"]


class Clock:
    """A clock that moves by what is done."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float, found=None):
        """A function that takes so long."""

        def run():
            self.now += seconds
            return found

        return run


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setitem(measuring.CLOCKS, "wall", made)
    return made


@pytest.fixture(scope="module")
def material():
    return Material.of(side_by_side.read_command_line(TINY))


@pytest.fixture(scope="module")
def networks(material):
    torch.manual_seed(0)
    return Networks.of(material)


def rows_of(*ways: Way, count: int = 1, repeats: int = 1, around: str = "") -> list[Row]:
    return list(Work("work", ways, "sentence", count, repeats, around=around).rows())


def run(capsys, monkeypatch, *arguments: str) -> list[list[str]]:
    monkeypatch.setattr(side_by_side.torch, "set_num_threads", lambda count: None)
    side_by_side.main([*TINY, *arguments])
    header, _, *lines = capsys.readouterr().out.splitlines()
    assert header == f"| {' | '.join(measuring.HEADER)} |"
    return [line.strip("| ").split(" | ") for line in lines]


def test_medians_of_all_parts_are_compared(clock):
    slow, fast = iter((9.0, 4.0, 6.0, 100.0)), iter((9.0, 1.0, 2.0, 3.0))

    def first(durations=slow):
        clock.now += next(durations)

    def second(durations=fast):
        clock.now += next(durations)

    reference = Way("reference", [first, clock.work(2.0)])
    [row] = rows_of(reference, Way("ours", [second, clock.work(1.0)], Goal(2.7, 2.6)), count=4, repeats=3)
    assert (row.reference_ms, row.ours_ms) == (2000.0, 750.0)  # (6 + 2) / 4 and (2 + 1) / 4; the first is a warm-up
    assert (row.ratio, row.met) == (round(8 / 3, 4), "floor")
    assert row.cells()[3:8] == ["2000.00", "750.00", "2.67x", "2.7x, floor 2.6x", "floor"]


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (Goal(2.0), "yes"),
        (Goal(2.1), "no"),
        (Goal(2.1, 2.0), "floor"),
        (Goal(most_ms=500.0), "yes"),
        (Goal(most_ms=499.0), "no"),
        (Goal(2.0, equal_tags=0.9), "no"),
        (Goal(2.0, equal_tags=0.8), "yes"),
        (Goal(), ""),
    ],
)
def test_goals_are_met_or_not(goal, verdict):
    assert goal.verdict(2.0, 500.0, 0.85) == verdict


def test_the_network_is_told_from_what_is_around_it(clock):
    class Network:
        def forward(self):
            clock.now += 2.0

    def way(name: str, around: float, goal: Goal) -> Way:
        network, watch = Network(), Watch(clock)
        watch.follow(network, "forward")

        def run():
            network.forward()
            clock.now += around

        return Way(name, [run], goal, watch=watch)

    inner, outer = rows_of(way("released", 6.0, Goal()), way("ours", 2.0, Goal(1.5)), around="all")
    assert (inner.work, inner.ratio, inner.met) == ("work", 1.0, "no")
    assert (outer.work, outer.ratio, outer.met) == ("all", 2.0, "")


def test_a_way_that_fails_says_so_and_the_others_go_on(clock):
    def fail():
        raise ImportError("`backend` needs a runner\nand more")

    made = measuring.attempt("made", Goal(3.0), lambda: Way("made", [fail]))
    absent = measuring.attempt("absent", Goal(), fail)
    failed, missing, fine = rows_of(Way("reference", [clock.work(4.0)]), made, absent, Way("ours", [clock.work(1.0)]))
    assert failed.error == missing.error == "`backend` needs a runner"
    assert failed.cells()[-2] == "not measured: `backend` needs a runner"
    assert fine.ratio == 4.0


def test_without_a_reference_nothing_is_compared(clock):
    assert [row.error for row in rows_of(Way("reference", error="gone"), Way("ours", [clock.work(1.0)]))] == ["gone"]


@pytest.mark.parametrize(
    ("found", "error"),
    [
        ((["O", "B-PER"], [0.5, 0.25]), ""),
        ((["O", "B-PER"], [0.5, 0.25 + 9e-6]), ""),
        ((["O", "B-PER"], [0.5, 0.25 + 2e-5]), "its scores differ from those of eager"),
        ((["O", "B-LOC"], [0.5, 0.25]), "its tags differ from those of eager"),
    ],
)
def test_what_must_be_equal_is_checked(clock, found, error):
    eager = Way("eager", [clock.work(1.0, [(["O", "B-PER"], [0.5, 0.25])])], answers=list)
    exact = Way("exact", [clock.work(1.0, [found])], answers=list, compared_with="eager", exact=True)
    about = Way("about", [clock.work(1.0, [found])], answers=list, compared_with="eager")
    _, checked, counted = rows_of(Way("reference", [clock.work(1.0)]), eager, exact, about)
    assert checked.error == error
    assert counted.error == "" and counted.equal_tags == (1.0 if found[0][1] == "B-PER" else 0.5)


def test_chosen_batches_stand_for_an_epoch():
    lengths = [1 + number // BATCH for number in range(9 * BATCH)]  # nine batches, of lengths 1 to 9
    rows = [*range(4 * BATCH, 9 * BATCH), *range(4 * BATCH), 7]  # in another order, and one that fills no batch
    assert [lengths[batch[0]] for batch in steps.choose(rows, lengths, 3)] == [2, 5, 8]
    with pytest.raises(ValueError, match="`step_batches` is 10, but there are 9 batches"):
        steps.choose(rows, lengths, 10)


def test_steps_train_what_they_should(networks, material):
    training = steps.Training(networks)
    pictures = [row["image"] for row in material.rows(4)]
    released = networks.released_processor(material.sentences[:4], pictures, material.tags[:4])
    batch = networks.processor(material.sentences[:4], pictures, material.tags[:4])
    encoders = {name: next(getattr(networks.model.model, name).parameters()) for name in steps.TOWERS}
    used = training._used.weight
    encoders["text_model"] = networks.model.model.text_model.embeddings.position_embeddings.weight

    def changed_by(step) -> list[str]:
        before = {name: weights.detach().clone() for name, weights in encoders.items()}
        step()
        return sorted(name for name, weights in encoders.items() if not weights.equal(before[name]))

    assert changed_by(training.released_step(released)) == ["text_model", "vision_model"]
    assert changed_by(training.step(batch, steps.TOWERS[1:], False)) == ["text_model", "vision_model"]
    rows, embedding = used.detach().clone(), networks.model.model.text_model.get_input_embeddings()
    assert changed_by(training.step(batch, steps.TOWERS, False)) == ["text_model"]
    assert not used.equal(rows) and networks.model.model.text_model.get_input_embeddings() is embedding
    assert changed_by(training.step(batch, (), True)) == sorted(["text_model", *steps.TOWERS])


def test_the_release_gets_its_own_views_of_pictures_and_ours_encodes_each_once(networks, material):
    rows = material.rows(8, 8)
    assert len({row["image"] for row in rows}) == 1
    pictures = [row["image"] for row in rows]
    assert len(networks.released_processor(material.sentences[:8], pictures)["pixel_values"]) == 8
    assert len(networks.processor(material.sentences[:8], pictures)["pixel_values"]) == 1
    assert networks.released.model.text_model is networks.model.model.text_model


def test_each_group_gives_its_lines(capsys, monkeypatch, tmp_path):
    output = tmp_path / "found.json"
    lines = run(
        capsys, monkeypatch, "--only", "posteriors", "text", "small", "server", "steps", "--output", str(output)
    )
    assert len(lines) == 1 + 2 + 1 + 2 + 8
    assert all(float(cell) > 0 for line in lines for cell in line[3:5])
    record = json.loads(output.read_text("utf-8"))
    assert [Row(**row).cells()[:2] for row in record["rows"]] == [line[:2] for line in lines]
    side_by_side.main(["--table", str(output)])
    assert measuring.table([Row(**row) for row in record["rows"]]).markdown() in capsys.readouterr().out
    assert str(tmp_path) not in output.read_text("utf-8")


def test_runners_that_are_missing_leave_the_eager_network(capsys, monkeypatch, material):
    def missing(*_):
        raise ImportError("no runner")

    monkeypatch.setattr(forward.Exports, "onnx", missing)
    monkeypatch.setattr(forward.Exports, "openvino", missing)
    options = argparse.Namespace(exports=None, batches=1, repeats=1, clock="wall", calibration=16)
    first, second = ([*work.rows()] for work in forward.forward(options, material))
    assert [(row.way, row.error) for row in first if row.error] == [
        ("ONNX Runtime, fp32", "no runner"),
        ("OpenVINO, fp32", "no runner"),
        ("OpenVINO, bf16", "no runner"),
        ("OpenVINO, int8", "no runner"),
    ]
    measured = [row for row in first if not row.error]
    assert [row.way for row in measured] == ["eager, fp32"] * 2 + ["eager, bf16"] * 2
    assert 0.5 < measured[2].equal_tags <= 1
    assert [row.work for row in second] == [
        "eight sentences a picture: forward",
        "eight sentences a picture: files to entities",
    ]


def test_what_is_not_measured_makes_the_program_fail(capsys, monkeypatch):
    def broken(options, material):
        yield Work("work", [Way("reference", [int]), Way("ours", error="no runner")], "sentence", 1, 1)

    monkeypatch.setitem(side_by_side.GROUPS, "text", broken)
    with pytest.raises(SystemExit, match="1 of 1 lines could not be measured: work, ours: no runner"):
        run(capsys, monkeypatch, "--only", "text")


@pytest.mark.parametrize("name", ["side_by_side.json", "side_by_side_full.json", "side_by_side_steps.json"])
def test_the_page_states_what_was_measured(name):
    page, path = (BENCHMARKS / "RESULTS.md").read_text("utf-8"), BENCHMARKS / name
    assert f"--output benchmarks/{name}" in page
    assert (side_by_side.show(json.loads(path.read_text("utf-8"))) if path.exists() else "not measured") in page


def test_regions_of_random_resnets_are_as_large_as_words(material):
    networks = Networks.of(material)
    pixels = networks.processor.encode_images([load_image(material.rows(1)[0]["image"]).image])
    with torch.no_grad():
        regions = networks.model.encode_images(**pixels)["resnet_image_features"]
        assert networks.model.model.resnet_projection(regions).std().item() == pytest.approx(1.0, abs=1e-3)
