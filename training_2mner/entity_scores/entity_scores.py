"""The scores of 2M-NER as an `evaluate` module that needs nothing else from the project.

    scores = evaluate.load("training_2mner/entity_scores").compute(predictions=predicted, references=gold)

`evaluate` copies this file and the siblings it imports to its own cache and runs them there.
"""

import datasets
import evaluate

from .scores import TagSequences, entity_scores

_DESCRIPTION = """
Entity-level precision, recall and F1 of IOB2 tags, micro-averaged: strict under plain names, and lenient (a stray I-
tag opens an entity, as in conlleval) under names that begin with `lenient_`; F1 also for each entity type.
"""

_INPUTS = """
Args:
    predictions (list of lists of str): predicted tags, one list per sentence.
    references (list of lists of str): gold tags, of the same lengths.
Returns:
    dict of fractions from 0 to 1: `precision`, `recall`, `f1`, `f1_TYPE` for each type, and each as `lenient_...`.
Example:
    >>> metric = evaluate.load("training_2mner/entity_scores")
    >>> metric.compute(predictions=[["B-PER", "O"]], references=[["B-PER", "O"]])["f1"]
    1.0
"""

_CITATION = """
@misc{seqeval, title = {{seqeval}: A Python framework for sequence labeling evaluation}, author = {Hiroki Nakayama},
url = {https://github.com/chakki-works/seqeval}, year = {2018}}
"""


class EntityScores(evaluate.Metric):
    """Thin wrapper around [`entity_scores`], which training and tables call directly."""

    def _info(self) -> evaluate.MetricInfo:
        tags = datasets.List(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": tags, "references": tags}),
        )

    def _compute(self, predictions: TagSequences, references: TagSequences) -> dict[str, float]:
        return entity_scores(predictions, references)
