"""Count a data set, with the paper's Tables 2 and 3 beside it: `python -m dataset_scripts.statistics`."""
