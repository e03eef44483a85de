"""Started by `accelerate launch --config_file configuration_2mner/accelerate/fsdp.yaml`: `fsdp_step.py FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import DistributedType
from datasets import load_from_disk
from transformers import AutoModelForTokenClassification, AutoProcessor

from training_2mner.arguments import TwoMNERTrainingArguments
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.trainer import TwoMNERTrainer


def main(folder: Path) -> None:
    """One step on four sentences, two in each process; saves the weights, and what the network was."""
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    arguments = TwoMNERTrainingArguments(output_dir=str(folder / "shared_out"), **settings)
    assert arguments.world_size == 2  # the processes are connected now, by gloo
    # accelerate makes nothing but DistributedDataParallel of processes without GPUs. All it does for FSDP works there, too.
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    rows = load_from_disk(str(folder / "data"))
    processor = AutoProcessor.from_pretrained(folder / "processor")
    trainer = TwoMNERTrainer(
        model=AutoModelForTokenClassification.from_pretrained(folder / "network"),
        args=arguments,
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=TwoMNERDataCollator(processor),
        processing_class=processor,
    )
    trainer.train()
    kinds = sorted({type(weight.data).__name__ for weight in trainer.model_wrapped.parameters()})
    trainer.save_model()
    if trainer.is_world_process_zero():
        found = {"kinds": kinds, "wrapped": type(trainer.model_wrapped).__name__, "log": trainer.state.log_history}
        (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
