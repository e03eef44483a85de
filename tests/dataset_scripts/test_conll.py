from pathlib import Path

import pytest

from dataset_scripts.conll import ConllSentence, begin_entities, read_conll, write_conll
from dataset_scripts.conll_layout import Layout

REAL = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "mmnerd" / "train_valid_test"
TEXT = "IMGID:O_1\nParis\tB-LOC\n!\tO\n\nIMGID:06959512---a%2Fb?c=[d]&e\nMarie\tB-PER\nCurie\tI-PER\n\n"
SENTENCES = [
    ConllSentence("O_1", ("Paris", "!"), ("B-LOC", "O"), 1),
    ConllSentence("06959512---a%2Fb?c=[d]&e", ("Marie", "Curie"), ("B-PER", "I-PER"), 5),
]


def test_sentences_are_read_with_ids_tags_and_lines(write_text):
    assert list(read_conll(write_text(TEXT))) == SENTENCES


@pytest.mark.parametrize("text", [TEXT[:-1], TEXT[:-2]], ids=["no empty line", "no line end"])
def test_last_sentence_needs_no_empty_line(write_text, text):
    assert list(read_conll(write_text(text))) == SENTENCES


@pytest.mark.parametrize(
    "token", ["\u00a0", "New\u00a0York", "\u0085", "a\u2028b", "\x0b", "\x0c", " ", " a ", "#", "IMGID", "👩‍🔬"]
)
def test_unusual_tokens_are_kept_whole(write_text, tmp_path, token):
    path = write_text(f"IMGID: 1 \n{token}\tO\n\n")
    assert list(read_conll(path)) == [ConllSentence(" 1 ", (token,), ("O",), 1)]
    write_conll(read_conll(path), tmp_path / "copy.txt")
    assert (tmp_path / "copy.txt").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("a\tO\n", 1, "a word outside a sentence: 'a\\tO'; start each sentence with a line IMGID"),
        ("IMGID:1\na\tO\n\nb\tO\n", 4, "a word outside a sentence"),
        ("-DOCSTART-\tO\n", 1, "a word outside a sentence"),
        ("IMGID:1\na\tO\nIMGID:2\nb\tO\n", 3, "a second IMGID line in the sentence of line 1: 'IMGID:2'"),
        ("IMGID:1\nIMGID:2\na\tO\n", 2, "a second IMGID line"),
        ("IMGID:1\na\tB-GPE\n", 2, "unknown tag: 'B-GPE'; known are O, B-PER, I-PER, B-LOC"),
        ("IMGID:1\na\tb-per\n", 2, "unknown tag: 'b-per'"),
        ("IMGID:1\na\tO \n", 2, "unknown tag: 'O '"),
        ("IMGID:1\na\t\n", 2, "unknown tag: ''"),
        ("IMGID:1\na\tO\nb\tI-PER\n\n", 3, "continues no entity (not IOB2): 'I-PER'; start it with B-PER"),
        ("IMGID:1\na\tB-LOC\nb\tI-PER\n", 3, "continues no entity"),
        ("IMGID:1\na O\n", 2, "no TAB between word and tag: 'a O'"),
        ("IMGID:1\na\tO\n \nb\tO\n", 3, "no TAB between word and tag: ' '"),
        ("IMGID:1\na\tO\tx\n", 2, "more than one TAB"),
        ("IMGID:1\n\tO\n", 2, "an empty word"),
        ("\ufeffIMGID:1\na\tO\n", 1, "a byte order mark"),
        ("IMGID:1\r\na\tO\r\n", 1, "a carriage return"),
        ("IMGID:1\na\rb\tO\n", 2, "a carriage return"),
        (b"IMGID:1\ncaf\xe9\tO\n", 2, "bytes that are not UTF-8: b'caf\\xe9"),
        ("IMGID:1\n\nIMGID:2\na\tO\n", 1, "a sentence without words: '1'"),
        ("IMGID:1\n", 1, "a sentence without words"),
        ("IMGID:\na\tO\n", 1, "without a plain id"),
        ("IMGID:1\t2\na\tO\n", 1, "without a plain id"),
    ],
)
def test_mistakes_name_file_line_and_cause(write_text, content, line, message):
    with pytest.raises(ValueError) as caught:
        list(read_conll(write_text(content)))
    assert f"train.txt:{line}: " in str(caught.value)
    assert message in str(caught.value)


