"""The tools of the stages: packages that not everybody has, and folders of models, which a manifest must tell apart."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from dataset_scripts.parquet import fingerprint
from reports_2mner.files import file_sha256


@cache
def optional_module(name: str, package: str, needed_by: str) -> Any:
    """Import a module of the extra `construct`; ValueError says how to install its package if it is missing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ValueError(f"{needed_by} needs {package}; install it with pip install '2m-ner[construct]'.") from error


def folder_hash(folder: Path) -> str:
    """Return a short hash of the files of a model's folder, without caches and checkpoints of its training."""
    hashes = {
        name: file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "checkpoint-" not in (name := path.relative_to(folder).as_posix())
        if "__pycache__" not in path.parts
    }
    return fingerprint(hashes)[:12]
