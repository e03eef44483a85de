"""Every option of the Trainer that counts as tested does its work here, from the first step to the scores."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import transformers

from training_2mner.arguments import TwoMNERTrainingArguments
from training_2mner.evaluation import evaluate_on_dev
from training_2mner.features.fill import use_cache
from training_2mner.options import PASSED_ON, TESTED, options_table, state
from training_2mner.options import REFUSED as REFUSALS
from training_2mner.options_page import OUTPUT, page

ROOT = Path(__file__).resolve().parents[2]

CHECKPOINTS = {"eval_strategy": "epoch", "save_strategy": "epoch"}
# Options that do not touch each other share a training.
WORKING = [
    {"max_steps": 2, "lr_scheduler_type": "cosine", "warmup_steps": 2, "data_seed": 3},
    {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}, "max_grad_norm": 1.0},
    {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 0.2, "full_determinism": True},
    {"lr_scheduler_type": "polynomial", "plain_adam": False, "optim": "adafactor", "label_names": None},
    {"lr_scheduler_type": "inverse_sqrt", "plain_adam": False, "optim": "sgd", "optim_args": "momentum=0.5"},
    {"lr_scheduler_type": "reduce_lr_on_plateau", **CHECKPOINTS, "metric_for_best_model": "eval_lenient_f1"},
    {"weight_decay": 0.1, "adam_beta1": 0.8, "adam_beta2": 0.9, "adam_epsilon": 1e-6, "head_learning_rate": 1e-3},
    {"gradient_accumulation_steps": 2, "average_tokens_across_devices": False, "torch_empty_cache_steps": 1},
    {"bf16": True, "eval_accumulation_steps": 1, "per_device_eval_batch_size": 3},
    {"bf16_full_eval": True, "logging_nan_inf_filter": False},
    {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": False}},
    {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
    {"neftune_noise_alpha": 5.0, "auto_find_batch_size": True},
    {"logging_strategy": "steps", "logging_steps": 0.5, "logging_first_step": True, "disable_tqdm": False},
    {"include_num_input_tokens_seen": "all", "skip_memory_metrics": False, "use_cache": True},
    {"include_num_input_tokens_seen": "non_padding", "do_train": True, "do_eval": True, "do_predict": True},
    {
        "log_level": "error",
        "log_level_replica": "error",
        "log_on_each_node": False,
        "dataloader_pin_memory": False,
        "run_name": "m",
    },
    {"eval_strategy": "steps", "eval_steps": 2, "eval_delay": 3, "eval_on_start": True},
    {"eval_use_gather_object": True, "include_for_metrics": ["inputs", "loss"]},
    {"save_strategy": "best", "eval_strategy": "epoch"},
    {"save_strategy": "steps", "save_steps": 2, "save_only_model": True, "save_total_limit": 1},
    {**CHECKPOINTS, "load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": False},
    {**CHECKPOINTS, "load_best_model_at_end": True, "metric_for_best_model": "f1_PER", "patience": 1},
    {"dataloader_drop_last": True, "per_device_train_batch_size": 5, "ignore_data_skip": True},
    {"dataloader_num_workers": 1, "dataloader_persistent_workers": True, "dataloader_prefetch_factor": 1},
    {"dataloader_num_workers": 1, "dataloader_multiprocessing_context": "fork", "dataloader_in_order": False},
    {"group_by_length": False, "train_sampling_strategy": "sequential"},
    {"length_unit": "words", "word_dropout": 0.1},
    {"torch_compile": True, "torch_compile_backend": "eager"},
    {"freeze": ["vision", "resnet"], "cache_image_features": "", "image_features_precision": "float16"},
    {"accelerator_config": {"even_batches": False, "use_seedable_sampler": False}},
]
REFUSED = [
    {"lr_scheduler_type": "warmup_stable_decay"},
    {"patience": 1, "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False},
    {"label_smoothing_factor": 0.1},
    {"batch_eval_metrics": True},
    {"prediction_loss_only": True},
    {"eval_do_concat_batches": False},
    {"remove_unused_columns": True},
    {"use_liger_kernel": True},
    {"optim_target_modules": "all-linear"},
    {"optim": "galore_adamw", "plain_adam": False},
    {"optim": "adalomo", "plain_adam": False},
    {"train_sampling_strategy": "group_by_length", "group_by_length": False},
    {"train_sampling_strategy": "batch_rebalance", "group_by_length": False},
    {"train_sampling_strategy": "sequential"},
    {"length_column_name": "words"},
    {"label_names": ["word_mask"]},
    {"accelerator_config": {"dispatch_batches": True}},
    {"accelerator_config": {"split_batches": True}},
    {"debug": "underflow_overflow"},
    {"hub_always_push": True},
]
# Whose effect other tests show.
ELSEWHERE = {
    "output_dir learning_rate num_train_epochs push_to_hub hub_model_id hub_private_repo seed use_cpu "
    "resume_from_checkpoint resume_anyway calibrate": "tests/test_train_hf.py",
    "hub_strategy hub_revision": "tests/training_2mner/test_arguments.py",
    "hub_token encoder_learning_rate crf_learning_rate freeze gather_negatives": "tests/training_2mner/",
    "group_by_picture train_used_rows onednn_linear": "tests/training_2mner/",
    "lora lora_rank lora_alpha lora_dropout lora_targets lora_keep_adapter": "tests/training_2mner/",
}


@pytest.mark.parametrize("settings", WORKING, ids=lambda settings: " ".join(settings))
def test_an_option_works(make_trainer, splits, settings, tmp_path):
    newer = set(settings) - {entry.name for entry in fields(TwoMNERTrainingArguments)}
    if newer:
        pytest.skip(f"this version of transformers has no {', '.join(newer)}")
    if "cache_image_features" in settings:
        settings = {**settings, "cache_image_features": str(tmp_path / "cache")}
    trainer = make_trainer(**settings)
    use_cache(trainer, splits)
    trainer.train()
    scores = evaluate_on_dev(trainer, splits["validation"])

    assert 0 <= scores["eval_f1"] <= 1


@pytest.mark.parametrize("settings", REFUSED, ids=lambda settings: " ".join(settings))
def test_what_would_not_work_is_refused_with_the_reason(settings, tmp_path):
    name = next(iter(settings))
    with pytest.raises(ValueError, match=f"`{name}` is .*, but .*(leave|write)"):
        TwoMNERTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **settings)


def test_a_score_that_nobody_computes_is_refused_before_the_first_step(make_trainer):
    with pytest.raises(ValueError, match="`metric_for_best_model` is 'f2'; write one of loss, precision"):
        make_trainer(metric_for_best_model="f2")


def test_dropping_the_last_batch_must_leave_one(make_trainer):
    with pytest.raises(ValueError, match="`dataloader_drop_last` leaves nothing of 24"):
        make_trainer(dataloader_drop_last=True, per_device_train_batch_size=25)


def test_every_sentence_is_scored_also_without_the_last_training_batch(make_trainer, splits):
    trainer = make_trainer(dataloader_drop_last=True, per_device_train_batch_size=5)
    assert len(trainer.get_train_dataloader()) == 4
    assert trainer.predict(splits["validation"]).predictions.shape[0] == 7
    assert trainer.args.dataloader_drop_last


def test_every_field_is_in_the_table():
    """A field of a new version of transformers has to be tried first."""
    rows = options_table(TwoMNERTrainingArguments).splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [entry.name for entry in fields(TwoMNERTrainingArguments)]
    assert not set(TESTED) & set(PASSED_ON)


def test_a_field_of_which_nothing_is_known_is_told():
    @dataclass
    class Newer(TwoMNERTrainingArguments):
        novelty: bool = False

    with pytest.raises(ValueError, match="nothing is known of `novelty`"):
        options_table(Newer)


def test_what_counts_as_tested_is_tested_and_what_is_refused_refused():
    here = {name for settings in WORKING for name in settings}
    elsewhere = {name for names in ELSEWHERE for name in names.split()}
    defaults = {"restore_callback_states_from_checkpoint", "ddp_find_unused_parameters"}  # every run of the tests
    assert set(TESTED) - here - elsewhere - defaults == set()
    for names, place in ELSEWHERE.items():
        files = (ROOT / place).glob("*.py") if place.endswith("/") else [ROOT / place]
        text = "".join(file.read_text(encoding="utf-8") for file in files if file != Path(__file__))
        assert [name for name in names.split() if name not in text] == []
    assert {next(iter(settings)) for settings in REFUSED} == set(REFUSALS)


def test_the_page_is_the_table():
    version = f"transformers=={transformers.__version__}"
    if version not in (ROOT / "constraints.txt").read_text(encoding="utf-8"):
        pytest.skip("the page is made with the version of constraints.txt")
    written = OUTPUT.read_text(encoding="utf-8")
    assert written == page(), "run `python -m training_2mner.options_page` again"
    assert state("label_smoothing_factor") == "refused" and "| refused |" in written
