"""A sentence on its way from the files to the rows, and how rows get their names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dataset_scripts.conll import ConllSentence
from dataset_scripts.splits import stable_hash


@dataclass(frozen=True)
class NamedSentence:
    """A sentence with its language and the name of its row.

    `picture` is the file of its picture in the folder of pictures, or None if it has none; where the files state only
    `<image id>`, as the authors' do, it is "".
    """

    sentence: ConllSentence
    given_split: str
    lang: str
    name: str
    inferred: bool
    picture: str | None = ""


def free_name(name: str, used: Counter[int]) -> str:
    """Return the name, numbered from its second use on; `used` counts uses by hash."""
    free, key = name, stable_hash(name)
    while used[stable_hash(free)]:
        used[key] += 1
        free = f"{name}#{used[key]}"
    used[stable_hash(free)] += 1
    return free
