from __future__ import annotations

import json

import pytest

from experiments import reading
from experiments.blind_reading import (
    VERDICTS,
    count_readings,
    in_order,
    read_form,
    sample_errors,
    wilson,
    write_form,
)
from experiments.errors.counts import Pair, ScoredSentence
from modeling_2mner.spans import Span
from training_2mner.data import load_splits
from training_2mner.evaluation import PREDICTIONS, write_predictions

LOC, ORG = Span("LOC", 2, 4), Span("ORG", 2, 4)


def sentence(row: int, *pairs: Pair, source: str = "cc12m") -> ScoredSentence:
    return ScoredSentence(
        row, f"s{row}", ["They", "saw", "New", "York", "City", f"n{row}"], list(pairs), {"source": source}
    )


@pytest.fixture
def sentences() -> list[ScoredSentence]:
    """Forty sentences with a wrong type each, one without an error, and one of another source."""
    wrong = [sentence(row, Pair(LOC, ORG)) for row in range(40)]
    return [*wrong, sentence(40, Pair(LOC, LOC)), sentence(41, Pair(LOC, None), source="twitter2017")]


def answers(errors, order: int, choose) -> str:
    """A file in which the reader chooses by `choose(error)`: gold, predicted, both or neither."""
    lines = []
    for number, error in enumerate(in_order(errors, order), start=1):
        names = {"gold": "B", "predicted": "A"} if error.is_swapped(order) else {"gold": "A", "predicted": "B"}
        lines.append(f"{number}\t{names.get(choose(error), choose(error))}")
    return "\n".join(lines)


def test_errors_are_drawn_at_random_and_always_the_same(sentences):
    drawn = sample_errors(sentences, 10, 0, "cc12m")
    assert drawn == sample_errors(list(reversed(sentences)), 10, 0, "cc12m")
    assert {error.row for error in drawn} != {error.row for error in sample_errors(sentences, 10, 1, "cc12m")}
    assert {error.row for error in sample_errors(sentences, 40, 0, "cc12m")} == set(range(40))
    assert {error.row for error in sample_errors(sentences, 41, 0, None)} == {*range(40), 41}
    with pytest.raises(ValueError, match="`size` is 41, but the run has 40 such errors"):
        sample_errors(sentences, 41, 0, "cc12m")


def test_the_form_does_not_tell_the_label_from_the_prediction(sentences):
    errors = sample_errors(sentences, 40, 0, "cc12m")
    for order in (1, 2):
        swapped = sum(error.is_swapped(order) for error in errors)
        assert 10 < swapped < 30
        text = write_form(errors, sentences, order)
        assert "gold" not in text and "predicted" not in text
        assert text.count("  A: New York = ORG") == text.count("  B: New York = LOC") == swapped
    assert [e.row for e in in_order(errors, 1)] != [e.row for e in in_order(errors, 2)]
    assert {error.key for error in errors if error.is_swapped(1)} != {e.key for e in errors if e.is_swapped(2)}


def test_the_whole_of_a_name_that_was_split_is_shown():
    split = sentence(0, Pair(Span("LOC", 2, 5), Span("LOC", 2, 4)), Pair(None, Span("LOC", 4, 5)))
    missed = next(error for error in sample_errors([split], 2, 0, None) if error.kind == "invented")
    assert (missed.gold, missed.predicted) == ((Span("LOC", 2, 5),), (Span("LOC", 4, 5),))


@pytest.mark.parametrize("order", [1, 2])
def test_answers_are_told_apart_again(sentences, order):
    errors = sample_errors(sentences, 40, 0, "cc12m")
    chosen = {error.row: list(VERDICTS)[error.row % 4] for error in errors}
    found = read_form(answers(errors, order, lambda error: chosen[error.row]), errors, order)
    assert {entry["row"]: entry["verdict"] for entry in found} == chosen
    assert not any(entry["number"] for entry in found)
    assert all(entry["gold"] == (LOC,) and entry["predicted"] == (ORG,) for entry in found)


@pytest.mark.parametrize(
    "text, message",
    [
        ("1\tA\n2\tC", "'2.+C'"),
        ("1\tA\tnumbers", "'1.+numbers'"),
        ("1\tA\tnumber\tx", "'1.+x'"),
        ("1\tA\n1\tB", "each number once"),
        ("1\tA", "the numbers 1 to 2; see 2"),
    ],
)
def test_incomplete_answers_are_an_error(sentences, text, message):
    with pytest.raises(ValueError, match=message):
        read_form(text, sample_errors(sentences, 2, 0, None), 1)


