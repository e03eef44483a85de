from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from modeling_2mner.pipeline_2mner import Entities
from training_2mner.predict.output import PartialFile, Prediction, form_of
from training_2mner.predict.text import InputRecord

ANNA = {"entity_group": "PER", "score": 0.5, "word": "Anna Meier", "start": 0, "end": 2, "image_status": "ok"}
PARIS = {"entity_group": "LOC", "score": 0.25, "word": "Paris", "start": 2, "end": 3, "image_status": "ok"}
WORDS = ["Anna", "Meier", "Paris", "!"]
JSON_LINES, CONLL = form_of(Path("a.jsonl")), form_of(Path("a.conll"))


def record(place: str = "a:1", **fields) -> InputRecord:
    """A record of words with these fields."""
    return InputRecord({"words": fields["words"]}, fields, place)


def test_an_object_keeps_its_fields_and_gets_results():
    entities = Entities([ANNA], ["ok", "missing"])

    line = JSON_LINES.write(record(id=1, words=WORDS, day=date(2020, 1, 2)), Prediction(entities))
    tagged = JSON_LINES.write(record(words=WORDS), Prediction(entities, [{"word": "Anna"}]))

    results = {"entities": [ANNA], "image_status": ["ok", "missing"]}
    assert json.loads(line) == {"id": 1, "words": WORDS, "day": "2020-01-02", **results}
    assert json.loads(tagged) == {"words": WORDS, **results, "word_tags": [{"word": "Anna"}]}


@pytest.mark.parametrize(("word", "written"), [("Köln\u2028", "Köln\u2028"), ("\ud800ö", "\\ud800\\u00f6")])
def test_letters_stay_readable_where_a_file_can_hold_them(word, written):
    line = JSON_LINES.write(record(words=["a"], note=word), Prediction(Entities()))

    assert written in line and json.loads(line.encode())["note"] == word
    assert JSON_LINES.repeats(record(words=["a"], note=word), line)


def test_conll_has_a_valid_tag_for_each_word():
    text = CONLL.write(
        record(image_id="7", words=WORDS), Prediction(Entities([ANNA, PARIS, {**PARIS, "start": 3, "end": 4}]))
    )

    assert text == "IMGID:7\nAnna\tB-PER\nMeier\tI-PER\nParis\tB-LOC\n!\tB-LOC\n\n"


@pytest.mark.parametrize("image_id", [{}, {"image_id": None}])
def test_conll_without_image_ids_stays_so(image_id):
    text = CONLL.write(record(words=["a"], **image_id), Prediction(Entities()))

    assert text == "a\tO\n\n"
    assert CONLL.repeats(record(words=["a"]), text)


@pytest.mark.parametrize("form", [JSON_LINES, CONLL])
def test_another_sentence_is_not_taken_for_this_one(form):
    text = form.write(record(image_id="7", words=WORDS), Prediction(Entities([ANNA])))

    assert form.repeats(record(image_id="7", words=WORDS), text)
    assert not form.repeats(record(image_id="8", words=WORDS), text)
    assert not form.repeats(record(image_id="7", words=WORDS[:3]), text)
    assert not form.repeats(record(words=WORDS), text)


@pytest.mark.parametrize("fields", [{"words": []}, {"words": ["a\tb"]}, {"words": [""]}, {"words": ["IMGID:"]}])
def test_what_conll_cannot_hold_is_an_error(fields):
    with pytest.raises(ValueError, match="a:1: CoNLL cannot hold"):
        CONLL.write(record(**fields), Prediction(Entities()))


def test_text_has_no_conll():
    with pytest.raises(ValueError, match=r"a:1: .* not split into words"):
        CONLL.write(InputRecord({"text": "a"}, {"text": "a"}, "a:1"), Prediction(Entities()))


def test_another_ending_is_an_error():
    with pytest.raises(ValueError, match=r"a\.csv must end in"):
        form_of(Path("a.csv"))


@pytest.fixture(params=["a.jsonl", "a.conll"])
def started(request, tmp_path):
    """A partial file of five sentences with two settings, the bytes of each, and the sentences."""
    partial = PartialFile(tmp_path / request.param, {"threshold": None, "model": {"a": [1]}})
    records = [record(words=[f"word{number}"]) for number in range(5)]
    assert partial.resume(records, overwrite=False) == 0
    blocks = [partial.encode(record, Prediction(Entities())) for record in records]
    with partial.open() as file:
        file.writelines(blocks)
        partial.mark(5, file)
    return partial, blocks, records, tmp_path / f"{request.param}.partial"


def test_a_whole_file_is_kept_whole(started):
    partial, blocks, records, path = started

    assert partial.resume(records, overwrite=False) == 5
    assert path.read_bytes() == b"".join(blocks)


@pytest.mark.parametrize(("lost", "marked", "kept"), [(0, 4, 4), (1, 4, 4), (1, 0, 0), (1, 5, 0)])
def test_what_was_marked_is_kept(started, lost, marked, kept):
    partial, blocks, records, path = started
    with partial.open() as file:
        partial.mark(marked, file)
    path.write_bytes(b"".join(blocks)[: -lost or None])

    assert partial.resume(records, overwrite=False) == kept
    assert path.read_bytes() == b"".join(blocks[:kept])


def test_the_whole_file_becomes_the_output(started, tmp_path):
    partial, blocks, _, path = started

    partial.finish()

    (output,) = tmp_path.iterdir()
    assert output.name == path.name.removesuffix(".partial")
    assert output.read_bytes() == b"".join(blocks)


def test_another_input_is_noticed(started):
    partial, _, records, path = started
    changed = [*records[:2], record(words=["other"]), *records[3:]]

    for others in (changed, records[:3]):
        with pytest.raises(ValueError, match=r"another input: its sentence \d .*--overwrite"):
            partial.resume(others, overwrite=False)
    assert path.stat().st_size > 0
    assert partial.resume(changed, overwrite=True) == 0
    assert path.stat().st_size == 0


def test_other_settings_are_noticed(started):
    _, _, records, path = started
    other = PartialFile(path.with_suffix(""), {"threshold": 0.5, "model": {"a": [1]}})

    with pytest.raises(ValueError, match=r"other settings \(threshold\)"):
        other.resume(records, overwrite=False)
    assert other.resume(records, overwrite=True) == 0
    assert other.resume(records, overwrite=False) == 0


@pytest.mark.parametrize("text", [None, "[]", "3", '{"complete_sentences": "two"}'])
def test_settings_that_are_gone_are_other_ones(started, text):
    partial, _, records, path = started
    settings = path.with_name(f"{path.name}.json")
    settings.unlink() if text is None else settings.write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match=r"other settings \(model\)"):
        partial.resume(records, overwrite=False)
