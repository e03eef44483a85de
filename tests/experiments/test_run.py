from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

import train_hf
from experiments import records, runs
from experiments import run as runner
from experiments.counts import scores
from experiments.plan import Run, shard
from experiments.records import describe_data, describe_encoders, read_predictions, read_record
from reports_2mner.locks import only_writer
from training_2mner.arguments import DataArguments, ModelArguments
from training_2mner.data import load_splits
from training_2mner.data_record import read_data_record
from training_2mner.evaluation import write_predictions

QUICK = ["--settings", "demo", "--seeds", "1", "--only", "bilstm-crf", "--languages", "en"]
SHORT = ["--", "--num_train_epochs", "2", "--use_cpu", "True", "--dataloader_num_workers", "0"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, dataset):
    """A finished run by both protocols."""
    output = tmp_path_factory.mktemp("output")
    arguments = ["table5", "--dataset", dataset, "--output", str(output), "--protocol", "released", "--keep_models"]
    runner.main([*arguments, *QUICK, *SHORT])
    return output, [*arguments, *QUICK, *SHORT]


def test_a_run_leaves_its_record(finished):
    output, _ = finished
    record = read_record(output / "bilstm-crf.en.seed-19.json")
    folder = output / "models" / record.run.name
    results = json.loads((folder / "all_results.json").read_text(encoding="utf-8"))
    assert record.run == Run("bilstm-crf", languages="en")
    assert scores(record.counts())["f1"] == pytest.approx(results["test_f1"])
    assert scores(record.counts("lenient"))["f1"] == pytest.approx(results["test_lenient_f1"])
    assert record.content["dev"]["f1"] == pytest.approx(results["eval_f1"])
    assert set(record.group("lang")) == {"en"} and len(record.pictures) == len(record.counts().table)
    assert {"torch", "transformers", "python", "device", "revision"} <= set(record.content["machine"])
    assert record.content["changed"]["num_train_epochs"] == 2.0
    assert record.content["encoders"] == {}  # it learns its word vectors
    assert str(output) not in json.dumps(record.content)  # no folders of this machine


def test_the_released_protocol_scores_every_epoch(finished):
    output, _ = finished
    record = read_record(output / "bilstm-crf.en.seed-19.json")
    epochs = record.content["epochs"]
    assert [epoch["epoch"] for epoch in epochs] == [1.0, 2.0]
    best = max(epochs, key=lambda epoch: epoch["test_lenient_f1"])
    assert scores(record.counts("lenient", "released"))["f1"] == pytest.approx(best["test_lenient_f1"])
    chosen = max(epochs, key=lambda epoch: epoch["dev_f1"])
    assert scores(record.counts())["f1"] == pytest.approx(chosen["test_f1"])
    assert not list((output / "models").glob("*/checkpoint-*"))


def test_a_finished_run_is_not_repeated(finished, monkeypatch, capsys):
    output, arguments = finished
    before = (output / "bilstm-crf.en.seed-19.json").read_bytes()
    monkeypatch.setattr(train_hf, "main", lambda *_: pytest.fail("trained again"))
    runner.main(arguments)
    assert "1 runs, of which 1 are finished." in capsys.readouterr().out
    assert (output / "bilstm-crf.en.seed-19.json").read_bytes() == before


def test_a_dry_run_tells_what_is_missing(finished, monkeypatch, capsys):
    output, arguments = finished
    monkeypatch.setattr(train_hf, "main", lambda *_: pytest.fail("trained"))
    before = sorted(output.iterdir())
    runner.main([arguments[0], "grid", *arguments[1 : arguments.index("--")], "--alphas", "0.8", "--dry_run"])
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "finished  bilstm-crf.en.seed-19" and "missing  alpha-0.8.rate-5e-05.en.seed-19" in told
    assert told[-1] == "5 runs, of which 1 are finished." and sorted(output.iterdir()) == before


def test_random_word_vectors_where_the_paper_has_others_are_told(tmp_path, caplog):
    for model, vectors, told in (
        ("hbilstm-crf", [], 1),
        ("hbilstm-crf", ["--word_vectors", "v.txt"], 0),
        ("umt", [], 0),
    ):
        caplog.clear()
        runner.main(["table5", "--output", str(tmp_path), "--only", model, *vectors, "--dry_run"])
        assert caplog.text.count("no `--word_vectors`") == told


def test_the_other_protocol_can_be_asked_for_later(tmp_path, dataset, capsys):
    arguments = ["table5", "--dataset", dataset, "--output", str(tmp_path), "--keep_models", *QUICK]
    for protocol in ("dev", "released"):
        runner.main([*arguments, "--protocol", protocol, *SHORT])
        record = read_record(tmp_path / "bilstm-crf.en.seed-19.json")
        assert record.has("released") == (protocol == "released")


def test_several_processes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match="`--launcher`"):
        runner.main(["table5", "--output", str(tmp_path)])


