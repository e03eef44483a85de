"""The forms in which tasks go to people and answers come back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dataset_scripts.annotations.jsonl import DONE, OPEN, REFUSED, SKIPPED, Answer, Conll, Jsonl, Task
from dataset_scripts.annotations.label_studio import LabelStudio, local_address, project_settings
from dataset_scripts.construct.records import Record, Span, joined
from dataset_scripts.schema import ENTITY_TYPES

WORDS = ("🎉", "#", "Ana", "Ruiz", "en", "París")
TEXT, OFFSETS = joined(WORDS)
SPANS = (Span(2, 4, "PER"), Span(5, 6, "LOC"))
RECORD = Record("es/O_1", "O_1", "es", "other", TEXT, WORDS, OFFSETS, spans=SPANS)
FORMATS = {"jsonl": Jsonl(), "conll": Conll()}


def write(folder, form, **values):
    FORMATS[form].write(folder, "ana", [Task(RECORD, SPANS, "ana", **values)])
    return folder / f"ana.{form}"


@pytest.mark.parametrize("form", FORMATS)
def test_a_task_that_is_not_done_is_no_answer(form, tmp_path):
    (found,) = FORMATS[form].read(write(tmp_path, form, note="a\nb", image="O_1.jpg"))
    assert (found.uid, found.annotator, found.tokens, found.status, found.spans) == ("es/O_1", "ana", WORDS, OPEN, ())


@pytest.mark.parametrize("form", FORMATS)
def test_a_finished_task_is_an_answer(form, tmp_path):
    path = write(tmp_path, form, others={"ben": SPANS[:1]})
    text = (
        path.read_text("utf-8")
        .replace('"status": "open"', '"status": "done"')
        .replace("status = open", "status = done")
    )
    path.write_text(text, "utf-8", newline="\r\n" if form == "conll" else None)
    (found,) = FORMATS[form].read(path)
    assert [(span.start, span.end, span.type) for span in found.spans] == [(2, 4, "PER"), (5, 6, "LOC")]
    assert (found.status, found.round) == (DONE, tmp_path.name)
    assert found.checked(RECORD, ENTITY_TYPES) == found


def test_each_column_of_a_conll_file_is_a_person(tmp_path):
    path = tmp_path / "both.conll"
    path.write_text(
        "# uid = en/1\n# flags = picture missing, x\n# columns = word ana ben\n#\tO\tO\nAna\tB-PER\tI-PER\n", "utf-8"
    )
    ana, ben = Conll().read(path)
    assert ana.tokens == ("#", "Ana") and ana.spans[0].type == "PER" and ana.flags == ("picture missing", "x")
    assert ben.reason == "the tags are not IOB2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# uid = 1\n# columns = word ana\nx\tO\tO\n", "as many columns"),
        ("# columns = word ana\nx\tO\n", "`# uid`"),
        ("# uid = 1\n# status = finished\n# columns = word ana\nx\tO\n", "`status` must be open, done or skipped"),
        ("nothing\n", ":1: neither a comment nor"),
    ],
)
def test_a_conll_file_that_cannot_be_read_is_refused_with_the_place(text, message, tmp_path):
    path = tmp_path / "a.conll"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        list(Conll().read(path))


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"uid": "1", "annotator": "", "tokens": [], "spans": []}', '{"uid": "1"}']
)
def test_a_line_that_is_no_answer_is_refused_with_its_number(line, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(f"{line}\n", "utf-8")
    with pytest.raises(ValueError, match=r"a.jsonl:1: not an answer"):
        list(Jsonl().read(path))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"tokens": WORDS[1:]}, "the words are not those of the sentence"),
        ({"spans": (Span(0, 1, "CITY"),)}, "unknown type 'CITY'"),
        ({"spans": (Span(0, 7, "PER"),)}, "an entity lies outside the sentence"),
        ({"spans": (Span(3, 3, "PER"),)}, "an entity lies outside the sentence"),
        ({"spans": (Span(0, 3, "PER"), Span(2, 4, "LOC"))}, "entities overlap"),
    ],
)
def test_an_answer_that_does_not_fit_is_kept_as_refused(values, reason):
    found = replace(Answer("es/O_1", "ana", WORDS, SPANS), **values).checked(RECORD, ENTITY_TYPES)
    assert (found.status, found.reason, found.spans) == (REFUSED, reason, ())


def exported(*values, **said):
    result = [{"type": "labels", "value": value} for value in values]
    annotation = {"id": 1, "completed_by": 7, "was_cancelled": False, "result": result, **said}
    return [{"data": {"uid": "es/O_1", "tokens": WORDS}, "annotations": [annotation]}]


def read_export(*values, **said):
    (found,) = LabelStudio({7: "ana"}).answers(exported(*values, **said), "round")
    return found


# "🎉 # Ana Ruiz en París": Ana is at 4 to 7 in code points, at 5 to 8 in UTF-16
@pytest.mark.parametrize("start", [4, 5])
def test_places_behind_emoji_are_found_in_code_points_and_in_utf_16(start):
    found = read_export({"start": start, "end": start + 8, "text": "Ana Ruiz", "labels": ["PER"]})
    assert [(span.start, span.end, span.type) for span in found.spans] == [(2, 4, "PER")] and found.annotator == "ana"


def test_a_part_of_a_word_is_widened_and_counted():
    found = read_export({"start": 5, "end": 9, "text": "na R", "labels": ["PER"]})
    assert [(span.start, span.end) for span in found.spans] == [(2, 4)] and found.widened == 1


@pytest.mark.parametrize(
    "value", [{"start": 0, "end": 999, "text": "🎉"}, {"start": 4, "end": 7, "text": "Ben"}, {"start": 9, "end": 3}]
)
def test_a_place_without_its_text_is_refused(value):
    found = read_export({**value, "labels": ["PER"]})
    assert found.status == REFUSED and "is not at" in found.reason


def test_a_cancelled_task_is_skipped_and_unknown_users_have_a_number():
    (found,) = LabelStudio().answers(exported(was_cancelled=True, completed_by={"id": 8}), "round")
    assert (found.status, found.annotator) == (SKIPPED, "user-8")


def test_tasks_for_label_studio_hold_proposals_in_code_points(tmp_path):
    LabelStudio().write(tmp_path, "tasks", [Task(RECORD, SPANS)] * 501)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tasks-00000.json", "tasks-00001.json"]
    (task,) = json.loads((tmp_path / "tasks-00001.json").read_text("utf-8"))
    values = [result["value"] for result in task["predictions"][0]["result"]]
    assert values[0] == {"start": 4, "end": 12, "text": "Ana Ruiz", "labels": ["PER"]}
    assert task["data"]["image"].startswith("data:") and task["data"]["text"] == TEXT


def test_a_project_escapes_types_and_shows_the_guideline():
    project = project_settings("news", ("A<B",), "# PER\n\nNames of\npersons.\n\n- `Ana`\n- Ben\n  too\n")
    assert '<Label value="A&lt;B"/>' in project["label_config"]
    instruction = " ".join(project["expert_instruction"].split())
    assert "PER</h3> <p>Names of persons." in instruction and "<li><code>Ana</code>" in instruction
    assert "Ben too" in " ".join(instruction.split())
    with pytest.raises(ValueError, match="3 to 50 characters"):
        project_settings("ab", ("PER",), "")


def test_the_address_of_a_picture_is_quoted_once(tmp_path):
    assert local_address(tmp_path / "a" / "b 1%2F.jpg", tmp_path) == "/data/local-files/?d=a/b%201%252F.jpg"
