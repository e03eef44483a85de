from __future__ import annotations

import base64
import json
import pickle
from io import BytesIO

import pytest

from training_2mner.predict.text import TextRecords


@pytest.fixture
def write(tmp_path):
    """Write a file and open its records."""

    def build(name: str, content: str | bytes, images=None) -> TextRecords:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return TextRecords(tmp_path / name, images)

    return build


def test_a_plain_text_has_a_sentence_on_each_line(write, tmp_path):
    records = write("a.txt", "\ufeffAnna in Köln\r\n\nIMGID:no\u2028yes")

    assert [record.sentence for record in records] == [
        {"text": text} for text in ("Anna in Köln", "", "IMGID:no\u2028yes")
    ]
    assert [record.place for record in records] == [f"{tmp_path / 'a.txt'}:{line}" for line in (1, 2, 3)]


@pytest.mark.parametrize("name", ["a.conll", "a.txt"])
def test_conll_needs_no_tags_and_reads_none(write, tmp_path, name):
    records = write(name, "\ufeffIMGID:x y\nAnna\tB-PER\n\u200b\n#\tO\tB-LOC\r\n\n\n\nIMGID:\nin\tWRONG")

    assert [record.fields for record in records] == [
        {"image_id": "x y", "words": ["Anna", "\u200b", "#"]},
        {"image_id": "", "words": ["in"]},
    ]
    assert [record.place.rpartition(":")[2] for record in records] == ["1", "8"]
    assert records[1].sentence == {"words": ["in"], "image": None}


def test_conll_may_lack_image_ids(write):
    assert [record.fields for record in write("a.conll", "Anna\nMeier\n\nin\n")] == [
        {"words": ["Anna", "Meier"]},
        {"words": ["in"]},
    ]


def test_pictures_of_conll_come_from_their_folder_only(write, tmp_path):
    records = write("a.conll", "IMGID:7\na\n\nIMGID:../7\nb\n", tmp_path)

    assert [record.sentence["image"] for record in records] == [str(tmp_path / "7.jpg"), b""]


def test_objects_keep_their_fields(write):
    lines = [
        {"id": 7, "text": "Köln \u2028", "entities_before": [None, 1.5], "image_status": "old"},
        {"words": ["Anna", "in"], "text": None, "image": None},
        {"tokens": ["Anna"], "image": ""},
    ]
    records = write("a.jsonl", "\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\r\n\n \n")

    assert [record.sentence for record in records] == [
        {"text": "Köln \u2028", "image": None},
        {"words": ["Anna", "in"], "image": None},
        {"words": ["Anna"], "image": None},
    ]
    assert [record.fields for record in records] == [
        {"id": 7, "text": "Köln \u2028", "entities_before": [None, 1.5]},
        lines[1],
        lines[2],
    ]


def test_pictures_of_objects_come_in_every_form(write, tmp_path, make_picture):
    pictures = {}
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"):
        make_picture().save(buffer := BytesIO(), kind)
        pictures[kind] = buffer.getvalue()
    encoded = [base64.b64encode(content).decode() for content in pictures.values()]
    given = [
        "a.png",
        "/9j/a.jpg",
        "data:image/png;base64,AAAA",
        "https://a.test/b.png",
        encoded[0][:-1],
        *encoded,
        encoded,
    ]
    records = write("a.jsonl", "\n".join(json.dumps({"text": "a", "image": image}) for image in given))

    read = [record.sentence["image"] for record in records]

    assert read[:5] == [str(tmp_path / "a.png"), *given[1:4], str(tmp_path / encoded[0][:-1])]
    assert read[5:] == [*pictures.values(), list(pictures.values())]


def test_paths_start_at_the_given_folder(write, tmp_path):
    records = write("a.jsonl", '{"text": "a", "images": ["b.png", null]}', tmp_path / "pictures")

    assert records[0].sentence["image"] == [str(tmp_path / "pictures" / "b.png"), None]


def test_records_are_read_from_any_place_and_travel_to_other_processes(write):
    records = write("a.jsonl", '\n{"text": "a"}\n\n{"text": "b"}\n{"text": "c"}')

    for opened in (records, pickle.loads(pickle.dumps(records))):
        assert [opened[index].sentence["text"] for index in (2, 0, 1, -1)] == ["c", "a", "b", "c"]
        assert [record.place.rpartition(":")[2] for record in opened] == ["2", "4", "5"]
        with pytest.raises(IndexError):
            opened[3]


@pytest.mark.parametrize(("name", "content"), [("a.jsonl", "\n"), ("a.conll", "\n\n"), ("a.txt", "")])
def test_an_empty_file_has_no_sentences(write, name, content):
    assert len(write(name, content)) == 0


def test_a_file_that_shrinks_is_noticed(write, tmp_path):
    records = write("a.txt", "a\nb\n")
    (tmp_path / "a.txt").write_text("a\n")

    with pytest.raises(ValueError, match="shorter"):
        records[1]


@pytest.mark.parametrize(
    ("name", "content", "line", "cause", "remedy"),
    [
        ("a.jsonl", '{"text": "a"}\n\n{"text": "b"', 3, "not valid JSON", "write one object per line"),
        ("a.jsonl", "[" * 100_000, 1, "not valid JSON", "write one object per line"),
        ("a.jsonl", '["a"]', 1, "not an object", 'write {"text": "..."}'),
        ("a.jsonl", '{"id": 1}', 1, "not exactly one of text, words and tokens: []", "give one of them"),
        ("a.jsonl", '{"text": "a", "words": ["a"]}', 1, "not exactly one of", "give one of them"),
        ("a.jsonl", '{"text": ["a"]}', 1, "`text` has the wrong type", "write a string as text"),
        ("a.jsonl", '{"words": "a"}', 1, "`words` has the wrong type", "a list of strings as words"),
        ("a.jsonl", '{"tokens": ["a", 1]}', 1, "`tokens` has the wrong type", "a list of strings"),
        ("a.jsonl", '{"text": "a\\ud800"}', 1, "surrogate", "remove it"),
        ("a.jsonl", '{"text": "a", "image": 1}', 1, "not a picture: 1", "write a path"),
        ("a.jsonl", '{"text": "a", "image": [["b"]]}', 1, "not a picture", "write a path"),
        ("a.jsonl", '{"text": "a", "image": "b", "images": ["c"]}', 1, "both image and images", "give one"),
        ("a.jsonl", '{"text": "a", "entities": []}', 1, "'entities'", "another name"),
        ("a.txt", b"a\n\xe4\n", 2, "not UTF-8", "save the file as UTF-8"),
        ("a.conll", "IMGID:1\nAnna\tO\n\nEU NNP B-ORG\n", 4, "blanks but no TAB", "separate columns"),
        ("a.conll", "IMGID:1\n\tO\n", 2, "an empty word", "write WORD<TAB>TAG"),
        ("a.conll", "IMGID:1\nAnna\nIMGID:2\n", 3, "a second IMGID line", "put an empty line before it"),
        ("a.conll", "a\n\nIMGID:1\n\nb\n", 3, "without words", "add its words"),
        ("a.conll", "IMGID:1\tO\na\n", 1, "plain id", "nothing else"),
    ],
)
def test_a_bad_line_is_named(write, tmp_path, name, content, line, cause, remedy):
    with pytest.raises(ValueError) as caught:
        write(name, content)

    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name}:{line}: ")
    assert cause in message and remedy in message and len(message) < len(str(tmp_path)) + 300


def test_another_ending_is_an_error(write):
    with pytest.raises(ValueError, match=r"a\.csv must end in \.jsonl"):
        write("a.csv", "a")
