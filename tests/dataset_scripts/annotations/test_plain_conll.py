"""CoNLL files of any origin: every word is read, or its line is reported."""

import pytest

from dataset_scripts.annotations.plain_conll import looks_like_conll, read_plain_conll
from dataset_scripts.annotations.sentence import Faults


@pytest.fixture
def read(tmp_path):
    def read_text(text, **columns):
        path = tmp_path / "train.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        faults = Faults()
        found = [(s.image, s.words, s.tags, s.lines) for s in read_plain_conll(path, faults, **columns)]
        return found, [line.replace(f"{path}:", "") for line in faults.shown]

    return read_text


@pytest.mark.parametrize(
    "text",
    [
        "IMGID:a\nAna\tB-PER\nruns\tO\n\nIMGID:b\nHi\tO\n",
        "\ufeffIMGID:a\r\nAna\tB-PER\r\nruns\tO\r\n\r\nIMGID:b\r\nHi\tO\r\n\r\n\r\n",
        "IMGID:a\nAna NNP  B-PER \nruns VB O\n \nIMGID: b\nHi UH O",
        "-DOCSTART- -X- O\n\nIMGID:a\nAna B-PER\nruns O\nIMGID:b\nHi O\n-DOCSTART- O\n",
        "# a remark\nIMGID:a\nAna\tx\ty\tB-PER\t\nruns\tx\ty\tO\t\n\n# O no tag\n\nIMGID:b\n\nHi\tx\ty\tO\t\n",
    ],
)
def test_all_ways_of_writing_say_the_same(read, text):
    found, faults = read(text)
    assert faults == []
    assert [sentence[:3] for sentence in found] == [("a", ("Ana", "runs"), ("B-PER", "O")), ("b", ("Hi",), ("O",))]


def test_a_word_keeps_its_line(read):
    assert read("Ana O\n# remark\nruns O\n")[0] == [("", ("Ana", "runs"), ("O", "O"), (1, 3))]


def test_words_may_be_hash_marks_and_have_blanks_that_are_not_plain(read):
    assert read("# O\nfun O\n\nNew York\tB-LOC\n\u00a0\tO\n")[0] == [
        ("", ("#", "fun"), ("O", "O"), (1, 2)),
        ("", ("New York", "\u00a0"), ("B-LOC", "O"), (4, 5)),
    ]


def test_columns_can_be_named(read):
    text = "1 Ana B-PER O\n2 runs O O\n"
    assert read(text, word_column=2, tag_column=3)[0] == [("", ("Ana", "runs"), ("B-PER", "O"), (1, 2))]
    assert "1: only 4 columns: '1 Ana B-PER O'; name other columns" in read(text, word_column=5)[1][0]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("Ana\n\nHi O\n", ["1: no tag beside the word: 'Ana'; write the word, TAB or a blank, and its tag."]),
        ("Hi O\n\nNew York B-LOC\n", ["3: 3 columns where line 1 has 2: 'New York B-LOC'; give all lines"]),
        ("Hi\tO\n\n\tO\n", ["3: an empty word or tag: '\\tO'; write both."]),
        ("IMGID:a\n\nIMGID:b\nHi O\n", ["1: a picture without a sentence: 'a'; add the words"]),
        ("IMGID:\nAna O\n\nIMGID:b\nHi O\n", ["1: a line IMGID without a name; write IMGID:<picture>."]),
        ("IMGID:b\nHi O\n\nAna O\n", ["4: a sentence without a picture, while line 1 names one; write a line"]),
        (b"Ana O\nB\xff O\n\nHi O\n", ["2: bytes that are not UTF-8: b'B\\xff O\\n'; save the file as UTF-8."]),
        ("Ana O\rBo O\n\nHi O\n", ["1: a carriage return inside a line"]),
    ],
)
def test_a_faulty_line_costs_its_sentence_and_no_other(read, text, faults):
    found, told = read(text)
    assert [sentence[1] for sentence in found] == [("Hi",)]
    assert len(told) == len(faults) and all(map(str.startswith, told, faults))


def test_all_faults_are_counted(tmp_path):
    path, faults = tmp_path / "train.txt", Faults()
    path.write_text("Hi O\n" + "word\n" * 37, encoding="utf-8")
    assert list(read_plain_conll(path, faults)) == []
    assert faults.count == 37 and len(faults.shown) == 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ana B-PER\nruns O\n", True),
        ("IMGID:a\nruns\tO\n", True),
        ("Hi O", True),
        ("word\nHi O\nword\n", True),  # the lines without a tag are faults, which only its reader can name
        (b"B\xff B-PER\nruns O\n", True),
        ("word\n" * 9 + "Hi O\n", False),
        ("Ana O\n" + "a b\n" * 9000, True),
        ("This is a text about data.\nIt has several words a line.\n", False),
        ("Ana B-PER\nRuiz I-PER\n\nRoma S-LOC\n", True),  # every word in an entity
        ("Send me\nan E-mail\n", False),
        ("", False),
        ("PER\nLOC\n", False),
        (b"\xff\xfe", False),
    ],
)
def test_files_are_recognised(tmp_path, text, expected):
    path = tmp_path / "file.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert looks_like_conll(path) is expected
