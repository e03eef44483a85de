"""Train, evaluate and save one model: `python train_hf.py RUN.yaml [--field value ...]`.

    python train_hf.py configuration_2mner/runs/demo-2m-ner.yaml
    python train_hf.py --dataset mmnerd --dataset_config en \\
        --text_encoder google-bert/bert-base-multilingual-cased --vision_encoder openai/clip-vit-base-patch32 \\
        --resnet_encoder microsoft/resnet-152 --output_dir runs/english

The best epoch is chosen on the validation split; the test split is scored once, at the end. With `torchrun` or
`accelerate launch` in front, the same command uses several processes. With `--push_to_hub --hub_model_id user/name` the
finished run goes to the Hub, once, as with `python -m training_2mner.hub`.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from transformers import TrainerState, set_seed
from transformers.trainer import TRAINER_STATE_NAME, TRAINING_ARGS_NAME

from reports_2mner.command_line import exit_on_error
from training_2mner.arguments import DataArguments, ModelArguments, TwoMNERTrainingArguments, read_command_line
from training_2mner.building import build
from training_2mner.checkpoints import numbered_checkpoints
from training_2mner.data import label_names, load_splits
from training_2mner.evaluation import evaluate_on_dev, evaluate_on_test
from training_2mner.model_card import write_model_card
from training_2mner.trainer import TwoMNERTrainer, make_trainer

logger = logging.getLogger(__name__)


def main(
    model_arguments: ModelArguments, data_arguments: DataArguments, training_arguments: TwoMNERTrainingArguments
) -> dict[str, float]:
    """Run it all and leave the run folder; returns the numbers of `all_results.json`."""
    logging.basicConfig(level=logging.INFO if training_arguments.process_index == 0 else logging.WARNING)
    set_seed(training_arguments.seed)
    with training_arguments.main_process_first(desc="loading the data set"):
        splits = load_splits(data_arguments)
    model, processor = build(model_arguments, splits["train"]["tokens"], label_names(splits["train"]))
    if not model.config.uses_image and "image" in splits["train"].column_names:
        splits = splits.remove_columns("image")  # a text-only model need not read them
    parts = (model, processor, data_arguments, training_arguments)
    trainer = make_trainer(*parts, splits["train"], splits["validation"])
    results = train(trainer, training_arguments)
    results |= evaluate_on_test(trainer, splits["test"])
    trainer.save_metrics("all", results)
    if trainer.is_world_process_zero():
        write_model_card(trainer, model_arguments, data_arguments, splits, results)
    trainer.end()  # before the push, for which the other processes need not wait
    if training_arguments.push_to_hub:
        trainer.push_to_hub()
    return results


def train(trainer: TwoMNERTrainer, arguments: TwoMNERTrainingArguments) -> dict[str, float]:
    """Train to the best dev epoch, resuming where an interrupted run of the same folder stopped, and save it."""
    checkpoint, folder = arguments.resume_from_checkpoint, Path(str(arguments.output_dir))
    if checkpoint in ("True", "true", True):
        checkpoint = last_whole_checkpoint(folder)
    results = trainer.train(resume_from_checkpoint=checkpoint or None).metrics
    results |= evaluate_on_dev(trainer, trainer.eval_dataset)  # of the best epoch, which is loaded by now
    trainer.save_model()
    trainer.save_state()
    if trainer.is_world_process_zero():  # a pickle, which nobody should have to open; the card tells the settings
        (folder / TRAINING_ARGS_NAME).unlink()
    return results


def last_whole_checkpoint(folder: Path) -> str | None:
    """The last checkpoint of a run folder that was written to its end; the process may have died in the middle of one."""
    for path in reversed(numbered_checkpoints(folder)):
        try:
            TrainerState.load_from_json(str(path / TRAINER_STATE_NAME))  # the Trainer writes it last
            return str(path)
        except (OSError, ValueError):
            logger.warning("%s is not complete and will be made again.", path)
    return None


if __name__ == "__main__":
    with exit_on_error():
        main(*read_command_line(sys.argv[1:]))
