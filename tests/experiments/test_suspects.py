from __future__ import annotations

import json

import pytest
from datasets import Dataset

from dataset_scripts.label_errors import __main__ as label_errors
from experiments import suspects
from experiments.exclusion import first_suspects
from training_2mner.arguments import DataArguments
from training_2mner.data import load_splits

TRAIN = Dataset.from_dict({"id": [f"s{n}" for n in range(10)], "source": ["caption"] * 8 + ["tweet"] * 2})


def queue(*names: str) -> list[str]:
    return [json.dumps({"uid": name}) for name in names]


def test_the_first_of_the_source_are_taken():
    found = first_suspects(queue("s9", "s3", "test sentence", "s7", "s0"), TRAIN, "caption", 0.25)
    assert found == ["s3", "s7"]  # a quarter of eight


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((queue("s1"), TRAIN, "caption", 0.25), "`queue` has 1 training sentences of caption, fewer than the 2"),
        ((queue("s1"), TRAIN, "captions", 0.25), "`source` is 'captions', but train has caption, tweet"),
        ((queue("s1"), TRAIN, "caption", 10), "`share` is 10"),
        ((queue("s1"), TRAIN, "caption", 0.01), "`share` 0.01 of 8 sentences is none"),
    ],
)
def test_what_cannot_be_taken_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        first_suspects(*arguments)


def test_from_the_ranking_of_the_training_split_to_training_without_them(dataset, tmp_path, capsys):
    pytest.importorskip("sklearn")
    ranked, without = tmp_path / "ranked", tmp_path / "without.txt"
    label_errors.main([dataset, "--split", "train", "--output", str(ranked), "--folds", "3"])
    plain = load_splits(DataArguments(dataset=dataset, dataset_config="en"))
    lines = (ranked / "queue.jsonl").read_text(encoding="utf-8").splitlines()
    uids = [json.loads(line)["uid"] for line in lines]
    every = load_splits(DataArguments(dataset=dataset, dataset_config="all"))
    assert uids and set(uids) <= set(every["train"]["id"])
    source = next(json.loads(line)["source"] for line in lines if json.loads(line)["uid"] in plain["train"]["id"][:])
    common = ["--dataset", dataset, "--dataset_config", "en", "--source", source, "--share", "0.05"]
    suspects.main([str(ranked / "queue.jsonl"), *common, "--output", str(without)])
    names = without.read_text(encoding="utf-8").split()
    left = load_splits(DataArguments(dataset=dataset, dataset_config="en", train_without=str(without)))
    assert names and set(plain["train"]["id"]) - set(left["train"]["id"]) == set(names)
    assert left["test"]["id"][:] == plain["test"]["id"][:]
    with pytest.raises(SystemExit, match="`split` is 'dev', but the data set has train, validation, test"):
        label_errors.main([dataset, "--split", "dev", "--output", str(ranked)])


def test_a_sentence_that_the_queue_names_twice_is_taken_once():
    assert first_suspects(queue("s3", "s3", "s7"), TRAIN, "caption", 0.25) == ["s3", "s7"]


@pytest.mark.parametrize("line", ["", "nothing", "5", "[1]", '{"id": 1}'])
def test_a_queue_that_is_none_is_told_by_its_line(line):
    with pytest.raises(ValueError, match=r"`queue` has no sentence in line 2, .*label_errors"):
        first_suspects([*queue("s1"), line], TRAIN, "caption", 0.25)


def test_the_queue_is_not_overwritten(tmp_path):
    path = tmp_path / "queue.jsonl"
    path.write_text("\n".join(queue("s1")), encoding="utf-8")
    with pytest.raises(SystemExit, match="`output` is the queue itself"):
        suspects.main([str(path), "--dataset", "nowhere", "--source", "caption", "--output", str(path)])
    assert path.read_text(encoding="utf-8") == queue("s1")[0]
