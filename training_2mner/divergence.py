"""Stop a training that has diverged: nothing that it would save or score afterwards means anything."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

_REMEDY = (
    "lower `learning_rate` (and `encoder_learning_rate`, `head_learning_rate`, `crf_learning_rate`, if they are set), "
)
_REMEDY += "or clip the gradients with `max_grad_norm` 1; checkpoints of earlier steps are sound"


def check_loss(loss: torch.Tensor, step: int) -> None:
    """Raise `ValueError` for a loss that is infinite or no number; `step` counts updates from 1."""
    if not torch.isfinite(loss).all():
        raise ValueError(f"the training has diverged: at step {step} the loss is {loss.item()}; {_REMEDY}.")


def check_weights(model: nn.Module, step: int) -> None:
    """Raise `ValueError` for a parameter that holds infinite values or none; `step` counts updates from 1."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ValueError(
                f"the training has diverged: after step {step} `{name}` holds values that are not finite; {_REMEDY}."
            )


def check_metrics(metrics: dict[str, float], step: int) -> None:
    """Raise `ValueError` for the loss of an evaluation that is not finite: finite weights can be too large to score."""
    for name, value in metrics.items():
        if name.endswith("_loss") and not math.isfinite(value):
            raise ValueError(f"the training has diverged: after step {step} `{name}` is {value}; {_REMEDY}.")


class DivergenceCallback(TrainerCallback):
    """Check the weights before they are evaluated or saved and at the end, and the losses of evaluations."""

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Called by the Trainer after each evaluation, and after each prediction of a split."""
        check_metrics(metrics or {}, state.global_step)

    on_predict = on_evaluate

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        """Called by the Trainer after each update."""
        is_last = control.should_training_stop or state.global_step >= state.max_steps
        if model is not None and (is_last or control.should_evaluate or control.should_save):
            check_weights(model, state.global_step)

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        """Called by the Trainer before the evaluation of the epoch."""
        if model is not None:
            check_weights(model, state.global_step)
