from __future__ import annotations

import pytest
from datasets import Dataset

from training_2mner import lengths
from training_2mner.lengths import SentenceLengths

# As many pieces as letters, but for the words that the tokenizer knows.
SENTENCES = [["Anna", "Meier"], ["in", "the", "Louvre"], ["Hi"], ["Paris", "est", "Louvre", "in"]]


@pytest.fixture
def rows() -> Dataset:
    return Dataset.from_dict({"tokens": SENTENCES})


def test_lengths_are_those_of_the_text_encoder(rows, processor):
    assert SentenceLengths(processor).of(rows) == [9, 3, 2, 4]
    assert SentenceLengths(processor, "words").of(rows) == [2, 3, 1, 4]


def test_without_a_processor_lengths_are_in_words(rows, word_processor):
    assert SentenceLengths(None).of(rows) == SentenceLengths(word_processor).of(rows) == [2, 3, 1, 4]


def test_sentences_are_tokenised_once_and_in_bounded_chunks(rows, processor, monkeypatch):
    calls: list[int] = []

    class Counting:
        def piece_lengths(self, sentences):
            calls.append(len(sentences))
            return processor.piece_lengths(sentences)

    monkeypatch.setattr(lengths, "CHUNK", 3)
    found = SentenceLengths(Counting())
    # The Trainer takes columns away for every evaluation, which makes another object of the same rows.
    assert found.of(rows.add_column("id", list("abcd")).select_columns("tokens")) == [9, 3, 2, 4]
    again = found.of(rows.add_column("id", list("abcd")).select_columns("tokens"))
    assert again == [9, 3, 2, 4] and calls == [3, 1]
    assert found.of(rows.select([2, 0])) == [2, 9] and calls == [3, 1, 2]


def test_an_unknown_unit_is_refused(make_trainer):
    with pytest.raises(ValueError, match="`length_unit` is 'letters'; write one of pieces, words"):
        make_trainer(length_unit="letters")


def test_training_batches_are_grouped_by_pieces(make_trainer, make_model, text_only, processor):
    by_pieces = make_trainer(make_model(**text_only))
    split = by_pieces.train_dataset
    pieces = processor.piece_lengths(list(split["tokens"]))
    assert by_pieces._get_train_sampler().lengths == pieces
    assert make_trainer(make_model(**text_only), length_unit="words")._get_train_sampler().lengths != pieces
    order = by_pieces._evaluation_order(split)
    assert order == sorted(range(len(split)), key=lambda row: -pieces[row])
