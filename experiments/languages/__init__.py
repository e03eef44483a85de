"""Finished runs on every language of a data set, trained on or not: `python -m experiments.languages`."""
