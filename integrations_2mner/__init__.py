"""The models inside other frameworks; importing this package imports neither them nor transformers."""