def test_types_get_other_names_and_are_counted_by_sentence(write_text):
    path = write_text("IMGID:1\na\tB-OTHER\nb\tI-OTHER\nc\tB-PER\n\nIMGID:2\nOTHER\tO\n\nIMGID:3\nd\tB-OTHER\n\n")
    assert list(read_conll(path, rename={"OTHER": "MISC"})) == [
        ConllSentence("1", ("a", "b", "c"), ("B-MISC", "I-MISC", "B-PER"), 1, renamed=2),
        ConllSentence("2", ("OTHER",), ("O",), 6),
        ConllSentence("3", ("d",), ("B-MISC",), 9, renamed=1),
    ]
    with pytest.raises(ValueError, match=r"train\.txt:2: unknown tag: 'B-OTHER'"):
        list(read_conll(path))


@pytest.mark.parametrize("tag", ["OTHER", "X-OTHER", "BOTHER", "B-OTHER ", "B-other"])
def test_only_whole_types_are_renamed(write_text, tag):
    with pytest.raises(ValueError, match="unknown tag"):
        list(read_conll(write_text(f"IMGID:1\na\t{tag}\n"), rename={"OTHER": "MISC"}))


def test_tags_that_continue_no_entity_begin_one_on_request(write_text):
    path = write_text("IMGID:1\na\tI-PER\nb\tI-PER\nc\tI-LOC\n\nIMGID:2\nd\tB-PER\ne\tI-PER\n\nIMGID:3\nf\tI-ORG\n")
    first, second, third = read_conll(path, repair_tags=True)
    assert (first.tags, first.repaired) == (("B-PER", "I-PER", "B-LOC"), 2)
    assert (second.tags, second.repaired) == (("B-PER", "I-PER"), 0)
    assert (third.tags, third.repaired) == (("B-ORG",), 1)
    with pytest.raises(ValueError, match=r"train\.txt:2: .*start it with B-PER, or have all such tags repaired"):
        list(read_conll(path))


def test_renaming_comes_before_repairing(write_text):
    path = write_text("IMGID:1\na\tB-MISC\nb\tI-OTHER\nc\tO\nd\tI-OTHER\n")
    (sentence,) = read_conll(path, rename={"OTHER": "MISC"}, repair_tags=True)
    assert sentence == ConllSentence("1", tuple("abcd"), ("B-MISC", "I-MISC", "O", "B-MISC"), 1, repaired=1, renamed=2)


def test_repaired_tags_are_named_by_position():
    assert begin_entities(["O", "I-PER", "I-PER", "I-LOC", "O", "I-LOC", "B-PER", "I-PER"]) == (
        ("O", "B-PER", "I-PER", "B-LOC", "O", "B-LOC", "B-PER", "I-PER"),
        [1, 3, 5],
    )
    assert begin_entities(["B-PER", "I-PER", "O"]) == (("B-PER", "I-PER", "O"), [])


def test_long_lines_are_not_quoted_whole(write_text):
    with pytest.raises(ValueError) as caught:
        list(read_conll(write_text("IMGID:1\n" + "a" * 10_000)))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "sentence",
    [
        ConllSentence("1", ("a\tb",), ("O",), 1),
        ConllSentence("1", ("a\nb",), ("O",), 1),
        ConllSentence("1", ("",), ("O",), 1),
        ConllSentence("1", ("a", "IMGID:2"), ("O", "O"), 1),
        ConllSentence("", ("a",), ("O",), 1),
        ConllSentence("1", (), (), 1),
        ConllSentence("1", ("a", "b"), ("O",), 1),
    ],
)
def test_writer_refuses_what_the_format_cannot_hold(tmp_path, sentence):
    with pytest.raises(ValueError, match="cannot be written"):
        write_conll([SENTENCES[0], sentence], tmp_path / "out.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("split", "sentences"), [("train", 19968), ("valid", 2463), ("test", 2533)])
def test_english_files_survive_byte_for_byte(tmp_path, split, sentences):
    path = REAL / "train_valid_test_en" / f"{split}_conll_format.txt"
    if not path.is_file():
        pytest.skip("the authors' English files are not beside this checkout (../shared/data/mmnerd)")
    found = list(read_conll(path))
    assert len({sentence.image_id for sentence in found}) == sentences
    write_conll(found, tmp_path / "copy.txt")
    assert (tmp_path / "copy.txt").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\n\n"])
def test_a_file_without_sentences_comes_back(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    write_conll(read_conll(tmp_path / "a.txt"), tmp_path / "b.txt", Layout.of(tmp_path / "a.txt"))
    assert (tmp_path / "b.txt").read_bytes() == content