def test_the_interval_is_wilsons():
    """The example of Wilson's interval for 10 of 100 in the literature: 5.52 to 17.44 %."""
    assert wilson(10, 100) == pytest.approx((0.0552, 0.1744), abs=5e-5)
    assert wilson(0, 100)[0] == pytest.approx(0) and wilson(100, 100)[1] == pytest.approx(1)


def record(verdicts: list[str], order: int) -> dict:
    errors = [
        {"row": row, "kind": "missed", "verdict": verdict, "number": row > 4} for row, verdict in enumerate(verdicts)
    ]
    return {"data": {"name": "d"}, "order": order, "errors": errors}


def test_the_agreement_is_that_of_the_table_by_hand():
    first = record(["gold"] * 5 + ["predicted"] * 3 + ["both", "neither"], 1)
    second = record(["gold"] * 4 + ["both"] + ["predicted"] * 2 + ["neither", "both", "neither"], 2)
    counts = count_readings(first, second)
    assert counts["verdicts"]["gold"] == [5, 4, 4] and counts["verdicts"]["both"] == [1, 2, 1]
    assert counts["verdicts"]["label wrong"] == [4, 4, 4]  # 3 + 1 and 2 + 2, and the same errors
    assert counts["verdicts"]["label wrong or doubtful"] == [5, 6, 5]
    assert counts["same"] == 8
    chance = (5 * 4 + 3 * 2 + 1 * 2 + 1 * 2) / 100
    assert counts["kappa"] == pytest.approx((0.8 - chance) / (1 - chance))
    assert counts["kappa, label wrong"] == 1
    assert counts["numbers"] == [5, 4, 4, 4]
    assert counts["kinds"]["missed"] == [10, 4, 4, 4] and counts["kinds"]["invented"] == [0, 0, 0, 0]


def test_readings_of_other_errors_and_one_reading_twice_are_refused():
    first = record(["gold", "both"], 1)
    for other in (record(["gold", "both"], 1), record(["gold"], 2), record(["gold", "both"], 2) | {"data": {}}):
        with pytest.raises(ValueError, match="not the first and the second reading of the same errors"):
            count_readings(first, other)


def test_from_a_run_to_the_counts(tmp_path, dataset, monkeypatch, capsys):
    """The record of a reading has rows and spans, but no word of the data."""
    from training_2mner.arguments import DataArguments
    from training_2mner.data import tag_names

    test = load_splits(DataArguments(dataset=dataset, dataset_config="en"))["test"]
    gold = tag_names(test)
    run = tmp_path / "run"
    run.mkdir()
    write_predictions(run / PREDICTIONS, test, gold, [["O"] * len(tags) for tags in gold])
    common = [str(run), "--dataset", dataset, "--dataset_config", "en", "--size", "6"]
    for order, name in ((1, "first"), (2, "second")):
        form = tmp_path / f"{name}.txt"
        reading.main(["form", *common, "--order", str(order), "--output", str(form)])
        assert form.read_text(encoding="utf-8").count(": nothing") == 6
        lines = [f"{number}\t{'both' if number == 1 else 'neither'}" for number in range(1, 7)]
        (tmp_path / "answers.tsv").write_text("\n".join(lines), encoding="utf-8")
        saved = [
            "--answers",
            str(tmp_path / "answers.tsv"),
            "--reader",
            "nobody",
            "--output",
            str(tmp_path / f"{name}.json"),
        ]
        reading.main(["record", *common, "--order", str(order), *saved])
    text = (tmp_path / "first.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["data"]["fingerprint"] and len(content["errors"]) == 6
    words = {word for row in content["errors"] for word in test["tokens"][row["row"]] if len(word) > 4}
    assert words and not [word for word in words if word in text]
    capsys.readouterr()
    reading.main(["count", str(tmp_path / "first.json"), str(tmp_path / "second.json")])
    assert "83 (44 to 97)" in capsys.readouterr().out  # five of six, by Wilson


@pytest.mark.parametrize("content", ["{}", "[]", "5", "no JSON", '{"errors": []}', '{"errors": [{"kind": "missed"}]}'])
def test_what_is_no_reading_is_told_by_its_name(tmp_path, content):
    path = tmp_path / "mine.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"mine\.json, which is no record|mine\.json is not valid JSON"):
        reading.main(["count", str(path), str(path)])
