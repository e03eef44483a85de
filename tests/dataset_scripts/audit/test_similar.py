from random import Random

import pytest

from dataset_scripts.audit.similar import Match, find_similar, fold_words

WORDS = [f"w{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]


def similar(known, wanted, threshold):
    return find_similar([text.split() for text in known], [text.split() for text in wanted], threshold)


def test_case_digits_and_punctuation_do_not_count():
    assert fold_words(["Quotes", "#", "364416", ",", "don't", "Ünder_1", "``"]) == (
        "quotes",
        "000000",
        "don",
        "t",
        "ünder_0",
    )


def test_similarity_is_the_share_of_common_shingles():
    (match,) = similar(["a b c d e"], ["a b c d f"], 0.5)
    assert match == Match(0, 2 / 4)
    assert similar(["a b c d e"], ["a b c d f"], 0.51) == [None]


def test_the_most_similar_and_then_the_first_is_chosen():
    known = ["a b c d x y", "a b c d e f", "A b c d e f !", "other words stand here"]
    assert similar(known, ["a b c d e f", "nothing is like this"], 0.1) == [Match(1, 1.0), None]


def test_a_repeated_shingle_counts_once():
    assert similar(["a b a b a b"], ["a b a b"], 1) == [Match(0, 1.0)]


def test_short_sentences_are_one_shingle_and_empty_ones_none():
    assert similar(["one", "one two"], ["One !", "one two", "two", "one two three"], 0.5) == [
        Match(0, 1.0),
        Match(1, 1.0),
        None,
        None,
    ]
    assert similar(["! ?", ""], ["! ?", ""], 0.1) == [None, None]


def test_a_sentence_within_a_longer_one_is_found_at_its_very_share():
    """11 of 20 shingles: 0.55 * 20 is 11.000000000000002, and one shingle too few in the index would lose the pair."""
    assert similar([" ".join(WORDS[:22])], [" ".join(WORDS[9:22])], 0.55) == [Match(0, 11 / 20)]
    assert similar([" ".join(WORDS[9:22])], [" ".join(WORDS[:22])], 0.55) == [Match(0, 11 / 20)]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.6, 0.8, 1])
def test_every_pair_that_comparing_all_would_find_is_found(threshold):
    rng = Random(3)
    texts = [[rng.choice(WORDS[:4]) for _ in range(rng.randint(1, 9))] for _ in range(160)]
    known, wanted = texts[:80], texts[80:]

    def shingles(words):
        return {tuple(words[start : start + 3]) for start in range(max(1, len(words) - 2))}

    found = find_similar(known, wanted, threshold)
    for words, match in zip(wanted, found, strict=True):
        own = shingles(words)
        best = max(len(own & shingles(other)) / len(own | shingles(other)) for other in known)
        assert match is None if best < threshold else match.similarity == best
    assert 0 < sum(match is not None for match in found) < len(wanted)
