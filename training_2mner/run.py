"""The steps of a run, which `train_hf.py` tells: build, train, score, calibrate."""

from __future__ import annotations

import logging
from pathlib import Path

from datasets import DatasetDict
from transformers import TrainerState, set_seed
from transformers.trainer import TRAINER_STATE_NAME

from modeling_2mner.posteriors import word_decoder
from training_2mner.arguments import DataArguments, ModelArguments, TwoMNERTrainingArguments
from training_2mner.building import build_tagger
from training_2mner.calibrate.calibration import Calibration, calibrate, forget, store
from training_2mner.checkpoints import numbered_checkpoints
from training_2mner.data import label_names, load_splits
from training_2mner.evaluation import evaluate_on_dev, evaluate_on_test
from training_2mner.features.fill import use_cache
from training_2mner.pictures import count_pictures
from training_2mner.run_settings import check_resume, describe_run
from training_2mner.trainer import TwoMNERTrainer, make_trainer

logger = logging.getLogger(__name__)


def build_trainer(
    model_arguments: ModelArguments, data_arguments: DataArguments, training_arguments: TwoMNERTrainingArguments
) -> tuple[TwoMNERTrainer, DatasetDict]:
    """The Trainer of a run with its model and processor, and the splits that it reads."""
    set_seed(training_arguments.seed)
    with training_arguments.main_process_first(desc="loading the data set"):
        splits = load_splits(data_arguments)
    model, processor = build_tagger(model_arguments, splits["train"]["tokens"], label_names(splits["train"]))
    if training_arguments.calibrate:
        word_decoder(model)  # refuses a model without scores of words before it is trained
    if not model.config.uses_image and "image" in splits["train"].column_names:
        splits = splits.remove_columns("image")  # so that a text-only model does not read it
    parts = (model, processor, data_arguments, training_arguments)
    trainer = make_trainer(*parts, splits["train"], splits["validation"])
    trainer.run_settings = describe_run(trainer, data_arguments, splits)
    use_cache(trainer, splits)
    return trainer, splits


def train_and_save(trainer: TwoMNERTrainer, arguments: TwoMNERTrainingArguments) -> dict[str, float]:
    """Train, resuming an interrupted run of the same folder if asked to, and save the best dev epoch.

    Returns:
        The scores on dev, and what training took.
    """
    checkpoint, folder = arguments.resume_from_checkpoint, Path(str(arguments.output_dir))
    if checkpoint in ("True", "true", True):
        checkpoint = last_whole_checkpoint(folder)
    elif checkpoint in ("False", "false"):
        checkpoint = None
    if checkpoint and trainer.run_settings is not None:
        check_resume(checkpoint, trainer.run_settings, arguments.resume_anyway)
    results = trainer.train(resume_from_checkpoint=checkpoint or None).metrics
    results |= evaluate_on_dev(trainer, trainer.eval_dataset)  # of the best epoch, which is loaded now
    trainer.save_model()
    trainer.save_state()
    return results


def score_on_test(trainer: TwoMNERTrainer, splits: DatasetDict) -> dict[str, float]:
    """Score the test split, once, and write its predictions; with the pictures that were missing in all splits."""
    counts = count_pictures(splits) if trainer.model.config.uses_image and trainer.is_world_process_zero() else {}
    return counts | evaluate_on_test(trainer, splits["test"])


def calibrate_run(trainer: TwoMNERTrainer, data_arguments: DataArguments, splits: DatasetDict) -> Calibration | None:
    """Calibrate the saved run with `calibrate: true`, in the first process; else remove what an earlier run left of it."""
    if not trainer.is_world_process_zero():
        return None
    folder, args = Path(str(trainer.args.output_dir)), trainer.args
    if not args.calibrate:
        forget(folder)
        return None
    rows = {"validation": splits["validation"]}
    calibration = calibrate(folder, rows, data_arguments, args.per_device_eval_batch_size, args.device)
    store(folder, calibration)
    trainer.model.config.crf_temperature = calibration.temperature
    return calibration


def last_whole_checkpoint(folder: Path) -> str | None:
    """The last complete checkpoint of a run folder; the process may have died while writing a later one."""
    for path in reversed(numbered_checkpoints(folder)):
        try:
            TrainerState.load_from_json(str(path / TRAINER_STATE_NAME))  # the Trainer writes it last
            return str(path)
        except (OSError, ValueError):
            logger.warning("%s is incomplete and will be written again.", path)
    return None
