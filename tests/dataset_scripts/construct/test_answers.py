"""What people said about a record."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from dataset_scripts.annotations.sentence import REFUSED, Mention, Sentence, joined
from dataset_scripts.construct.answers import annotations_for
from dataset_scripts.construct.records import Record
from dataset_scripts.schema import ENTITY_TYPES

WORDS = ("Ana", "Ruiz", "en", "París")
TEXT, OFFSETS = joined(WORDS)
RECORD = Record("es/O_1", "O_1", "es", "other", TEXT, WORDS, OFFSETS)
SAID = Sentence(WORDS, TEXT, OFFSETS, (Mention(0, 6, "PER"),), uid="es/O_1", annotator="ana", round="first")


def test_an_answer_is_kept_in_words_and_tells_what_was_widened():
    notes = Counter()
    (said,) = annotations_for(RECORD, {"es/O_1": {"ana": SAID}}, ENTITY_TYPES, notes)
    assert notes == {"answers done": 1, "entities widened to whole words": 1}
    assert said == {
        "annotator": "ana",
        "status": "done",
        "round": "first",
        "flags": [],
        "spans": [{"start": 0, "end": 2, "type": "PER"}],
        "widened": 1,
    }


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"words": WORDS[:3]}, "the words are not those of the sentence"),
        ({"mentions": (Mention(0, 3, "CITY"),)}, "unknown type 'CITY'"),
        ({"fault": "entities overlap"}, "entities overlap"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(values, reason):
    said = {"es/O_1": {"ana": replace(SAID, **values)}}
    (found,) = annotations_for(RECORD, said, ENTITY_TYPES, notes := Counter())
    assert (found["status"], found["reason"], found["spans"]) == (REFUSED, reason, [])
    assert notes[f"answers refused: {reason}"] == 1
