"""Keep a run's state free of where it lies: a folder that is moved or passed on goes on and tells nothing of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from reports_2mner.files import write_file

BEST = "best_model_checkpoint"


def drop_path(folder: Path) -> None:
    """Take the best checkpoint's path out of a saved state; `best_global_step` still says which it is."""
    path = folder / TRAINER_STATE_NAME
    state = json.loads(path.read_text(encoding="utf-8"))
    if state.get(BEST) is not None:
        state[BEST] = None
        write_file(path, json.dumps(state, indent=2, sort_keys=True) + "\n")


class BestCheckpointCallback(TrainerCallback):
    """Find the best checkpoint again where the run's folder is now."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the Trainer after it has read the state of a resumed run."""
        folder = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.best_global_step}"
        if state.best_global_step and folder.is_dir():
            state.best_model_checkpoint = str(folder)
