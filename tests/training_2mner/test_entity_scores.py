from __future__ import annotations

from pathlib import Path

import evaluate
import pytest

from training_2mner.metrics import entity_scores

ROOT = Path(__file__).resolve().parents[2]
GOLD = [["B-PER", "I-PER", "O"], ["O", "B-LOC"]]
PREDICTED = [["B-PER", "I-PER", "O"], ["O", "I-LOC"]]


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
