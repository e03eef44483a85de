"""A finished model on other data: the same scores as its run's, types by name, and errors that say what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import ClassLabel, DatasetDict, List

from modeling_2mner import LABELS
from training_2mner.arguments import DataArguments
from training_2mner.evaluate import __main__ as program
from training_2mner.evaluate import finished
from training_2mner.evaluate.entity_types import check_types, map_tags, read_mapping
from training_2mner.evaluate.finished import evaluate_model
from training_2mner.evaluation import evaluate_on_test

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run(make_trainer, splits, processor):
    """A run folder and the scores that its Trainer gave it."""
    trainer = make_trainer(train=splits["test"], num_train_epochs=6)
    trainer.train()
    scores = evaluate_on_test(trainer, splits["test"])
    trainer.save_model()
    return trainer.args.output_dir, scores


def relabelled(splits: DatasetDict, names: list[str], old: dict[str, str]) -> DatasetDict:
    """The same tags by other numbers and names."""

    def number(row):
        tags = [LABELS[tag] for tag in row["ner_tags"]]
        return {
            "ner_tags": [names.index(f"{tag[:2]}{old.get(tag[2:], tag[2:])}" if tag != "O" else tag) for tag in tags]
        }

    features = splits["test"].features.copy()
    features["ner_tags"] = List(ClassLabel(names=names))
    return DatasetDict({name: split.map(number, features=features) for name, split in splits.items()})


@pytest.fixture
def answers(monkeypatch, splits):
    """Let the model answer with these tags, here for the first three words of each sentence."""

    def give(tags):
        monkeypatch.setattr(finished, "tag_split", lambda name, dataset, *others: tags)

    return give


def test_the_scores_are_those_of_the_run(run, data_folder):
    folder, scores = run
    found = evaluate_model(folder, DataArguments(dataset=str(data_folder)))

    assert 0 < found.content["scores"]["f1"] < 1
    assert {"f1_PER", "lenient_f1", "lang_en_f1", "source_cc12m_lenient_f1"} <= set(found.content["scores"])
    assert found.content["scores"] == {name: scores[f"test_{name}"] for name in found.content["scores"]}
    assert f"| all | {100 * scores['test_precision']:.2f} | {100 * scores['test_recall']:.2f} |" in found.table


def test_types_are_compared_by_name_not_by_number(run, splits, write_data_folder):
    folder, scores = run
    names = [LABELS[0], *LABELS[5:], *LABELS[1:5]]
    data = DataArguments(dataset=str(write_data_folder(relabelled(splits, names, {}))))

    assert evaluate_model(folder, data).content["scores"]["f1"] == scores["test_f1"]


def test_mapped_types_give_the_scores_of_the_original_ones(run, splits, write_data_folder):
    folder, scores = run
    names = ["O", "B-HUMAN", "I-HUMAN", *LABELS[3:]]
    data = DataArguments(dataset=str(write_data_folder(relabelled(splits, names, {"PER": "HUMAN"}))))
    with pytest.raises(
        ValueError, match=r"types HUMAN, which `model` .* --map HUMAN=PER, .* --map HUMAN=, .*--new_labels"
    ):
        evaluate_model(folder, data)
    found = evaluate_model(folder, data, mapping={"HUMAN": "PER"}).content

    assert found["scores"]["f1"] == scores["test_f1"] and found["scores"]["f1_PER"] == scores["test_f1_PER"]
    assert found["map"] == {"HUMAN": "PER"}


def test_the_mapping_holds_for_data_and_answers(run, make_dataset, make_row, write_data_folder, answers):
    """Two of three answers are right after it: PER and LOC count as MISC, and ORG is left out on both sides."""
    folder, _ = run
    rows = [
        make_row(["Anna", "in", "Paris"], ["B-PER", "O", "B-LOC"]),
        make_row(["the", "Louvre"], ["O", "B-ORG"]),
    ]
    data = DataArguments(dataset=str(write_data_folder(DatasetDict(test=make_dataset(rows)))))
    answers([["B-LOC", "O", "B-MISC"], ["B-PER", "B-ORG"]])
    mapping = {"PER": "MISC", "LOC": "MISC", "ORG": ""}
    scores = evaluate_model(folder, data, mapping=mapping).content["scores"]

    assert scores["precision"] == pytest.approx(2 / 3) and scores["recall"] == 1
    assert [name for name in scores if name.startswith("f1_")] == ["f1_MISC"]


def test_types_that_the_data_lack_are_named(run, splits, write_data_folder, caplog):
    folder, _ = run
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]
    data = DataArguments(dataset=str(write_data_folder(relabelled(splits, names, {}))))
    evaluate_model(folder, data)
    assert "also finds MISC, which the data set does not annotate" in caplog.text and "`--map MISC=`" in caplog.text


def test_one_split_is_enough(run, splits, write_data_folder):
    folder, _ = run
    data = write_data_folder(DatasetDict(dev=splits["validation"]))
    found = evaluate_model(folder, DataArguments(dataset=str(data), max_eval_samples=3), split="dev")
    assert found.content["sentences"] == 3
    with pytest.raises(ValueError, match="has no split 'test', only dev"):
        evaluate_model(folder, DataArguments(dataset=str(data)))


def test_the_program_prints_the_table_and_writes_the_scores(run, data_folder, tmp_path, capsys):
    folder, scores = run
    output = tmp_path / "scores.json"
    program.main([folder, "--dataset", str(data_folder), "--device", "cpu", "--output", str(output)])
    text, content = capsys.readouterr().out, json.loads(output.read_text(encoding="utf-8"))

    assert text.startswith("9 sentences of tiny (all, test)\n\n| Sentences | Precision |")
    assert content["scores"]["f1"] == scores["test_f1"] and content["model"] == "run"
    assert str(tmp_path) not in output.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("command_line", "message"),
    [
        (["nowhere/at-all/here"], "error: `model` 'nowhere/at-all/here' does not load"),
        (["{run}", "--map", "PER"], "error: `map` is 'PER'; write OTHER=MISC"),
        (["{run}", "--map", "PER=O"], "error: `map` is 'PER=O'; write OTHER=MISC, or OTHER= to leave"),
        (["{run}", "--map", "DRUG=PER"], "error: `map` names 'DRUG', but the data set has "),
        (["{run}", "--dataset_config", "en"], "error: `dataset_config` is 'en', but "),
    ],
)
def test_errors_are_one_line(run, data_folder, command_line, message):
    words = [word.replace("{run}", run[0]) for word in command_line]
    with pytest.raises(SystemExit) as error:
        program.main([*words, "--dataset", str(data_folder)])
    assert str(error.value).startswith(message)


def test_the_help_waits_for_nothing():
    script = "import training_2mner.evaluate.__main__, sys; sys.exit(bool({'torch', 'datasets'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_mapped_tags():
    tags = [["B-A", "I-A", "O", "B-B", "B-C"]]
    assert map_tags(tags, {"A": "B", "C": ""}) == [["B-B", "I-B", "O", "B-B", "O"]]
    assert read_mapping(["A=B", "C="]) == {"A": "B", "C": ""}
    with pytest.raises(ValueError, match="`map` names 'A' twice"):
        read_mapping(["A=B", "A=C"])
    assert check_types(["A"], ["A", "B"], {}, "model") == ["B"]
    assert check_types(["A"], ["A", "B"], {"B": "A"}, "model") == []
