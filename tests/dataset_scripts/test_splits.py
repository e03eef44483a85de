from collections import Counter
from random import Random

import pytest

from dataset_scripts.schema import CONFIGS, LANGUAGES, SPLITS
from dataset_scripts.splits import Leak, Overlap, seed_without_empty_split, split_of_group, split_pool, stable_hash

TRAIN, VALIDATION, TEST = range(3)
NAMES = [f"{lang}/O_{number}" for number in range(500) for lang in LANGUAGES]


def leaks_of(rows):
    overlap = Overlap()
    for lang, split, image_id, words in rows:
        overlap.add(LANGUAGES.index(lang), split, image_id, words.split(" "))
    return {(leak.config, leak.split): (leak.rows, leak.pictures, leak.texts) for leak in overlap.leaks()}


def test_hashes_are_those_of_every_machine():
    assert stable_hash("en/O_1") == 0x6E6A5419223B56E8
    assert stable_hash("\ud800é") == 0x4BFEF33A3118C6E7


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [(42_910, (34_328, 4_291, 4_291)), (10, (8, 1, 1)), (19, (17, 1, 1)), (9, (9, 0, 0)), (0, (0, 0, 0))],
)
def test_the_pool_is_cut_to_the_row(rows, sizes):
    counts = Counter(split_pool(19, map(str, range(rows))))
    assert tuple(counts[split] for split in range(3)) == sizes


def test_the_pool_is_cut_the_same_way_in_any_order():
    order = Random(0).sample(range(len(NAMES)), len(NAMES))
    straight, shuffled = split_pool(19, NAMES), split_pool(19, [NAMES[place] for place in order])
    assert [straight[place] for place in order] == list(shuffled)
    assert split_pool(19, NAMES) == straight


def test_the_seed_decides_on_the_pool():
    same = sum(map(int.__eq__, split_pool(19, NAMES), split_pool(20, NAMES)))
    assert len(NAMES) * 0.6 < same < len(NAMES) * 0.72  # 0.66 = 0.8**2 + 2 * 0.1**2 by chance


def test_the_pool_parts_languages_and_knows_no_order():
    splits = dict(zip(NAMES, split_pool(19, NAMES), strict=True))
    together = sum(len({splits[f"{lang}/O_{number}"] for lang in LANGUAGES}) == 1 for number in range(500))
    assert 0.3 * 500 < together < 0.52 * 500  # 0.41 = 0.8**4 + 2 * 0.1**4 by chance
    halves = [Counter(split_pool(19, NAMES)[start : start + 1000])[TEST] for start in (0, 1000)]
    assert min(halves) > 70 and sum(halves) == 200


def test_groups_are_split_eight_to_one_to_one():
    counts = Counter(split_of_group(19, f"O_{number}") for number in range(20_000))
    assert abs(counts[TRAIN] - 16_000) < 250  # 4.4 standard deviations
    assert abs(counts[VALIDATION] - 2_000) < 190
    assert abs(counts[TEST] - 2_000) < 190


def test_the_seed_decides_on_groups():
    groups = [f"O_{number}" for number in range(2_000)]
    first, second = ([split_of_group(seed, group) for group in groups] for seed in (19, 20))
    assert [split_of_group(19, group) for group in groups] == first
    assert 0.6 < sum(map(int.__eq__, first, second)) / len(groups) < 0.72


def test_the_largest_hash_has_a_split(monkeypatch):
    monkeypatch.setattr("dataset_scripts.splits.stable_hash", lambda _: 2**64 - 1)
    assert split_of_group(19, "O_1") == TEST
    monkeypatch.setattr("dataset_scripts.splits.stable_hash", lambda _: 0)
    assert split_of_group(19, "O_1") == TRAIN


PARALLEL = [
    ("en", TRAIN, "1", "a dog"),
    ("de", TRAIN, "2", "ein Hund"),
    ("en", VALIDATION, "2", "two dogs"),
    ("de", VALIDATION, "3", "drei Hunde"),
    ("de", TEST, "1", "a dog"),
    ("de", TEST, "2", "zwei Hunde"),
    ("en", TEST, "4", "a dog"),
    ("fr", TEST, "1", "un chien"),
    ("fr", TEST, "5", "ein Hund"),
]


