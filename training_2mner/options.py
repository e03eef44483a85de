"""What becomes of every option of transformers' `TrainingArguments` here: tested, passed on, or refused with the reason.

`options_page` makes a page of it. An option that would have no effect, or would end a finished training with an
error, is refused before the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields
from enum import Enum
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import HubStrategy


@dataclass(frozen=True)
class Refusal:
    """Values of an option that are refused.

    Args:
        values: which, in words.
        is_refused: whether the arguments hold one of them.
        reason: why, and what to write instead.
    """

    values: str
    is_refused: Callable[[Any], bool]
    reason: str


TESTED = """
output_dir per_device_train_batch_size per_device_eval_batch_size num_train_epochs max_steps learning_rate
lr_scheduler_type lr_scheduler_kwargs warmup_steps optim optim_args weight_decay adam_beta1 adam_beta2 adam_epsilon
gradient_accumulation_steps average_tokens_across_devices max_grad_norm bf16 bf16_full_eval activation_checkpointing
activation_checkpointing_kwargs gradient_checkpointing gradient_checkpointing_kwargs torch_compile torch_compile_backend
use_cache neftune_noise_alpha torch_empty_cache_steps auto_find_batch_size logging_strategy logging_steps
logging_first_step logging_nan_inf_filter include_num_input_tokens_seen log_level log_level_replica log_on_each_node
disable_tqdm eval_strategy eval_steps eval_delay eval_on_start eval_use_gather_object eval_accumulation_steps
include_for_metrics save_only_model save_strategy save_steps save_total_limit push_to_hub hub_token hub_private_repo
hub_model_id hub_strategy hub_revision load_best_model_at_end metric_for_best_model greater_is_better ignore_data_skip
restore_callback_states_from_checkpoint full_determinism seed data_seed use_cpu accelerator_config dataloader_drop_last
dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor
dataloader_multiprocessing_context dataloader_in_order label_names train_sampling_strategy ddp_find_unused_parameters
skip_memory_metrics do_train do_eval do_predict resume_from_checkpoint run_name
encoder_learning_rate crf_learning_rate head_learning_rate plain_adam freeze group_by_length length_unit group_by_picture
cache_image_features image_features_precision train_used_rows onednn_linear word_dropout gather_negatives patience calibrate resume_anyway
lora lora_rank lora_alpha lora_dropout lora_targets lora_keep_adapter
""".split()  # noqa: SIM905  # a list would take a hundred lines

PASSED_ON = """
fp16 fp16_full_eval tf32 torch_compile_mode liger_kernel_config report_to project trackio_space_id trackio_bucket_id
trackio_static_space_id save_on_each_node enable_jit_checkpoint parallelism_config ddp_bucket_cap_mb
ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout fsdp fsdp_config deepspeed debug local_rank
""".split()  # noqa: SIM905

_OWN_PARAMETERS = ("galore", "apollo", "lomo", "adalomo")

REFUSED = {
    "patience": Refusal(
        "with `eval_strategy: no` or without `load_best_model_at_end`",
        lambda args: (
            args.patience is not None and not (args.load_best_model_at_end and str(args.eval_strategy.value) != "no")
        ),
        "only evaluations during the training can end it; write `eval_strategy: epoch` and "
        "`load_best_model_at_end: true`, or leave it out",
    ),
    "lr_scheduler_type": Refusal(
        "`warmup_stable_decay` without its decay",
        lambda args: (
            str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)) == "warmup_stable_decay"
            and "num_decay_steps" not in (args.lr_scheduler_kwargs or {})
        ),
        'it needs the number of its last steps; write `lr_scheduler_kwargs: {"num_decay_steps": 100}`, too',
    ),
    "label_smoothing_factor": Refusal(
        "other than 0",
        lambda args: args.label_smoothing_factor != 0,
        "the loss is the network's own (Eq. 18), which smooths no labels; leave it out",
    ),
    "batch_eval_metrics": Refusal(
        "true",
        lambda args: args.batch_eval_metrics,
        "entities are scored over the whole split; leave it out, and use `eval_accumulation_steps` to save memory",
    ),
    "prediction_loss_only": Refusal(
        "true",
        lambda args: args.prediction_loss_only,
        "a run scores its predictions; leave it out, or write `eval_strategy: no` to skip the evaluations in between",
    ),
    "eval_do_concat_batches": Refusal(
        "false",
        lambda args: not args.eval_do_concat_batches,
        "entities are scored over the whole split; leave it out",
    ),
    "remove_unused_columns": Refusal(
        "true", lambda args: args.remove_unused_columns, "the collator reads words and pictures; leave it out"
    ),
    "use_liger_kernel": Refusal(
        "true", lambda args: args.use_liger_kernel, "there are no such kernels for these networks; leave it out"
    ),
    "optim_target_modules": Refusal(
        "any",
        lambda args: args.optim_target_modules is not None,
        "the weights are grouped by their learning rates; leave it out",
    ),
    "optim": Refusal(
        "GaLore, APOLLO, LOMO and AdaLomo",
        lambda args: args.optim.value.startswith(_OWN_PARAMETERS),
        "it chooses its own weights, and these are grouped by their learning rates; write another one, such as "
        "adamw_torch",
    ),
    "train_sampling_strategy": Refusal(
        "group_by_length and batch_rebalance, and sequential together with `group_by_length`",
        lambda args: (
            args.train_sampling_strategy in ("group_by_length", "batch_rebalance")
            or (args.train_sampling_strategy != "random" and (args.group_by_length or args.group_by_picture))
        ),
        "`group_by_length` decides how batches are made: leave this out for similar lengths, or write "
        "`group_by_length: false` for random or sequential",
    ),
    "length_column_name": Refusal(
        "other than length",
        lambda args: args.length_column_name != "length",
        "lengths are counted from `tokens`; leave it out",
    ),
    "label_names": Refusal(
        "other than labels",
        lambda args: args.label_names not in (None, ["labels"]),
        "the processor names the tags `labels`; leave it out",
    ),
    "accelerator_config": Refusal(
        "`dispatch_batches` and `split_batches`",
        lambda args: args.accelerator_config.dispatch_batches or args.accelerator_config.split_batches,
        "sentences, windows and pictures of a batch cannot be cut at the same places; leave `dispatch_batches` and "
        "`split_batches` out",
    ),
    "debug": Refusal(
        "underflow_overflow",
        lambda args: "underflow_overflow" in [option.value for option in args.debug],
        "it cannot watch the networks' masks; leave it out: a loss or weights that are not finite stop the run",
    ),
    "hub_always_push": Refusal(
        "true",
        lambda args: args.hub_always_push,
        "a run is pushed once, when it is finished and checked; leave it out",
    ),
}
# These are checked together with the name on the Hub.
NOTES = {
    "hub_strategy": f"refused together with `push_to_hub`: other than {HubStrategy.END.value}",
    "hub_revision": "refused together with `push_to_hub`: any",
    "do_train": "a run always trains, evaluates and predicts",
    "do_eval": "a run always trains, evaluates and predicts",
    "do_predict": "a run always trains, evaluates and predicts",
    "dataloader_drop_last": "for training alone: every sentence is scored",
    "report_to": "`none` is tested",
    "cache_image_features": "for image encoders that `freeze` names",
    "group_by_picture": "with contrastive losses it needs `mask_duplicate_images` in `config`",
    "liger_kernel_config": "needs `use_liger_kernel`, which is refused",
}


def check_options(arguments: TrainingArguments) -> None:
    """Raise `ValueError` for an option that does not work here, with the reason and what to write instead."""
    for name, refusal in REFUSED.items():
        if hasattr(arguments, name) and refusal.is_refused(arguments):
            value = getattr(arguments, name)
            shown = value.value if isinstance(value, Enum) else value
            raise ValueError(f"`{name}` is {shown!r}, but {refusal.reason}.")


def options_table(arguments: type[TrainingArguments]) -> str:
    """The state of every field of the arguments' class, as Markdown.

    Raises:
        ValueError: for a field of which nothing is known.
    """
    rows = [[f"`{entry.name}`", _default(entry), state(entry.name), _note(entry.name)] for entry in fields(arguments)]
    cells = [["Option", "Default", "State", "Notes"], ["---"] * 4, *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def state(name: str) -> str:
    """Whether an option is `tested`, `passed on untested` or `refused` whenever it would change anything.

    Raises:
        ValueError: for one of which nothing is known.
    """
    if name in TESTED:
        return "tested"
    if name in PASSED_ON:
        return "passed on untested"
    if name in REFUSED:
        return "refused"
    raise ValueError(f"nothing is known of `{name}`; try it and list it in `training_2mner/options.py`.")


def _note(name: str) -> str:
    refusal = f"refused: {REFUSED[name].values} ({REFUSED[name].reason})" if name in REFUSED else ""
    return "; ".join(filter(None, (NOTES.get(name), refusal)))


def _default(entry: Field) -> str:
    if entry.name == "dataloader_pin_memory":
        return "with a GPU"
    value = entry.default_factory() if entry.default_factory is not MISSING else entry.default
    value = value.value if isinstance(value, Enum) else value
    return "" if value in (None, "", []) else f"`{value}`"
