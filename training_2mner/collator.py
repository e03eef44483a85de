"""Turn rows of a data set into batches of tensors."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from modeling_2mner import TwoMNERProcessor
from modeling_2mner.images import LoadedImage, OpenedPictures, load_image
from modeling_2mner.processing_2mner import TwoMNERBatch


@dataclass
class TwoMNERDataCollator:
    """Make a batch from rows with `tokens` and optionally `ner_tags` and `image`.

    Args:
        processor ([`TwoMNERProcessor`]): does the work; an unusable picture counts as missing.
        boxes, small_boxes (`str`, *optional*): columns with the pictures' object boxes, for [`OneImageProcessor`].
        features (`Mapping[str, dict[str, torch.Tensor]]`, *optional*): features of every picture that can be used, by
            the SHA-256 of its file, such as a `FeatureCache`; the batch has them in the place of pixels.

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
    features: Mapping[str, Mapping[str, torch.Tensor]] | None = None

    def __call__(self, rows: list[dict[str, Any]]) -> TwoMNERBatch:
        """Return the processor's batch for these rows.

        Raises:
            ValueError: for a row that cannot be used, with its name in the data set.
        """
        try:
            return self._process(rows)
        except (ValueError, TypeError):
            for row in rows:
                self._check(row)
            raise

    def _process(self, rows: list[dict[str, Any]]) -> TwoMNERBatch:
        images: list[Any] | None = [row["image"] for row in rows] if "image" in rows[0] else None
        if images is not None and self.features is not None:
            images = self._with_features(images, self.features)
        labels = [row["ner_tags"] for row in rows] if "ner_tags" in rows[0] else None
        columns = {"boxes": self.boxes, "small_boxes": self.small_boxes}
        boxes: dict[str, Any] = {
            name: [row[column] for row in rows] for name, column in columns.items() if column is not None
        }
        return self.processor([row["tokens"] for row in rows], images, labels, **boxes)

    def _with_features(
        self, images: list[Any], features: Mapping[str, Mapping[str, torch.Tensor]]
    ) -> list[LoadedImage]:
        opened = OpenedPictures(stored=features)
        pictures = [load_image(image, opened) for image in images]
        if any(picture.image is not None for picture in pictures):
            raise ValueError(
                "`images[0]` has no stored features; fill the folder of `cache_image_features` again, with "
                "`python -m training_2mner.features`."
            )
        return [
            replace(picture, features=features[picture.digest]) if picture.usable else picture for picture in pictures
        ]

    def _check(self, row: dict[str, Any]) -> None:
        """Name the faulty row by its id: its position in a random batch would not help."""
        try:
            self._process([row])
        except (ValueError, TypeError) as error:
            columns = {"labels": "ner_tags", "words": "tokens", "images": "image"}
            columns |= {"boxes": str(self.boxes), "small_boxes": str(self.small_boxes)}
            text = re.sub(r"`(\w+)\[0\]`", lambda match: f"`{columns.get(match[1], match[1])}`", str(error))
            name = repr(row["id"]) if row.get("id") else f"with the words {reprlib.repr(row.get('tokens'))}"
            raise ValueError(f"The row {name} of the data set cannot be used: {text}") from error
