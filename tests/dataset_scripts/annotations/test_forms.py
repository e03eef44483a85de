"""The forms in which tasks go to people and answers come back."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from dataset_scripts.annotations.forms import WRITERS, read_annotations
from dataset_scripts.annotations.jsonl import read_jsonl, write_jsonl
from dataset_scripts.annotations.label_studio import local_address, project_settings, sentences_of
from dataset_scripts.annotations.sentence import (
    DONE,
    OPEN,
    SKIPPED,
    Faults,
    Mention,
    Sentence,
    Task,
    collected_faults,
    joined,
    located,
)

WORDS = ("🎉", "#", "Ana", "Ruiz", "en", "París")
TEXT, OFFSETS = joined(WORDS)
MENTIONS = (Mention(4, 12, "PER"), Mention(16, 21, "LOC"))  # in code points
ENTITIES = ((2, 4, "PER"), (5, 6, "LOC"))  # in words
SENTENCE = Sentence(WORDS, TEXT, OFFSETS, MENTIONS, uid="es/O_1", lang="es", annotator="ana", image="O_1.jpg")
FORMS = ("jsonl", "conll")


def write(folder, form, **values):
    WRITERS[form](folder, "ana", [Task(SENTENCE, **values)])
    return folder / f"ana.{form}"


def read(path, split=None, users=None):
    with collected_faults() as faults:
        found = list(read_annotations(path, faults, split, users))
    return found


def lines(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


@pytest.mark.parametrize("form", FORMS)
def test_a_task_that_is_not_done_is_no_answer(form, tmp_path):
    (found,) = read(write(tmp_path, form, note="a\nb"))
    assert (found.uid, found.annotator, found.words, found.status, found.entities) == (
        "es/O_1",
        "ana",
        WORDS,
        OPEN,
        (),
    )
    assert (found.lang, found.image) == ("es", "O_1.jpg")


@pytest.mark.parametrize("form", FORMS)
def test_a_finished_task_is_an_answer(form, tmp_path):
    path = write(tmp_path, form, others={"ben": ENTITIES[:1]})
    text = (
        path.read_text("utf-8")
        .replace('"status": "open"', '"status": "done"')
        .replace("status = open", "status = done")
    )
    path.write_text(text, "utf-8", newline="\r\n" if form == "conll" else None)
    (found,) = read(path)
    assert found.entities == ENTITIES and found.mentions == MENTIONS and not found.misfits
    assert (found.status, found.round, found.fault) == (DONE, tmp_path.name, "")


def test_each_column_of_a_conll_file_is_a_person(tmp_path):
    path = tmp_path / "both.conll"
    path.write_text(
        "# uid = en/1\n# flags = picture missing, x\n# columns = word ana ben\n#\tO\tO\nAna\tB-PER\tI-PER\n", "utf-8"
    )
    ana, ben = read(path)
    assert ana.words == ("#", "Ana") and ana.entities == ((1, 2, "PER"),) and ana.flags == ("picture missing", "x")
    assert ben.fault == "the tags are not IOB2" and ben.tags == ("O", "I-PER") and not ben.mentions


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
        read(path)


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"uid": "1", "annotator": "", "tokens": [], "spans": []}', '{"uid": "1"}']
)
def test_a_line_that_is_no_answer_is_refused_with_its_number(line, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(f"{line}\n", "utf-8")
    with pytest.raises(ValueError, match=r"a.jsonl:1: .*; correct it"):
        read(path)


@pytest.mark.parametrize(
    ("spans", "fault"),
    [
        ([(0, 7, "PER")], "an entity lies outside the sentence"),
        ([(3, 3, "PER")], "an entity lies outside the sentence"),
        ([(0, 3, "PER"), (2, 4, "LOC")], "(LOC, 4 to 12) overlap"),
    ],
)
def test_an_answer_that_does_not_fit_its_sentence_is_kept_with_its_fault(spans, fault, tmp_path):
    values = [{"start": start, "end": end, "type": kind} for start, end, kind in spans]
    (found,) = read(lines(tmp_path / "a.jsonl", json.dumps({"tokens": WORDS, "spans": values})))
    assert found.words == WORDS and fault in found.fault and not found.entities


def test_tags_of_any_scheme_are_kept_for_whoever_converts_them(tmp_path):
    values = [{"tokens": ["Ana", "Ruiz"], "ner_tags": tags} for tags in (["B-PER", "I-PER"], ["B-PER", "E-PER"])]
    sound, other = read(lines(tmp_path / "a.jsonl", *map(json.dumps, values)))
    assert sound.entities == ((0, 2, "PER"),) and sound.tags == ("B-PER", "I-PER")
    assert other.tags == ("B-PER", "E-PER") and other.fault == "the tags are not IOB2" and not other.entities


def by_blanks(text, lang):
    words = text.split()
    return words, located(words, text)


def test_text_with_entities_counts_code_points_and_tells_which_fit_no_word(tmp_path):
    text = "🎉  Ana👨‍👩‍👧 vive en Bruma-am-See"
    places = [(text.index("Ana"), "Ana👨‍👩‍👧", "PER"), (text.index("Bruma"), "Bruma", "LOC")]
    entities = [{"start": start, "end": start + len(words), "label": kind} for start, words, kind in places]
    line = json.dumps({"text": text, "entities": entities, "file_name": "1.jpg"})  # emoji as pairs of surrogates
    (found,) = read(lines(tmp_path / "a.jsonl", line), by_blanks)
    assert found.text == text and found.image == "1.jpg"
    assert [text[place.start : place.end] for place in found.mentions] == ["Ana👨‍👩‍👧", "Bruma"]
    assert found.entities == ((1, 2, "PER"), (4, 5, "LOC")) and found.misfits == found.mentions[1:]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "Ana", "entities": []}', "`tokens` must be a list of words"),
        ('{"text": "Ana", "tokens": ["Ben"], "entities": []}', "`tokens` are not the words of `text`"),
        ('{"tokens": ["a", "b"], "ner_tags": ["O"]}', "2 `tokens` and 1 `ner_tags`"),
        ('{"tokens": ["a"], "ner_tags": [0]}', "`ner_tags` must be a list of names"),
        ('{"tokens": ["a"], "entities": [{"start": 0, "end": 1}]}', "'label' is missing"),
        ('{"tokens": ["a"], "entities": [{"start": true, "end": 1, "label": "X"}]}', "must be whole numbers"),
        ('{"tokens": ["\\ud83c"], "spans": []}', "surrogates not allowed"),
        ('{"tokens": ["a"], "image": 7, "spans": []}', "`image` must be text"),
    ],
)
def test_a_line_says_what_is_wrong_with_it(line, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(lines(tmp_path / "a.jsonl", line))


@pytest.mark.parametrize("form", FORMS)
def test_all_lines_that_cannot_be_read_are_counted_and_ten_are_shown(form, tmp_path):
    path = lines(tmp_path / f"a.{form}", *["nothing", ""] * 11, *(["{}"] if form == "jsonl" else ["# status = x"]))
    path.write_bytes(path.read_bytes() + b"\xff\n")
    number = 13 if form == "jsonl" else 12  # a sentence of CoNLL has only one fault
    with pytest.raises(ValueError, match=f"^{number} lines or sentences cannot be read; the first 10 are:") as raised:
        read(path)
    assert str(raised.value).count("\n") == 10 and f"{path}:19: " in str(raised.value)


def test_sentences_that_can_be_read_are_yielded_beside_those_that_cannot(tmp_path):
    path = lines(tmp_path / "a.jsonl", "{", '{"tokens": ["a"], "spans": []}')
    faults = Faults()
    assert [found.place for found in read_jsonl(path, faults)] == [f"{path}:2"] and faults.count == 1


def test_sentences_come_back_as_they_were_written(tmp_path):
    told = replace(SENTENCE, flags=("x",), round="first", mentions=(Mention(5, 12, "PER"),))
    write_jsonl(tmp_path / "a.jsonl", [told, replace(told, mentions=(), status=SKIPPED, fault="why")])
    found = read(tmp_path / "a.jsonl")
    assert [replace(sentence, place="") for sentence in found] == [
        told,
        replace(told, mentions=(), status=SKIPPED, fault="why"),
    ]


def exported(*values, data=None, **said):
    result = [{"type": "labels", "value": value} for value in values]
    annotation = {"id": 1, "completed_by": 7, "was_cancelled": False, "result": result, **said}
    return [{"data": data or {"uid": "es/O_1", "tokens": WORDS}, "annotations": [annotation]}]


def read_export(*values, users=None, split=None, **said):
    with collected_faults() as faults:
        (found,) = sentences_of(exported(*values, **said), "export.json", "round", faults, split, users)
    return found


# "🎉 # Ana Ruiz en París": Ana is at 4 to 7 in code points, at 5 to 8 in UTF-16
@pytest.mark.parametrize("start", [4, 5])
def test_places_behind_emoji_are_found_in_code_points_and_in_utf_16(start):
    found = read_export({"start": start, "end": start + 8, "text": "Ana Ruiz", "labels": ["PER"]}, users={7: "ana"})
    assert found.mentions == MENTIONS[:1] and found.entities == ENTITIES[:1] and found.annotator == "ana"


def test_a_part_of_a_word_is_widened_and_counted():
    found = read_export({"start": 5, "end": 9, "text": "na R", "labels": ["PER"]})
    assert found.entities == ENTITIES[:1] and found.misfits == (Mention(5, 9, "PER"),)


@pytest.mark.parametrize(
    "value", [{"start": 0, "end": 999, "text": "🎉"}, {"start": 4, "end": 7, "text": "Ben"}, {"start": 9, "end": 3}]
)
def test_a_place_without_its_text_is_a_fault(value):
    found = read_export({**value, "labels": ["PER"]})
    assert not found.mentions and "is not at" in found.fault


def test_a_cancelled_task_is_skipped_and_unknown_users_have_a_number():
    found = read_export(was_cancelled=True, completed_by={"id": 8})
    assert (found.status, found.annotator) == (SKIPPED, "user-8")


def test_relations_say_nothing_about_entities():
    (task,) = exported({"start": 4, "end": 12, "text": "Ana Ruiz", "labels": ["PER"]})
    task["annotations"][0]["result"].append({"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"})
    with collected_faults() as faults:
        (found,) = sentences_of([task], "export.json", "round", faults)
    assert found.entities == ENTITIES[:1]


@pytest.mark.parametrize("kind", ["hypertextlabels", "paragraphlabels"])
def test_spans_that_are_not_counted_in_a_text_are_refused_and_not_lost(kind):
    (task,) = exported({"start": "/p[1]/text()[1]", "end": "/p[1]/text()[1]", kind: ["PER"]})
    task["annotations"][0]["result"][0]["type"] = kind
    faults = Faults()
    assert list(sentences_of([task], "export.json", "round", faults)) == []
    assert re.match(f"export.json, task 1: the spans of the type '{kind}' .*; annotate a `Text`", faults.shown[0])


def test_tasks_for_label_studio_hold_proposals_in_code_points(tmp_path):
    WRITERS["label_studio"](tmp_path, "tasks", [Task(replace(SENTENCE, image=""))] * 501)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tasks-00000.json", "tasks-00001.json"]
    (task,) = json.loads((tmp_path / "tasks-00001.json").read_text("utf-8"))
    values = [result["value"] for result in task["predictions"][0]["result"]]
    assert values[0] == {"start": 4, "end": 12, "text": "Ana Ruiz", "labels": ["PER"]}
    assert task["data"]["image"].startswith("data:") and task["data"]["text"] == TEXT


def test_a_project_of_others_has_text_that_is_split_and_tasks_without_annotations_are_open():
    value = {"start": 4, "end": 9, "text": "Bruma", "labels": ["LOC"]}
    found = read_export(value, split=by_blanks, data={"text": "Ana Bruma.", "image": "/1.jpg"})
    assert (found.words, found.entities, found.image) == (("Ana", "Bruma."), ((1, 2, "LOC"),), "/1.jpg")
    (task,) = exported(data={"text": "Ana Bruma."})
    (found,) = sentences_of([{**task, "annotations": []}], "x", "", Faults(), by_blanks)
    assert (found.status, found.annotator) == (OPEN, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"export.json: no JSON .*; export it again"),
        ('{"id": 1}', "no list of tasks"),
        (
            '[{"annotations": []}]',
            r"export.json, task 1: no task of Label Studio, which has `data`.*; export it again",
        ),
        ('[{"data": {"text": "x"}, "annotations": []}]', "the task has no `tokens`"),
    ],
)
def test_a_file_that_is_no_export_is_refused_with_the_remedy(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(lines(tmp_path / "export.json", text))


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
