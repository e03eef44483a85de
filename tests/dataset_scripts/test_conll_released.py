from pathlib import Path
from random import Random

import pytest

from dataset_scripts.conll import ConllSentence, read_conll
from dataset_scripts.conll_released import read_conll_as_released

REAL = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "mmnerd" / "train_valid_test"


def released_loader(path):
    """The authors' loop in other words, with the line on which each sentence ends; None where it stops with an error."""
    done, picture, words, tags = [], None, [], []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(map(str.strip, file), start=1):
            if line.startswith("IMGID:"):
                picture = line.split("IMGID:")[1]
            elif line == "":
                if picture is None:
                    return None
                done.append((picture, words, tags, number))
                words, tags = [], []
            elif len(line.split()) != 2:
                return None
            else:
                word, tag = line.split()
                words, tags = [*words, word], [*tags, tag]
    return done


@pytest.fixture
def read(write_text):
    """Read a text as the released loader does, and compare with it: pictures, words and tags."""

    def read_and_compare(content):
        path = write_text(content)
        found = list(read_conll_as_released(path))
        kept = [sentence for sentence in released_loader(path) if sentence[1]]
        assert [(s.image_id, [*s.tokens], [*s.tags]) for s in found] == [sentence[:3] for sentence in kept]
        return [(s.image_id, s.tokens) for s in found]

    return read_and_compare


def test_a_sound_file_is_read_as_by_the_strict_reader_but_for_lines(write_text):
    path = write_text("IMGID:1\nMarie\tB-PER\nCurie\tI-PER\n\nIMGID:2\nParis\tB-LOC\n\n")
    assert list(read_conll_as_released(path)) == [
        ConllSentence("1", ("Marie", "Curie"), ("B-PER", "I-PER"), 2),
        ConllSentence("2", ("Paris",), ("B-LOC",), 6),
    ]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_any_line_end_will_do(read, end):
    assert read(end.join(["IMGID:1", "a\tO", "", "IMGID:2", "b\tO", "", ""])) == [("1", ("a",)), ("2", ("b",))]


def test_carriage_returns_inside_a_file_of_line_feeds_end_lines(read):
    assert read("IMGID:1\na\tO\rb\tO\n\n") == [("1", ("a", "b"))]


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0", "\u2028", "\u0085", "\x0b", "\u3000"])
def test_lines_are_stripped_of_all_blanks(read, blank):
    text = f"{blank}IMGID:1{blank}\n{blank}a\tO{blank}\n{blank}\nIMGID:2\nb{blank}O\n\n"
    assert read(text) == [("1", ("a",)), ("2", ("b",))]


def test_a_sentence_without_picture_gets_the_one_read_last(read):
    assert read("IMGID:1\na\tO\n\nb\tO\n\nIMGID:2\nc\tO\n\n") == [("1", ("a",)), ("1", ("b",)), ("2", ("c",))]


def test_the_last_of_several_pictures_counts(read):
    assert read("IMGID:1\nIMGID:2\na\tO\n\n") == [("2", ("a",))]
    assert read("IMGID:1\na\tO\nIMGID:2\nb\tO\n\n") == [("2", ("a", "b"))]


def test_an_id_ends_at_the_next_mark(read):
    assert read("IMGID:1IMGID:2\na\tO\n\nIMGID: 3\nb\tO\n\n") == [("1", ("a",)), (" 3", ("b",))]


def test_a_last_sentence_without_empty_line_is_lost_with_a_warning(read, write_text, caplog):
    assert read("IMGID:1\na\tO\n\nIMGID:2\nb\tO\nc\tO\n") == [("1", ("a",))]
    assert caplog.messages == [
        f"{write_text('')}:5: the released loader loses this sentence: the file does not end with an empty line.",
    ]


def test_sentences_without_words_are_left_out_with_a_warning(read, write_text, caplog):
    assert read("IMGID:1\n\nIMGID:2\na\tO\n\n\n") == [("2", ("a",))]
    assert len(released_loader(write_text("IMGID:1\n\nIMGID:2\na\tO\n\n\n"))) == 3
    assert [message.split(": ")[0] for message in caplog.messages] == [f"{write_text('')}:{line}" for line in (2, 6)]
    assert all("a sentence without words" in message for message in caplog.messages)


