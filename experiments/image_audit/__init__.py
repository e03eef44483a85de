"""What the picture does for a model: `python -m experiments.image_audit`."""
