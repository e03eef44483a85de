"""Report how many of the runs are finished, and how long the rest will take."""

from __future__ import annotations

import time


class Progress:
    """Prints a line for each finished run, with an estimate from the runs so far.

    Args:
        total: how many runs there are.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = 0
        self._spent: list[float] = []
        self._last = time.monotonic()

    def report(self, name: str, result: str) -> None:
        """Print that a run is finished."""
        seconds = self.skip()
        self._spent.append(seconds)
        minutes = sum(self._spent) / len(self._spent) * (self._total - self._number) / 60
        print(
            f"[{self._number}/{self._total}] {name}: {result}, {seconds:.0f} s; about {minutes:.0f} minutes left",
            flush=True,
        )

    def skip(self) -> float:
        """Count a run without using its time for the estimate, because it failed; return its seconds."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        self._number += 1
        return seconds
