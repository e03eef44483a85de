"""Turn rows of a data set into batches of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modeling_2mner import TwoMNERProcessor
from modeling_2mner.processing_2mner import TwoMNERBatch


@dataclass
class TwoMNERDataCollator:
    """Make a batch from rows with `tokens` and optionally `ner_tags` and `image`.

    Args:
        processor ([`TwoMNERProcessor`]): does the work; an unusable picture counts as missing.
        boxes, small_boxes (`str`, *optional*): columns with the pictures' object boxes, for [`OneImageProcessor`].

    Example:

    ```python
    >>> from PIL import Image
    >>> from transformers import BertTokenizer
    >>> from modeling_2mner import TwoMNERProcessor
    >>> from training_2mner import TwoMNERDataCollator

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "in", "paris"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> collator = TwoMNERDataCollator(TwoMNERProcessor(tokenizer=tokenizer))
    >>> picture = Image.new("RGB", (64, 64))
    >>> batch = collator([
    ...     {"tokens": ["Anna", "in", "Paris"], "ner_tags": [1, 0, 3], "image": picture},
    ...     {"tokens": ["Paris"], "ner_tags": [3], "image": None},
    ... ])
    >>> batch["labels"].tolist()
    [[1, 0, 3], [3, -100, -100]]
    ```
    """

    processor: TwoMNERProcessor
    boxes: str | None = None
    small_boxes: str | None = None

    def __call__(self, rows: list[dict[str, Any]]) -> TwoMNERBatch:
        """Return the processor's batch for these rows."""
        images = [row["image"] for row in rows] if "image" in rows[0] else None
        labels = [row["ner_tags"] for row in rows] if "ner_tags" in rows[0] else None
        columns = {"boxes": self.boxes, "small_boxes": self.small_boxes}
        boxes: dict[str, Any] = {
            name: [row[column] for row in rows] for name, column in columns.items() if column is not None
        }
        return self.processor([row["tokens"] for row in rows], images, labels, **boxes)
