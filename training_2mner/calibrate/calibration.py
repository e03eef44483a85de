"""Calibrate a run folder: fit its temperature, measure what that changes, and write it down."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from transformers import AutoModelForTokenClassification, AutoProcessor

from reports_2mner.files import write_json
from reports_2mner.loading import retell_loading_errors
from training_2mner.arguments import DataArguments
from training_2mner.calibrate.reliability import Reliability, draw_reliability, measure
from training_2mner.calibrate.temperature import GoldLikelihood, fit_temperature, read_sentences
from training_2mner.data_record import read_data_record
from training_2mner.hub.code import SAVE_AGAIN
from training_2mner.hub.staging import CALIBRATION

logger = logging.getLogger(__name__)

FIELD = "crf_temperature"
RECORD, FIGURE = CALIBRATION
CONFIG, CONFIG_CODE = "config.json", "configuration_tagging.py"


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature and what it changes.

    Args:
        temperature: the fitted one.
        model_type: of which model.
        fitted_on: the split.
        data: the data set's `name`, `config`, `revision` and `fingerprint`, as far as they are known.
        measured: of each split that was measured the scores before, at 1, and after; the first is the one it was
            fitted on.
    """

    temperature: float
    model_type: str
    fitted_on: str
    data: dict[str, str | None]
    measured: dict[str, tuple[Reliability, Reliability]]

    def results(self) -> dict[str, float]:
        """The numbers for `all_results.json`, of the split it was fitted on; without entities, only the temperature."""
        before, after = self.measured[self.fitted_on]
        errors = {"eval_calibration_error_before": before.error, "eval_calibration_error": after.error}
        return {FIELD: self.temperature, **(errors if after.count else {})}

    def to_json(self) -> dict[str, Any]:
        """Everything, with the versions that it was made with."""
        return {
            "temperature": self.temperature,
            "model_type": self.model_type,
            "fitted_on": self.fitted_on,
            "data": self.data,
            "splits": {
                split: {
                    name: {
                        **asdict(found),
                        "entities": found.count,
                        "calibration_error": found.error if found.count else None,
                    }
                    for name, found in zip(("before", "after"), pair, strict=True)
                }
                for split, pair in self.measured.items()
            },
            "versions": {
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "python": platform.python_version(),
            },
        }


def calibrate(
    folder: Path,
    splits: Mapping[str, Dataset],
    arguments: DataArguments,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
) -> Calibration:
    """Fit the temperature of a run on the first of some splits, and measure all of them; nothing is written.

    What the config already holds does not matter, so that the result is the same when this is repeated.

    Args:
        folder: a run folder.
        splits: by name, with pictures as undecoded bytes.
        arguments: the data set they come from.
        batch_size: sentences that are read at once.
        device: where the network runs.

    Raises:
        ValueError: for a folder without a model, a model without posteriors of words, and data that do not fit it.
    """
    model, processor = _load(folder, device)
    read = {name: read_sentences(model, processor, rows, arguments, batch_size) for name, rows in splits.items()}
    fitted_on = next(iter(read))
    temperature = fit_temperature(GoldLikelihood(model, read[fitted_on]))
    measured = {
        name: (measure(model, sentences, 1.0), measure(model, sentences, temperature))
        for name, sentences in read.items()
    }
    record, place = read_data_record(arguments.dataset, arguments.dataset_config), Path(arguments.dataset)
    data = {
        "name": place.resolve().name if place.exists() else arguments.dataset,
        "config": arguments.dataset_config,
        "revision": arguments.dataset_revision,
        "fingerprint": record.fingerprint,
    }
    return Calibration(temperature, model.config.model_type, fitted_on, data, measured)


def store(folder: Path, calibration: Calibration) -> None:
    """Write the temperature into the config of a run, and the record and the diagram beside it; weights stay as they are."""
    split, (before, after) = list(calibration.measured.items())[-1]
    draw_reliability(before, after, split, folder / FIGURE)
    write_json(folder / RECORD, calibration.to_json(), indent=1)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    write_json(folder / CONFIG, {**config, FIELD: calibration.temperature}, indent=2)
    code = folder / CONFIG_CODE
    if code.is_file() and FIELD not in code.read_text(encoding="utf-8"):
        logger.warning(
            "The code in %s is from before there was a temperature: with `trust_remote_code=True` its scores stay as they "
            "were. %s",
            folder,
            SAVE_AGAIN,
        )


def forget(folder: Path) -> None:
    """Remove the record and the diagram of a calibration of former weights."""
    for name in (RECORD, FIGURE):
        (folder / name).unlink(missing_ok=True)


def _load(folder: Path, device: torch.device | str) -> tuple[Any, Any]:
    if not (folder / CONFIG).is_file():
        raise ValueError(f"`run` {folder} is not a run folder: it has no {CONFIG}; name a folder of train_hf.py.")
    with retell_loading_errors(f"`run` {folder} does not load on `device` {device}"):
        model = AutoModelForTokenClassification.from_pretrained(folder).eval().to(device)
        return model, AutoProcessor.from_pretrained(folder)
