"""The whole program, from parquet files to a run folder that others can load."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.errors import HfHubHTTPError
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification, AutoProcessor

import train_hf
from dataset_scripts.parquet import write_dataset
from dataset_scripts.schema import Schema
from modeling_2mner import LABELS, TwoMNERConfig
from reports_2mner.locks import only_writer
from training_2mner import run as run_module
from training_2mner.arguments import read_command_line
from training_2mner.calibrate import __main__ as calibrate
from training_2mner.hub.release import check_in_clean_process
from training_2mner.hub.staging import Names, stage

ROOT = Path(__file__).resolve().parents[1]
CONFIG_CHANGES = {
    "text_config": {"num_hidden_layers": 1, "max_position_embeddings": 64, "hidden_size": 16, "intermediate_size": 32},
    "vision_config": {"num_hidden_layers": 1, "image_size": 32, "patch_size": 16, "hidden_size": 16},
    "resnet_config": {"embedding_size": 8, "hidden_sizes": [8], "depths": [1]},
}
FIXED = {"resnet_batch_norm": "fixed"}
SENTENCES = {
    "en": [(["Anna", "is", "in", "Paris"], ["B-PER", "O", "O", "B-LOC"]), (["Paris", "!"], ["B-LOC", "O"])],
    "fr": [
        (["Le", "Louvre", "de", "Paris"], ["O", "B-ORG", "I-ORG", "I-ORG"]),
        (["Anna", "Meier"], ["B-PER", "I-PER"]),
    ],
}
SPLITS = {"train": 6, "validation": 2, "test": 3}


def make_rows(lang: str, split: str, count: int, picture: bytes) -> list[dict]:
    rows = []
    for number in range(count):
        tokens, tags = SENTENCES[lang][number % 2]
        name = f"{split}{number}"
        image = {"bytes": picture, "path": f"{name}.jpg"} if number % 3 else None
        row = {"id": f"{lang}/{name}", "tokens": tokens, "ner_tags": tags, "image": image, "image_id": name}
        rows.append(row | {"image_status": "ok" if image else "missing", "lang": lang, "source": "twitter2017"})
    return rows


@pytest.fixture(scope="module")
def run_file(tmp_path_factory, make_picture) -> Path:
    """A run file beside its data set; the run is `runs/tiny`."""
    folder = tmp_path_factory.mktemp("train_hf")
    buffer = BytesIO()
    make_picture(1).save(buffer, "JPEG")
    rows = {
        (lang, split): make_rows(lang, split, count, buffer.getvalue())
        for lang in SENTENCES
        for split, count in SPLITS.items()
    }
    files = [{"split": split, "path": f"data/*/{split}-*.parquet"} for split in SPLITS]
    card = yaml.safe_dump({"configs": [{"config_name": "all", "data_files": files}]})
    write_dataset(folder / "mini", rows, f"---\n{card}---\n")
    settings = {
        "model": "2m-ner-demo",
        "tokenizer": "new",
        "vocabulary_size": 60,
        "max_length": 64,
        "resnet_image_size": 32,
        "config": CONFIG_CHANGES,
        "dataset": str(folder / "mini"),
        "output_dir": str(folder / "runs" / "tiny"),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": "1e-2",
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 4,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder / "run.yaml"


@pytest.fixture(scope="module")
def run(run_file):
    """The run folder and what `main` returned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", run_file.parent / "cache")
        results = train_hf.main(*read_command_line([str(run_file)]))
        yield run_file.parent / "runs" / "tiny", results


def test_the_run_folder_is_complete(run):
    folder, _ = run
    names = {path.name for path in folder.iterdir()}

    assert {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "README.md"} <= names
    assert {"all_results.json", "predictions_test.conll", "trainer_state.json"} <= names
    assert "training_args.bin" not in names
    travelling = {"configuration_2mner.py", "modeling_2mner.py", "processing_2mner.py", "crf.py", "fusion.py"}
    assert travelling | {"alignment.py", "encoders.py", "images.py", "outputs.py", "spans.py", "windows.py"} <= names
    assert not [name for name in names if name.startswith(".")]


def test_the_config_names_its_classes(run):
    folder, _ = run
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))

    assert config["model_type"] == "2m-ner"
    assert config["auto_map"] == TwoMNERConfig.default_auto_map
    assert config["id2label"] == {str(index): label for index, label in enumerate(LABELS)}
    assert str(folder.parent.parent) not in json.dumps(config)