def test_a_sound_file_raises_no_warning(read, caplog):
    read("IMGID:1\na\tO\n\nIMGID:2\nb\tO\n\n")
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("IMGID:1\na\n\n", 2, "it finds 1 parts instead of word and tag: 'a'"),
        ("IMGID:1\na\tO\nNew York\tO\n\n", 3, "it finds 3 parts instead of word and tag: 'New York\\tO'"),
        ("IMGID:1\nNew\u00a0York\tO\n\n", 2, "it finds 3 parts"),
        ("IMGID:1\na\u2028b\tO\n\n", 2, "it finds 3 parts"),
        ("IMGID:1\n\u00a0\tO\n\n", 2, "it finds 1 parts"),
        ("\ufeffIMGID:1\na\tO\n\n", 1, "it finds 1 parts"),
        ("a\tO\n\nIMGID:1\n", 2, "no line IMGID:<image id> came before"),
        ("\n", 1, "no line IMGID:<image id> came before"),
    ],
)
def test_where_the_released_loader_stops_file_and_line_are_named(write_text, content, line, message):
    path = write_text(content)
    assert released_loader(path) is None
    with pytest.raises(ValueError) as caught:
        list(read_conll_as_released(path))
    assert str(caught.value).startswith(f"{path}:{line}: the released loader stops here: ")
    assert message in str(caught.value)


def test_words_before_the_first_picture_belong_to_it(read):
    assert read("a\tO\nIMGID:1\nb\tO\n\n") == [("1", ("a", "b"))]


def test_bytes_that_are_no_utf8_are_refused_with_the_file(write_text):
    path = write_text(b"IMGID:1\ncaf\xe9\tO\n\n")
    with pytest.raises(ValueError, match=r"train\.txt: the released loader stops here.*b'\\xe9"):
        list(read_conll_as_released(path))


@pytest.mark.parametrize(
    ("tags", "message"),
    [("O B-GPE", "unknown tag 'B-GPE'"), ("O O_ORG", "unknown tag 'O_ORG'"), ("O B-OTHER", "unknown tag 'B-OTHER'")],
)
def test_tags_that_the_data_set_cannot_hold_are_refused(write_text, tags, message):
    lines = "".join(f"w\t{tag}\n" for tag in tags.split(" "))
    with pytest.raises(ValueError, match=rf"train\.txt:6: {message}"):
        list(read_conll_as_released(write_text(f"IMGID:0\nw\tO\n\nIMGID:1\n\u00a0\n{lines}\n")))


def test_tags_that_continue_no_entity_are_refused_or_repaired(write_text):
    path = write_text("IMGID:1\na\tI-PER\nb\tI-PER\nc\tI-LOC\n\nIMGID:2\nd\tO\n\n")
    with pytest.raises(ValueError, match=r"train\.txt:2: tag 'I-PER' of word 'a' continues no entity"):
        list(read_conll_as_released(path))
    first, second = read_conll_as_released(path, repair_tags=True)
    assert first.tags == ("B-PER", "I-PER", "B-LOC")
    assert (first.repaired, second.repaired) == (2, 0)


def test_types_are_renamed_and_counted_by_sentence(write_text):
    path = write_text("IMGID:1\na\tB-OTHER\nb\tI-OTHER\n\nIMGID:2\nc\tB-OTHER\nd\tB-PER\n\nIMGID:3\nO\tO\n\n")
    found = list(read_conll_as_released(path, rename={"OTHER": "MISC"}))
    assert [sentence.tags for sentence in found] == [("B-MISC", "I-MISC"), ("B-MISC", "B-PER"), ("O",)]
    assert [sentence.renamed for sentence in found] == [2, 1, 0]


def test_files_put_together_at_random_are_read_as_by_the_loop(write_text):
    rng = Random(0)
    pieces = [
        "IMGID:1\n",
        "IMGID:2\n",
        " IMGID:3\n",
        "\n",
        "\n",
        "\u00a0\n",
        "a\tO\n",
        "b\tB-PER\n",
        "c O\r",
        "d\tO\r\n",
    ]
    stopped = 0
    for _ in range(400):
        bad = ["e f\tO\n"] if rng.random() < 0.2 else []
        path = write_text("".join(rng.choices(pieces + bad, k=rng.randrange(12))))
        expected = released_loader(path)
        if expected is None:
            stopped += 1
            with pytest.raises(ValueError, match="the released loader stops here"):
                list(read_conll_as_released(path))
        else:
            found = [(s.image_id, [*s.tokens], [*s.tags]) for s in read_conll_as_released(path)]
            assert found == [sentence[:3] for sentence in expected if sentence[1]]
    assert 100 < stopped < 300


def test_the_test_file_of_the_authors_is_read_as_by_both(tmp_path):
    path = REAL / "train_valid_test_en" / "test_conll_format.txt"
    if not path.is_file():
        pytest.skip("the authors' English files are not beside this checkout (../shared/data/mmnerd)")
    found = [(s.image_id, s.tokens, s.tags) for s in read_conll_as_released(path)]
    assert found == [(s.image_id, s.tokens, s.tags) for s in read_conll(path)]
    assert found == [(picture, tuple(words), tuple(tags)) for picture, words, tags, _ in released_loader(path)]
