"""Look for what is wrong in a data set: `python -m dataset_scripts.audit`."""