def test_results_are_the_returned_ones(run):
    folder, results = run
    saved = json.loads((folder / "all_results.json").read_text(encoding="utf-8"))

    assert saved == pytest.approx(results)
    for name in (
        "train_loss",
        "eval_f1",
        "test_f1",
        "test_lenient_f1",
        "test_lang_fr_f1",
        "test_source_twitter2017_f1",
        "eval_lang_fr_f1",
        "eval_source_twitter2017_f1",
    ):
        assert name in saved
    card = ModelCard.load(folder / "README.md")
    assert card.data.eval_results[0].metric_value == pytest.approx(100 * saved["test_f1"], abs=0.006)
    assert card.data.language == ["en", "fr"]
    assert str(folder.parent.parent) not in str(card)


def test_the_pictures_are_counted(run):
    folder, results = run
    card = (folder / "README.md").read_text(encoding="utf-8")

    counted = {name: count for name, count in results.items() if name.startswith("test_pictures_")}
    assert counted == {f"test_pictures_{status}": 0 for status in ("unreadable", "degenerate")} | {
        "test_pictures_ok": 4,
        "test_pictures_missing": 2,
    }
    assert "| test | 4 | 2 | 0 | 0 |" in card
    assert "\nNamed entity recognition on a sentence and its picture, in" in card


def test_predictions_of_every_test_sentence(run):
    text = (run[0] / "predictions_test.conll").read_text(encoding="utf-8")

    assert text.count("IMGID:test") == 6
    assert "Paris\tB-LOC\t" in text


def test_the_log_has_each_epochs_losses_and_scores(run):
    history = json.loads((run[0] / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]

    assert [entry["epoch"] for entry in history if "crf_loss" in entry] == [1.0, 2.0]
    assert [entry["epoch"] for entry in history if "eval_f1" in entry] == [1.0, 2.0]


@pytest.mark.parametrize("which", ["", "checkpoint-*"])
def test_the_auto_classes_load_the_folders(run, which, make_picture):
    """The run folder and the Trainer's own checkpoints."""
    folder = next(run[0].glob(which)) if which else run[0]
    config = AutoConfig.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    tagger, loading = AutoModelForTokenClassification.from_pretrained(folder, output_loading_info=True)
    base = AutoModel.from_pretrained(folder)
    batch = processor([["Anna", "in", "Paris"], ["Hi"]], [make_picture(1), None])

    assert not any(loading.values())
    assert (config.id2label[1], processor.labels) == ("B-PER", list(LABELS))
    assert (processor.max_length, processor.resnet_image_processor.size["height"]) == (64, 32)
    assert tagger(**batch).predictions.shape == (2, 3)
    assert base(**batch).last_hidden_state.equal(tagger.model(**batch).last_hidden_state)


def test_the_folder_works_where_the_project_is_not(run, tmp_path):
    """With the code that travelled along, as from the Hub, by the lines that the card shows."""
    card = (run[0] / "README.md").read_text(encoding="utf-8")
    use = "".join(re.findall(r"^```python\n(.*?)^```", card, flags=re.MULTILINE | re.DOTALL))
    assert use.count("from_pretrained(") == 3 and use.count("pipeline(") == 1
    script = (
        f"{use}\n"
        "b = processor([['Anna', 'in', 'Paris']])\n"
        "print(type(model).__module__.split('.')[0], model(**b).predictions.tolist())\n"
        "assert [entity['word'] for entity in entities] == [name['word'] for name in names[0]]\n"
        "assert vectors.shape[:2] == (1, len(batch.words[0]))\n"
    )
    command = [sys.executable, "-c", script]
    environment = {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=run[0].parent, env=environment, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr[-2000:]
    model = AutoModelForTokenClassification.from_pretrained(run[0])
    batch = AutoProcessor.from_pretrained(run[0])([["Anna", "in", "Paris"]])
    assert result.stdout.strip() == f"transformers_modules {model(**batch).predictions.tolist()}"


def test_an_interrupted_run_continues_to_the_same_end(run, run_file, tmp_path):
    """It died while it wrote the second checkpoint; the vocabulary is learned anew, too."""
    folder, results = run
    shutil.copytree(folder, tmp_path / "tiny", ignore=shutil.ignore_patterns("checkpoint-6", "*.json"))
    shutil.copytree(folder / "checkpoint-3", tmp_path / "tiny" / "checkpoint-3", dirs_exist_ok=True)
    shutil.copytree(folder / "checkpoint-6", tmp_path / "tiny" / "checkpoint-6")
    state = tmp_path / "tiny" / "checkpoint-6" / "trainer_state.json"
    state.write_text(state.read_text(encoding="utf-8")[:100], encoding="utf-8")
    first_epoch = tmp_path / "tiny" / "checkpoint-3" / "model.safetensors"
    written = first_epoch.stat().st_mtime_ns
    flags = ["--output_dir", str(tmp_path / "tiny"), "--resume_from_checkpoint", "True"]
    resumed = train_hf.main(*read_command_line([str(run_file), *flags]))

    first, second = (load_file(path / "model.safetensors") for path in (folder, tmp_path / "tiny"))
    assert all(second[name].equal(value) for name, value in first.items())
    scores = [name for name in results if name.endswith("f1")]
    assert [resumed[name] for name in scores] == [results[name] for name in scores]
    assert first_epoch.stat().st_mtime_ns == written  # this epoch was not trained again
    assert (tmp_path / "tiny" / "checkpoint-6").is_dir()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed", "5"], "`seed` was 4, now 5"),
        (["--learning_rate", "0.5"], r"`learning_rate` was 0\.01, now 0\.5"),
        (["--train_part", "1/2"], r"`train_part` was null.*`data\.train`"),
    ],
)
def test_resuming_with_other_settings_is_refused(run, run_file, tmp_path, flags, message):
    """Before a step is taken; the checkpoint tells the settings without a pickle."""
    shutil.copytree(run[0] / "checkpoint-3", tmp_path / "tiny" / "checkpoint-3")
    before = sorted(path.name for path in (tmp_path / "tiny").rglob("*"))
    flags = [*flags, "--output_dir", str(tmp_path / "tiny"), "--resume_from_checkpoint", "True"]
    with pytest.raises(ValueError, match=message):
        train_hf.main(*read_command_line([str(run_file), *flags]))

    assert sorted(path.name for path in (tmp_path / "tiny").rglob("*")) == before
    assert "run_settings.json" in before and "training_args.bin" not in before


