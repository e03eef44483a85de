from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import evaluate
import pytest
from huggingface_hub import SpaceCard

from training_2mner.metrics import entity_scores

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "training_2mner" / "entity_scores"
GOLD = [["B-PER", "I-PER", "O"], ["O", "B-LOC"]]
PREDICTED = [["B-PER", "I-PER", "O"], ["O", "I-LOC"]]
LABELS = ["O", *(f"{prefix}-{kind}" for kind in ("PER", "PROD", "creative-work", "Länder") for prefix in "BI")]
# An environment that has no module of the project: `None` makes an import fail.
ELSEWHERE = """
import json, sys
sys.modules |= dict.fromkeys(json.loads(sys.argv[2]))
import evaluate
print(json.dumps(evaluate.load(sys.argv[1]).compute(**json.load(sys.stdin))))
"""


@pytest.fixture
def module(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("evaluate.config.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return evaluate.load("training_2mner/entity_scores", cache_dir=str(tmp_path / "cache"))


def test_gives_the_numbers_of_entity_scores(module):
    scores = module.compute(predictions=PREDICTED, references=GOLD)

    assert scores == entity_scores(PREDICTED, GOLD)
    assert scores["f1"] < scores["lenient_f1"]


def test_collects_batches(module):
    for predicted, gold in zip(PREDICTED, GOLD, strict=True):
        module.add_batch(predictions=[predicted], references=[gold])

    assert module.compute() == entity_scores(PREDICTED, GOLD)


def test_different_lengths_are_an_error(module):
    with pytest.raises(ValueError, match="2 words"):
        module.compute(predictions=[["O"]], references=[["O", "O"]])


def test_runs_where_the_project_is_not(tmp_path):
    generator = random.Random(0)
    gold, predicted = ([[generator.choice(LABELS) for _ in range(6)] for _ in range(200)] for _ in range(2))
    ours = [path.name for path in ROOT.iterdir() if path.is_dir()] + ["train_hf"]
    found = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, str(FOLDER), json.dumps(ours)],
        input=json.dumps({"predictions": predicted, "references": gold}),
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )

    assert found.returncode == 0, found.stderr
    scores = json.loads(found.stdout)
    assert scores == entity_scores(predicted, gold)
    assert {"f1_PROD", "f1_creative-work", "lenient_f1_Länder"} <= set(scores) and scores["f1"] > 0


def test_card_is_that_of_a_metric():
    card = SpaceCard.load(FOLDER / "README.md")

    assert {"evaluate", "metric"} <= set(card.data.tags) and card.data.sdk == "gradio"
    assert (FOLDER / card.data.app_file).is_file()
    pinned = (ROOT / "demo" / "requirements.txt").read_text().splitlines()
    assert f"gradio=={card.data.sdk_version}" in pinned


def test_example_of_the_card_prints_what_it_says(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("evaluate.config.HF_MODULES_CACHE", str(tmp_path / "modules"))
    code = (FOLDER / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(code.replace("user/entity_scores", str(FOLDER)))

    (said,) = (line.split("# ")[1] for line in code.splitlines() if line.startswith("print("))
    assert capsys.readouterr().out.strip() == said


def test_page_of_the_metric_scores(monkeypatch, tmp_path):
    gradio = pytest.importorskip("gradio")
    monkeypatch.setattr("evaluate.config.HF_MODULES_CACHE", str(tmp_path / "modules"))
    names = {"__name__": "app", "__file__": str(FOLDER / "app.py")}
    exec((FOLDER / "app.py").read_text(encoding="utf-8"), names)

    assert names["score"](json.dumps(PREDICTED), json.dumps(GOLD)) == entity_scores(PREDICTED, GOLD)
    for bad in ("no JSON", '[["O"], ["O"]]'):
        with pytest.raises(gradio.Error):
            names["score"](bad, '[["O"]]')
