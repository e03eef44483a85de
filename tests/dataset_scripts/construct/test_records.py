from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dataset_scripts.construct.records import (
    Record,
    Span,
    joined,
    read_records,
    spans_of_tags,
    tags_of_spans,
    write_records,
)


def record(tokens=("Liam", "cantó", "en", "🎉", "Bruma"), **values) -> Record:
    text, offsets = joined(tokens)
    return Record("es/O_1", "O_1", "es", "twitter2017", text, tuple(tokens), offsets, **values)


def test_a_record_comes_back_from_its_file_with_the_keys_that_nobody_knows(tmp_path):
    spans = (Span(0, 1, "PER", "project:exact", 0, 1.0, "projected"), Span(4, 4, "LOC", status="missing"))
    written = [record(spans=spans, gold=spans[:1], more={"picture": {"sha256": "0"}}), record(("\u2028", "NA", '"'))]
    write_records(tmp_path / "a.jsonl", written)
    assert list(read_records(tmp_path / "a.jsonl")) == written
    assert json.loads((tmp_path / "a.jsonl").read_text("utf-8").split("\n")[0])["spans"][0]["from"] == 0


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"offsets": [[0, 4], [5, 10], [11, 13], [14, 16], [16, 21]]}, "not the word '🎉'"),
        ({"tokens": ["Liam"]}, "1 `tokens` and 5 `offsets`"),
        ({"spans": [{"start": 4, "end": 6, "type": "LOC"}]}, "words 4 to 6 of 5"),
        ({"spans": [{"start": 1, "end": 1, "type": "LOC"}]}, "words 1 to 1 of 5"),
        ({"spans": [{"start": 0, "end": 1, "type": "LOC", "status": "lost"}]}, "`status` must be one of"),
        ({"spans": [{"start": 0, "end": 2, "type": "PER"}, {"start": 1, "end": 3, "type": "LOC"}]}, "on one word"),
        ({"lang": "spanish"}, "`lang` must be a code"),
        ({"spans": [{"begin": 0}]}, "not a record"),
    ],
)
def test_every_reader_checks_the_rules_and_names_the_line(tmp_path, change, fault):
    path = tmp_path / "a.jsonl"
    lines = [record().to_json(), {**record().to_json(), **change}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with pytest.raises(ValueError, match=r"a\.jsonl:2: .*") as error:
        list(read_records(path))
    assert fault in str(error.value)


def test_offsets_count_code_points():
    assert record().offsets[4] == (16, 21)


def test_the_answers_of_people_replace_the_proposals_and_questions_are_no_labels():
    proposed = (Span(4, 5, "LOC", status="ambiguous"), Span(0, 1, "PER", status="projected"))
    assert record(spans=proposed).labels == (proposed[1],)
    assert record(spans=proposed, gold=()).labels == ()


def test_tags_and_spans_are_the_same():
    tags = ("B-PER", "B-PER", "I-PER", "O", "B-LOC", "I-LOC")
    spans = spans_of_tags(tags, "released")
    assert [(span.start, span.end, span.type) for span in spans] == [(0, 1, "PER"), (1, 3, "PER"), (4, 6, "LOC")]
    assert tags_of_spans(6, spans) == tags


def test_a_record_is_checked_when_it_is_changed():
    with pytest.raises(ValueError, match="give 'L' and not the word 'Liam'"):
        replace(record(), offsets=((0, 1), (5, 10), (11, 13), (14, 15), (16, 21)))


def test_tags_of_another_type_do_not_lengthen_an_entity():
    spans = spans_of_tags(["B-PER", "I-LOC", "I-PER", "B-LOC", "I-LOC"], "released")
    assert [(span.start, span.end, span.type) for span in spans] == [(0, 1, "PER"), (3, 5, "LOC")]
