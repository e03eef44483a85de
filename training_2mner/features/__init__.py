"""Features of pictures, computed once: `cache.py` stores them, `fill.py` computes them, `towers.py` says for which models."""
