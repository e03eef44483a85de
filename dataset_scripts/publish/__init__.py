"""Check a data set and publish it on the Hub: `python -m dataset_scripts.publish`."""
