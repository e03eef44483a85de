"""Scores on other data in the card of a run: in one place, replaced by later ones, and shown as they are."""

from __future__ import annotations

import json
import re

import pytest

from reports_2mner.locks import only_writer
from training_2mner.evaluate import __main__ as program
from training_2mner.evaluate.other_data import RECORD, add_to_card, part, read
from training_2mner.hub.staging import OPTIONAL

CONTENT = {
    "model": "run",
    "dataset": {"name": "tweets", "config": "all", "revision": None},
    "split": "test",
    "sentences": 1897,
    "map": {},
    "types": ["PER", "LOC"],
    "scores": {
        **{"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "f1_LOC": 0.25, "f1_PER": 0.125, "lenient_f1": 0.4},
        **{"lang_fr_precision": 0.75, "lang_fr_recall": 0.5, "lang_fr_f1": 0.6, "lang_fr_lenient_f1": 0.61},
    },
    "versions": {},
}
ROW = "| lang fr | 75.00 | 50.00 | 60.00 | - | - | 61.00 |"


@pytest.fixture
def folder(tmp_path):
    """A run folder with a card from before there was such a part."""
    (tmp_path / "README.md").write_text("# Run\n\n## Results\n\nnone\n\n## Scores\n\nnone\n", encoding="utf-8")
    return tmp_path


def test_scores_are_added_in_a_part_of_their_own(folder):
    add_to_card(folder, CONTENT, "Silver labels.")
    text = (folder / "README.md").read_text(encoding="utf-8")

    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == ["Results", "Other data", "Scores"]
    assert "`tweets`, configuration `all`, split `test`, 1,897 sentences. Silver labels.\n" in text
    assert ROW in text and "| Sentences | Precision | Recall | F1 | PER | LOC | lenient F1 |" in text
    assert [one["note"] for one in read(folder)] == ["Silver labels."]


def test_scores_on_the_same_data_are_replaced_and_others_kept(folder):
    add_to_card(folder, CONTENT, "first")
    add_to_card(folder, {**CONTENT, "split": "validation"}, "other")
    add_to_card(folder, {**CONTENT, "scores": {**CONTENT["scores"], "lang_fr_f1": 0.7}}, "second")
    text = (folder / "README.md").read_text(encoding="utf-8")

    assert [one["note"] for one in read(folder)] == ["other", "second"]
    assert "first" not in text and text.count("## Other data") == 1 and text.count("| lang fr |") == 2
    assert "| lang fr | 75.00 | 50.00 | 70.00 | - | - | 61.00 |" in text


def test_the_part_that_says_that_there_is_none_is_replaced(folder):
    (folder / "README.md").write_text(f"## Other languages\n\n{part([])}\n\n## Scores\n", encoding="utf-8")
    add_to_card(folder, CONTENT)
    text = (folder / "README.md").read_text(encoding="utf-8")

    assert ROW in text and "was measured" not in text and "## Other data" not in text


def test_names_of_data_are_shown_as_they_are(folder):
    content = {
        **CONTENT,
        "dataset": {"name": "a`b", "config": "all", "revision": None},
        "map": {"<b>": "PER", "X": ""},
    }
    add_to_card(folder, content, "a | b <i>")
    text = (folder / "README.md").read_text(encoding="utf-8")

    assert "`a'b`" in text and r"\<b\> as PER, X as none" in text and r"a \| b \<i\>" in text


def test_two_evaluations_do_not_write_at_once(folder):
    with only_writer(folder, "model"), pytest.raises(ValueError, match=r"`model` .* is being written by"):
        add_to_card(folder, CONTENT)
    add_to_card(folder, CONTENT)
    assert len(read(folder)) == 1


def test_the_program_adds_to_the_card_of_a_run(make_trainer, splits, data_folder, tmp_path):
    trainer = make_trainer()
    trainer.save_model()
    run = tmp_path / "run"
    words = [str(run), "--dataset", str(data_folder), "--device", "cpu", "--add_to_card", "--note", "Made up."]
    with pytest.raises(
        SystemExit, match=r"^error: `add_to_card` needs a run folder with a README\.md, and .*run is none"
    ):
        program.main(words)
    (run / "README.md").write_text("## Scores\n", encoding="utf-8")
    program.main(words)
    text = (run / "README.md").read_text(encoding="utf-8")

    assert "9 sentences. Made up." in text and "| lang en |" in text and str(tmp_path) not in text
    assert json.loads((run / RECORD).read_text(encoding="utf-8"))[0]["sentences"] == 9


def test_the_record_is_published_with_the_model():
    assert RECORD in OPTIONAL
