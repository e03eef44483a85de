"""Entities as Label Studio's JSON has them: what its tasks, exports and machine-learning backends share.

Label Studio counts code points, as Python does. Some of its older editors counted UTF-16 units, in which an emoji is two;
the text of the entity, which stands beside its place, tells the two apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LABEL, TEXT = "label", "text"  # names of the controls in our projects


def prediction(
    text: str,
    entities: Iterable[tuple[int, int, str, float | None]],
    model_version: str,
    names: tuple[str, str] = (LABEL, TEXT),
) -> dict[str, Any]:
    """Return one prediction of a task; its score is the lowest of its entities, 1 without any.

    Args:
        text: of the task.
        entities: start and end in code points, type, and a score from 0 to 1 or None.
        model_version: who predicts.
        names: of the controls for labels and text in the project's configuration (`from_name`, `to_name`).
    """
    entities = list(entities)
    scores = [score for *_, score in entities if score is not None]
    results = [_result(text, entity, f"e{number}", names) for number, entity in enumerate(entities)]
    return {"model_version": model_version, "score": min(scores, default=1.0), "result": results}


def code_points(text: str, value: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return start and end of an entity in code points; None if its text is not there.

    Args:
        text: of the task.
        value: with `start`, `end` and, in all but hand-made files, `text`.
    """
    start, end, words = value["start"], value["end"], value.get("text")
    if words is None or text[start:end] == words:
        return (start, end) if 0 <= start < end <= len(text) else None
    units = text.encode("utf-16-le")
    if units[2 * start : 2 * end].decode("utf-16-le", "replace") != words:
        return None
    start = len(units[: 2 * start].decode("utf-16-le", "replace"))
    return start, start + len(words)


def _result(
    text: str, entity: tuple[int, int, str, float | None], name: str, names: tuple[str, str]
) -> dict[str, Any]:
    start, end, kind, score = entity
    value = {"start": start, "end": end, "text": text[start:end], "labels": [kind]}
    result = {"id": name, "from_name": names[0], "to_name": names[1], "type": "labels", "value": value}
    return result if score is None else {**result, "score": score}
