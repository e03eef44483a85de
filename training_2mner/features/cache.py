"""Features of pictures in memory-mapped files, for all runs with the same image towers.

A folder has one folder for each state of towers, processor and precision. In it are `settings.json`, which says what that
is, and files of whole pictures, `features-NUMBER.safetensors`: the SHA-256 of each picture's file (`digests`), and the
features. A file is written whole or not at all and never changes, so that readers need no lock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from reports_2mner.files import whole_file, write_json
from reports_2mner.locks import only_writer

ARGUMENT = "cache_image_features"
PRECISIONS = {"float32": torch.float32, "float16": torch.float16}
SETTINGS = "settings.json"
FILE_BYTES = 64_000_000  # about as many are held in memory while features are computed
_DIGESTS = "digests"


class FeatureCache(Mapping[str, dict[str, torch.Tensor]]):
    """The stored features of pictures, by the SHA-256 of the pictures' files in hexadecimal digits.

    Only the digests are held in memory; features are read from the disk when they are asked for.

    Args:
        folder: of all caches.
        settings: what the features depend on, see `describe_towers`; plain values of JSON.

    Raises:
        ValueError: for a file that cannot be read.
    """

    def __init__(self, folder: Path | str, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        text = json.dumps(self.settings, sort_keys=True)
        self.folder = Path(folder) / hashlib.sha256(text.encode()).hexdigest()[:32]
        self.refresh()

    def refresh(self) -> None:
        """Find what was stored since."""
        self._files: dict[Path, Any] = {}
        self._places: dict[bytes, tuple[Path, int]] = {}
        for path in sorted(self.folder.glob("features-*.safetensors")):
            for row, digest in enumerate(self._open(path).get_tensor(_DIGESTS)):
                self._places[digest.numpy().tobytes()] = (path, row)

    @property
    def precision(self) -> str:
        """What the features are stored in, one of `PRECISIONS`."""
        return self.settings["precision"]

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return (digest.hex() for digest in self._places)

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and bytes.fromhex(digest) in self._places

    def __getitem__(self, digest: str) -> dict[str, torch.Tensor]:
        path, row = self._places[bytes.fromhex(digest)]
        file = self._open(path)
        return {name: file.get_slice(name)[row : row + 1][0] for name in file.keys() if name != _DIGESTS}  # noqa: SIM118

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}  # each process of a loader opens the files itself

    @contextmanager
    def writer(self) -> Iterator[FeatureWriter]:
        """Hold the lock of this cache and add to it; what is complete is kept if the writer fails.

        Raises:
            ValueError: if another process is adding to it.
        """
        with only_writer(self.folder, ARGUMENT):
            self.refresh()  # another process may just have done the work
            if not (self.folder / SETTINGS).exists():
                write_json(self.folder / SETTINGS, self.settings, indent=2, sort_keys=True)
            writer = FeatureWriter(self.folder, PRECISIONS[self.precision])
            try:
                yield writer
            finally:
                writer.flush()
                self.refresh()

    def _open(self, path: Path) -> Any:
        if path not in self._files:
            try:
                self._files[path] = safe_open(path, framework="pt")
            except (OSError, SafetensorError) as error:
                raise ValueError(
                    f"`{ARGUMENT}` {path} cannot be read ({error}); remove this file, and its pictures are encoded again."
                ) from error
        return self._files[path]


class FeatureWriter:
    """Collects features and writes them in files of about `FILE_BYTES`."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self._folder, self._dtype = folder, dtype
        self._rows: list[dict[str, torch.Tensor]] = []
        self._digests: list[str] = []
        self._bytes = 0

    def add(self, digest: str, features: Mapping[str, torch.Tensor]) -> None:
        """Store the features of a picture.

        Raises:
            ValueError: for values that are not finite in this precision.
        """
        row = {name: value.detach().to("cpu", self._dtype, copy=True) for name, value in features.items()}
        if not all(value.isfinite().all() for value in row.values()):
            raise ValueError(
                f"the features of the picture {digest[:12]}... are not finite numbers in {str(self._dtype)[6:]}; check the "
                "weights of the image encoders, or write `image_features_precision: float32`."
            )
        self._rows.append(row)
        self._digests.append(digest)
        self._bytes += count_bytes(row)
        if self._bytes >= FILE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        if not self._rows:
            return
        tensors = {name: torch.stack([row[name] for row in self._rows]) for name in self._rows[0]}
        digests = bytearray(b"".join(map(bytes.fromhex, self._digests)))
        tensors[_DIGESTS] = torch.frombuffer(digests, dtype=torch.uint8).reshape(-1, 32)
        number = 1 + max(
            (int(path.stem.split("-")[1]) for path in self._folder.glob("features-*.safetensors")), default=0
        )
        with whole_file(self._folder / f"features-{number:06}.safetensors") as draft:
            save_file(tensors, draft)
        self._rows, self._digests, self._bytes = [], [], 0


def count_bytes(features: Mapping[str, torch.Tensor]) -> int:
    """How many bytes features take."""
    return sum(value.numel() * value.element_size() for value in features.values())
