"""A standing adversary: `make test-adversary` runs it and prints the table of `docs/reliability.md`."""

from __future__ import annotations

import pytest

from tests.adversary.promises import LEDGER, SEED, table


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table below the results."""
    if LEDGER:
        terminalreporter.write_line(f"\nseed {SEED}\n\n{table()}")