def test_a_failing_run_does_not_stop_the_others(tmp_path, dataset, monkeypatch, capsys):
    tried = []

    def fail(model_arguments, *_):
        tried.append(model_arguments.model)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(train_hf, "main", fail)
    with pytest.raises(SystemExit, match=r"2 runs failed: bert\.en\.seed-19, bert-crf\.en\.seed-19"):
        arguments = ["table5", "--dataset", dataset, "--output", str(tmp_path), "--settings", "demo", "--seeds", "1"]
        runner.main([*arguments, "--only", "bert,bert-crf", "--languages", "en"])
    assert tried == ["bert-demo", "bert-crf-demo"] and not list(tmp_path.glob("*.json"))


def test_machines_share_the_runs():
    runs = [Run("umt", seed=seed) for seed in range(7)]
    shares = [shard(runs, f"{number}/3") for number in (1, 2, 3)]
    assert sorted(run.seed for share in shares for run in share) == list(range(7))
    for wrong in ("0/3", "4/3", "a/b", "2"):
        with pytest.raises(ValueError, match="`shard` is"):
            shard(runs, wrong)


@pytest.mark.parametrize("wrong", [["table4"], ["table5", "--only", "nothing"], ["table5", "--settings", "nothing"]])
def test_a_wrong_argument_is_an_error_before_anything_runs(tmp_path, wrong):
    with pytest.raises(SystemExit, match="error: "):
        runner.main([*wrong, "--output", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_predictions_are_read_as_they_were_written(tmp_path, make_dataset_of):
    references, predictions = [["O", "B-PER"], [], ["B-LOC"]], [["O", "O"], [], ["B-LOC"]]
    dataset = make_dataset_of([["IMGID:", "x"], [], ["a\u2028b"]])
    write_predictions(tmp_path / "predictions.conll", dataset, references, predictions)
    assert read_predictions(tmp_path / "predictions.conll") == (references, predictions)


@pytest.fixture
def make_dataset_of():

    return lambda sentences: Dataset.from_dict({"tokens": sentences, "image_id": ["1", "", "IMGID:3"]})


def test_each_model_gets_the_text_source_that_it_reads(tmp_path, dataset, monkeypatch):
    seen = {}

    def remember(model_arguments, *_):
        seen[model_arguments.model] = (model_arguments.word_vectors, model_arguments.text_encoder)
        raise RuntimeError("far enough")

    monkeypatch.setattr(train_hf, "main", remember)
    arguments = ["table5", "--dataset", dataset, "--output", str(tmp_path), "--settings", "demo", "--seeds", "1"]
    arguments += ["--languages", "en", "--only", "bilstm-crf,adacan,bert", "--word_vectors", "v.txt"]
    with pytest.raises(SystemExit):
        runner.main([*arguments, "--text_encoder", "encoder"])
    assert seen == {
        "bilstm-crf-demo": ("v.txt", None),
        "adacan-demo": ("v.txt", None),
        "bert-demo": (None, "encoder"),
    }


def test_a_launcher_trains_in_processes_of_its_own(tmp_path, dataset, finished, monkeypatch):
    """Two processes of torchrun's kind, without pictures; here the parent's own training must not be called."""
    monkeypatch.setattr(train_hf, "main", lambda *_: pytest.fail("trained in the runner"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(Path(dataset).parent / "cache"))
    launcher = f"{sys.executable} -m torch.distributed.run --standalone --nproc_per_node 2"
    arguments = ["table5", "--dataset", dataset, "--output", str(tmp_path), "--launcher", launcher, *QUICK]
    runner.main([*arguments, "--protocol", "released", *SHORT])
    record = read_record(tmp_path / "bilstm-crf.en.seed-19.json")
    alone = read_record(finished[0] / "bilstm-crf.en.seed-19.json")
    public = launcher.replace(sys.executable, Path(sys.executable).name)  # without where it lies
    assert record.content["launcher"] == public and alone.content["launcher"] is None
    assert [epoch["epoch"] for epoch in record.content["epochs"]] == [1.0, 2.0]
    assert record.content["test"]["picture"] == alone.content["test"]["picture"]


def test_a_failing_launcher_is_told(tmp_path, dataset):
    arguments = ["table5", "--dataset", dataset, "--output", str(tmp_path), "--launcher", f"{sys.executable} -c 1/0"]
    with pytest.raises(SystemExit, match="1 runs failed"):
        runner.main([*arguments, *QUICK, *SHORT])
    assert not list(tmp_path.glob("*.json"))


def test_the_state_of_the_data_is_kept(finished, dataset, tmp_path):
    told = read_record(finished[0] / "bilstm-crf.en.seed-19.json").content["data"]["fingerprint"]
    assert told == read_data_record(dataset, "en").fingerprint is not None
    without_card = tmp_path / "mini"
    shutil.copytree(Path(dataset) / "data", without_card / "data")
    anything = Dataset.from_dict({})
    assert describe_data(DataArguments(dataset=str(without_card)), anything)["fingerprint"] == told
    next(without_card.rglob("train-*.parquet")).unlink()
    assert describe_data(DataArguments(dataset=str(without_card)), anything)["fingerprint"] != told


DESCRIBE = """
import sys
from huggingface_hub import HfApi
from experiments.records import describe_data
from training_2mner.arguments import DataArguments
from training_2mner.data import load_splits

api = HfApi()
api.create_repo("user/mini", repo_type="dataset")
first = api.upload_folder(repo_id="user/mini", repo_type="dataset", folder_path=sys.argv[1]).oid
second = api.upload_file(path_or_fileobj=b"", path_in_repo="note", repo_id="user/mini", repo_type="dataset").oid
for revision, commit in ((None, second), ("main", second), (first, first)):
    arguments = DataArguments("user/mini", "en", revision)
    told = describe_data(arguments, load_splits(arguments)["test"])
    assert (told["name"], told["revision"], told["fingerprint"]) == ("user/mini", commit, None), told
"""


def test_the_commit_of_a_data_set_on_the_hub_is_kept(dataset, hub, tmp_path):
    done = hub.run("-c", DESCRIBE, dataset, home=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_run_that_another_runner_makes_is_left_to_it(tmp_path, dataset, monkeypatch, caplog):
    monkeypatch.setattr(runs, "make", lambda *arguments: pytest.fail("the run is made twice"))
    arguments = ["table5", "--dataset", dataset, "--output", str(tmp_path), "--seeds", "1", "--settings", "demo"]
    arguments += ["--only", "bilstm-crf", "--languages", "en"]
    with (
        only_writer(tmp_path / "bilstm-crf.en.seed-19.json", "output"),
        pytest.raises(SystemExit, match="1 runs failed"),
    ):
        runner.main(arguments)
    assert "is being written by process" in caplog.text


def test_runs_with_pictures_are_left_out_where_the_run_files_have_none(tmp_path, capsys):
    arguments = ["--settings", "english", "--languages", "en", "--seeds", "1", "--output", str(tmp_path), "--dry_run"]
    runner.main(["table5", "table7", "--only", "bert-crf,umt,adacan", *arguments])
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "Left out, as the run files english-* are without pictures: umt.en.seed-19, adacan.en.seed-19.",
        "missing  bert-crf.en.seed-19",
        "missing  adacan-text.en.seed-19",
        "missing  umt-text.en.seed-19",
        "3 runs, of which 0 are finished.",
    ]
    with pytest.raises(SystemExit, match=r"`settings` is 'english', whose run files of umt .* name `table7`"):
        runner.main(["table5", "--only", "umt", *arguments])


def test_a_network_with_pictures_is_not_trained_on_data_without(tmp_path, dataset, monkeypatch, caplog):
    splits = load_splits(DataArguments(dataset=dataset, dataset_config="en"))
    blind = DatasetDict({name: split.remove_columns("image") for name, split in splits.items()})
    monkeypatch.setattr(runs, "load_splits", lambda arguments: blind)
    monkeypatch.setattr(train_hf, "main", lambda *_: pytest.fail("trained"))
    arguments = ["table5", "--dataset", dataset, "--output", str(tmp_path), "--settings", "demo", "--seeds", "1"]
    with pytest.raises(SystemExit, match="1 runs failed"):
        runner.main([*arguments, "--only", "umt", "--languages", "en"])
    assert re.search(r"umt\.en\.seed-19 looks at pictures, but `dataset` .* has none; `table7`", caplog.text)


def test_the_pretrained_parts_are_told_apart(tmp_path, monkeypatch):
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "vectors.txt").write_bytes(b"weights")
    cached = {"a/stored": "/cache/models--a--stored/snapshots/0123abc/config.json", "a/unknown": None}
    monkeypatch.setattr(records, "try_to_load_from_cache", lambda name, file: cached[name])

    told = describe_encoders(
        ModelArguments(
            text_encoder=str(folder),
            vision_encoder="a/stored",
            resnet_encoder="a/unknown",
            word_vectors=str(tmp_path / "vectors.txt"),
        )
    )

    digest = hashlib.sha256(b"weights").hexdigest()
    assert told == {
        "text_encoder": {"name": "encoder", "sha256": digest},
        "vision_encoder": {"name": "a/stored", "commit": "0123abc"},
        "resnet_encoder": {"name": "a/unknown", "commit": None},
        "word_vectors": {"name": "vectors.txt", "sha256": digest},
    }
    assert describe_encoders(ModelArguments()) == {}


def test_only_the_weights_that_are_loaded_tell_an_encoder(tmp_path):
    def digest() -> str | None:
        return describe_encoders(ModelArguments(text_encoder=str(tmp_path)))["text_encoder"]["sha256"]

    assert digest() is None
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    assert digest() == hashlib.sha256(b"pickled").hexdigest()
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "training_args.bin").write_bytes(b"arguments")
    assert digest() == hashlib.sha256(b"weights").hexdigest()
