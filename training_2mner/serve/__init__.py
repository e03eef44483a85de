"""Answer requests over HTTP: `python -m training_2mner.serve RUN`."""
