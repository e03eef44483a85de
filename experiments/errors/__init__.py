"""A page of a model's errors: `python -m experiments.errors`."""
