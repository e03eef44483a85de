from __future__ import annotations

import json

import pytest

from experiments import grid
from experiments import run as runner
from experiments.grid import GridPoint, read_points
from experiments.plan import ALPHAS, LEARNING_RATES
from training_2mner.trainer import TwoMNERTrainer

SHORT = ["--", "--num_train_epochs", "2", "--use_cpu", "True", "--dataloader_num_workers", "0"]
POINTS = ["--alphas", "0.2,0.8", "--learning_rates", "1e-5,1e-3", "--languages", "en"]
NAMES = [f"alpha-{alpha}.rate-{rate}.en.seed-19" for alpha in ("0.2", "0.8") for rate in ("0.001", "1e-05")]


@pytest.fixture(scope="module")
def arguments(dataset):
    return ["grid", "--settings", "demo", "--seeds", "1", "--dataset", dataset, *POINTS]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, arguments):
    """A finished search."""
    output = tmp_path_factory.mktemp("output")
    runner.main([*arguments, "--output", str(output), *SHORT])
    return output


def test_every_point_is_trained_and_leaves_its_file(finished):
    found = read_points(finished)
    assert [point.name for point, _ in found] == NAMES
    for point, content in found:
        assert content["dev"]["f1"] == max(content["epochs"]) and len(content["epochs"]) == 2
        assert content["data"]["fingerprint"] and content["seconds"] > 0 and "test" not in content
        assert point.seed == 19 and str(finished) not in json.dumps(content)


def test_the_points_differ_as_planned(tmp_path, arguments, monkeypatch):
    """What the network and the optimizer get is what the file says."""
    seen = []
    train = TwoMNERTrainer.training_step

    def remember(self, model, *args, **kwargs):
        peak = max(group["initial_lr"] for group in self.optimizer.param_groups[:1])
        seen.append((model.config.alpha, peak))
        return train(self, model, *args, **kwargs)

    monkeypatch.setattr(TwoMNERTrainer, "training_step", remember)
    runner.main([*arguments, "--output", str(tmp_path), "--shard", "2/2", *SHORT])
    assert set(seen) == {(0.8, 1e-5), (0.8, 1e-3)}
    assert {(point.alpha, point.learning_rate) for point, _ in read_points(tmp_path)} == set(seen)


def test_each_seed_has_its_points(tmp_path, dataset, monkeypatch):
    seen = []
    train = TwoMNERTrainer.train
    monkeypatch.setattr(
        TwoMNERTrainer, "train", lambda self, **kwargs: seen.append(self.args.seed) or train(self, **kwargs)
    )
    arguments = ["grid", "--settings", "demo", "--seeds", "2", "--dataset", dataset, "--languages", "de"]
    runner.main([*arguments, "--alphas", "0.8", "--learning_rates", "1e-3", "--output", str(tmp_path), *SHORT])
    assert seen == [19, 20] and [point.seed for point, _ in read_points(tmp_path)] == seen


def test_finished_points_are_not_repeated(finished, arguments, monkeypatch, capsys):
    (finished / "grid" / f"{NAMES[1]}.json").unlink()
    before = {path.name: path.read_bytes() for path in finished.glob("grid/*.json")}
    trained = []
    train = TwoMNERTrainer.train
    monkeypatch.setattr(TwoMNERTrainer, "train", lambda self, **kwargs: trained.append(1) or train(self, **kwargs))
    runner.main([*arguments, "--output", str(finished), *SHORT])
    assert "4 points of the grid, of which 3 are finished." in capsys.readouterr().out
    assert trained == [1] and len(list(finished.glob("grid/*.json"))) == 4
    for name, content in before.items():
        assert (finished / "grid" / name).read_bytes() == content


def test_a_failing_point_does_not_stop_the_others(tmp_path, arguments, monkeypatch):
    build = grid.build_tagger

    def fail_once(model_arguments, *rest):
        if model_arguments.config_changes.get("alpha") == 0.2:
            raise RuntimeError("out of memory")
        return build(model_arguments, *rest)

    monkeypatch.setattr(grid, "build_tagger", fail_once)
    with pytest.raises(SystemExit, match=r"2 runs failed: alpha-0\.2\.rate-1e-05\.en\.seed-19, alpha-0\.2"):
        runner.main([*arguments, "--output", str(tmp_path), *SHORT])
    assert [point.alpha for point, _ in read_points(tmp_path)] == [0.8, 0.8]


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--alphas", "1.5"], "`alphas` are"),
        (["--learning_rates", "0"], "`learning_rates` are"),
        (["--learning_rates", "inf"], "`learning_rates` are"),
        (["--launcher", "torchrun"], "`launcher` is given"),
        (["--encoder_learning_rates", "0"], "`encoder_learning_rates` are"),
        (
            ["--grid_model", "bilstm-crf"],
            "`grid_model` is 'bilstm-crf'; write a model with an encoder, any of bert, bert-crf",
        ),
        (["--grid_model", "bert_crf"], "`grid_model` is 'bert_crf'"),
        (["--settings", "nothing"], "`settings` is"),
    ],
)
def test_a_wrong_argument_is_an_error_before_anything_runs(tmp_path, wrong, message):
    with pytest.raises(SystemExit, match=message):
        runner.main(["grid", "--output", str(tmp_path / "output"), *wrong])
    assert not (tmp_path / "output").exists()


def test_the_default_grid_holds_the_papers_best_point():
    assert 0.8 in ALPHAS and (min(ALPHAS), max(ALPHAS)) == (0.1, 0.9)
    assert 5e-5 in LEARNING_RATES and (min(LEARNING_RATES), max(LEARNING_RATES)) == (1e-5, 5e-4)
    assert GridPoint(0.8, 5e-5).name == "alpha-0.8.rate-5e-05.all.seed-19"


def test_a_model_without_the_loss_weight_is_searched_over_two_rates(tmp_path, dataset, monkeypatch):
    """That of the encoder, and that of the classifier and of the CRF, whatever the run file says of the CRF."""
    seen = set()
    train = TwoMNERTrainer.training_step

    def remember(self, model, *args, **kwargs):
        groups = {
            id(weight): group["initial_lr"] for group in self.optimizer.param_groups for weight in group["params"]
        }
        rates = {name: groups[id(weight)] for name, weight in model.named_parameters()}
        kinds = ("text_model.", "classifier.", "crf.")
        seen.add(tuple({rate for name, rate in rates.items() if kind in name}.pop() for kind in kinds))
        assert all(len({rate for name, rate in rates.items() if kind in name}) == 1 for kind in kinds)
        return train(self, model, *args, **kwargs)

    monkeypatch.setattr(TwoMNERTrainer, "training_step", remember)
    arguments = ["grid", "--settings", "demo", "--seeds", "1", "--dataset", dataset, "--languages", "en"]
    arguments += ["--grid_model", "bert-crf", "--learning_rates", "1e-3", "--encoder_learning_rates", "1e-4,1e-3"]
    runner.main([*arguments, "--output", str(tmp_path), "--", "--num_train_epochs", "1", *SHORT[3:]])
    assert seen == {(1e-4, 1e-3, 1e-3), (1e-3, 1e-3, 1e-3)}
    found = read_points(tmp_path)
    names = [f"bert-crf.rate-0.001.encoder-{rate}.en.seed-19" for rate in ("0.0001", "0.001")]
    assert [point.name for point, _ in found] == names == [path.stem for path in sorted(tmp_path.glob("grid/*.json"))]
    assert all(point.alpha is None and "bert-crf.yaml" in content["command"] for point, content in found)
