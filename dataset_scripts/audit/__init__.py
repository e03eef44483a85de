"""Look for faults in a data set: `python -m dataset_scripts.audit`."""
