"""Count a data set and compare it with the paper's Tables 2 and 3: `python -m dataset_scripts.statistics`."""
