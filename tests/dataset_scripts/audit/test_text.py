import pytest

from dataset_scripts.audit.findings import FindingExample
from dataset_scripts.audit.rows import AuditRow
from dataset_scripts.audit.text import (
    find_invisible_words,
    find_label_conflicts,
    find_placeholders,
    find_repeated_texts,
    find_words_without_pieces,
)


def row(name, words, tags=None, **changes):
    words = tuple(words.split(" "))
    place = {"id": name, "image_id": name, "lang": "en", "split": "train", "source": "cc12m"}
    return AuditRow(**{**place, **changes}, tokens=words, tags=tags or ("O",) * len(words))


def test_placeholders_are_counted_by_row_and_by_word():
    rows = [
        row("1", "eareplacestrstr0 replacestrstr"),
        row("2", "replacestrstr12 x", split="test"),
        row("3", "place holder", split="test"),
    ]
    finding = find_placeholders(rows)
    assert (finding.count, finding.total) == (2, 3)
    assert finding.details == {"words": 3, "splits": {"test": 1, "train": 1}, "sources": {"cc12m": 2}}
    assert [example.rows for example in finding.examples] == [("1",), ("2",)]


def test_words_of_invisible_characters_only_are_found():
    rows = [row("1", "a \uf0d8 \u200b\uf0a7 b\u200b"), row("2", "\uf0d8 \ufffd"), row("3", "é")]
    finding = find_invisible_words(rows)
    assert (finding.count, finding.total) == (4, 7)
    assert finding.details == {"rows": 2, "words": {"U+F0D8": 2, "U+200B U+F0A7": 1, "U+FFFD": 1}}
    assert finding.examples[0] == FindingExample(("1",), "word 1: U+F0D8 in a \uf0d8 \u200b\uf0a7 b\u200b")


def test_empty_words_are_not_called_invisible():
    assert find_invisible_words([row("1", "a  b")]).count == 0


def test_words_that_a_tokenizer_deletes_are_found(tokenizer, monkeypatch):
    monkeypatch.setattr("dataset_scripts.audit.text.SENTENCES_PER_BATCH", 2)
    rows = [row("1", "Hi \u200b"), row("2", "\u200b \uf0d8 Hi"), row("3", "Hi Zürich"), row("4", "\u200b")]
    finding = find_words_without_pieces(rows, tokenizer, "tiny")
    assert (finding.count, finding.total) == (4, 8)
    assert finding.details == {"tokenizer": "tiny", "rows": 3, "words": {"U+200B": 3, "U+F0D8": 1}}
    assert [example.rows[0] for example in finding.examples] == ["1", "2", "2", "4"]


def test_a_tokenizer_that_does_not_know_words_is_refused():
    class SlowTokenizer:
        is_fast = False

    with pytest.raises(ValueError, match="`tokenizer` old is a SlowTokenizer, which cannot assign"):
        find_words_without_pieces([row("1", "a")], SlowTokenizer(), "old")


def test_repeated_texts_are_those_of_one_language_and_split():
    rows = [
        row("1", "a b", image_id="p"),
        row("2", "a b", image_id="p"),
        row("3", "A b"),
        row("4", "a b", split="test"),
        row("5", "a b", lang="de"),
        row("6", "a b"),
        row("7", "a b"),
    ]
    finding = find_repeated_texts(rows)
    assert (finding.count, finding.total) == (3, 7)
    assert finding.details == {"splits": {"en train": 3}, "same_picture_id": 1}
    assert finding.examples == tuple(FindingExample((name, "1"), "a b") for name in "267")


def test_rows_without_words_repeat_nothing():
    empty = AuditRow("1", "1", "en", "train", (), ())
    assert find_repeated_texts([empty, empty]).count == 0


def test_strings_with_several_types_are_conflicts_within_a_language_and_source():
    rows = [
        row("1", "London in London", ("B-LOC", "O", "B-LOC")),
        row("2", "LONDON and Rome", ("B-ORG", "O", "B-LOC")),
        row("3", "London", ("B-MISC",)),
        row("4", "Rome", ("B-ORG",)),
        row("8", "Bern Bern", ("B-ORG", "B-LOC")),
        row("5", "Oslo", ("B-LOC",), lang="de"),
        row("6", "Oslo", ("B-ORG",)),
        row("7", "Oslo", ("B-PER",), source="twitter2017"),
    ]
    finding = find_label_conflicts(rows)
    assert (finding.count, finding.total) == (3, 6)
    assert finding.details["sources"]["en cc12m"] == {
        "strings": 4,
        "conflicting": 3,
        "mentions": 9,
        "mentions_of_conflicting": 8,
        "in_minority": 4,
    }
    assert [counts["conflicting"] for counts in finding.details["sources"].values()] == [0, 3, 0]
    assert list(finding.details["sources"]) == ["de cc12m", "en cc12m", "en twitter2017"]
    assert finding.examples[0] == FindingExample(("1", "3", "2"), "london: LOC 2, MISC 1, ORG 1")
    assert finding.examples[1] == FindingExample(("8", "8"), "bern: LOC 1, ORG 1")
    assert finding.examples[2] == FindingExample(("2", "4"), "rome: LOC 1, ORG 1")
