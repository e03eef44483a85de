"""The forms in which annotations are handed out and come back."""
