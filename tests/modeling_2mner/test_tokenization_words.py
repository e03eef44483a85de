from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from modeling_2mner import WordTokenizer

WORDS = ["Paris", "paris", "köln", "in", "0-00", "PO0", "3-14", "\ud800", "<unk>"]


@pytest.fixture
def numbers() -> WordTokenizer:
    return WordTokenizer(words=WORDS, characters="Paris0")


@pytest.mark.parametrize(
    ("word", "form"),
    [
        ("Paris", "Paris"),
        ("paris", "paris"),
        ("PARIS", "paris"),
        ("KÖLN", "köln"),
        ("7-89", "0-00"),
        ("٣-١٤", "0-00"),
        ("3-14", "3-14"),
        ("\ud800", "\ud800"),
        ("<unk>", "<unk>"),
    ],
)
def test_a_word_is_found_exactly_in_lower_case_or_by_its_digits(numbers, word, form):
    assert numbers.word_id(word) == 2 + WORDS.index(form)


# Lower case comes before the digits, so capitals with folded digits alone are never looked up; nothing is capitalised.
@pytest.mark.parametrize("word", ["PO7", "Köl", "", " in", "[PAD]", "[UNK]", "[pad]", "\U0001f600"])
def test_other_words_are_unknown(numbers, word):
    assert numbers.word_id(word) == numbers.unk_token_id == 1


def test_forms_are_tried_in_order(numbers):
    assert numbers.forms("Covid19") == ("Covid19", "covid19", "covid00")


def test_characters_keep_their_case_and_unseen_ones_are_skipped(numbers):
    assert numbers.character_ids("Pap x0s") == [1, 2, 6, 5]
    assert numbers.character_ids("xyz") == numbers.character_ids("") == []


def test_sizes_count_the_special_numbers(numbers):
    assert len(numbers) == numbers.vocab_size == 11 and numbers.num_characters == 7
    assert numbers.words == ["[PAD]", "[UNK]", *WORDS]
    assert numbers.pad_token_id == 0 and numbers.get_vocab()["Paris"] == 2


def test_called_like_any_tokenizer(numbers):
    assert numbers("Hi, PARIS in 3-14")["input_ids"] == [1, 1, 3, 5, 8]
    encoded = numbers([["<unk>", "[PAD]", "a-b c"], ["in"], ["in", "Paris"]], is_split_into_words=True, padding=True)
    assert encoded["input_ids"] == [[10, 1, 1], [5, 0, 0], [5, 2, 0]]
    assert encoded["attention_mask"] == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert numbers(["in", "[PAD]"], is_split_into_words=True)["input_ids"] == [5, 1]
    assert numbers.convert_ids_to_tokens([0, 1, 4]) == ["[PAD]", "[UNK]", "köln"]


def test_the_vocabulary_is_one_file_that_reloads(numbers, tmp_path):
    numbers.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("vocab.json", "tokenizer_config.json", "tokenization_words.py", "windows.py")
    }
    assert json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))["words"] == WORDS
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["auto_map"]["AutoTokenizer"] == ["tokenization_words.WordTokenizer", None]
    for loaded in (AutoTokenizer.from_pretrained(tmp_path), WordTokenizer.from_pretrained(tmp_path)):
        assert type(loaded) is WordTokenizer and loaded.words == numbers.words
        assert loaded.character_ids("Paris0") == [1, 2, 3, 4, 5, 6] and len(loaded) == 11


def test_a_folder_without_the_vocabulary_is_refused(numbers, tmp_path):
    numbers.save_pretrained(tmp_path)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises((OSError, ValueError), match=r"vocab|tokenizer"):
        WordTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"words": []}'])
def test_a_file_that_is_no_vocabulary_is_refused(text, tmp_path):
    path = tmp_path / "vocab.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="is not a vocabulary"):
        WordTokenizer(vocab_file=str(path))


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({}, "not both or neither"),
        ({"words": ["a"], "vocab_file": "vocab.json"}, "not both or neither"),
        ({"words": ["a", "b", "a"]}, "`words` holds 'a' twice"),
        ({"words": ["a", "[UNK]"]}, r"`words` holds '\[UNK\]' twice, or as a special token"),
        ({"words": ["a"], "characters": "aba"}, "`characters` holds 'a' twice"),
    ],
)
def test_ambiguous_vocabularies_are_refused(arguments, cause):
    with pytest.raises(ValueError, match=cause):
        WordTokenizer(**arguments)
