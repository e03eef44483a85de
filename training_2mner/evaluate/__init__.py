"""Score a finished model on any data set: `finished.py` does it, `entity_types.py` brings the entity types of both together,
`other_data.py` adds the scores to its card."""
