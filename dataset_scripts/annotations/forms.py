"""Which form a file has, by its name, and which writer a form has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from dataset_scripts.annotations.conll_columns import read_conll_columns, write_conll_tasks
from dataset_scripts.annotations.jsonl import read_jsonl, write_jsonl_tasks
from dataset_scripts.annotations.label_studio import read_label_studio, write_label_studio_tasks
from dataset_scripts.annotations.sentence import Faults, Sentence, Splitter, Task

SUFFIXES = (".jsonl", ".conll", ".json")
# Each writes tasks into a folder, as one or more files whose names begin with the given name.
WRITERS: dict[str, Callable[[Path, str, Iterable[Task]], None]] = {
    "jsonl": write_jsonl_tasks,
    "conll": write_conll_tasks,
    "label_studio": write_label_studio_tasks,
}


def read_annotations(
    path: Path, faults: Faults, split: Splitter | None = None, users: Mapping[int, str] | None = None
) -> Iterator[Sentence]:
    """Yield the sentences of a file in any of the forms.

    Args:
        path: a file that ends with one of `SUFFIXES`.
        faults: takes what cannot be read.
        split: splits sentences that have no words; without it these are faults.
        users: names of Label Studio's users by their number.
    """
    if path.suffix == ".jsonl":
        return read_jsonl(path, faults, split)
    if path.suffix == ".conll":
        return read_conll_columns(path, faults)
    if path.suffix == ".json":
        return read_label_studio(path, faults, split, users)
    raise ValueError(f"{path} is no file that ends with {', '.join(SUFFIXES)}; convert it to JSONL.")
