"""Find the entities in a file of sentences.

    python -m training_2mner.predict runs/demo --input sentences.jsonl --output predictions.jsonl
    python -m training_2mner.predict runs/demo --input test.conll --images pictures --output predictions.conll
    python -m training_2mner.predict runs/demo --input mmnerd-mini/data/de --output predictions.jsonl

The formats are described in `training_2mner/predict/text.py` and `output.py`. The input is checked before the model
runs and is read sentence by sentence. To continue a run that was stopped, repeat the command; until it finishes, its
predictions are in OUTPUT.partial.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import pipeline

from modeling_2mner import TwoMNERPipeline
from modeling_2mner.pipeline_2mner import UNSOUND
from reports_2mner.command_line import at_least, between, exit_on_error, make_parser
from reports_2mner.locks import only_writer
from training_2mner.fingerprint import model_fingerprint
from training_2mner.predict.output import PartialFile, Prediction, conll_words, form_of
from training_2mner.predict.text import InputRecord, InputRecords, TextRecords

logger = logging.getLogger(__name__)

MAX_BAD_PICTURES = 10
MAX_REASON_LENGTH = 200  # characters of a reason


@dataclass
class Summary:
    """What a run did: its sentences and entities, and what became of the pictures in the input."""

    skipped: int = 0  # sentences already done by an earlier run
    sentences: int = 0
    entities: int = 0
    unread: int = 0  # sentences for which the model gave no finite scores
    pictures: Counter[str] = field(default_factory=Counter)
    bad_pictures: list[str] = field(default_factory=list)  # the first ones, with place and reason

    def add(self, record: InputRecord, prediction: Prediction) -> None:
        """Count one sentence."""
        self.sentences += 1
        self.entities += len(prediction.entities)
        self.unread += bool(prediction.entities.error)
        sources = _as_list(record.sentence.get("image"))
        statuses, reasons = _as_list(prediction.entities.image_status), _as_list(prediction.entities.image_reason)
        for source, status, reason in zip(sources or [None], statuses, reasons, strict=True):
            if source is not None:
                self.pictures[status] += 1
                if status != "ok" and len(self.bad_pictures) < MAX_BAD_PICTURES:
                    self.bad_pictures.append(f"{record.place}: {status}, {reason[:MAX_REASON_LENGTH]}")

    def __str__(self) -> str:
        """The summary in lines for a person to read."""
        lines = [f"{self.sentences:,} sentences, {self.entities:,} entities"]
        if self.skipped:
            lines.append(
                f"{self.skipped:,} sentences were done by an earlier run that was stopped and are not counted here"
            )
        if self.unread:
            lines.append(f"{self.unread:,} sentences have no tags: {UNSOUND}")
        if self.pictures:
            lines.append(f"pictures: {', '.join(f'{count:,} {status}' for status, count in self.pictures.items())}")
        lines += self.bad_pictures
        bad = self.pictures.total() - self.pictures["ok"]
        if bad > len(self.bad_pictures):
            lines.append(f"... {bad:,} in all; in .jsonl output, `image_status` marks them")
        return "\n".join(lines)


def _as_list(value: Any) -> list:
    return value if isinstance(value, list) else [value]


class _Sentences(Dataset):
    """The inputs of the pipeline, starting from record `first`."""

    def __init__(self, records: InputRecords, first: int):
        self._records, self._first = records, first

    def __len__(self) -> int:
        return len(self._records) - self._first

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._records[self._first + index].sentence


def open_records(path: Path | str, images: Path | str | None = None) -> InputRecords:
    """Check a file or folder, and give access to its sentences without keeping them in memory.

    `images` is the folder of the pictures that `.jsonl` names by path, and of `<image id>.jpg` for CoNLL and for rows
    without pictures. Raises ValueError for an unknown format and for a bad line.
    """
    path, images = Path(path), Path(images) if images is not None else None
    if images is not None and not images.is_dir():
        raise ValueError(f"`images` must be a folder, but {images} is not one; check the path.")
    if not path.exists():
        raise ValueError(f"`input` {path} does not exist; check the path.")
    if path.is_dir() or path.suffix == ".parquet":
        from training_2mner.predict.rows import ParquetRecords  # needs more than the model does

        return ParquetRecords(path, images)
    return TextRecords(path, images)


def load_pipeline(model: str, device: str | None = None) -> TwoMNERPipeline:
    """Load the model of a run folder or a Hub id; ValueError if it does not load on `device`."""
    try:
        # With the class given, transformers does not run code from the folder.
        return pipeline(  # type: ignore[call-overload]  # the annotations list only the tasks of transformers itself
            "multimodal-ner", model=model, device=device, pipeline_class=TwoMNERPipeline
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"`model` {model} does not load on `device` {device or 'auto'}: {error}") from error


def predict_to_file(
    pipe: TwoMNERPipeline,
    records: InputRecords,
    output: Path | str,
    batch_size: int = 16,
    num_workers: int = 0,
    threshold: float | None = None,
    return_word_tags: bool = False,
    overwrite: bool = False,
) -> Summary:
    """Write the predictions for all records to a file, continuing an earlier call that was stopped.

    `threshold` and `return_word_tags` are those of the pipeline; `num_workers` processes open the pictures. Unusable
    pictures are reported in the output and in the summary. Raises ValueError for an output that exists (unless
    `overwrite`), is being written by another process, has an unknown format, or was started with other settings or
    another input, and for a sentence that it cannot hold.
    """
    output = Path(output)
    with only_writer(output, "output"):
        _check_output(output, records, return_word_tags, overwrite)
        settings = {
            "threshold": threshold,
            "return_word_tags": return_word_tags,
            "batch_size": batch_size,
            "model": model_fingerprint(pipe.model),
        }
        partial = PartialFile(output, settings)
        first = partial.resume(records, overwrite)
        summary = Summary(skipped=first)
        results = pipe(
            _Sentences(copy(records), first),  # a copy, because each reader keeps its own position
            batch_size=batch_size,
            num_workers=num_workers,
            threshold=threshold,
            return_word_tags=return_word_tags,
        )
        progress = tqdm(total=len(records), initial=first, unit=" sentences", desc="predicting", disable=None)
        with partial.open() as file, progress:
            for index, result in enumerate(results, start=first):
                record = records[index]
                prediction = (
                    Prediction(result["entities"], result["words"]) if return_word_tags else Prediction(result)
                )
                file.write(partial.encode(record, prediction))
                if index + 1 == first + results.complete:
                    partial.mark(index + 1, file)
                summary.add(record, prediction)
                progress.update()
        partial.finish()
        return summary


def _check_output(output: Path, records: InputRecords, return_word_tags: bool, overwrite: bool) -> None:
    """Check the output before any work is done."""
    if output.exists() and not overwrite:
        raise ValueError(f"`output` {output} exists already; name another file, or replace it with --overwrite.")
    form_of(output)
    if output.suffix != ".jsonl":
        if return_word_tags:
            raise ValueError(f"`return_word_tags` needs a .jsonl file as `output`, not {output}.")
        if records:
            conll_words(records[0])


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m training_2mner.predict", __doc__)
    add = parser.add_argument
    add("model", help="run folder or Hub id of the model")
    add(
        "--input",
        type=Path,
        required=True,
        help=".jsonl (one object per line: text or words, image), .txt (one sentence per line), .conll (IMGID: lines, "
        "one word per line), a .parquet file, or the folder of a data set",
    )
    add(
        "--output",
        type=Path,
        required=True,
        help="file to write: .jsonl (entities with scores), .conll or .txt (word, TAB, tag)",
    )
    add("--images", type=Path, help="folder of the pictures that .jsonl names, or of <image id>.jpg for other formats")
    add("--batch_size", type=at_least(1), default=16, help="sentences per batch (default: %(default)s)")
    add("--num_workers", type=at_least(0), default=0, help="processes that open pictures (default: %(default)s)")
    add("--threshold", type=between(0.0, 1.0), help="leave out entities with a score below this, from 0 to 1")
    add("--return_word_tags", action="store_true", help="also write the tag and score of each word (.jsonl only)")
    add("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    add("--overwrite", action="store_true", help="replace an existing output")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict from the command line and print what was written."""
    options = read_command_line(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        with exit_on_error(OSError):
            summary = _run(options)
    except KeyboardInterrupt:
        raise SystemExit("stopped; repeat the command to continue from here") from None
    print(summary)
    print(f"Written to {options.output}.")


def _run(options: argparse.Namespace) -> Summary:
    if options.output.resolve() == options.input.resolve():
        raise ValueError("`output` is the input itself; name another file.")
    records = open_records(options.input, options.images)
    _check_output(options.output, records, options.return_word_tags, options.overwrite)
    return predict_to_file(
        load_pipeline(options.model, options.device),
        records,
        options.output,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        threshold=options.threshold,
        return_word_tags=options.return_word_tags,
        overwrite=options.overwrite,
    )


if __name__ == "__main__":
    main()
