"""Make the scores of a finished run mean what they say: `python -m training_2mner.calibrate RUN --dataset D`."""
