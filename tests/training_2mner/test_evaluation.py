from __future__ import annotations

import pytest

from modeling_2mner import LABELS
from training_2mner.evaluation import evaluate_on_dev, evaluate_on_test, write_predictions
from training_2mner.metrics import entity_scores


@pytest.fixture
def scored(make_trainer, splits):
    """A trainer's test scores, and where it wrote its predictions."""
    trainer = make_trainer(train=splits["test"], num_train_epochs=8)
    trainer.train()
    return evaluate_on_test(trainer, splits["test"]), trainer.args.output_dir


def read(path) -> list[tuple[str, list[list[str]]]]:
    """The sentences of a predictions file: image id, and `[word, gold, predicted]` for each word."""
    blocks = path.read_text(encoding="utf-8").removesuffix("\n\n").split("\n\n")
    sentences = [block.split("\n") for block in blocks]
    return [(lines[0].removeprefix("IMGID:"), [line.split("\t") for line in lines[1:]]) for lines in sentences]


def test_predictions_are_in_the_order_of_the_data_set(scored, splits, tmp_path):
    sentences = read(tmp_path / "run" / "predictions_test.conll")
    test = splits["test"]

    assert [image_id for image_id, _ in sentences] == test["image_id"][:]
    assert [[word for word, _, _ in words] for _, words in sentences] == test["tokens"][:]
    gold = [[LABELS[tag] for tag in tags] for tags in test["ner_tags"]]
    assert [[tag for _, tag, _ in words] for _, words in sentences] == gold


def test_the_scores_are_those_of_the_written_predictions(scored, splits, tmp_path):
    scores, _ = scored
    sentences = read(tmp_path / "run" / "predictions_test.conll")
    gold = [[tag for _, tag, _ in words] for _, words in sentences]
    predicted = [[tag for _, _, tag in words] for _, words in sentences]

    for name, value in entity_scores(predicted, gold).items():
        assert scores[f"test_{name}"] == pytest.approx(value)
    for group, column in (("lang_en", "lang"), ("source_twitter2017", "source")):
        rows = [row for row, value in enumerate(splits["test"][column]) if value == 0]
        expected = entity_scores([predicted[row] for row in rows], [gold[row] for row in rows])
        assert scores[f"test_{group}_f1"] == pytest.approx(expected["f1"])
    assert 0 < scores["test_f1"] < 1  # or little is compared


def test_scores_of_each_language_and_source(scored):
    scores, _ = scored

    for group in ("lang_en", "lang_fr", "source_twitter2017", "source_cc12m"):
        for name in ("precision", "recall", "f1", "lenient_f1"):
            assert 0 <= scores[f"test_{group}_{name}"] <= 1
    assert "test_lang_de_f1" not in scores  # no such sentence
    assert scores["test_loss"] > 0


def test_dev_has_the_same_scores_under_its_own_names(make_trainer, splits, tmp_path):
    trainer = make_trainer()
    dev, test = evaluate_on_dev(trainer, splits["test"]), evaluate_on_test(trainer, splits["test"])

    scores = {name.removeprefix("eval_"): value for name, value in dev.items() if "per_second" not in name}
    assert {"f1", "f1_PER", "lang_en_f1", "source_cc12m_lenient_f1", "loss"} <= set(scores)
    for name in ("f1", "lang_en_f1", "source_cc12m_lenient_f1", "loss"):
        assert scores[name] == pytest.approx(test[f"test_{name}"])
    assert dev["eval_loss"] > 0 and not any(name.startswith("test") for name in dev)


def test_languages_given_as_text(make_trainer, splits):
    names = splits["test"].features["lang"].int2str(splits["test"]["lang"][:])
    texts = splits["test"].remove_columns(["lang", "source"]).add_column("lang", names)

    scores = evaluate_on_test(make_trainer(), texts)

    assert "test_lang_en_f1" in scores
    assert not any(name.startswith("test_source") for name in scores)


def test_data_without_picture_names(make_dataset, make_row, tmp_path):
    dataset = make_dataset([make_row(["Köln", "#"], ["B-LOC", "O"])]).remove_columns("image_id")
    write_predictions(tmp_path / "out.conll", dataset, [["B-LOC", "O"]], [["O", "B-PER"]])

    assert (tmp_path / "out.conll").read_bytes().decode("utf-8") == "IMGID:\nKöln\tB-LOC\tO\n#\tO\tB-PER\n\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.conll"]
