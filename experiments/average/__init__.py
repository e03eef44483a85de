"""Several seeds as one: `python -m experiments.average`."""
