"""Which numbers an argument can be; others are refused before a run begins, with what to write instead.

What transformers gives a meaning of its own stays: `max_steps` -1 is no limit, and so is a `save_total_limit` below 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """Numbers from `least` on, up to `most` if that is given; `open_least` and `open_most` leave these themselves out.

    `also` are single numbers outside that have a meaning.
    """

    least: float
    most: float = math.inf
    open_least: bool = False
    open_most: bool = False
    also: tuple[float, ...] = ()

    def holds(self, value: float) -> bool:
        """Whether a number is in the range; NaN and the infinite ones never are."""
        above = value > self.least if self.open_least else value >= self.least
        below = value < self.most if self.open_most else value <= self.most
        return value in self.also or (math.isfinite(value) and above and below)

    def __str__(self) -> str:
        lower = f"above {self.least:g}" if self.open_least else f"of {self.least:g} or more"
        upper = "" if math.isinf(self.most) else f" and {'below' if self.open_most else 'at most'} {self.most:.10g}"
        return f"a number {lower}{upper}{''.join(f', or {value:g}' for value in self.also)}"


COUNT, NOT_NEGATIVE, POSITIVE = Range(1), Range(0), Range(0, open_least=True)
DECAY, SEED = Range(0, 1, open_most=True), Range(0, 2**32 - 1)

MODEL_RANGES = {
    "max_word_vectors": COUNT,
    "vocabulary_size": COUNT,
    "resnet_image_size": COUNT,
    "max_length": Range(3),
}
DATA_RANGES = {"max_words": COUNT, "max_train_samples": COUNT, "max_eval_samples": COUNT}
TRAINING_RANGES = {
    **dict.fromkeys(
        ("learning_rate", "encoder_learning_rate", "crf_learning_rate", "head_learning_rate"), NOT_NEGATIVE
    ),
    **dict.fromkeys(("weight_decay", "adam_epsilon", "max_grad_norm", "warmup_steps", "eval_delay"), NOT_NEGATIVE),
    **dict.fromkeys(("logging_steps", "eval_steps", "dataloader_num_workers", "neftune_noise_alpha"), NOT_NEGATIVE),
    **dict.fromkeys(("adam_beta1", "adam_beta2", "label_smoothing_factor"), DECAY),
    **dict.fromkeys(("num_train_epochs", "save_steps"), POSITIVE),
    **dict.fromkeys(("per_device_train_batch_size", "per_device_eval_batch_size", "patience"), COUNT),
    **dict.fromkeys(("gradient_accumulation_steps", "eval_accumulation_steps", "ddp_timeout"), COUNT),
    **dict.fromkeys(("dataloader_prefetch_factor", "ddp_bucket_cap_mb", "torch_empty_cache_steps"), COUNT),
    **dict.fromkeys(("seed", "data_seed"), SEED),
    **dict.fromkeys(("lora_rank", "lora_alpha"), COUNT),
    "lora_dropout": DECAY,
    "word_dropout": DECAY,
    "max_steps": Range(1, also=(-1,)),
}


def check_ranges(arguments: Any, ranges: Mapping[str, Range]) -> None:
    """Check the fields of a dataclass; one that is left out (`None`) has no range.

    Raises:
        ValueError: for a number outside its range, for text or a truth value in the place of such a number, and for any
            other field that is infinite or no number.
    """
    for name, value in vars(arguments).items():
        if name in ranges and isinstance(value, bool | str):
            raise ValueError(f"`{name}` is {value!r}; write {ranges[name]}.")
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if name in ranges and not ranges[name].holds(value):
            raise ValueError(f"`{name}` is {value}; write {ranges[name]}.")
        if not math.isfinite(value):
            raise ValueError(f"`{name}` is {value}; write a finite number.")
