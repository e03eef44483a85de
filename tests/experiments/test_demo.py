import pytest
from datasets import Dataset

from dataset_scripts.mini.generator import generate_rows
from experiments import demonstration as demo


@pytest.fixture(scope="module")
def test_rows() -> Dataset:
    return Dataset.from_list(generate_rows(3, 16, 16, 64)["test"])


def test_pairs_share_words_but_not_tags(test_rows):
    pairs = list(demo.pairs_with_one_sentence(test_rows))
    assert pairs
    for first, second in pairs:
        assert first["tokens"] == second["tokens"]
        assert first["ner_tags"] != second["ner_tags"]
        assert first["image"]["bytes"] != second["image"]["bytes"]


def test_two_answers_are_shown_with_their_pictures(tmp_path, capsys, monkeypatch, model, processor, test_rows):
    answers = iter([[{"word": "Santiago", "entity_group": kind}] for kind in ("PER", "LOC")])
    monkeypatch.setattr(demo, "predict_entities", lambda *_: next(answers))
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    demo.show_two_answers(tmp_path, test_rows)
    printed = capsys.readouterr().out
    first, _ = next(demo.pairs_with_one_sentence(test_rows))
    assert " ".join(first["tokens"]) in printed
    assert "Santiago [PER]" in printed and "Santiago [LOC]" in printed
    assert (tmp_path / "example-1.jpg").read_bytes() == first["image"]["bytes"]
    assert (tmp_path / "example-2.jpg").read_bytes() != first["image"]["bytes"]


def test_a_model_with_one_answer_is_said_to_have_one(tmp_path, capsys, monkeypatch, model, processor, test_rows):
    monkeypatch.setattr(demo, "predict_entities", lambda *_: [])
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    demo.show_two_answers(tmp_path, test_rows)
    assert "no sentence" in capsys.readouterr().out


def test_prediction_is_the_models_own(model, processor, test_rows):
    row = test_rows[0]
    entities = demo.predict_entities(model.eval(), processor, row)
    batch = processor([row["tokens"]], [row["image"]])
    tags = [processor.labels[tag] for tag in model(**batch).predictions[0].tolist()]
    assert sum(tag.startswith("B-") for tag in tags) == len(entities)


def test_report_and_figures(tmp_path, capsys):
    figures = {"full_f1": 95.0, "text_only_f1": 43.5, "text_only_ceiling": 43.9, "seconds": 170.0}
    demo.report(figures)
    printed = capsys.readouterr().out
    assert "95.00" in printed and "43.50" in printed and "43.90" in printed
