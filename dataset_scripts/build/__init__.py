"""Build a data set from text files and pictures: `python -m dataset_scripts.build`."""
