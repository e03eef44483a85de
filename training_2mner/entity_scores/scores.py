"""Entity-level precision, recall and F1; all scores of 2M-NER are computed here.

It needs only seqeval and imports nothing from the project, because `evaluate` copies it along with `entity_scores.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

TagSequences = Sequence[Sequence[str]]


def entity_scores(predictions: TagSequences, references: TagSequences) -> dict[str, float]:
    """Score predicted tags against gold tags, micro-averaged over entities.

    Strict scoring counts an entity only if its tags are valid IOB2 (a stray `I-PER` is not an entity); its names are
    plain: `precision`, `recall`, `f1`, and `f1_PER` and so on for each type. Lenient scoring, as in most published
    tables (conlleval), lets a stray `I-PER` open an entity; its names begin with `lenient_`.

    Args:
        predictions, references: tag names, one sequence per sentence, of equal lengths.

    Returns:
        Fractions from 0 to 1; 0 where nothing was predicted or there is nothing to find.

    Raises:
        ValueError: if the numbers of sentences or of words differ.
    """
    _check_lengths(predictions, references)
    return {
        **_report(predictions, references, "", mode="strict", scheme=IOB2),
        **_report(predictions, references, "lenient_", mode=None, scheme=None),
    }


def _check_lengths(predictions: TagSequences, references: TagSequences) -> None:
    if len(predictions) != len(references):
        raise ValueError(
            f"`predictions` has {len(predictions)} sentences, `references` {len(references)}; pass the same."
        )
    for row, (predicted, gold) in enumerate(zip(predictions, references, strict=True)):
        if len(predicted) != len(gold):
            raise ValueError(f"`predictions[{row}]` has {len(predicted)} tags for {len(gold)} words; give one each.")


def _report(
    predictions: TagSequences, references: TagSequences, prefix: str, mode: str | None, scheme: type | None
) -> dict[str, float]:
    opening = "B-" if mode == "strict" else ("B-", "I-")
    if not any(tag.startswith(opening) for row in (*predictions, *references) for tag in row):
        return {f"{prefix}{name}": 0.0 for name in ("precision", "recall", "f1")}  # seqeval divides by zero here
    report = classification_report(
        [list(row) for row in references],
        [list(row) for row in predictions],
        mode=mode,
        scheme=scheme,
        output_dict=True,
        zero_division=0,
    )
    overall = report.pop("micro avg")
    scores = {
        f"{prefix}precision": float(overall["precision"]),
        f"{prefix}recall": float(overall["recall"]),
        f"{prefix}f1": float(overall["f1-score"]),
    }
    types = {kind: row for kind, row in report.items() if not kind.endswith(" avg")}
    return scores | {f"{prefix}f1_{kind}": float(row["f1-score"]) for kind, row in types.items()}
