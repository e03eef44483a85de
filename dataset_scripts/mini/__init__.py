"""Generate a small data set with pictures: `python -m dataset_scripts.mini`."""
