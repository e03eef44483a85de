"""What the project promises of bad input, and how many tries to break each promise there were."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

SEED = int(os.environ.get("ADVERSARY_SEED", "19"))
SHOWN_FAILURES = 5
SHOWN = 300  # characters of a failure


@dataclass
class Promise:
    """One promise: `check` tries to break it and counts."""

    text: str
    cases: int = 0
    failures: list[str] = field(default_factory=list)

    def check(self, attack: Callable[..., None], *arguments: Any) -> None:
        """Count one case; whatever `attack` raises is a failure."""
        self.cases += 1
        try:
            attack(*arguments)
        except Exception as error:  # any, since an unexpected kind of error is a broken promise
            self.failures.append(f"{type(error).__name__}: {error} <- {arguments!r}"[:SHOWN])

    def settle(self) -> None:
        """Fail the test if the promise was broken, or was never put to the test."""
        assert self.cases, f"{self.text}: not one case"
        shown = "\n".join(self.failures[:SHOWN_FAILURES])
        assert not self.failures, f"{self.text}: {len(self.failures)} of {self.cases} cases broke it\n{shown}"


LEDGER: list[Promise] = []


@contextmanager
def promise(text: str) -> Iterator[Promise]:
    """Make a promise, and settle it when all tries to break it are over."""
    made = Promise(text)
    LEDGER.append(made)
    yield made
    made.settle()


def chance_for(name: str) -> random.Random:
    """A random source of its own for each fuzzer, so that one of them can be run without the others."""
    return random.Random(f"{name} {SEED}")


def table() -> str:
    """The promises as a Markdown table."""
    rows = [f"| {promise.text} | {promise.cases:,} | {len(promise.failures)} |" for promise in LEDGER]
    cases, failures = sum(promise.cases for promise in LEDGER), sum(len(promise.failures) for promise in LEDGER)
    head = ["| promise | cases | failures |", "|---|---:|---:|"]
    return "\n".join([*head, *rows, f"| **all** | **{cases:,}** | **{failures}** |"])
