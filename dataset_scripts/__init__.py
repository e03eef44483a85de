"""The data of 2M-NER: schema, readers, builders. Run from a checkout, see `python -m dataset_scripts.build --help`."""
