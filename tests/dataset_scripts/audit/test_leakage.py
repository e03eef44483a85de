from dataclasses import replace

import pytest

from dataset_scripts.audit.findings import FindingExample
from dataset_scripts.audit.leakage import check_leakage
from dataset_scripts.audit.rows import AuditRow
from dataset_scripts.schema import LANGUAGES, SPLITS
from dataset_scripts.splits import Overlap


def row(lang, split, image_id, words="a b", **changes):
    words = tuple(words.split())
    name = f"{lang}/{split}/{image_id}"
    return AuditRow(name, image_id, lang, split, words, ("O",) * len(words), **{"status": "ok", **changes})


def find(name, rows, similarity=0.8):
    (finding,) = [finding for finding in check_leakage(rows, similarity) if finding.name == name]
    return finding


def line(rows, leaked, foreign=None):
    told = {} if foreign is None else {"only_in_another_language": foreign}
    return {"rows": rows, "leaked": leaked, "share": round(leaked / rows, 4), **told}


ROWS = [
    row("en", "train", "1", "one two three", sha256="a"),
    row("en", "validation", "1", "other words here", sha256="x"),  # its picture id, in its language
    row("en", "test", "2", "one two three", sha256="b"),  # its words in English, its picture in German
    row("de", "train", "2", "eins zwei drei", sha256="c"),
    row("de", "test", "1", "one two three", sha256="a"),  # picture and words, in English only
    row("de", "test", "3", "vier", sha256="c"),  # its bytes, under another id
    row("de", "validation", "4", "ONE two three", sha256="d", status="default"),
]


def test_picture_ids_leak_within_and_across_languages():
    finding = find("leaked_picture_ids", ROWS)
    assert (finding.count, finding.total) == (3, 5)
    assert finding.details["configurations"] == {
        "all": {"validation": line(2, 1, 0), "test": line(3, 2, 2)},
        "en": {"validation": line(1, 1), "test": line(1, 0)},
        "de": {"validation": line(1, 0), "test": line(2, 0)},
        "en_de": {"validation": line(2, 1, 0), "test": line(3, 2, 2)},
    }
    assert finding.examples[0] == FindingExample(("en/validation/1", "en/train/1"), "other words here")
    assert finding.examples[1].rows == ("en/test/2", "de/train/2")


def test_bytes_leak_under_any_id_but_stand_ins_do_not():
    rows = [*ROWS, row("de", "train", "5", sha256="d", status="default")]
    finding = find("leaked_picture_bytes", rows)
    assert (finding.count, finding.total) == (2, 4)
    assert finding.details["configurations"]["de"] == {"test": line(2, 1)}
    assert finding.details["configurations"]["all"] == {"validation": line(1, 0, 0), "test": line(3, 2, 1)}


def test_texts_leak_when_they_are_equal_to_the_letter():
    finding = find("leaked_texts", ROWS)
    assert (finding.count, finding.total) == (2, 5)
    assert [example.rows for example in finding.examples] == [("en/test/2", "en/train/1"), ("de/test/1", "en/train/1")]
    assert finding.details["configurations"]["de"]["test"] == line(2, 0)


def test_one_language_has_one_configuration_and_rows_without_keys_do_not_count():
    rows = [row("fr", "train", "", ""), row("fr", "test", "", ""), row("fr", "test", "1")]
    for name in ("leaked_picture_ids", "leaked_texts", "leaked_similar_texts"):
        finding = find(name, rows)
        assert (finding.count, finding.total) == (0, 1)
        assert finding.details["configurations"] == {"fr": {"test": line(1, 0)}}


def test_the_language_of_the_row_is_named_before_others():
    rows = [row("de", "train", "1"), row("en", "train", "1"), row("en", "test", "1")]
    assert find("leaked_picture_ids", rows).examples[0].rows == ("en/test/1", "en/train/1")


