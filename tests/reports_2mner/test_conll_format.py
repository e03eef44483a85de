from __future__ import annotations

import pytest

from reports_2mner.conll_format import format_sentence, read_sentences


@pytest.mark.parametrize(
    ("image_id", "columns", "text"),
    [
        ("7", (["Köln", "!"], ["B-LOC", "O"]), "IMGID:7\nKöln\tB-LOC\n!\tO\n\n"),
        ("", (["#"], ["O"], ["B-LOC"]), "IMGID:\n#\tO\tB-LOC\n\n"),
        (None, (["#"],), "#\n\n"),
        (7, ([], []), "IMGID:7\n\n"),
    ],
)
def test_a_sentence_as_text(image_id, columns, text):
    assert format_sentence(image_id, *columns) == text


def test_columns_of_several_lengths_are_an_error():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        format_sentence("7", ["Köln", "!"], ["O"])


def test_sentences_are_read_as_they_were_written(tmp_path):
    sentences = [
        ("IMGID:1", [["IMGID:", "O", "O"], ["a\u2028b", "B-PER", "O"]]),
        ("", []),
        ("3", [["x", "O", "O"]]),
    ]
    path = tmp_path / "predictions.conll"
    text = "".join(format_sentence(name, *(zip(*rows, strict=True) if rows else ())) for name, rows in sentences)
    path.write_text(text, encoding="utf-8", newline="\n")
    assert list(read_sentences(path)) == sentences
