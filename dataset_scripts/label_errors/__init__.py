"""Rank the sentences of a data set whose entities are most probably wrong.

    python -m dataset_scripts.label_errors mmnerd --output suspects

`sentences` reads a data set folder, `signs` says what speaks against an entity, `judges` are the models that read each
sentence without having seen it, and `ranking` writes the queue and the page. The stage `errors` of `construct` does the
same with its records.
"""
