from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

from dataset_scripts.build.engine import process_engine


def test_one_process_is_this_one():
    with process_engine(1, "math") as engine:
        assert engine is map


def test_several_processes_are_a_pool_that_keeps_the_order():
    with process_engine(2, "math") as engine:
        assert isinstance(engine.__self__, ProcessPoolExecutor)
        assert list(engine(abs, [-3, 1, -2])) == [3, 1, 2]
