"""The protocol of the authors' released code: each epoch is scored on test, and the best of these scores is reported.

It says nothing about new sentences, because the epoch was chosen on the test set. It is here for one purpose: to show
how much of a published difference it can account for.
"""

from __future__ import annotations

import json
from pathlib import Path

from datasets import Dataset
from transformers import AutoModelForTokenClassification, AutoProcessor
from transformers.trainer import TRAINER_STATE_NAME

from training_2mner.arguments import DataArguments, TwoMNERTrainingArguments
from training_2mner.evaluation import predict_tags
from training_2mner.metrics import entity_scores
from training_2mner.trainer import make_trainer

GoldAndPredicted = tuple[list[list[str]], list[list[str]]]


def score_epochs(
    folder: Path, data_arguments: DataArguments, arguments: TwoMNERTrainingArguments, test: Dataset
) -> tuple[list[dict[str, float]], GoldAndPredicted]:
    """Score all checkpoints of a run folder on test.

    Returns:
        For each epoch its number, the dev score by which the sound protocol chooses, and both test scores; and the
        gold and predicted tags of the epoch with the best lenient F1 on test, which is what the authors' code reports.

    Raises:
        ValueError: if there is no checkpoint.
    """
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    if not checkpoints:
        raise ValueError(f"{folder} has no checkpoints; the protocol `released` needs the checkpoints of all epochs.")
    best: GoldAndPredicted = ([], [])
    epochs, best_score = [], -1.0
    for checkpoint in checkpoints:
        tags = _predict(checkpoint, data_arguments, arguments, test)
        scores = entity_scores(tags[1], tags[0])
        epochs.append({**_dev_score(checkpoint), "test_f1": scores["f1"], "test_lenient_f1": scores["lenient_f1"]})
        if scores["lenient_f1"] > best_score:
            best, best_score = tags, scores["lenient_f1"]
    return epochs, best


def _predict(
    checkpoint: Path, data_arguments: DataArguments, arguments: TwoMNERTrainingArguments, test: Dataset
) -> GoldAndPredicted:
    model = AutoModelForTokenClassification.from_pretrained(checkpoint)
    processor = AutoProcessor.from_pretrained(checkpoint)
    # The first `test` is never trained on; the Trainer of transformers requires a training split.
    trainer = make_trainer(model, processor, data_arguments, arguments, test, test)
    return predict_tags(trainer, test)[1:]


def _dev_score(checkpoint: Path) -> dict[str, float]:
    """Epoch and dev scores of a checkpoint, from the state that the Trainer saved with it."""
    state = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    last = [entry for entry in state["log_history"] if "eval_f1" in entry][-1]
    return {"epoch": last["epoch"], "dev_f1": last["eval_f1"], "dev_lenient_f1": last["eval_lenient_f1"]}
