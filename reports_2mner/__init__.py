"""Pages, tables, figures and files: the ground floor, which imports nothing else of the project."""
