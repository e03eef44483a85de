"""Predictions of a file of sentences, written sentence by sentence, so that a run that was stopped can go on."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import pipeline

from modeling_2mner import ExportedTagger, TwoMNERPipeline
from modeling_2mner.length_windows import WINDOW_BATCHES
from modeling_2mner.pipeline_2mner import UNSOUND
from reports_2mner.files import file_sha256
from reports_2mner.loading import retell_loading_errors
from reports_2mner.locks import only_writer
from training_2mner.features.cache import FeatureCache
from training_2mner.fingerprint import model_fingerprint, processor_fingerprint
from training_2mner.predict.output import PartialFile, Prediction, conll_words, form_of
from training_2mner.predict.shards import Manifest, RecordRange, Shard
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
    """The inputs of the pipeline, from record `first` to before `end`."""

    def __init__(self, records: InputRecords, first: int, end: int):
        self._records, self._first, self._end = records, first, end

    def __len__(self) -> int:
        return self._end - self._first

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


def load_pipeline(
    model: str,
    device: str | None = None,
    backend: str | None = None,
    threads: int | None = None,
    dtype: str | None = None,
) -> TwoMNERPipeline:
    """Load the model of a run folder, an export or a Hub id.

    `dtype`, `"float32"` or `"bfloat16"`, is that of the weights below the CRF, by default what they were saved in. Raises
    ValueError for a model that does not load on `device`, and for an export with a `dtype`.
    """
    with retell_loading_errors(f"`model` {model} does not load on `device` {device or 'auto'}"):
        # With the class given, transformers does not run code from the folder.
        pipe: TwoMNERPipeline = pipeline(  # type: ignore[call-overload]  # annotated for the tasks of transformers
            "multimodal-ner",
            model=model,
            device=device,
            pipeline_class=TwoMNERPipeline,
            backend=backend,
            threads=threads,
            **({} if dtype is None else {"dtype": dtype}),
        )
    if dtype is not None and isinstance(pipe.model, ExportedTagger):
        raise ValueError(
            f"`dtype` is {dtype!r}, but {model} is an export, whose graphs have a precision of their own; leave it out, or "
            "export the model again with `--precision`."
        )
    return pipe


def predict_to_file(
    pipe: TwoMNERPipeline,
    records: InputRecords,
    output: Path | str,
    batch_size: int = 16,
    num_workers: int = 0,
    threshold: float | None = None,
    entity_threshold: float | None = None,
    return_word_tags: bool = False,
    overwrite: bool = False,
    image_features: FeatureCache | None = None,
    shard: Shard | None = None,
    source: str = "",
) -> Summary:
    """Write the predictions for all records to a file, continuing an earlier call that was stopped.

    `threshold`, `entity_threshold` and `return_word_tags` are those of the pipeline; `num_workers` processes open the pictures. Unusable
    pictures are reported in the output and in the summary. Pictures of `image_features` are not encoded again. With a `shard`, only its part of the records is predicted, to its
    own file beside `output`, with a manifest that names the input `source`. Raises ValueError for an output that exists
    (unless `overwrite`), is being written by another process, has an unknown format, or was started with other settings or
    another input, and for a sentence that it cannot hold.
    """
    output = Path(output) if shard is None else shard.path(Path(output))
    settings: dict[str, Any] = {
        "threshold": threshold,
        "entity_threshold": entity_threshold,
        "return_word_tags": return_word_tags,
        "batch_size": batch_size,
    }
    window, sentences = batch_size * WINDOW_BATCHES, len(records)
    bounds = (0, sentences) if shard is None else shard.bounds(sentences, window)
    with only_writer(output, "output"):
        check_output(output, records, return_word_tags, overwrite)
        settings["model"] = model_fingerprint(pipe.model)
        settings["processor"] = processor_fingerprint(pipe.processor)
        if image_features is not None:
            settings["image_features"] = image_features.precision
            pipe.image_features = image_features
        records = records if shard is None else RecordRange(records, *bounds)
        partial = PartialFile(output, settings)
        summary = Summary(skipped=partial.resume(records, overwrite))
        progress = tqdm(
            total=len(records), initial=summary.skipped, unit=" sentences", desc="predicting", disable=None
        )
        answers = _answers(pipe, records, summary.skipped, window, {**settings, "num_workers": num_workers})
        with partial.open() as file, progress:
            for index, (prediction, is_complete) in enumerate(answers, start=summary.skipped):
                record = records[index]
                file.write(partial.encode(record, prediction))
                if is_complete:
                    partial.mark(index + 1, file)
                summary.add(record, prediction)
                progress.update()
        if shard is not None:
            digest = file_sha256(partial.path)
            Manifest(shard.number, shard.count, *bounds, sentences, source, settings, digest).write(output)
        partial.finish()
        return summary


def _answers(
    pipe: TwoMNERPipeline, records: InputRecords, first: int, window: int, settings: dict[str, Any]
) -> Iterator[tuple[Prediction, bool]]:
    """The predictions from record `first` on, and whether each is the last of its window.

    Each `window` of sentences is a call of its own, so that no window reaches into the next shard even if pictures make
    windows end early.
    """
    while first < len(records):
        end = min((first // window + 1) * window, len(records))
        results = pipe(
            _Sentences(copy(records), first, end),  # a copy, because each reader keeps its own position
            batch_size=settings["batch_size"],
            num_workers=settings["num_workers"],
            threshold=settings["threshold"],
            entity_threshold=settings["entity_threshold"],
            return_word_tags=settings["return_word_tags"],
        )
        for number, result in enumerate(results, start=1):
            tagged = settings["return_word_tags"]
            prediction = Prediction(result["entities"], result["words"]) if tagged else Prediction(result)
            yield prediction, number == results.complete
        first = end


def check_output(output: Path, records: InputRecords, return_word_tags: bool, overwrite: bool) -> None:
    """Check the output before any work is done."""
    if output.exists() and not overwrite:
        raise ValueError(f"`output` {output} exists already; name another file, or replace it with --overwrite.")
    form_of(output)
    if output.suffix != ".jsonl":
        if return_word_tags:
            raise ValueError(f"`return_word_tags` needs a .jsonl file as `output`, not {output}.")
        if records:
            conll_words(records[0])


__all__ = ["Summary", "check_output", "load_pipeline", "open_records", "predict_to_file"]
