from __future__ import annotations

import random
import sys
import unicodedata
from collections import defaultdict

import pytest
from transformers import PreTrainedTokenizerBase, XLMRobertaTokenizer

from modeling_2mner.windows import Windows, encode_words, plan_windows, split_text, surface

# What a BERT tokenizer cleans away, leaving no piece at all.
DELETED = [
    "\u200b",
    "\ufeff",
    "\u00ad",
    "\u2060",
    "\u200d",
    "\ufffd",
    "\x00",
    "\x07",
    "\ue000",
    "\u3000",
    "",
    " ",
    "\n",
]
KEPT = ["\ufe0f", "\u0301", "😀", "👨‍👩‍👧", "日本", "e\u0301te\u0301", "ß", "a\u200bb", "\u200b\u200b", "a b"]


@pytest.fixture(scope="module")
def characters() -> dict[str, list[str]]:
    """All characters there can be, by Unicode category; also those that are not assigned and half surrogate pairs."""
    by_category = defaultdict(list)
    for character in map(chr, range(sys.maxunicode + 1)):
        by_category[unicodedata.category(character)].append(character)
    return by_category


@pytest.fixture(scope="module")
def unigram(tokenizer) -> PreTrainedTokenizerBase:
    """A SentencePiece-like tokenizer without a limit on the length of a word."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("<mask>", 0.0)]
    pieces += [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGH.é"]
    return XLMRobertaTokenizer(vocab=pieces, model_max_length=512)


@pytest.fixture(params=["wordpiece", "unigram"])
def any_tokenizer(request, tokenizer, unigram) -> PreTrainedTokenizerBase:
    return tokenizer if request.param == "wordpiece" else unigram


def check(tokenizer, sentences: list[list[str]], windows: Windows, max_length: int) -> None:
    """Each word has one position, in order, at its own first piece, and never at a special token."""
    special = {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id}
    assert len(windows.positions) == len(windows.first) == len(sentences)
    for sentence, positions, first in zip(sentences, windows.positions, windows.first, strict=True):
        assert len(positions) == len(sentence)
        assert positions == sorted(set(positions))
        assert all(window >= first for window, _ in positions)
        for word, (window, piece) in zip(sentence, positions, strict=True):
            ids = windows.input_ids[window]
            assert ids[piece] not in special
            own = tokenizer([word], is_split_into_words=True, add_special_tokens=False).input_ids
            assert ids[piece] == (own[0] if own else tokenizer.unk_token_id)
    for ids in windows.input_ids:
        assert len(ids) <= max_length
        assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
        assert not special & set(ids[1:-1])


@pytest.mark.parametrize(
    "text, words",
    [
        ("Anna Meier lives in Köln.", ["Anna", "Meier", "lives", "in", "Köln", "."]),
        ("Jean-Luc visite l'Élysée, à Paris !", ["Jean-Luc", "visite", "l'", "Élysée", ",", "à", "Paris", "!"]),
        ("¿Dónde está São Paulo?", ["¿", "Dónde", "está", "São", "Paulo", "?"]),
        ("Die Straße  kostet 3.50 €\n", ["Die", "Straße", "kostet", "3.50", "€"]),
        ("RT @ardZDF: #Berlin", ["RT", "@", "ardZDF", ":", "#", "Berlin"]),
        ("", []),
        (" \t\n", []),
        ("a\u00a0b", ["a", "b"]),
        ("Cafe\u0301 de\u0301ja\u0300", ["Cafe\u0301", "de\u0301ja\u0300"]),
        ("go😀now", ["go", "😀", "now"]),
        ("I ❤\ufe0f 👨\u200d👩\u200d👧!", ["I", "❤\ufe0f", "👨\u200d👩\u200d👧", "!"]),
        ("👍🏽 ok", ["👍🏽", "ok"]),
        ("Cafe\u0301-Bar ❤\ufe0fna", ["Cafe\u0301-Bar", "❤\ufe0f", "na"]),
        ("Straßen\u00adbahn \u200dja 👩\u200d ja", ["Straßen\u00adbahn", "\u200d", "ja", "👩\u200d", "ja"]),
        (
            "L'Espagne et l’Élysée, d'Etosha.",
            ["L'", "Espagne", "et", "l’", "Élysée", ",", "d'", "Etosha", "."],
        ),
        ("aujourd'hui aujourd’hui", ["aujourd'hui", "aujourd’hui"]),
        ("Trump's “O’Brien” don't", ["Trump", "'s", "“", "O’", "Brien", "”", "don", "'t"]),
        ("#Köln@user_name #FC_2024 @_x", ["#", "Köln", "@", "user_name", "#", "FC_2024", "@", "_x"]),
        ("¿Y tú? ¡Viva España!", ["¿", "Y", "tú", "?", "¡", "Viva", "España", "!"]),
        ("Nordrhein-Westfalen Ost- und Südtirol", ["Nordrhein-Westfalen", "Ost", "-", "und", "Südtirol"]),
        ("the U.S. (U.S.A., e.V.-Gründer)", ["the", "U.S.", "(", "U.S.A.", ",", "e.V.", "-", "Gründer", ")"]),
        ("U.S.A x.y.z J. Smith. a.b.c.Test", ["U.S.A", "x.y.z", "J", ".", "Smith", ".", "a.b.c.Test"]),
        ("10:30 3,5 1.000 2:1", ["10", ":", "30", "3,5", "1.000", "2", ":", "1"]),
        ("https://t.co/aB1 a@b.de", ["https://t.co/aB1", "a@b.de"]),
        (
            "🇩🇪 1\ufe0f\u20e3 👩🏽\u200d🚀 🏴\U000e0067\U000e007f",
            ["🇩🇪", "1️⃣", "👩🏽\u200d🚀", "🏴\U000e0067\U000e007f"],
        ),
        ("יְרוּשָׁלַיִם \u200fالقاهرة، مصر", ["יְרוּשָׁלַיִם", "\u200f", "القاهرة", "،", "مصر"]),
        ("日本語", ["日本語"]),
        (
            "See http://t.co/abc, (www.x.org/a_(b)?q=1).",
            ["See", "http://t.co/abc", ",", "(", "www.x.org/a_(b)?q=1", ")", "."],
        ),
        ("Mail: anna.k+x@mail.uni-koeln.de!", ["Mail", ":", "anna.k+x@mail.uni-koeln.de", "!"]),
        ("RT @a.b @c", ["RT", "@", "a.b", "@", "c"]),
        ("$1,000.50, 10,000km and 1.5-Liter", ["$", "1,000.50", ",", "10,000km", "and", "1.5-Liter"]),
        ("a,b 1, 2", ["a", ",", "b", "1", ",", "2"]),
        ("Wait... what..? no…", ["Wait", "...", "what", "..", "?", "no", "…"]),
        ("``A'' 'tis the '90s", ["``", "A", "''", "'", "tis", "the", "'", "90s"]),
        (
            "It's we're I'll he'd I'm you've Women’s",
            ["It", "'s", "we", "'re", "I", "'ll", "he", "'d", "I", "'m", "you", "'ve", "Women", "’s"],
        ),
        ("qu'il s'est lorsqu’on J'ai", ["qu'", "il", "s'", "est", "lorsqu’", "on", "J'", "ai"]),
        ("🇩🇪🇫🇷 🇺🇸!", ["🇩🇪", "🇫🇷", "🇺🇸", "!"]),
        ("शांति", ["शांति"]),
    ],
)
def test_text_splits_into_words_with_offsets(text, words):
    found, offsets = split_text(text)
    assert found == words
    assert [text[start:end] for start, end in offsets] == words


def test_every_visible_character_belongs_to_exactly_one_word():
    generator = random.Random(0)
    alphabet = "aÉß.-'  \n\u0301\u200b\u200d\ufe0f😀👩🏽語#@\u00a0_9"
    for _ in range(300):
        text = "".join(generator.choices(alphabet, k=12))
        words, offsets = split_text(text)
        covered = [position for start, end in offsets for position in range(start, end)]
        assert covered == [position for position, character in enumerate(text) if not character.isspace()]
        assert [text[start:end] for start, end in offsets] == words


def test_words_of_all_characters_are_where_their_offsets_say(characters):
    assert len(characters) == 30
    generator = random.Random(1)
    kinds = [*characters, *(["Ll", "Zs"] * 8)]
    for _ in range(4000):
        text = "".join(
            generator.choice(characters[kind]) for kind in generator.choices(kinds, k=generator.randint(0, 20))
        )
        words, offsets = split_text(text)
        assert [text[start:end] for start, end in offsets] == words and all(words)
        covered = [position for start, end in offsets for position in range(start, end)]
        assert covered == [position for position, character in enumerate(text) if not character.isspace()]


def test_blanks_and_punctuation_end_every_word(characters):
    for category in ("Zs", "Zl", "Zp", "Po", "Ps", "Pe", "Pi", "Pf", "Pd", "Sm", "Sc"):
        for character in characters[category]:
            words, _ = split_text(f"Köln{character} Paris")
            assert words == ["Köln", *character.split(), "Paris"], ascii(character)


@pytest.mark.parametrize("part", ["a.", "a@", "a-b@c.", "www.", "http://", "1,", "l'", "''", "🇩", "\u0301", "a+@b.c-"])
def test_repetitive_texts_are_split_in_linear_time(part):  # what is not linear takes minutes
    words, offsets = split_text(part * 20_000)
    assert "".join(words) == part * 20_000 and len(words) == len(offsets)


def test_a_long_text_is_split_whole():
    assert split_text("é" * 50_000)[0] == ["é" * 50_000]
    assert len(split_text("a-." * 10_000)[0]) == 30_000


def test_a_surface_is_cut_from_the_text_or_joined_from_words():
    words, offsets = split_text("In  São\tPaulo!")
    assert surface(1, 3, words, offsets, "In  São\tPaulo!") == "São\tPaulo"
    assert surface(1, 3, words, offsets, None) == "São Paulo"
    assert surface(0, 1, words, offsets, None) == "In"


def test_words_get_their_first_piece(any_tokenizer, sentences):
    windows = encode_words(any_tokenizer, sentences, 64)
    assert windows.first == [0, 1, 2, 3] and len(windows.input_ids) == 4
    check(any_tokenizer, sentences, windows, 64)


def test_a_sentence_that_just_fits_has_one_window(tokenizer):
    assert len(encode_words(tokenizer, [["ab"] * 5], 12).input_ids) == 1
    assert len(encode_words(tokenizer, [["ab"] * 5], 11).input_ids) == 2


@pytest.mark.parametrize("word", [*DELETED, *KEPT])
def test_a_word_that_the_tokenizer_deletes_keeps_its_place(any_tokenizer, word):
    sentences = [["in", word, "Paris"], [word], [word, word, "a"], ["b"]]
    windows = encode_words(any_tokenizer, sentences, 64)
    check(any_tokenizer, sentences, windows, 64)


@pytest.mark.parametrize("word", DELETED)
def test_a_deleted_word_becomes_the_unknown_token(tokenizer, word):
    windows = encode_words(tokenizer, [["in", word, "Paris"]], 64)
    ids = [windows.input_ids[window][piece] for window, piece in windows.positions[0]]
    assert ids == tokenizer.convert_tokens_to_ids(["in", "[UNK]", "Paris"])


@pytest.mark.parametrize("word", ["[SEP]", "[CLS]", "[PAD]"])
def test_a_word_that_looks_like_a_special_token_is_none(tokenizer, word):
    sentences = [["in", word, "Paris"], [word]]
    windows = encode_words(tokenizer, sentences, 64)
    for window in windows.input_ids:
        assert not {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id} & set(window[1:-1])
    assert [len(row) for row in windows.positions] == [3, 1]


def test_half_a_surrogate_pair_counts_as_a_question_mark(any_tokenizer):
    broken = encode_words(any_tokenizer, [["in", "\ud800", "a\udfffb"], ["b"]], 64)
    assert broken == encode_words(any_tokenizer, [["in", "?", "a?b"], ["b"]], 64)


def test_empty_sentences_and_an_empty_batch(any_tokenizer):
    windows = encode_words(any_tokenizer, [[], ["a"], []], 64)
    assert windows.positions[0] == windows.positions[2] == [] and len(windows.positions[1]) == 1
    assert [len(ids) for ids in windows.input_ids] == [2, 3 + (any_tokenizer.cls_token == "<s>"), 2]
    assert encode_words(any_tokenizer, [[]], 64).positions == [[]]
    assert encode_words(any_tokenizer, [], 64) == Windows([], [], [])


@pytest.mark.parametrize("max_length", [3, 4, 8, 16, 33])
def test_every_word_of_a_long_sentence_is_decided_once(any_tokenizer, max_length):
    generator = random.Random(max_length)
    sentences = [
        ["".join(generator.choices("abcdef", k=generator.randint(1, 9))) for _ in range(length)]
        for length in (40, 1, 7, 25)
    ]
    windows = encode_words(any_tokenizer, sentences, max_length)
    assert windows.first == sorted(windows.first) and len(windows.input_ids) > 4
    check(any_tokenizer, sentences, windows, max_length)


def test_words_far_from_the_edge_of_a_window_decide(tokenizer):
    windows = encode_words(tokenizer, [["a"] * 100], 34)  # room 32, context 4
    lengths = [len(ids) for ids in windows.input_ids]
    for window, piece in windows.positions[0]:
        assert piece > 4 or window == 0
        assert lengths[window] - 1 - piece > 4 or window == len(lengths) - 1


def test_a_window_shows_whole_words(tokenizer):
    words = ["abcd"] * 30
    windows = encode_words(tokenizer, [words], 16)
    for ids in windows.input_ids:
        assert tokenizer.convert_ids_to_tokens(ids)[1:-1] == ["a", "##b", "##c", "##d"] * 3


def test_a_giant_word_loses_its_tail_and_nothing_else(unigram, tokenizer):
    sentence = ["a", "b" * 4000, "c", "d", "e" * 300, "f"]
    for max_length in (16, 512):
        check(unigram, [sentence, ["a"]], encode_words(unigram, [sentence, ["a"]], max_length), max_length)
    dotted = ["a", "x." * 3000, "b"]
    check(tokenizer, [dotted], encode_words(tokenizer, [dotted], 64), 64)
    alone = encode_words(unigram, [["b" * 4000]], 16)
    assert alone.positions == [[(0, 1)]] and [len(ids) for ids in alone.input_ids] == [16]


def test_five_thousand_words(any_tokenizer):
    words = [f"{'abc'[index % 3]}{'def' * (index % 4)}" for index in range(5000)]
    windows = encode_words(any_tokenizer, [["a"], words, ["b"]], 512)
    check(any_tokenizer, [["a"], words, ["b"]], windows, 512)


def test_plans_cover_each_word_once_within_the_room():
    generator = random.Random(0)
    for _ in range(500):
        room = generator.randint(1, 40)
        pieces = [generator.choice([1, 1, 2, 3, 9, 60]) for _ in range(generator.randint(0, 60))]
        decided = []
        for start, end, core_start, core_end in plan_windows(pieces, room):
            assert start <= core_start < core_end <= end
            assert sum(min(count, room) for count in pieces[start:end]) <= room
            decided += range(core_start, core_end)
        assert decided == list(range(len(pieces)))


@pytest.mark.parametrize("max_length", [2, 1, 0, -5])
def test_a_window_without_room_for_a_word_is_refused(tokenizer, max_length):
    with pytest.raises(ValueError, match=f"`max_length` is {max_length}.*3"):
        encode_words(tokenizer, [["a", "b"]], max_length)


def test_a_tokenizer_without_word_positions_is_refused(tokenizer):
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match=r"`tokenizer` is a Slow.*pass a fast tokenizer"):
        encode_words(Slow(), [["a"]], 64)


def test_the_tokenizer_is_left_as_it_was(tokenizer):
    encode_words(tokenizer, [["ab"] * 50], 16)
    assert len(tokenizer(["ab"] * 50, is_split_into_words=True).input_ids) == 102
    assert tokenizer.backend_tokenizer.truncation is None
