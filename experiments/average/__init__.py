"""Several seeds averaged into one answer: `python -m experiments.average`."""
