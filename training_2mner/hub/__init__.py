"""Release a run on the Hub: `python -m training_2mner.hub RUN user/name`."""
