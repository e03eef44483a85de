from __future__ import annotations

from dataclasses import fields

import pytest

from training_2mner.arguments import DataArguments, ModelArguments, TwoMNERTrainingArguments
from training_2mner.ranges import DATA_RANGES, MODEL_RANGES, TRAINING_RANGES

KINDS = [(ModelArguments, MODEL_RANGES), (DataArguments, DATA_RANGES), (TwoMNERTrainingArguments, TRAINING_RANGES)]
NUMBERS = ("int", "float")
# Of these every number has a meaning, or transformers says which has none.
FREE = {"local_rank", "save_total_limit"}


def numeric_fields(kind):
    for entry in fields(kind):
        name = getattr(entry.type, "__name__", str(entry.type))
        if any(number in name.replace(" ", "").split("|") for number in NUMBERS):
            yield entry.name


@pytest.mark.parametrize(("kind", "ranges"), KINDS)
def test_every_number_has_a_range(kind, ranges):
    assert set(numeric_fields(kind)) - FREE == set(ranges)


@pytest.mark.parametrize("value", [-3, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, ranges in KINDS for name in ranges])
def test_what_means_nothing_is_refused(kind, name, value, tmp_path):
    place = {"output_dir": str(tmp_path)} if kind is TwoMNERTrainingArguments else {}
    with pytest.raises(ValueError, match=f"`{name}` is {value}; write a number"):
        kind(**{name: value}, **place)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (TwoMNERTrainingArguments, {"num_train_epochs": 0}),
        (TwoMNERTrainingArguments, {"patience": 0}),
        (TwoMNERTrainingArguments, {"max_steps": 0}),
        (TwoMNERTrainingArguments, {"adam_beta1": 1.0}),
        (TwoMNERTrainingArguments, {"seed": 2**32}),
        (TwoMNERTrainingArguments, {"per_device_train_batch_size": 0}),
        (DataArguments, {"max_eval_samples": 0}),
        (DataArguments, {"max_words": 0}),
        (ModelArguments, {"max_length": 2}),
    ],
)
def test_zero_and_bounds_are_refused_where_they_mean_nothing(kind, settings):
    with pytest.raises(ValueError, match=f"`{next(iter(settings))}` is .*; write a number"):
        kind(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_steps": -1},
        {"save_total_limit": 0},
        {"save_total_limit": None},
        {"learning_rate": 0.0},
        {"warmup_steps": 0.1},
        {"eval_steps": 0},
        {"logging_steps": 0.5},
        {"patience": None},
        {"dataloader_num_workers": 0},
    ],
)
def test_what_transformers_gives_a_meaning_passes(settings, tmp_path):
    TwoMNERTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **settings)
