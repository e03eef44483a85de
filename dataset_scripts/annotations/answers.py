"""What several people answered, from files in any of the forms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from dataset_scripts.annotations.forms import SUFFIXES, read_annotations
from dataset_scripts.annotations.sentence import OPEN, Sentence, collected_faults
from reports_2mner.files import file_sha256

BESIDE = ("asked.json", "manifest.json", "project.json")  # what stands beside tasks in a folder that is copied whole
Answers = dict[str, dict[str, Sentence]]  # of each sentence by its `uid`, by the name of the person


@dataclass(frozen=True)
class AnswerFiles:
    """Files with answers, by path and SHA-256, and the names of users."""

    files: tuple[tuple[Path, str], ...]
    users: tuple[tuple[int, str], ...] = ()

    def key(self) -> str:
        """Return a hash of what decides on the answers."""
        files = [(path.parent.name, path.suffix, file_hash) for path, file_hash in self.files]
        return sha256(json.dumps([files, self.users]).encode()).hexdigest()

    @lru_cache(maxsize=2)  # noqa: B019 - one reading in each process
    def read(self) -> Answers:
        """Return the last answer of each person to each sentence; an open one replaces none."""
        answers: Answers = {}
        with collected_faults() as faults:
            for path, _ in self.files:
                for answer in read_annotations(path, faults, users=dict(self.users)):
                    said = answers.get(answer.uid, {})
                    if not (answer.uid and answer.annotator):
                        if answer.status != OPEN:
                            faults.add(answer.place, "an answer without `uid` or `annotator`", "say who answered what")
                    elif answer.status != OPEN or answer.annotator not in said:
                        answers[answer.uid] = {**said, answer.annotator: answer}
        return answers


def find_answers(paths: Sequence[Path], users: Path | None = None) -> AnswerFiles:
    """Return the files that paths stand for, those of a folder in the order of their names.

    Raises:
        ValueError: for paths without answers, and `users` that are not JSON.
    """
    try:
        names = json.loads(users.read_text("utf-8")) if users else {}
        numbers = tuple(sorted((int(number), str(name)) for number, name in names.items()))
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f'`users` {users} is no JSON such as {{"7": "ana"}} ({error}); correct it.') from error
    files: list[tuple[Path, str]] = []
    for path in paths:
        entries = sorted(path.rglob("*")) if path.is_dir() else [path]
        found = [entry for entry in entries if entry.suffix in SUFFIXES and entry.name not in BESIDE] or [path]
        if not all(file.is_file() and file.suffix in SUFFIXES for file in found):
            raise ValueError(
                f"`answers` {path} is no file that ends with {', '.join(SUFFIXES)}, and no folder of them."
            )
        files += [(file, file_sha256(file)) for file in found]
    return AnswerFiles(tuple(files), numbers)
