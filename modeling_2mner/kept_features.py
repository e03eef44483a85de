"""Features of pictures that several batches need: every different picture of a window of batches is encoded once."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from .images import LoadedImage

Features = Mapping[str, torch.Tensor]
MAX_BYTES = 256_000_000  # of the features that are kept; what exceeds them is encoded again


class KeptFeatures:
    """What a model's image towers returned for the pictures that later batches will need, and no longer.

    Args:
        stored (`Mapping[str, Features]`, *optional*): features that were computed before, by the pictures' digests.
        max_bytes (`int`): most bytes to keep.
    """

    def __init__(self, stored: Mapping[str, Features] | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._stored: Mapping[str, Features] = {} if stored is None else stored
        self._max_bytes = max_bytes
        self._needed: Counter[str] = Counter()  # how often each picture is still needed
        self._kept: dict[str, Features] = {}
        self._bytes = 0

    def begin(self, pictures: Iterable[LoadedImage]) -> None:
        """Start a window with these pictures, as often as its sentences have them."""
        self._needed = Counter(picture.digest for picture in pictures if picture.usable)
        self._kept, self._bytes = {}, 0

    def encode(self, model: Any, processor: Any, pictures: Sequence[LoadedImage]) -> list[LoadedImage]:
        """Give the pictures of a batch their features, for which the towers run once a different picture.

        Args:
            model: a tagger with `feature_names`.
            processor: the one that fits it.
            pictures: as often as the rows of the batch have them; unusable ones stay as they are.
        """
        different = {picture.digest: picture for picture in pictures if picture.usable}
        features = {digest: self._find(digest, model) for digest in different}
        fresh = [digest for digest, found in features.items() if found is None]
        if fresh:
            pixels = processor.encode_images([different[digest].image for digest in fresh])
            encoded = model.encode_images(**{name: value.to(model.device) for name, value in pixels.items()})
            rows = zip(*(encoded[name] for name in encoded), strict=True)
            features |= {digest: dict(zip(encoded, row, strict=True)) for digest, row in zip(fresh, rows, strict=True)}
        return [
            replace(picture, image=None, features=features[picture.digest]) if picture.usable else picture
            for picture in pictures
        ]

    def end_batch(self, pictures: Iterable[LoadedImage]) -> None:
        """Keep the features of a batch's pictures that are needed again, and drop the others.

        Args:
            pictures: what [`~KeptFeatures.encode`] returned, as often as the sentences of the batch have them.
        """
        encoded = [picture for picture in pictures if picture.usable and picture.features is not None]
        self._needed.subtract(picture.digest for picture in encoded)
        for picture in {picture.digest: picture for picture in encoded}.values():
            if self._needed[picture.digest] > 0:
                self._keep(picture.digest, picture.features or {})
            elif (dropped := self._kept.pop(picture.digest, None)) is not None:
                self._bytes -= _count_bytes(dropped)

    def _find(self, digest: str, model: Any) -> Features | None:
        if digest in self._kept:
            return self._kept[digest]
        if digest not in self._stored:
            return None
        return {name: value.to(model.device, model.dtype) for name, value in self._stored[digest].items()}

    def _keep(self, digest: str, features: Features) -> None:
        size = _count_bytes(features)
        if digest not in self._kept and digest not in self._stored and self._bytes + size <= self._max_bytes:
            # Copies: rows of the towers' output would keep all of it.
            self._kept[digest] = {name: value.clone() for name, value in features.items()}
            self._bytes += size


def _count_bytes(features: Features) -> int:
    return sum(value.numel() * value.element_size() for value in features.values())


__all__ = ["KeptFeatures"]
