"""The checkpoints that the Trainer leaves in a run folder."""

from __future__ import annotations

import re
from pathlib import Path

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

_NAME = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)")


def numbered_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run folder in the order of their steps, without others such as the user's `checkpoint-best`."""
    found = {
        path: match for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if (match := _NAME.fullmatch(path.name))
    }
    return sorted(found, key=lambda path: int(found[path][1]))
