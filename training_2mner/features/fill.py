"""Compute the features of the pictures of data sets that are not stored yet."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from tqdm import tqdm

from modeling_2mner import TwoMNERProcessor
from modeling_2mner.images import LoadedImage, OpenedPictures, load_image, picture_digest, read_file
from modeling_2mner.kept_features import KeptFeatures
from modeling_2mner.tagging import WordTagger
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.features.cache import ARGUMENT, PRECISIONS, FeatureCache
from training_2mner.features.towers import check_frozen, check_rows, describe_towers

logger = logging.getLogger(__name__)

_ROWS = 64


@dataclass(frozen=True)
class Filled:
    """What became of the different pictures of the data sets."""

    known: int  # were stored before
    added: int
    unusable: int

    def __str__(self) -> str:
        return (
            f"{self.added:,} pictures were encoded, {self.known:,} were stored before"
            f"{f', {self.unusable:,} cannot be used' if self.unusable else ''}"
        )


def fill_cache(
    cache: FeatureCache,
    model: WordTagger,
    processor: TwoMNERProcessor,
    datasets: Sequence[Dataset],
    batch_size: int = 32,
    tell: Callable[[str], Any] = logger.info,
) -> Filled:
    """Encode every different picture of the data sets that is not stored yet.

    The towers run in evaluation mode and in the type of their weights, without autocast. At most a batch of pictures and
    one file of features are in memory.

    Args:
        cache: that of the model, see `describe_towers`.
        model, processor: they fit each other.
        datasets: with undecoded pictures, see `load_splits`.
        batch_size: pictures in a batch.
        tell: gets a line on the size before the work begins.

    Raises:
        ValueError: if the disk has not enough room, or another process is adding to the cache.
    """
    digests = {digest for dataset in datasets for digest, _ in _pictures(dataset)}
    missing = digests - set(cache)
    if not missing:
        return Filled(len(digests), 0, 0)
    training = model.training
    model.eval()
    try:
        with cache.writer() as writer, torch.no_grad():
            missing = digests - set(cache)
            known, added, unusable = len(digests) - len(missing), 0, 0
            progress = tqdm(total=len(missing), unit=" pictures", desc="encoding pictures", disable=None)
            for batch in _batches(datasets, missing, batch_size, OpenedPictures(draft_side=processor.draft_side)):
                good = [picture for picture in batch if picture.usable]
                encoded = KeptFeatures().encode(model, processor, good)
                if not added and encoded:
                    _check_room(cache, encoded[0], len(missing), tell)
                for picture in encoded:
                    writer.add(picture.digest, picture.features or {})
                added += len(good)
                unusable += len(batch) - len(good)
                progress.update(len(batch))
            progress.close()
    finally:
        model.train(training)
    return Filled(known, added, unusable)


def open_cache(folder: Path | str, model: WordTagger, processor: TwoMNERProcessor) -> FeatureCache:
    """The stored features of a model's towers, in full precision if there are both, to be read only.

    Raises:
        ValueError: if the folder has none of them.
    """
    settings = describe_towers(model, processor, next(iter(PRECISIONS)))
    for precision in PRECISIONS:
        cache = FeatureCache(folder, {**settings, "precision": precision})
        if len(cache):
            return cache
    raise ValueError(
        f"`{ARGUMENT}` {folder} holds no features of this model's image encoders; fill it with "
        "`python -m training_2mner.features RUN --dataset D --output DIR`, or leave it out."
    )


def use_cache(trainer: Any, splits: DatasetDict) -> None:
    """Let a training, its evaluations and its test read stored features, after those that are missing are computed.

    Raises:
        ValueError: for towers that learn, and for pictures that are augmented or cut.
    """
    args, model, processor = trainer.args, trainer.model, trainer.processing_class
    if args.cache_image_features is None or not model.config.uses_image:
        return  # also for a text-only variant of a run
    if "image" not in splits["train"].column_names:
        return
    check_frozen(model)
    for split in splits.values():
        check_rows(split)
    refuse_boxes(trainer.data_collator)
    cache = FeatureCache(args.cache_image_features, describe_towers(model, processor, args.image_features_precision))
    with args.main_process_first(local=False, desc="encoding pictures"):  # all read its folder
        if trainer.is_world_process_zero():
            filled = fill_cache(cache, model.to(args.device), processor, list(splits.values()))
            logger.info("`%s`: %s.", ARGUMENT, filled)
        cache.refresh()
    trainer.data_collator.features = cache


def refuse_boxes(collator: TwoMNERDataCollator) -> None:
    """Raise `ValueError` for batches with crops of objects."""
    if collator.boxes or collator.small_boxes:
        raise ValueError(
            f"`{ARGUMENT}` is given beside a column of object boxes, whose crops are not stored; leave one of them out."
        )


def _check_room(cache: FeatureCache, picture: LoadedImage, count: int, tell: Callable[[str], Any]) -> None:
    size = PRECISIONS[cache.precision].itemsize
    needed = count * sum(value.numel() * size for value in (picture.features or {}).values())
    free = shutil.disk_usage(cache.folder).free
    tell(
        f"{count:,} pictures will take {needed / 1e6:,.1f} MB in {cache.precision}, of {free / 1e6:,.0f} MB that are free on "
        "the disk."
    )
    if needed > free:
        raise ValueError(
            f"`{ARGUMENT}` {cache.folder.parent} has {free / 1e9:,.1f} GB of room, and {count:,} pictures need "
            f"{needed / 1e9:,.1f} GB in {cache.precision}; free some space, choose another folder, or write "
            "`image_features_precision: float16`."
        )


def _batches(
    datasets: Sequence[Dataset], missing: set[str], batch_size: int, opened: OpenedPictures
) -> Iterator[list[LoadedImage]]:
    """The missing pictures, each once, opened."""
    left, batch = set(missing), []
    for dataset in datasets:
        for digest, data in _pictures(dataset):
            if digest in left:
                left.remove(digest)
                batch.append(load_image(data, opened))
            if len(batch) == batch_size:
                yield batch
                opened.clear()
                batch = []
    if batch:
        yield batch


def _pictures(dataset: Dataset) -> Iterator[tuple[str, bytes]]:
    """The digest and the file of every picture that a data set has and that can be read from the disk."""
    if "image" not in dataset.column_names:
        return
    for rows in dataset.select_columns(["image"]).iter(_ROWS):
        for image in rows["image"]:
            data = _read(image)
            if data:
                yield picture_digest(data), data


def _read(image: dict[str, Any] | None) -> bytes | None:
    if not image:
        return None
    if image.get("bytes"):
        return image["bytes"]
    try:
        return read_file(image["path"]) if image.get("path") else None
    except (OSError, ValueError):  # which the training reports when it counts the pictures
        return None
