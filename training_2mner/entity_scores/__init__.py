"""The published metric: a folder that is also a complete Space for the Hub and imports nothing from the project."""
