from __future__ import annotations

import json

import numpy as np
import pytest

from dataset_scripts.label_errors.sentences import LabelledSentence, parts_of_data_set
from experiments import consistency
from experiments.source_labels import consistency_page, measure, read_tags

LABELS = ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]


class Answers:
    """A judge that gives these tags, and one of them so that the tags of highest probability are no valid sequence."""

    labels = LABELS

    def __init__(self, tags: dict[str, str]) -> None:
        self._tags = tags

    def __call__(self, sentences):
        rows = [np.eye(len(LABELS))[[LABELS.index(tag) for tag in self._tags[s.uid].split()]] for s in sentences]
        return [0.9 * row + 0.02 for row in rows]


def sentence(uid: str, source: str, words: str, tags: str) -> LabelledSentence:
    return LabelledSentence(uid, uid, "en", source, tuple(words.split()), tuple(tags.split()))


SENTENCES = [
    sentence("1", "captions", "Paris shines", "B-LOC O"),
    sentence("2", "captions", "paris wins", "B-ORG O"),
    sentence("3", "captions", "in Rome", "O B-LOC"),
    sentence("4", "tweets", "Paris wins", "B-ORG O"),
    sentence("5", "tweets", "Rome", "B-LOC"),
]
READ = {"1": "B-LOC O", "2": "B-LOC O", "3": "O O", "4": "B-LOC O", "5": "B-LOC"}
CONFLICTS = {name: {"strings": 1} for name in ("en captions", "en tweets")}


def test_each_source_is_measured_for_itself():
    found = measure([lambda: SENTENCES], Answers(READ), CONFLICTS)
    captions, tweets = found["en captions"], found["en tweets"]
    assert (captions["sentences"], captions["words"], captions["words with the right tag"]) == (3, 6, 4)
    assert captions["entities"]["recall"] == pytest.approx(1 / 3)
    assert captions["entities"]["precision"] == pytest.approx(1 / 2)
    assert captions["kinds"]["missed"] == captions["kinds"]["wrong_type"] == captions["kinds"]["right"] == 1
    assert captions["pairs"] == {"of one string": 1, "of these with different types": 1}  # Paris
    assert tweets["pairs"] == {"of one string": 0, "of these with different types": 0}
    assert captions["errors"] == {  # Rome has one type, and paris is LOC in sentence 1
        "on gold entities": 2,
        "of these on strings with several types": 1,
        "wrong types": 1,
        "of these a type that the string has elsewhere": 1,
    }
    assert tweets["errors"] == {"on gold entities": 1, "wrong types": 1}  # there Paris is always ORG
    assert captions["conflicts"] == {"strings": 1}


def test_the_tags_that_are_read_are_valid():
    stray = sentence("1", "captions", "Paris shines", "B-LOC O")
    (tags,) = read_tags(Answers({"1": "O I-LOC"}), [stray])
    assert tags != ["O", "I-LOC"] and not tags[0].startswith("I-")


def test_from_a_data_set_to_the_record(dataset, tmp_path, capsys):
    output = tmp_path / "found.json"
    consistency.main([dataset, "--folds", "3", "--output", str(output)])
    content = json.loads(output.read_text(encoding="utf-8"))
    assert content["data"]["fingerprint"] and content["folds"] == 3 and "scikit-learn" in content["model"]
    read = sum(len(list(part())) for part in parts_of_data_set(dataset, with_pictures=False))
    assert sum(found["sentences"] for found in content["sources"].values()) == read
    assert capsys.readouterr().out == consistency_page(content) + "\n"
    with pytest.raises(SystemExit, match="`models` names 2 runs; name one, or as many as `folds`, 5"):
        consistency.main([dataset, "--models", "a", "b", "--output", str(output)])
