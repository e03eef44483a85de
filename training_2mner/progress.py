"""A progress bar with readable log lines."""

from __future__ import annotations

from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback


class ReadableProgressCallback(ProgressCallback):
    """The Trainer's progress bar, with one short line per log and evaluation; the log files keep all numbers."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Called by the Trainer with what it logs."""
        if state.is_world_process_zero and self.training_bar is not None:
            self.training_bar.write(format_log(logs or {}))


def format_log(logs: dict[str, float]) -> str:
    """One line with the numbers that show how a run is going: loss components, or dev scores in percent."""
    epoch = f"epoch {logs['epoch']:.2f}: " if "epoch" in logs else ""
    if "eval_f1" in logs:
        scores = [f"{name} {100 * logs[f'eval_{name}']:.2f}" for name in ("precision", "recall", "f1")]
        return f"{epoch}dev {', '.join(scores)}, loss {logs['eval_loss']:.4f}"
    shown = [name for name in logs if name == "loss" or name.endswith("_loss") or name in ("learning_rate", "step")]
    if "train_runtime" in logs:
        return f"{epoch}trained for {logs['train_runtime']:.0f} s"
    return epoch + ", ".join(f"{name} {logs[name]:.4g}" for name in shown or logs)
