"""What the picture contributes to a model: `python -m experiments.image_audit`."""

SEED = 19
BATCH_SIZE = 32
