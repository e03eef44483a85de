"""The whole command, on the folder of a tiny model."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoProcessor, pipeline

from modeling_2mner import TwoMNERPipeline
from reports_2mner.locks import only_writer
from training_2mner.calibrate import __main__ as calibrate
from training_2mner.calibrate.card import FORMER_LINE, PART, scores_part

CARD = f"# tiny\n\n## Results\n\nF1\n\n## Scores\n\n{scores_part()}\n\n## Training\n\nlong\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory, make_model, processor, splits) -> Path:
    """The run folder of a model that knows little more than how frequent the tags are, and is three times too sure."""
    folder = tmp_path_factory.mktemp("calibrate") / "run"
    model = make_model()
    counts = Counter(tag for tags in splits["validation"]["ner_tags"] for tag in tags)
    counts[0] = counts[1] - 1  # so that it finds entities
    with torch.no_grad():
        model.classifier.weight *= 0.1
        model.classifier.bias.copy_(3 * torch.tensor([1.0 + counts[tag] for tag in range(9)]).log())
        for parameter in model.crf.parameters():
            parameter.zero_()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A run folder of the test's own."""
    return Path(shutil.copytree(saved, tmp_path / "run"))


@pytest.fixture
def run(folder, data_folder):
    """Call the command on the folder."""
    return lambda *options: calibrate.main([str(folder), "--dataset", str(data_folder), "--device", "cpu", *options])


@pytest.fixture(scope="module")
def calibrated(saved, data_folder, tmp_path_factory) -> Path:
    """A run folder after the command, with the test split held out."""
    folder = Path(shutil.copytree(saved, tmp_path_factory.mktemp("calibrated") / "run"))
    calibrate.main([str(folder), "--dataset", str(data_folder), "--held_out", "test", "--device", "cpu"])
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_config_has_the_temperature_and_nothing_else_of_the_model_changes(calibrated, saved):
    before, after = files_of(saved), files_of(calibrated)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"config.json", "README.md", "calibration.json", "calibration.png"}
    old, new = (json.loads(files["config.json"]) for files in (before, after))
    temperature = new.pop("crf_temperature")
    assert old.pop("crf_temperature") == 1.0 and new == old and 1.5 < temperature < 6
    assert AutoModelForTokenClassification.from_pretrained(calibrated).config.crf_temperature == temperature
    assert not list(calibrated.parent.glob(".*"))  # no lock, no draft


def test_the_record_agrees_with_the_pipeline(calibrated, saved, splits):
    """Scores are lower or higher, the tags and so F1 are the same."""
    record = json.loads((calibrated / "calibration.json").read_text(encoding="utf-8"))
    assert (record["fitted_on"], list(record["splits"])) == ("validation", ["validation", "test"])
    for name, pair in record["splits"].items():
        assert pair["before"]["f1"] == pair["after"]["f1"]
        assert pair["before"]["temperature"] == 1 and pair["after"]["temperature"] == record["temperature"]
        rows = [{"words": row["tokens"], "image": row["image"]} for row in splits[name]]
        answers = []
        for folder, key in ((saved, "before"), (calibrated, "after")):
            tagger = pipeline("multimodal-ner", model=str(folder), pipeline_class=TwoMNERPipeline, device="cpu")
            entities = [entity for found in tagger(rows) for entity in found]
            scores = sorted(entity["score"] for entity in entities)
            assert len(scores) == pair[key]["entities"] == sum(one["count"] for one in pair[key]["bins"])
            means = sum(one["count"] * one["score"] for one in pair[key]["bins"])
            assert means == pytest.approx(sum(scores), abs=1e-3)
            answers.append([{**entity, "score": 0} for entity in entities])
        assert answers[0] == answers[1]
    fitted = record["splits"]["validation"]
    assert fitted["after"]["loss"] < fitted["before"]["loss"]


def test_the_card_shows_it_between_its_marks(calibrated):
    card = (calibrated / "README.md").read_text(encoding="utf-8")
    assert card.count("[//]: # (calibration)") == card.count("[//]: # (end of calibration)") == 1
    assert card.startswith("# tiny\n\n## Results\n\nF1\n\n## Scores\n\n[//]: # (calibration)\n\nScores are calibrated")
    assert card.endswith("[//]: # (end of calibration)\n\n## Training\n\nlong\n")
    assert "](calibration.png)" in card and "15 bins of equal size" in card
    record = json.loads((calibrated / "calibration.json").read_text(encoding="utf-8"))
    rows = re.findall(
        r"^\| (validation|test) \| (\S+) \| \d+ \| .* \| (\S+) % \| \S+ \| \S+ % \|$", card, re.MULTILINE
    )
    assert rows == [
        (split, f"{pair[key]['temperature']:g}", f"{100 * pair[key]['calibration_error']:.2f}")
        for split, pair in record["splits"].items()
        for key in ("before", "after")
    ]
    assert all(pair["before"]["entities"] for pair in record["splits"].values())


