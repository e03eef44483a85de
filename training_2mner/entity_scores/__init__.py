"""The published metric: a folder that is a Space of the Hub as it stands, and imports nothing of the project."""
