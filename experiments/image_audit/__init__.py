"""What the picture contributes to a model: `python -m experiments.image_audit`."""
