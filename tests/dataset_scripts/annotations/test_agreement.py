from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest

from dataset_scripts.annotations.agreement import Agreement, cohen_kappa, krippendorff_alpha

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), C: what up to four observers gave each of twelve units.
UNITS = ("111", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11", "3")


def coincidences(units):
    found = Counter()
    for unit in units:
        for pair in permutations(unit, 2):
            found[pair] += 1 / (len(unit) - 1)
    return found


def compared(answers, length) -> Agreement:
    found = Agreement()
    found.add(answers, length)
    return found


def test_alpha_is_that_of_the_published_example():
    assert krippendorff_alpha(coincidences(UNITS)) == pytest.approx(0.743, abs=5e-4)


def test_kappa_is_that_of_a_table_by_hand():
    # 50 things: 20 yes by both, 15 no by both; chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    pairs = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    assert cohen_kappa(pairs) == pytest.approx((0.7 - 0.5) / (1 - 0.5))


def test_one_label_is_full_agreement_and_nothing_is_no_figure():
    assert cohen_kappa({("O", "O"): 3}) == 1.0 and cohen_kappa({}) is None
    assert krippendorff_alpha({("O", "O"): 6.0}) == 1.0 and krippendorff_alpha({}) is None
    assert Agreement().f1() is None


def test_entities_count_with_words_and_type():
    ana, ben = {(0, 2, "PER"), (3, 4, "LOC")}, {(0, 1, "PER"), (3, 4, "LOC")}
    found = compared([ana, ben], 5)
    assert found.f1() == 0.5 and found.f1("PER") == 0.0 and found.f1("LOC") == 1.0
    assert (found.sentences, found.conflicts) == (1, 1)
    assert found.confusion() == {("PER", "PER"): 1, ("PER", "O"): 1, ("O", "PER"): 1, ("LOC", "LOC"): 1, ("O", "O"): 2}


def test_three_people_are_compared_in_pairs():
    found = compared([{(0, 1, "PER")}, {(0, 1, "PER")}, set()], 1)
    assert found.f1() == 2 / 4
    assert found.coincidences[("B-PER", "B-PER")] == 1.0 and found.coincidences[("O", "B-PER")] == 1.0


def test_sums_are_those_of_all_sentences():
    total = Agreement()
    for _ in range(3):
        total.add([{(0, 1, "PER")}, {(0, 1, "ORG")}], 2)
    assert (total.sentences, total.conflicts, total.f1(), total.tags[("B-PER", "B-ORG")]) == (3, 3, 0.0, 3)
