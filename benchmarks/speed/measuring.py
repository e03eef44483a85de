"""Several ways to do the same work, timed in turn: medians, goals, and how far the answers agree."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import wraps
from typing import Any

from reports_2mner.tables import Table

TOLERANCE = 1e-5
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
FAILURES = (ImportError, OSError, RuntimeError, ValueError)  # of one way; the others go on

# The tags of a sentence, and the scores that belong to them.
Answer = tuple[list[str], list[float]]


@dataclass(frozen=True)
class Goal:
    """What a way has to reach.

    Args:
        ratio: how many times faster than the reference.
        floor: the ratio below which nothing is reached.
        most_ms: in place of both, the most milliseconds.
        equal_tags: the share of tags that must be those of `Way.compared_with`.
    """

    ratio: float | None = None
    floor: float | None = None
    most_ms: float | None = None
    equal_tags: float | None = None

    def __str__(self) -> str:
        if self.most_ms is not None:
            return f"{self.most_ms:g} ms"
        if self.ratio is None:
            return ""
        return f"{self.ratio:g}x" + (f", floor {self.floor:g}x" if self.floor is not None else "")

    def verdict(self, ratio: float, milliseconds: float, equal_tags: float | None) -> str:
        """`"yes"`, `"floor"` or `"no"`; empty without a goal."""
        if self.equal_tags is not None and (equal_tags or 0.0) < self.equal_tags:
            return "no"
        if self.most_ms is not None:
            return "yes" if milliseconds <= self.most_ms else "no"
        if self.ratio is None:
            return ""
        if ratio >= self.ratio:
            return "yes"
        return "floor" if self.floor is not None and ratio >= self.floor else "no"


class Watch:
    """The time spent in some methods of objects, apart from what is around them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._seconds = clock, 0.0

    def follow(self, owner: Any, *names: str) -> None:
        """Time these methods, which must not call each other."""
        for name in names:
            setattr(owner, name, self._timed(getattr(owner, name)))

    def take(self) -> float:
        """The seconds since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = self._clock()
            try:
                return method(*args, **kwargs)
            finally:
                self._seconds += self._clock() - started

        return timed


@dataclass
class Way:
    """One way to do a work.

    Args:
        name: what it is.
        parts: functions that do it, one after the other; all ways of a work have as many.
        goal: what it has to reach; of the network alone if there is a `watch`.
        warm_up: is called once before, and not timed; by default the first part.
        watch: tells the network's part of the time.
        answers: turns what a part returned into answers; those of the first round are compared.
        compared_with: the name of an earlier way that must, or should, give the same.
        exact: whether tags must be equal, and scores within `TOLERANCE`.
        error: why it cannot run.
    """

    name: str
    parts: Sequence[Callable[[], Any]] = ()
    goal: Goal = Goal()
    warm_up: Callable[[], Any] | None = None
    watch: Watch | None = None
    answers: Callable[[Any], list[Answer]] | None = None
    compared_with: str = ""
    exact: bool = False
    error: str = ""


@dataclass(frozen=True)
class Row:
    """A line of the table; see [`Way`]. Milliseconds are for one `unit`, `None` if there is nothing to compare."""

    work: str
    way: str
    unit: str
    reference_ms: float | None = None
    ours_ms: float | None = None
    ratio: float | None = None
    goal: str = ""
    met: str = ""
    equal_tags: float | None = None
    error: str = ""

    def cells(self) -> list[str]:
        """The cells of the table."""
        if self.error:
            return [self.work, self.way, self.unit, "", "", "", self.goal, f"not measured: {self.error}", ""]
        tags = "" if self.equal_tags is None else f"{100 * self.equal_tags:.1f} %"
        times = [_number(self.reference_ms), _number(self.ours_ms), _number(self.ratio, "x")]
        return [self.work, self.way, self.unit, *times, self.goal, self.met, tags]


HEADER = ["work", "way", "ms a", "reference", "2M-NER", "ratio", "goal", "met", "equal tags"]
ALIGN = "lllrrrllr"


def table(rows: Iterator[Row] | Sequence[Row]) -> Table:
    """The rows as a table, whose lines come as the rows do."""
    return Table(HEADER, (row.cells() for row in rows), align=ALIGN)


@dataclass
class Work:
    """Ways to do the same work, the first of which is the reference.

    Args:
        name: of the work.
        ways: the reference, and ours.
        unit: what it is counted in, and `count` of how many.
        repeats: how often all of them run, in turn.
        clock: `"cpu"` or `"wall"`.
        around: the name of the work with all that is around the network, for ways with a `watch`.
    """

    name: str
    ways: Sequence[Way]
    unit: str
    count: int
    repeats: int
    clock: str = "wall"
    around: str = ""
    _answers: dict[str, list[Answer]] = field(default_factory=dict)

    def rows(self) -> Iterator[Row]:
        """Time all ways; a row for each but the reference, and another one with what is around the network."""
        reference, *ours = self.ways
        total, inner = self._measure()
        for way in ours:
            broken = reference if reference.error else way
            if not broken.error:
                broken = Way("", error=self._differs(way))
            if broken.error:
                yield Row(self.name, way.name, self.unit, goal=str(way.goal), error=broken.error)
                continue
            equal = self._equal_tags(way)
            network = inner if way.watch else total
            yield self._row(self.name, way, network, way.goal, equal)
            if way.watch:
                yield self._row(self.around, way, total, Goal(), None)

    def _row(self, work: str, way: Way, seconds: dict[str, float], goal: Goal, equal: float | None) -> Row:
        reference, ours = (1000 * seconds[name] / self.count for name in (self.ways[0].name, way.name))
        ratio = reference / ours
        verdict = goal.verdict(ratio, ours, equal)
        figures = round(reference, 4), round(ours, 4), round(ratio, 4)
        return Row(work, way.name, self.unit, *figures, str(goal), verdict, equal)

    def _measure(self) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds of each way, the medians of its rounds: of everything, and of its network."""
        self._run_each(lambda way: (way.warm_up or way.parts[0])())
        total: dict[str, list[float]] = {way.name: [] for way in self.ways}
        inner: dict[str, list[float]] = {way.name: [] for way in self.ways}
        for _ in range(self.repeats):
            for way in self.ways:
                total[way.name].append(0.0)
                inner[way.name].append(0.0)
            for place in range(max(len(way.parts) for way in self.ways)):
                self._run_each(lambda way, place=place: self._time(way, place, total, inner))
        return tuple({name: statistics.median(found) for name, found in each.items()} for each in (total, inner))

    def _run_each(self, run: Callable[[Way], None]) -> None:
        """Run the ways in turn; one that fails is left out from then on."""
        for way in self.ways:
            if not way.error:
                try:
                    run(way)
                except FAILURES as error:
                    way.error = describe(error)

    def _time(self, way: Way, place: int, total: dict[str, list[float]], inner: dict[str, list[float]]) -> None:
        clock = CLOCKS[self.clock]
        if way.watch:
            way.watch.take()
        started = clock()
        found = way.parts[place]()
        total[way.name][-1] += clock() - started
        if way.watch:
            inner[way.name][-1] += way.watch.take()
        if way.answers and len(total[way.name]) == 1:
            self._answers.setdefault(way.name, []).extend(way.answers(found))

    def _differs(self, way: Way) -> str:
        """What is not equal though it must be."""
        if not way.exact:
            return ""
        for (tags, scores), (own_tags, own_scores) in self._pairs(way):
            if tags != own_tags:
                return f"its tags differ from those of {way.compared_with}"
            if any(abs(one - other) > TOLERANCE for one, other in zip(scores, own_scores, strict=True)):
                return f"its scores differ from those of {way.compared_with}"
        return ""

    def _equal_tags(self, way: Way) -> float | None:
        if not way.compared_with:
            return None
        pairs = [pair for (tags, _), (own, _) in self._pairs(way) for pair in zip(tags, own, strict=True)]
        return round(sum(one == other for one, other in pairs) / max(len(pairs), 1), 6)

    def _pairs(self, way: Way) -> Iterator[tuple[Answer, Answer]]:
        return zip(self._answers[way.compared_with], self._answers[way.name], strict=True)


def attempt(name: str, goal: Goal, make: Callable[[], Way]) -> Way:
    """A way that is made now, or one that says why it cannot be made."""
    try:
        return make()
    except FAILURES as error:
        return Way(name, goal=goal, error=describe(error))


def describe(error: Exception) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def as_record(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as plain values."""
    return [asdict(row) for row in rows]


def _number(value: float | None, suffix: str = "") -> str:
    return "" if value is None else f"{value:.2f}{suffix}"
