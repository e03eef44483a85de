"""Tag files and data sets: `python -m training_2mner.predict RUN --input FILE`."""
