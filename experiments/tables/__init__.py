"""The paper's tables from finished runs: `python -m experiments.tables`."""
