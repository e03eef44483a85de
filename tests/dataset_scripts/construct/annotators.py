"""Simulated annotators: they answer files of tasks as people would, and disagree as often as they are told."""

from __future__ import annotations

import json
from random import Random

from dataset_scripts.schema import ENTITY_TYPES


def plain(spans):
    return [{"start": span.start, "end": span.end, "type": span.type} for span in spans]


def disturbed(entities, share: float, seed: int = 3, types=ENTITY_TYPES):
    """Change a share of the entities: half get another type, 30 % are removed, 20 % lose their last word."""
    rng = Random(seed)
    return {
        uid: [new for span in spans for new in _disturb(span, rng, share, types)] for uid, spans in entities.items()
    }


def _disturb(span, rng, share, types):
    if rng.random() >= share:
        return [span]
    fate = rng.random()
    if fate < 0.5:
        return [{**span, "type": rng.choice([kind for kind in types if kind != span["type"]])}]
    return [{**span, "end": span["end"] - 1}] if fate >= 0.8 and span["end"] - span["start"] > 1 else []


def answer(tasks, output, entities):
    """Answer a file of JSON lines with the given entities by uid."""
    lines = map(json.loads, tasks.read_text("utf-8").splitlines())
    answers = ({**values, "status": "done", "spans": entities[values["uid"]]} for values in lines)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("".join(f"{json.dumps(values, ensure_ascii=False)}\n" for values in answers), "utf-8")
    return output
