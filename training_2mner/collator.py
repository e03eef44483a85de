"""Rows of the data set to batches of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modeling_2mner import TwoMNERProcessor


@dataclass
class TwoMNERDataCollator:
    """Make a batch from rows with `tokens` and, if they are there, `ner_tags` and `image`.

    Args:
        processor ([`TwoMNERProcessor`]): does the work; pictures that cannot be used count as none.
    """

    processor: TwoMNERProcessor

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the processor's batch for these rows."""
        images = [row["image"] for row in rows] if "image" in rows[0] else None
        labels = [row["ner_tags"] for row in rows] if "ner_tags" in rows[0] else None
        return self.processor([row["tokens"] for row in rows], images, labels)