def test_resuming_anyway_goes_on(run, run_file, tmp_path):
    shutil.copytree(run[0] / "checkpoint-3", tmp_path / "tiny" / "checkpoint-3")
    flags = ["--seed", "5", "--resume_anyway", "true", "--resume_from_checkpoint", "True"]
    train_hf.main(*read_command_line([str(run_file), *flags, "--output_dir", str(tmp_path / "tiny")]))

    assert "- resume_anyway: True" in (tmp_path / "tiny" / "README.md").read_text(encoding="utf-8")


def test_a_run_with_adapters_resumes_and_its_folder_is_released_as_any_other(run, run_file, tmp_path):
    """The run folder holds no trace of PEFT, which the process that checks a release does not have either."""
    pytest.importorskip("peft")
    flags = ["--lora", "true", "--lora_rank", "2", "--config", json.dumps(CONFIG_CHANGES | FIXED)]
    train_hf.main(*read_command_line([str(run_file), *flags, "--output_dir", str(tmp_path / "complete")]))
    shutil.copytree(tmp_path / "complete" / "checkpoint-3", tmp_path / "resumed" / "checkpoint-3")
    flags += ["--output_dir", str(tmp_path / "resumed"), "--resume_from_checkpoint", "True"]
    train_hf.main(*read_command_line([str(run_file), *flags]))

    folders = [run[0], tmp_path / "complete", tmp_path / "resumed"]
    plain, first, second = (load_file(folder / "model.safetensors") for folder in folders)
    assert plain.keys() == first.keys() and all(second[name].equal(value) for name, value in first.items())
    assert "in adapters" in (tmp_path / "resumed" / "README.md").read_text(encoding="utf-8")
    (tmp_path / "staged").mkdir()
    stage(tmp_path / "resumed", tmp_path / "staged", Names("someone/tiny"))
    check_in_clean_process(tmp_path / "staged")


def test_a_run_starts_from_another_with_other_labels(run, run_file, tmp_path):
    """The frozen encoders of the new run are those of the run it started from, to the last bit."""
    settings = yaml.safe_load(run_file.read_text(encoding="utf-8"))
    own = {"image": None, "image_status": "missing"}
    rows = {
        ("en", split): [
            row | own | {"ner_tags": rename(row["ner_tags"])} for row in make_rows("en", split, count, b"")
        ]
        for split, count in SPLITS.items()
    }
    files = [{"split": split, "path": f"data/*/{split}-*.parquet"} for split in SPLITS]
    card = yaml.safe_dump({"configs": [{"config_name": "default", "data_files": files}]})
    write_dataset(tmp_path / "own", rows, f"---\n{card}---\n", schema=Schema.of(["en"], ["HUMAN", "PLACE"]))
    flags = ["--model", str(run[0]), "--new_labels", "true", "--dataset", str(tmp_path / "own"), "--use_cpu", "True"]
    flags += ["--output_dir", str(tmp_path / "new"), "--num_train_epochs", "1", "--freeze", "text", "vision", "resnet"]
    flags += ["--config", json.dumps(FIXED)]
    train_hf.main(*read_command_line([*flags, "--learning_rate", str(settings["learning_rate"])]))

    before, after = (load_file(folder / "model.safetensors") for folder in (run[0], tmp_path / "new"))
    encoders = [name for name in before if re.match(r"model\.(text|vision|resnet)_model\.", name)]
    assert encoders and all(after[name].equal(before[name]) for name in encoders)
    config = AutoConfig.from_pretrained(tmp_path / "new")
    assert list(config.id2label.values()) == ["O", "B-HUMAN", "I-HUMAN", "B-PLACE", "I-PLACE"]
    assert "started from tiny, which has other labels" in (tmp_path / "new" / "README.md").read_text(encoding="utf-8")


