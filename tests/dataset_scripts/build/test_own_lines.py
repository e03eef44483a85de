"""What annotated data may not hold, and what is said about it."""

from __future__ import annotations

import json
import re
import unicodedata

import PIL.Image
import pytest

from dataset_scripts.build.own import OwnSettings
from dataset_scripts.reading import read_schema
from tests.dataset_scripts.build.own_builds import build, write_lines
from tests.dataset_scripts.distribution import encode


@pytest.mark.parametrize(("stored", "named"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_picture_is_found_however_its_accents_are_spelt(tmp_path, stored, named):
    spelt = {form: unicodedata.normalize(form, "Köln") for form in (stored, named)}
    (tmp_path / f"{spelt[stored]}.jpg").write_bytes(encode(PIL.Image.new("RGB", (70, 60)), "JPEG"))
    for name, text in (
        ("a.jsonl", json.dumps({"tokens": ["a"], "ner_tags": ["O"], "image": spelt[named]})),
        ("b.conll", f"IMGID:{spelt[named]}\na\tO\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        rows, _ = build(tmp_path / name, tmp_path / f"{name}-set")
        assert [row["image_status"] for row in rows.values()] == ["ok"]


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ("PER", "the tag 'PER' of 'd' is a type alone, while most tags have a prefix"),
        ("I-", "the tag 'I-' of 'd' is a type alone"),
        ("o", "the tag 'o' of 'd' is a type alone"),
        ("W-PER", "the tag 'W-PER' of 'd' is a type alone"),
    ],
)
def test_a_tag_without_the_prefix_that_others_have_is_no_type_of_its_own(tmp_path, odd, message):
    path = tmp_path / "train.txt"
    path.write_text(f"a\tB-PER\nb\tI-PER\nc\tO\n\nd\t{odd}\ne\tO\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}:5: {message}')}.*; correct it, or .*--scheme io`.$"):
        build(path, tmp_path / "set")
    path.write_text(path.read_text(encoding="utf-8").replace("B-", "").replace("I-PER", "PER"), encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace(f"d\t{odd}", "d\tB-PER"), encoding="utf-8")
    with pytest.raises(ValueError, match=r":5: the tag 'B-PER' of 'd' has a prefix, while most tags have none"):
        build(path, tmp_path / "set")
    rows, _ = build(path, tmp_path / "set", OwnSettings(language="it", scheme="io"))
    assert [row["ner_tags"] for row in rows.values()] == [["B-PER", "I-PER", "O"], ["B-PER", "O"]]


def test_a_stated_split_is_never_replaced_in_silence(tmp_path):
    rows = [{"tokens": [f"w{n}"], "ner_tags": ["O"]} for n in range(9)]
    mixed = write_lines(tmp_path / "all.jsonl", [{**rows[0], "split": "test"}, *rows[1:]])
    with pytest.raises(ValueError, match=r"all.jsonl:2: no split, while other sentences state one; .*--split grouped"):
        build(mixed, tmp_path / "a")
    build(mixed, tmp_path / "a", split="paper")
    stated = write_lines(tmp_path / "all.jsonl", [{**row, "split": "train"} for row in rows])
    with pytest.raises(ValueError, match="`sizes` is for a new split, but the sentences state theirs; leave it out"):
        build(stated, tmp_path / "b", OwnSettings(language="it", sizes=(7, 1, 2)))


@pytest.mark.parametrize(
    ("name", "text", "columns", "message"),
    [
        ("a.conll", "Hi\tO\n", ("tokens=word",), "`columns` of `form` conll are numbers from 1.*got tokens=word"),
        ("a.conll", "Hi\tO\n", ("tokens=0",), "got tokens=0"),
        ("a.conll", "Hi\tO\n", ("image=3",), "got image=3"),
        ("a.conll", "Hi\tO\n", ("tokens=1", "ner_tags=1"), "must name different columns"),
        ("a.conll", "Hi\tO\n", ("ner_tags=9",), "a.conll:1: only 2 columns: .*; name other columns with `--columns"),
        ("a.conll", "Hi\tO\n", ("tokens=1", "tokens=2"), "says two things about 'tokens'"),
        (
            "a.jsonl",
            '{"tokens": ["a"], "ner_tags": ["O"]}',
            ("image=photo",),
            "'photo', which no sentence .*tokens, ner_tags",
        ),
        ("a.json", '[{"id": 1, "data": {"text": "a"}}]', ("image=photo",), "'photo', which no sentence"),
    ],
)
def test_a_column_that_there_is_not_is_refused(tmp_path, name, text, columns, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        build(tmp_path / name, tmp_path / "set", OwnSettings(columns=columns, language="it"))


def test_columns_help_to_recognise_a_file(tmp_path):
    (tmp_path / "a.conll").write_text("B-PER\tAnna\nO\truns\n", encoding="utf-8")
    rows, _ = build(
        tmp_path / "a.conll", tmp_path / "a", OwnSettings(columns=("tokens=2", "ner_tags=1"), language="it")
    )
    assert [(row["tokens"], row["ner_tags"]) for row in rows.values()] == [(["Anna", "runs"], ["B-PER", "O"])]


@pytest.mark.parametrize("kind", ["व्यक्ति", "E\u0301cole", "Größe", "人名", "GPE/LOC", "geo-loc.1"])
def test_types_of_any_language(tmp_path, kind):
    source = write_lines(tmp_path / "train.jsonl", [{"tokens": ["Anna"], "ner_tags": [f"B-{kind}"]}])
    build(source, tmp_path / "set")
    assert read_schema(next((tmp_path / "set").rglob("*.parquet"))).types == (kind,)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("Work of Art", "'Work of Art=Work-of-Art'"),
        ("Arts & Crafts", "'Arts & Crafts=Arts-Crafts'"),
        ("1st", "1st=st"),
        ("🙂", "'🙂=NAME'"),
        ("O", "O=NAME"),
        ("x\u202ey", "'x\u202ey=x-y'"),
    ],
)
def test_a_name_that_no_type_can_have_is_refused_with_the_option_that_mends_it(tmp_path, kind, remedy):
    values = {"text": "Anna", "entities": [{"start": 0, "end": 4, "label": kind}]}
    source = write_lines(tmp_path / "train.jsonl", [values])
    with pytest.raises(ValueError, match=re.escape(f"rename it, as with `--rename {remedy}`.")):
        build(source, tmp_path / "set")
    new = remedy.strip("'").rpartition("=")[2]
    build(source, tmp_path / "set", OwnSettings(language="it", rename=(f"{kind}={new}",)))
    assert read_schema(next((tmp_path / "set").rglob("*.parquet"))).types == (new,)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.conll", "Hi O\n".encode("utf-16"), "a.conll is in UTF-16 or UTF-32; save the file as UTF-8"),
        ("a.jsonl", "{}".encode("utf-16"), "a.jsonl is in UTF-16 or UTF-32"),
        (
            "a.jsonl",
            '{"text": "Köln"}'.encode("latin-1"),
            "a.jsonl:1: bytes that are not UTF-8; save the file as UTF-8",
        ),
        ("a.json", '[{"text": "Köln"}]'.encode("latin-1"), "a.json: bytes that are not UTF-8; save the file as UTF-8"),
        ("a.jsonl", b'{"a": ' + b"[" * 100_000, "a.jsonl:1: the JSON is nested too deeply; correct it"),
        ("a.json", b"[" * 100_000, "a.json: no JSON .the JSON is nested too deeply.; export it again"),
        ("a.jsonl", b'{"text": "a \\ud83d", "entities": []}', "a.jsonl:1: 'utf-8' codec can't encode"),
        ("a.json", b'[{"data": {"text": "a \\ud83d"}}]', "a.json, task 1: 'utf-8' codec can't encode"),
        ("a.json", b'[{"data": {"text": 5}}]', "a.json, task 1: `text` must be text, got 5"),
        ("a.jsonl", b'{"text": " ", "entities": []}', "a.jsonl:1: the `text` has no words"),
        (
            "a.jsonl",
            b'{"text": "a", "entities": [[0, 1, "P"]]}',
            "a.jsonl:1: `entities` must be a list of objects with",
        ),
        ("a.jsonl", b'{"text": "a", "entities": null}', r"`entities` must be a list of objects .*\(\[\] for none\)"),
        (
            "a.jsonl",
            b'{"text": "Anna", "entities": [{"start": 0, "end": 2, "label": "P"}, {"start": 2, "end": 4, "label": "Q"}]}',
            "the entities 'An' .P, 0 to 2. and 'na' .Q, 2 to 4. share a word; correct it",
        ),
    ],
)
def test_files_that_hold_no_sentences_are_refused_with_line_and_remedy(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        build(tmp_path / name, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_files_of_a_folder_that_are_not_recognised_are_named(tmp_path, caplog):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "train.txt").write_text("Hi\tO\n", encoding="utf-8")
    (tmp_path / "text" / "test.txt").write_text("Hi\n", encoding="utf-8")
    build(tmp_path / "text", tmp_path / "set")
    assert "Not recognised, and left out: test.txt; `--form` names" in caplog.text


def test_the_language_of_texts_without_letters_is_not_guessed(tmp_path):
    source = write_lines(
        tmp_path / "train.jsonl", [{"tokens": [word], "ner_tags": ["O"]} for word in ("12", "!", "🎉")]
    )
    rows, _ = build(source, tmp_path / "set", OwnSettings())
    assert {row["lang"] for row in rows.values()} == {"und"}
