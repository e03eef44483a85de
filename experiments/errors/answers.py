"""The answers of a run: its predictions, checked to be those of a test split, and paired with the gold entities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset

from experiments.errors.counts import ScoredSentence, pair_entities, sentence_ids
from modeling_2mner.spans import entity_spans
from reports_2mner.conll_format import read_sentences
from training_2mner.data import tag_names, text_values
from training_2mner.evaluation import PREDICTIONS

QUOTED_WORDS = 12
REMEDY = "Pass the data set, `--dataset_config`, `--dataset_revision` and `--max_eval_samples` of the run."


def read_answers(run: Path, test: Dataset) -> tuple[list[list[str]], list[list[str]]]:
    """The gold and predicted tags of a run, checked to be those of this test split.

    Raises:
        ValueError: if the run has no predictions, or predictions for other sentences.
    """
    path = run / PREDICTIONS
    if not path.is_file():
        raise ValueError(
            f"`run` {run} has no {PREDICTIONS}; pass a run folder of train_hf.py. `python -m experiments.run` keeps "
            "its run folders in models/ with `--keep_models`."
        )
    answers = list(read_sentences(path))
    if any(len(line) != 3 for _, lines in answers for line in lines):
        raise ValueError(f"{path} has lines that are not word, gold and predicted tag; predict again with the run.")
    if len(answers) != len(test):
        raise ValueError(f"`run` has predictions for {len(answers)} sentences, but test has {len(test)}. {REMEDY}")
    image_ids = test["image_id"] if "image_id" in test.column_names else [""] * len(test)
    rows = zip(answers, image_ids, test["tokens"], tag_names(test), strict=True)
    for number, ((name, lines), image_id, words, gold) in enumerate(rows, start=1):
        found = (name, [line[0] for line in lines], [line[1] for line in lines])
        for what, theirs, ours in zip(
            ("picture", "words", "gold tags"), found, (str(image_id), words, gold), strict=True
        ):
            if theirs != ours:
                raise ValueError(
                    f"`run` and `dataset` differ in the {what} of test sentence {number}: the predictions are "
                    f"for {_short(theirs)}, the data set has {_short(ours)}. {REMEDY}"
                )
    predicted = [[line[2] for line in lines] for _, lines in answers]
    return [[line[1] for line in lines] for _, lines in answers], predicted


def pair_sentences(
    test: Dataset, references: list[list[str]], predictions: list[list[str]], strict: bool = True
) -> list[ScoredSentence]:
    """All sentences of the test split, with their entities paired."""
    groups = _groups(test)
    rows = zip(sentence_ids(test), test["tokens"], references, predictions, strict=True)
    sentences = []
    for row, (name, words, gold, predicted) in enumerate(rows):
        found = entity_spans(predicted, strict)
        pairs = pair_entities(entity_spans(gold, strict), found)
        strays = tuple(span for span in entity_spans(predicted, strict=False) if span not in found)
        group = {column: values[row] for column, values in groups.items()}
        sentences.append(ScoredSentence(row, name, words, pairs, group, strays))
    return sentences


def _groups(test: Dataset) -> dict[str, list[str]]:
    """Language, source and state of the picture, as far as the data set has them."""
    columns = [column for column in ("lang", "source", "image_status") if column in test.column_names]
    return {column: [str(value) for value in text_values(test, column)] for column in columns}


def _short(value: Sequence[str]) -> str:
    shown = value if isinstance(value, str) else " ".join(value[:QUOTED_WORDS]) + " ..." * (len(value) > QUOTED_WORDS)
    return repr(shown)