def test_repeating_the_command_changes_nothing(calibrated, data_folder):
    before = files_of(calibrated)
    calibrate.main([str(calibrated), "--dataset", str(data_folder), "--held_out", "test", "--device", "cpu"])
    assert files_of(calibrated) == before


def test_a_command_that_was_stopped_leaves_whole_files_and_is_repeated(folder, run, monkeypatch):
    def stop(*arguments, **named):
        raise KeyboardInterrupt

    for name in ("draw_reliability", "write_json"):
        with monkeypatch.context() as patch:
            patch.setattr(f"training_2mner.calibrate.calibration.{name}", stop)
            with pytest.raises(KeyboardInterrupt):
                run()
        assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["crf_temperature"] == 1
    with monkeypatch.context() as patch:
        patch.setattr("training_2mner.calibrate.card.replace_scores", stop)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert (folder / "README.md").read_text(encoding="utf-8") == CARD
    run()
    assert "Scores are calibrated" in (folder / "README.md").read_text(encoding="utf-8")
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_card_from_before_and_one_without_training_get_the_part(folder, run):
    path = folder / "README.md"
    path.write_text(
        f"# tiny\n\nUse it.\n\n## Training\n\nlong\n\n## Limits\n\n- Names.\n{FORMER_LINE}", encoding="utf-8"
    )
    run()
    card = path.read_text(encoding="utf-8")
    assert "not been calibrated" not in card and card.endswith("\n\n## Training\n\nlong\n\n## Limits\n\n- Names.\n")
    assert PART.sub("HERE", card).startswith("# tiny\n\nUse it.\n\n## Scores\n\nHERE\n\n## Training")
    path.write_text("# by hand\n", encoding="utf-8")
    run()
    assert PART.sub("HERE", path.read_text(encoding="utf-8")) == "# by hand\n\n## Scores\n\nHERE\n"


def test_a_folder_without_card_and_a_config_from_before_are_no_fault(folder, run, caplog):
    (folder / "README.md").unlink()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["crf_temperature"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "configuration_tagging.py").write_text("# from before\n", encoding="utf-8")
    run()
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["crf_temperature"] != 1
    assert "has no README.md" in caplog.text and "is from before there was a temperature" in caplog.text


def test_what_is_wrong_is_told_with_the_remedy(folder, run, data_folder, tmp_path, capsys):
    with pytest.raises(SystemExit, match="has no split 'dev', only train, validation, test"):
        run("--split", "dev")
    with only_writer(folder, "run"), pytest.raises(SystemExit, match=r"`run` .* is being written by"):
        run()
    with pytest.raises(SystemExit, match=r"`run` .*nowhere is not a folder; name a run folder"):
        calibrate.main([str(tmp_path / "nowhere"), "--dataset", str(data_folder)])
    with pytest.raises(SystemExit, match=r"has no config.json; name a folder of train_hf.py"):
        calibrate.main([str(data_folder), "--dataset", str(data_folder)])
    assert not (folder / "calibration.json").exists()


def test_a_comparison_model_is_calibrated_too(make_baseline, one_image_processor, data_folder, tmp_path):
    make_baseline("bert-crf", use_crf=False).save_pretrained(tmp_path / "bert")
    one_image_processor.save_pretrained(tmp_path / "bert")
    calibrate.main([str(tmp_path / "bert"), "--dataset", str(data_folder), "--device", "cpu"])
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "bert")
    assert model.config.crf_temperature != 1 and AutoProcessor.from_pretrained(tmp_path / "bert")


def test_a_model_that_finds_nothing_has_a_temperature_and_no_error(folder, run, make_model):
    model = make_model()
    with torch.no_grad():
        model.classifier.bias[0] = 100.0
    model.save_pretrained(folder)
    run()
    record = json.loads(
        (folder / "calibration.json").read_text(encoding="utf-8"), parse_constant=pytest.fail
    )  # NaN is no JSON
    assert record["splits"]["validation"]["after"]["calibration_error"] is None
    assert re.search(r"\| 0 \| - \| - \| - \| ", (folder / "README.md").read_text(encoding="utf-8"))
