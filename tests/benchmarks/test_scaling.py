"""The arithmetic of the costs by hand, and the page that states them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import BertTokenizer

from benchmarks import scaling

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text("utf-8")


def test_costs_follow_from_rates():
    table = scaling.cost_table({"seconds": {"slow": 0.36, "fast": 0.0018}}, price=0.1, cores=20)
    assert table.rows == [["slow", "360.0", "100", "5", "10"], ["fast", "1.8", "0.5", "0.025", "0.05"]]


def test_the_page_states_what_was_measured():
    measured = json.loads(scaling.MEASURED.read_text("utf-8"))
    assert list(measured["seconds"]) == [name for name, *_ in scaling.WORK]
    assert scaling.cost_table(measured).markdown() in PAGE
    page = " ".join(PAGE.split())
    assert measured["machine"] in page and measured["date"] in page


def test_the_rate_is_that_of_the_pipeline(tmp_path):
    sentences = "".join(f"IMGID:{number}\nAnna\tB-PER\nin\tO\nParis\tB-LOC\n\n" for number in range(3))
    (tmp_path / "a.txt").write_text(sentences, encoding="utf-8")
    vocabulary = {piece: n for n, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Anna", "in"])}
    BertTokenizer(vocab=vocabulary, do_lower_case=False).save_pretrained(tmp_path / "tokenizer")
    assert 0 < scaling.seconds_a_sentence("2m-ner-demo", tmp_path / "a.txt", str(tmp_path / "tokenizer"), 3, True) < 60


def test_measuring_needs_sentences():
    with pytest.raises(SystemExit, match="add --mmnerd"):
        scaling.main(["--measure"])
