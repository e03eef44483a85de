from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from modeling_2mner import BiLSTMCRFConfig, BiLSTMCRFForTokenClassification
from training_2mner.word_vectors import FoundVectors, WordVectors, build_vocabulary, fill_embeddings, read_word_vectors

GLOVE = "the 0.5 -1 2\nparis 1 2 3e-1\n. . . 4 5 6\n0-0 7 8 9\nthe 9 9 9\n\u00a0 1 1 1\n\x85 2 2 2\n"
SENTENCES = [["Paris", "is", "3-4", "in", "Paris"], ["the", "Is", "[PAD]", "is", "in", "é"]]


@pytest.fixture
def write(tmp_path):
    def to(text: str | bytes):
        path = tmp_path / "vectors.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to


@pytest.fixture
def glove(write) -> WordVectors:
    return read_word_vectors(write(GLOVE))


@pytest.fixture
def make_network():
    """A network with new weights for a vocabulary."""

    def build(tokenizer, size: int = 3) -> BiLSTMCRFForTokenClassification:
        torch.manual_seed(0)
        return BiLSTMCRFForTokenClassification(
            BiLSTMCRFConfig(vocab_size=len(tokenizer), word_embedding_size=size, lstm_hidden_size=2)
        )

    return build


def test_rows_of_glove(glove):
    assert glove.words == ["the", "paris", ". . .", "0-0", "\u00a0", "\x85"]  # the second `the` does not count
    expected = [[0.5, -1, 2], [1, 2, 0.3], [4, 5, 6], [7, 8, 9], [1, 1, 1], [2, 2, 2]]
    assert glove.rows.dtype == np.float32 and np.allclose(glove.rows, expected)


def test_rows_of_fasttext(write, caplog):
    vectors = read_word_vectors(write("2 3\n</s> 1 2 3 \r\nKöln 4 5 6 \r\n"))
    assert vectors.words == ["</s>", "Köln"] and vectors.rows.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert not caplog.records


@pytest.mark.parametrize("header", ["", "4 3\n"])
def test_the_first_rows_are_enough(write, header, caplog):
    path = write(header + "a 1 2 3\nb 4 5 6\na 7 8 9\nc broken\n")
    assert read_word_vectors(path, 1).words == ["a"] and read_word_vectors(path, 3).words == ["a", "b"]
    assert not caplog.records
    with pytest.raises(ValueError, match="`limit` is 0"):
        read_word_vectors(path, 0)


def test_a_file_that_was_cut_short_is_warned_of(write, caplog):
    with caplog.at_level(logging.WARNING):
        assert read_word_vectors(write("3 2\na 1 2\nb 3 4\n")).words == ["a", "b"]
    assert "promises 3 rows" in caplog.text and "there are 2 of 3" in caplog.text


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("a 1 2\nb 1\n", "line 2 is not a word followed by 2"),
        ("a 1 2\nb 1 x\n", "line 2 is not a word followed by 2 numbers: could not convert"),
        ("a 1 2\n\nb 1 2\n", "line 2 is not a word"),
        ("a 1 2\n 1 2\n", "line 2 is not a word"),
        ("a 1 2\nb 1 nan\n", "line 2 is not a word followed by 2 finite numbers"),
        (b"a 1 2\n\xff 1 2\n", "line 2 .* can't decode"),
        ("2 3\na 1 2 3\nb 1 2\n", "line 3 is not a word followed by 3"),
        ("word\n", "line 1 is not a word followed by some"),
        ("", "holds no word vectors"),
        ("0 300\n", "holds no word vectors"),
    ],
)
def test_what_is_no_row_is_named_by_its_line(write, text, cause):
    with pytest.raises(ValueError, match=cause):
        read_word_vectors(write(text))


def test_training_words_come_first_by_frequency(glove):
    tokenizer = build_vocabulary(SENTENCES, glove)
    assert tokenizer.words == [
        *("[PAD]", "[UNK]", "Paris", "in", "is", "3-4", "Is", "the", "é"),
        *("paris", ". . .", "0-0", "\u00a0", "\x85"),
    ]
    assert build_vocabulary(SENTENCES[::-1], glove).words == tokenizer.words
    assert tokenizer.character_ids("is") == [1, 2]  # the most frequent characters
    assert tokenizer.character_ids("é") and not tokenizer.character_ids("ç")
    assert build_vocabulary(SENTENCES).words == tokenizer.words[:9]
    assert build_vocabulary([]).words == ["[PAD]", "[UNK]"]


def test_words_get_the_vector_of_their_first_form(glove, make_network):
    tokenizer = build_vocabulary(SENTENCES, glove)
    network = make_network(tokenizer)
    before = network.model.words.vectors.weight.clone()
    found = fill_embeddings(network, tokenizer, SENTENCES, glove)
    rows = dict(zip(tokenizer.words, network.model.words.vectors.weight.detach(), strict=True))
    sources = {"the": "the", "Paris": "paris", "paris": "paris", "3-4": "0-0", "0-0": "0-0", ". . .": ". . ."}
    for word, source in sources.items():
        assert torch.equal(rows[word], torch.from_numpy(glove.rows[glove.words.index(source)]))
    for number, word in enumerate(tokenizer.words):
        if word in ("[PAD]", "[UNK]", "in", "is", "Is", "é"):
            assert torch.equal(rows[word], before[number])
    # [PAD] as a word of a sentence has no number.
    assert found == FoundVectors(exact=1, lower=1, digits=1, random=4, others=5)
    assert str(found).startswith("of 7 training words, 1 found as written, 1 in lower case, 1 with 0 for digits, 4")
    assert network.model.words.vectors.weight.requires_grad


def test_singletons_are_the_words_that_training_holds_once(glove, make_network):
    for vectors in (None, glove):
        tokenizer = build_vocabulary(SENTENCES, vectors)
        network = make_network(tokenizer)
        network.model.words.singletons.fill_(True)
        found = fill_embeddings(network, tokenizer, SENTENCES, vectors)
        once = network.model.words.singletons.nonzero().flatten().tolist()
        assert [tokenizer.words[number] for number in once] == ["3-4", "Is", "the", "é"]
    assert found.others == 5


def test_without_vectors_all_words_keep_their_random_ones(make_network):
    tokenizer = build_vocabulary(SENTENCES)
    network = make_network(tokenizer)
    before = network.model.words.vectors.weight.clone()
    assert fill_embeddings(network, tokenizer, SENTENCES) == FoundVectors(0, 0, 0, random=7, others=0)
    assert torch.equal(network.model.words.vectors.weight, before)


def test_sizes_must_fit(glove, make_network):
    tokenizer = build_vocabulary(SENTENCES, glove)
    with pytest.raises(ValueError, match="`word_embedding_size` is 4, but the file's vectors have 3 numbers"):
        fill_embeddings(make_network(tokenizer, size=4), tokenizer, SENTENCES, glove)
    with pytest.raises(ValueError, match="write `vocab_size=9`"):
        fill_embeddings(make_network(tokenizer), build_vocabulary(SENTENCES), SENTENCES)
