"""Count what becomes of the pictures of a data set, once and before the training: a broken one never stops a batch."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from datasets import Dataset, DatasetDict

from modeling_2mner.images import load_image

logger = logging.getLogger(__name__)

STATUSES = ("ok", "missing", "unreadable", "degenerate", "default")
PREFIXES = {"train": "train", "validation": "eval", "test": "test"}
MOST_UNUSABLE = 0.05
_ROWS = 256


def count_pictures(splits: DatasetDict) -> dict[str, int]:
    """Open every picture, say what became of them, and warn where more than 5 % of a split's sentences have none to use.

    Args:
        splits: with undecoded pictures, see `load_splits`. Without the column `image` all are missing.

    Returns:
        The number of sentences by status of their picture, as `train_pictures_ok`, `eval_pictures_missing` and so on;
        `default` are pictures that only say "image not found".
    """
    counts: dict[str, int] = {}
    for split, prefix in PREFIXES.items():
        found, reasons = _count(splits[split])
        shown = ", ".join(f"{found[status]:,} {status}" for status in STATUSES if found[status]) or "none"
        logger.info("pictures of the split %r: %s", split, shown)
        unusable = (len(splits[split]) - found["ok"]) / max(len(splits[split]), 1)
        if unusable > MOST_UNUSABLE:
            logger.warning(
                "%.1f %% of the sentences of the split %r have no picture that can be used (%s), and are read by their words "
                "alone. Check where the pictures lie, or build the data set again with `--images`. %s",
                100 * unusable,
                split,
                shown,
                "; ".join(f"The first {status} one: {reason}." for status, reason in reasons.items()),
            )
        counts |= {f"{prefix}_pictures_{status}": found[status] for status in STATUSES[:4]}
        counts |= {f"{prefix}_pictures_default": found["default"]} if found["default"] else {}
    return counts


def picture_keys(dataset: Dataset) -> list[Any]:
    """A key for the picture of each row that is the same for equal files, `None` without one."""
    if "image" not in dataset.column_names:
        return [None] * len(dataset)
    return [_key(image) for rows in dataset.select_columns(["image"]).iter(_ROWS) for image in rows["image"]]


def describe_pictures(results: dict[str, Any]) -> dict[str, dict[str, int]]:
    """The counts of each split by status, read from a run's results; empty if nothing was counted."""
    found: dict[str, dict[str, int]] = {}
    for split, prefix in PREFIXES.items():
        start = f"{prefix}_pictures_"
        counts = {name.removeprefix(start): int(count) for name, count in results.items() if name.startswith(start)}
        found |= {split: counts} if counts else {}
    return found


def _count(dataset: Dataset) -> tuple[Counter[str], dict[str, str]]:
    """The statuses, and the reason of the first picture of each status but `ok`."""
    found: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    if "image" not in dataset.column_names:
        return Counter(missing=len(dataset)), {}
    known: dict[Any, tuple[str, str]] = {}
    columns = [name for name in ("image", "image_status") if name in dataset.column_names]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:  # Pillow decodes outside Python's lock
        for batch in dataset.select_columns(columns).iter(_ROWS):
            keys = [_key(image) for image in batch["image"]]
            fresh = {key: image for key, image in zip(keys, batch["image"], strict=True) if key not in known}
            known |= dict(zip(fresh, threads.map(_open, fresh.values()), strict=True))
            for key, told in zip(keys, batch.get("image_status", keys), strict=True):
                status, reason = known[key]
                found["default" if status == "ok" and told == "default" else status] += 1
                if status != "ok":
                    reasons.setdefault(status, reason)
    return found, reasons


def _open(image: dict[str, Any] | None) -> tuple[str, str]:
    loaded = load_image(image)
    return loaded.status, loaded.reason


def _key(image: dict[str, Any] | None) -> Any:
    """The same for equal pictures, of which a data set in several languages has many."""
    if image is None or not image.get("bytes"):
        return image and image.get("path")
    return hashlib.sha256(image["bytes"]).digest()