def rename(tags: list[str]) -> list[str]:
    return [tag.replace("PER", "HUMAN").replace("LOC", "PLACE") for tag in tags]


def test_resuming_without_a_checkpoint_starts(run, run_file, tmp_path):
    flags = ["--output_dir", str(tmp_path / "new"), "--resume_from_checkpoint", "True", "--max_train_samples", "4"]
    results = train_hf.main(*read_command_line([str(run_file), *flags, "--num_train_epochs", "1"]))

    assert results["epoch"] == 1.0


def test_goes_on_from_a_run_folder(run, run_file, tmp_path):
    """With rates of zero, its weights and its vocabulary come out again."""
    folder, _ = run
    lines = yaml.safe_load(run_file.read_text(encoding="utf-8"))
    for name in ("tokenizer", "config", "max_length", "resnet_image_size"):
        lines.pop(name)
    lines |= {"model": str(folder), "output_dir": str(tmp_path / "more"), "learning_rate": 0.0, "num_train_epochs": 1}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(lines), encoding="utf-8")
    again = train_hf.main(*read_command_line([str(tmp_path / "more.yaml")]))

    weights, start = (load_file(path / "model.safetensors") for path in (tmp_path / "more", folder))
    assert all(
        weights[name].equal(value)
        for name, value in start.items()
        if "running_" not in name and "num_batches" not in name
    )
    assert str(tmp_path.parent) not in (tmp_path / "more" / "README.md").read_text(encoding="utf-8")
    assert again["epoch"] == 1.0


def test_a_run_is_pushed_once_and_finished(run_file, hub, monkeypatch, tmp_path):
    """Neither a checkpoint nor `save_model` pushes by itself; the release is that of `training_2mner.hub`."""
    hub.connect(monkeypatch, tmp_path)
    monkeypatch.setattr("training_2mner.hub.release.check_in_clean_process", lambda folder: None)
    flags = ["--output_dir", str(tmp_path / "pushed"), "--max_train_samples", "4", "--license", "mit"]
    flags += ["--push_to_hub", "--hub_model_id", "user/2m-ner-tiny", "--hub_private_repo", "true"]
    train_hf.main(*read_command_line([str(run_file), *flags]))

    repo = hub.repo("models", "user/2m-ner-tiny")
    assert [commit.message for commit in repo.commits] == ["initial commit", "Upload the model"]
    assert repo.private and (tmp_path / "pushed" / "checkpoint-2").is_dir()
    assert {"README.md", "handler.py", "requirements.txt", "model.safetensors", "all_results.json"} <= set(
        repo.files()
    )
    assert not [name for name in repo.files() if name.startswith("checkpoint") or name.endswith((".bin", ".conll"))]
    card = ModelCard(repo.files()["README.md"].decode())
    assert card.data.license == "mit" and '"user/2m-ner-tiny"' in card.text
    weights = (tmp_path / "pushed" / "model.safetensors").read_bytes()
    assert repo.files()["model.safetensors"] == weights


@pytest.mark.parametrize("token", [None, "hf_wrong"])
def test_a_run_that_could_not_be_pushed_does_not_start(run_file, hub, monkeypatch, tmp_path, token):
    hub.connect(monkeypatch, tmp_path, token)
    flags = ["--output_dir", str(tmp_path / "pushed"), "--push_to_hub", "--hub_model_id", "user/tiny"]
    with pytest.raises((ValueError, HfHubHTTPError), match=r"no token for the Hub|Invalid credentials"):
        train_hf.main(*read_command_line([str(run_file), *flags]))

    assert not (tmp_path / "pushed" / "model.safetensors").exists()