def test_counts_agree_with_those_of_the_builder():
    overlap = Overlap()
    for one in ROWS:
        overlap.add(LANGUAGES.index(one.lang), SPLITS.index(one.split), one.image_id, one.tokens)
    tables = [find(name, ROWS).details["configurations"] for name in ("leaked_picture_ids", "leaked_texts")]
    leaks = overlap.leaks()
    assert {leak.config for leak in leaks} == {"all", "en", "de", "en_de"}
    for leak in leaks:
        counted = [table[leak.config][leak.split] for table in tables]
        assert [count["rows"] for count in counted] == [leak.rows, leak.rows]
        assert [count["leaked"] for count in counted] == [leak.pictures, leak.texts]


def test_similar_texts_are_looked_for_in_the_same_language():
    train = "Anime quotes number 17 about hard work today"
    rows = [row("en", "train", "0", "something else stands here"), row("en", "train", "1", train)]
    rows += [
        row("en", "test", "2", "anime quotes number 99 about hard work tomorrow"),
        row("en", "validation", "3", train.upper()),
    ]
    rows += [row("de", "test", "4", train), row("en", "test", "5", "new words only , please")]
    finding = find("leaked_similar_texts", rows, similarity=5 / 7)
    assert (finding.count, finding.total) == (2, 4)
    assert finding.details["identical"] == {"validation": 1} and finding.details["similarity"] == 5 / 7
    assert finding.details["configurations"]["all"] == {"validation": line(1, 1, 0), "test": line(3, 1, 0)}
    partners = [("en/test/2", "en/train/1"), ("en/validation/3", "en/train/1")]
    assert [example.rows for example in finding.examples] == partners
    assert finding.examples[0].text.startswith("0.71: anime quotes number 99")
    assert find("leaked_similar_texts", rows, similarity=0.72).count == 1


@pytest.mark.parametrize(
    ("change", "leaked"),
    [
        ({}, 1),
        ({"look": 0b1000}, 1),
        ({"look": 0b1111}, 0),
        ({"look": 0b11110000}, 0),
        ({"sha256": "a"}, 0),
        ({"status": "default"}, None),
        ({"look": None}, None),
        ({"lang": "de"}, 1),
    ],
)
def test_pictures_that_look_like_one_in_train_leak(change, leaked):
    rows = [row("en", "train", "1", sha256="a", look=0), row("de", "train", "2", sha256="b", look=2**64 - 1)]
    rows += [row("en", "train", "4", sha256="e"), row("en", "train", "5", sha256="f", look=0b1111, status="default")]
    tested = replace(row("en", "test", "3", sha256="c", look=0), **change)
    alike = row("en", "validation", "6", sha256="g", look=0b11110000)  # like no row of train
    finding = find("leaked_similar_pictures", [*rows, alike, tested])
    assert (finding.count, finding.total) == (leaked or 0, 1 if leaked is None else 2)
    if leaked:
        assert finding.examples[0].rows == (tested.id, "en/train/1")


def test_ids_in_several_splits_are_counted_by_splits():
    rows = [*ROWS, row("fr", "validation", "3"), row("fr", "test", "3"), row("fr", "test", ""), row("fr", "train", "")]
    finding = find("ids_in_several_splits", rows)
    assert (finding.count, finding.total) == (3, 4)
    splits = {"train + test": 1, "train + validation + test": 1, "validation + test": 1}
    assert finding.details == {"splits": splits}
    assert finding.examples[0].rows == ("en/train/1", "en/validation/1", "de/test/1")


def test_translations_in_train_are_counted_among_rows_with_a_translation():
    finding = find(
        "translation_twins",
        [
            *ROWS,
            row("fr", "test", "6"),
            row("es", "test", "6"),
            row("fr", "train", "7"),
            row("es", "train", "7"),
            row("fr", "train", "8"),
            row("es", "train", "8"),
        ],
    )
    assert (finding.count, finding.total) == (2, 5)
    assert (finding.details["ids_in_several_languages"], finding.details["of_these_in_one_split"]) == (5, 3)
    assert finding.details["configurations"] == {
        "all": {"validation": line(1, 0, 0), "test": line(4, 2, 2)},
        "en_de": {"validation": line(1, 0, 0), "test": line(2, 2, 2)},
        "fr_es": {"test": line(2, 0, 0)},
    }
    assert [example.rows for example in finding.examples] == [("en/test/2", "de/train/2"), ("de/test/1", "en/train/1")]