def test_leaks_are_counted_in_each_configuration():
    assert leaks_of(PARALLEL) == {
        ("all", "validation"): (2, 1, 0),
        ("all", "test"): (5, 3, 3),
        ("en", "validation"): (1, 0, 0),
        ("en", "test"): (1, 0, 1),
        ("fr", "test"): (2, 0, 0),
        ("de", "validation"): (1, 0, 0),
        ("de", "test"): (2, 1, 0),
        ("en_de", "validation"): (2, 1, 0),
        ("en_de", "test"): (3, 2, 2),
        ("en_fr", "validation"): (1, 0, 0),
        ("en_fr", "test"): (3, 1, 1),
        ("de_fr", "validation"): (1, 0, 0),
        ("de_fr", "test"): (4, 1, 1),
    }


def test_leaks_name_configuration_and_split():
    overlap = Overlap()
    overlap.add(0, TRAIN, "1", ["a"])
    overlap.add(0, TEST, "1", ["b"])
    overlap.add(3, VALIDATION, "1", ["a"])
    assert overlap.leaks()[0] == Leak("all", "validation", rows=1, pictures=1, texts=1)
    assert [leak.config for leak in overlap.leaks()] == ["all", "all", "en", "de", "en_de", "en_de"]


def test_repeats_within_a_split_are_no_leak():
    rows = [("en", TEST, "1", "a"), ("en", TEST, "1", "a"), ("en", VALIDATION, "1", "a"), ("en", TRAIN, "2", "b")]
    assert leaks_of(rows) == {("en", "validation"): (1, 0, 0), ("en", "test"): (2, 0, 0)}


def test_words_and_ids_are_compared_whole():
    rows = [
        ("en", TRAIN, "O_1", "a b"),
        ("en", TEST, "O_11", "ab"),
        ("en", TEST, "O_2", "a b c"),
        ("en", TEST, "O", "a"),
    ]
    assert leaks_of(rows) == {("en", "test"): (3, 0, 0)}


def test_one_language_is_reported_once():
    assert leaks_of([("fr", TRAIN, "1", "a"), ("fr", TEST, "1", "b")]) == {("fr", "test"): (1, 1, 0)}


def test_four_languages_are_reported_in_every_configuration():
    rows = [(lang, split, "1", f"{lang} {split}") for lang in LANGUAGES for split in (TRAIN, VALIDATION, TEST)]
    leaks = leaks_of(rows)
    assert [config for config, split in leaks if split == "test"] == list(CONFIGS)
    for (config, split), counts in leaks.items():
        assert split in SPLITS[1:]
        assert counts == (len(CONFIGS[config]), len(CONFIGS[config]), 0)


def test_no_rows_leak_nothing():
    assert Overlap().leaks() == []


def test_splits_can_have_other_sizes():
    names = [f"n{number}" for number in range(1000)]
    usual = [split_of_group(7, name) for name in names]
    assert [split_of_group(7, name, (80, 10, 10)) for name in names] == usual
    assert list(split_pool(7, names, (80, 10, 10))) == list(split_pool(7, names))
    assert Counter(split_pool(7, names, (5, 3, 2))) == {0: 500, 1: 300, 2: 200}
    shares = Counter(split_of_group(7, name, (5, 3, 2)) for name in names)
    assert all(abs(shares[place] - size) < 50 for place, size in enumerate((500, 300, 200)))
    assert {split_of_group(7, name, (9, 1, 0)) for name in names} == {0, 1}


def test_a_seed_leaves_no_split_empty_where_that_can_be():
    for names in (["a", "b", "c"], [f"n{number}" for number in range(12)]):
        seed = seed_without_empty_split(0, names)
        assert {split_of_group(seed, name) for name in names} == {0, 1, 2}
        assert all({split_of_group(other, name) for name in names} != {0, 1, 2} for other in range(seed))
    assert seed_without_empty_split(5, ["a", "b"]) == 5
    assert {split_of_group(seed_without_empty_split(0, ["a", "b"], (1, 1, 0)), n, (1, 1, 0)) for n in "ab"} == {0, 1}