def test_a_text_only_run_needs_no_pictures(run, run_file, tmp_path):
    lines = yaml.safe_load(run_file.read_text(encoding="utf-8"))
    lines["config"] |= {"use_vit": False, "use_resnet": False}
    lines |= {"output_dir": str(tmp_path / "text"), "num_train_epochs": 1}
    (tmp_path / "text.yaml").write_text(yaml.safe_dump(lines), encoding="utf-8")
    results = train_hf.main(*read_command_line([str(tmp_path / "text.yaml")]))

    assert "test_f1" in results
    card = (tmp_path / "text" / "README.md").read_text(encoding="utf-8")
    assert "\nNamed entity recognition on the words of a sentence, in" in card and "its picture" not in card
    assert "train_pictures_ok" not in results
    assert not any("vision" in name for name in load_file(tmp_path / "text" / "model.safetensors"))
    assert torch.isfinite(torch.tensor(results["train_loss"]))


def test_learning_from_words_alone_by_mistake_is_told(run_file, tmp_path, monkeypatch, caplog):
    load = run_module.load_splits
    monkeypatch.setattr(run_module, "load_splits", lambda arguments: load(arguments).remove_columns("image"))
    settings = ["--output_dir", str(tmp_path / "run"), "--num_train_epochs", "1", "--save_strategy", "no"]
    train_hf.main(*read_command_line([str(run_file), *settings, "--load_best_model_at_end", "False"]))
    assert "has no training pictures, so it learns from the words only" in caplog.text
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert "No picture of the training data could be used" in card and "a sentence and its picture" not in card


def test_two_trainings_do_not_share_a_run_folder(run_file, tmp_path):
    with (
        only_writer(tmp_path / "run", "output_dir"),
        pytest.raises(ValueError, match=r"`output_dir` .* is being written"),
    ):
        train_hf.main(*read_command_line([str(run_file), "--output_dir", str(tmp_path / "run")]))
    assert not (tmp_path / "run").exists()


def test_a_run_is_calibrated_at_its_end_as_by_the_command(run_file, tmp_path, capsys):
    folder = tmp_path / "run"
    settings = ["--output_dir", str(folder), "--num_train_epochs", "1", "--save_strategy", "no"]
    settings += ["--load_best_model_at_end", "False"]
    results = train_hf.main(*read_command_line([str(run_file), *settings, "--calibrate", "true"]))
    temperature = json.loads((folder / "config.json").read_text(encoding="utf-8"))["crf_temperature"]
    assert temperature == results["crf_temperature"] != 1
    assert results.items() <= json.loads((folder / "all_results.json").read_text(encoding="utf-8")).items()
    assert 0 <= results["eval_calibration_error"] <= 1 and 0 <= results["eval_calibration_error_before"] <= 1
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"at the temperature {temperature:g} (" in card and "](calibration.png)" in card
    assert "has not been calibrated" not in card and "- calibrate: True" in card

    files = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    calibrate.main([str(folder), "--dataset", str(run_file.parent / "mini"), "--device", "cpu"])
    assert f"The temperature {temperature:g} is in" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == files

    train_hf.main(*read_command_line([str(run_file), *settings]))  # other weights in the same folder
    assert not list(folder.glob("calibration.*"))
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["crf_temperature"] == 1
    assert "has not been calibrated" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_run_that_cannot_be_calibrated_does_not_start(run_file, tmp_path):
    lines = yaml.safe_load(run_file.read_text(encoding="utf-8"))
    lines["config"] = {"text_config": CONFIG_CHANGES["text_config"], "use_image": False, "label_scheme": "subword_aux"}
    lines |= {"model": "umt-demo", "calibrate": True, "output_dir": str(tmp_path / "run")}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(lines), encoding="utf-8")
    with pytest.raises(ValueError, match='label_scheme="subword_aux"'):
        train_hf.main(*read_command_line([str(tmp_path / "run.yaml")]))
    assert not (tmp_path / "run").exists()


def test_a_run_with_stored_features_is_the_run_without(run_file, tmp_path):
    frozen = ["--freeze", "vision", "resnet", "--config", json.dumps({**CONFIG_CHANGES, **FIXED})]
    results = []
    for name, options in (("plain", []), ("cached", ["--cache_image_features", str(tmp_path / "features")])):
        command = [str(run_file), *frozen, *options, "--output_dir", str(tmp_path / name)]
        results.append(train_hf.main(*read_command_line(command)))
    plain, cached = results
    assert len(list((tmp_path / "features").rglob("features-*.safetensors"))) == 1
    for score in ("train_loss", "eval_loss", "test_loss", "test_f1"):
        assert cached[score] == pytest.approx(plain[score], rel=1e-5)
    predictions = [(tmp_path / name / "predictions_test.conll").read_text("utf-8") for name in ("plain", "cached")]
    assert predictions[0] == predictions[1]
