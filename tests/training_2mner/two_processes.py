"""Started by torchrun from the tests, in two processes: `two_processes.py FOLDER`, which holds plan and networks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from datasets import load_from_disk
from safetensors.torch import save_file
from transformers import AutoModelForTokenClassification, AutoProcessor

import train_hf
from training_2mner.arguments import TwoMNERTrainingArguments, read_command_line
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.features.fill import use_cache
from training_2mner.gather import gather_with_gradient
from training_2mner.trainer import TwoMNERTrainer

# transformers before 5.23, the newest for Python 3.10, has only the older name, which later warns
NAMES = TwoMNERTrainingArguments.__dataclass_fields__
CHECKPOINTING = "activation_checkpointing" if "activation_checkpointing" in NAMES else "gradient_checkpointing"
SGD = {"plain_adam": False, "optim": "sgd", "max_grad_norm": 0.0, "per_device_train_batch_size": 2}


def main(folder: Path) -> None:
    """Run every case; the first process writes `results.json` and the weights."""
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    splits = load_from_disk(str(folder / "data"))
    text = build_trainer(folder, plan, "text", splits, "text", **SGD)
    gathering = build_trainer(folder, plan, "multimodal", splits, "gathering", gather_negatives=True, **SGD)
    local = build_trainer(folder, plan, "multimodal", splits, "local", **SGD)
    checkpointed = build_trainer(folder, plan, "multimodal", splits, "checkpointed", **{CHECKPOINTING: True}, **SGD)
    # With this seed the last two batches of the second epoch are not those of the first.
    saving = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 4, "seed": 1, **SGD}
    whole = build_trainer(folder, plan, "text", splits, "whole", **saving)
    resumed = build_trainer(folder, plan, "text", splits, "resumed", **saving)
    # Each has a picture of its own in a batch, which in the other's batch is a negative.
    frozen = {"gather_negatives": True, "freeze": ["vision", "resnet"], "num_train_epochs": 2, **SGD}
    plain = build_trainer(folder, plan, "multimodal", splits, "plain", **frozen)
    cached = build_trainer(
        folder, plan, "multimodal", splits, "cached", cache_image_features=str(folder / "features"), **frozen
    )
    use_cache(cached, splits)
    results = {
        "plain": train(plain, folder),
        "cached": train(cached, folder),
        "text": train(text, folder),
        "gathering": train(gathering, folder),
        "local": train(local, folder),
        "checkpointed": train(checkpointed, folder),
        "whole": train(whole, folder),
        "resumed": train(resumed, folder, str(folder / "whole" / "checkpoint-4")),
        "prediction": predict(text, splits["test"]),
        "gather": gather(text.accelerator.process_index),
        "main": run_main(folder, plan),
    }
    if text.is_world_process_zero():
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")


def build_trainer(folder: Path, plan: dict, network: str, splits, name: str, **settings) -> TwoMNERTrainer:
    processor = AutoProcessor.from_pretrained(folder / "processor")
    arguments = TwoMNERTrainingArguments(
        output_dir=str(folder / name), **{**plan["settings"], **settings, "ddp_timeout": 60}
    )
    return TwoMNERTrainer(
        model=AutoModelForTokenClassification.from_pretrained(folder / network),
        args=arguments,
        train_dataset=splits["train"],
        eval_dataset=splits["test"],
        data_collator=TwoMNERDataCollator(processor),
        processing_class=processor,
    )


def train(trainer: TwoMNERTrainer, folder: Path, checkpoint: str | None = None) -> list[dict]:
    trainer.train(resume_from_checkpoint=checkpoint)
    name = Path(trainer.args.output_dir).name
    if trainer.is_world_process_zero():
        weights = {key: value.contiguous() for key, value in trainer.model.state_dict().items()}
        save_file(weights, folder / f"{name}.safetensors")
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def predict(trainer: TwoMNERTrainer, dataset) -> dict:
    output = trainer.predict(dataset)
    return {
        "labels": output.label_ids.tolist(),
        "predictions": output.predictions.tolist(),
        "f1": output.metrics["test_f1"],
    }


def gather(rank: int) -> dict:
    """The gathered rows and the gradient of a weighted sum of them that every process computes."""
    rows = torch.tensor([[1.0 + rank, 2.0], [3.0, 4.0 * rank]], requires_grad=True)
    gathered = gather_with_gradient(rows)
    (gathered**2).sum().backward()
    return {"gathered": gathered.tolist(), "gradient": rows.grad.tolist()}


def run_main(folder: Path, plan: dict) -> dict:
    """The whole program with a vocabulary that each process learns by itself."""
    run_file = ["--model", plan["preset"], "--dataset", plan["data_folder"], "--tokenizer", "new"]
    run_file += ["--vocabulary_size", "60", "--resnet_image_size", "32", "--max_length", "64"]
    run_file += ["--output_dir", str(folder / "main"), "--num_train_epochs", "1", "--use_cpu"]
    return train_hf.main(
        *read_command_line([*run_file, "--disable_tqdm", "true", "--per_device_train_batch_size", "4"])
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
