"""Check a data set and put it on the Hub: `python -m dataset_scripts.publish`."""
