"""Export a model for ONNX Runtime or OpenVINO, and report how far its answers are from the original's.

    python -m training_2mner.export runs/demo exported --to onnx --evaluate_on mmnerd-mini

The folder is used like a run: `pipeline("multimodal-ner", model="exported", trust_remote_code=True)`, and
`training_2mner.predict` and `training_2mner.serve` take it, too. `--precision int8` measures on the sentences of
`--calibrate_on` which activations are usual. `export.json` in the folder holds versions and settings, `parity.json` the
differences: largest difference of emissions, equal tags, and with `--evaluate_on` F1 before and after. In Python:
`training_2mner.export.folder.export`.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports_2mner.command_line import at_least, between, exit_on_error, make_parser

if TYPE_CHECKING:
    from datasets import Dataset

CALIBRATION_SENTENCES = 256


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m training_2mner.export", __doc__)
    add = parser.add_argument
    add("model", help="run folder or Hub id of the model")
    add("output", type=Path, help="folder to write; it must not exist")
    add("--to", choices=("onnx", "openvino"), required=True, help="format of the graphs")
    add(
        "--precision",
        choices=("fp32", "bf16", "int8"),
        default="fp32",
        help="of the network; ONNX only fp32. The CRF stays in float32 (default: %(default)s)",
    )
    add("--calibrate_on", metavar="DATASET", help="data set whose train split int8 is calibrated on: folder or Hub id")
    add(
        "--calibration_sentences",
        type=at_least(1),
        default=CALIBRATION_SENTENCES,
        help="how many, spread evenly over the split (default: %(default)s)",
    )
    add("--evaluate_on", metavar="DATASET", help="data set to score both models on: folder or Hub id")
    add("--split", default="validation", help="split of `evaluate_on` (default: %(default)s)")
    add("--batch_size", type=at_least(1), default=16, help="sentences per batch (default: %(default)s)")
    add("--threads", type=between(1, 1024), help="threads of the comparison (default: those of PyTorch)")
    return parser.parse_args(arguments)


def open_split(dataset: str, split: str, labels: list[str], most: int | None = None) -> Dataset:
    """Rows of a split, or `most` of them, spread evenly; ValueError if its tags are not `labels`."""
    from training_2mner.arguments import DataArguments
    from training_2mner.data import label_names, load_splits

    splits = load_splits(DataArguments(dataset=dataset))
    if split not in splits:
        raise ValueError(f"`split` is {split!r}, but {dataset} has only {', '.join(splits)}; name one of these.")
    rows = splits[split]
    if label_names(rows) != labels:
        raise ValueError(
            f"{dataset} has the tags {', '.join(label_names(rows))}, but the model {', '.join(labels)}; name a data set "
            "like the one that the model was trained on."
        )
    if most is not None and most < len(rows):
        rows = rows.select([place * len(rows) // most for place in range(most)])
    return rows


def batches_of(rows: Dataset, processor: Any, size: int) -> Iterator[Any]:
    """Batches of rows in their order, made as they are asked for."""
    from training_2mner.collator import TwoMNERDataCollator

    collate = TwoMNERDataCollator(processor)
    for start in range(0, len(rows), size):
        yield collate([rows[row] for row in range(start, min(start + size, len(rows)))])


def main(arguments: Sequence[str] | None = None) -> None:
    """Export from the command line and print the parity report."""
    options = read_command_line(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    with exit_on_error(OSError):
        report = _run(options)
    print(json.dumps(report, indent=2))
    print(f"Written to {options.output}.")


def _run(options: argparse.Namespace) -> dict[str, Any]:
    from transformers import AutoModelForTokenClassification, AutoProcessor

    import modeling_2mner  # noqa: F401  # registers the models
    from reports_2mner.loading import retell_loading_errors
    from training_2mner.export.folder import check, export

    check(options.output, options.to, options.precision, options.calibrate_on is not None)
    with retell_loading_errors(f"`model` {options.model!r} does not load; name a run folder or a Hub id"):
        model = AutoModelForTokenClassification.from_pretrained(options.model)
        processor = AutoProcessor.from_pretrained(options.model)
    labels, calibration, evaluation = model.config.labels, None, None
    if options.calibrate_on:
        calibration = open_split(options.calibrate_on, "train", labels, options.calibration_sentences)
    if options.evaluate_on:
        evaluation = open_split(options.evaluate_on, options.split, labels)
    return export(
        *(model, processor, options.output, options.to, options.precision),
        calibration=[] if calibration is None else list(batches_of(calibration, processor, options.batch_size)),
        evaluation=() if evaluation is None else batches_of(evaluation, processor, options.batch_size),
        threads=options.threads,
    )


if __name__ == "__main__":
    main()
