from __future__ import annotations

import pytest

from reports_2mner.tags import check_label_names, check_sentence, check_sentences

NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


@pytest.mark.parametrize("names", [NAMES, ["B-PER", "O"], ["O"]])
def test_iob2_labels_pass(names):
    check_label_names(names, "data")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["O", "I-PER", "I-LOC"], "'I-PER' but no 'B-PER'.*IO tags become IOB2"),
        (["O", "B-PER", "I-PER", "E-PER", "S-PER"], "'E-PER'.*E-, L- and M- become I-"),
        (["O", "B-PER", "L-PER", "U-PER"], "'L-PER'.*BILOU"),
        (["O", "PER"], "'PER'.*Rename it"),
        (["B-PER", "I-PER"], "no label 'O'"),
    ],
)
def test_labels_of_another_scheme_are_named_with_the_remedy(names, message):
    with pytest.raises(ValueError, match=f"(?s)^data: .*{message}"):
        check_label_names(names, "data")


def test_a_sound_sentence_is_named():
    assert check_sentence(["Anna", "Meier", "!"], [1, 2, 0], NAMES, "row") == ["B-PER", "I-PER", "O"]


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        (["Anna"], [2], r"word 0 \('Anna'\): the tag 'I-PER' continues no entity.*IOB1"),
        (["Anna", "Rom"], [1, 4], r"word 1 \('Rom'\): the tag 'I-LOC'"),
        (["Anna", "Rom"], [1, -1], r"word 1 \('Rom'\): `ner_tags` holds -1.*not known"),
        (["Anna"], [None], "holds null.*not known"),
        (["Anna"], [5], "holds 5, not one of the 5 labels.*from 0"),
        (["Anna"], None, "`ner_tags` is null"),
        (None, [0], "`tokens` is None"),
        ("Anna", [0, 0, 0, 0], "`tokens` is 'Anna'"),
        (["Anna", None], [0, 0], "word 1: None is not a string"),
        (["Anna"], [0, 0], "1 `tokens` but 2 `ner_tags`"),
    ],
)
def test_a_fault_is_told_with_its_row(words, tags, message):
    sentences = [(["Rom"], [3]), (words, tags)]
    with pytest.raises(ValueError, match=f"(?s)^data, row 1.*{message}"):
        check_sentences(sentences, NAMES, "data")
