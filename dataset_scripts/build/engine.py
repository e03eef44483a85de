"""Run a function on many tasks, in this process or in several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_all_start_methods, get_context
from typing import Any

# Runs a function on every task and yields the results in the order of the tasks, as `map` does.
Engine = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@contextmanager
def process_engine(processes: int, preload: str) -> Iterator[Engine]:
    """Yield an engine that runs tasks in several processes, or with 1 in this one.

    `preload` names the module of the function, which is imported once for all processes.
    """
    if processes == 1:
        yield map
        return
    # Processes forked from this one would inherit the locks of its threads; the fork server has none.
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([preload])
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield pool.map
