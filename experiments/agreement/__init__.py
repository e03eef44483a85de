"""Projected labels compared with a second method: `python -m experiments.agreement`."""
