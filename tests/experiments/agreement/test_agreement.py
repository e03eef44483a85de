"""Projected labels against a second method: counted by hand on four sentences."""

from __future__ import annotations

import json

import pytest

from dataset_scripts.construct.records import Record, Span, joined
from dataset_scripts.construct.stages import Work
from experiments.agreement import __main__ as program
from experiments.agreement.comparison import choose
from experiments.counts import EntityCounts, scores

WORDS = "Ana Ruiz\tPERSON\nRoma\tGPE\nNASA\tORG\n2019\tDATE\nLola\tPERSON\n"


def record(number: int, lang: str, text: str, *spans: Span, split: str = "test") -> Record:
    tokens = tuple(text.split())
    text, offsets = joined(tokens)
    uid, image = f"{lang}/O_{number}", f"O_{number}"
    more = {"released_split": split}
    return Record(uid, image, lang, "twitter2017", text, tokens, offsets, spans=spans, more=more)


def per(start: int, end: int, status: str | None = "projected") -> Span:
    return Span(start, end, "PER", "project:exact", status=status)


RECORDS = [
    record(1, "es", "Ana Ruiz en Roma 2019", per(0, 2), Span(3, 4, "ORG", status="projected")),  # the type differs
    record(2, "es", "la NASA y Ana Ruiz", per(4, 5)),  # only an answer, and other words
    record(3, "es", "Lola canta", per(0, 1, "ambiguous")),  # waits for people
    record(4, "es", "canta Pedro", per(1, 2)),  # only a label
    record(5, "es", "Lola en Roma", per(0, 1), split="train"),
    record(1, "en", "Ana Ruiz in Rome", per(0, 2, None)),
]


@pytest.fixture
def folder(tmp_path):
    def read(counts):
        counts.read += len(RECORDS)
        return iter(RECORDS)

    (tmp_path / "words.tsv").write_text(WORDS, "utf-8")
    Work(tmp_path / "work", quiet=True).write_records("tweets", read, {}, {})
    return tmp_path


def run(folder, *words: str) -> dict:
    output = folder / "agreement.json"
    second = f"dictionary:{folder / 'words.tsv'}"
    program.main([str(folder / "work"), "--recogniser", second, "--output", str(output), *words])
    return json.loads(output.read_text("utf-8"))


def test_agreement_is_counted_by_sentence_and_kind(folder, capsys):
    made = run(folder, "--languages", "es", "en", "--split", "test")
    spanish = made["languages"]["es"]

    assert spanish["kinds"] == {
        "both agree": 1,
        "no answer": 1,
        "no label": 1,
        "no label: waits for people": 1,
        "other type than the answer": 1,
        "other type than the label": 1,
        "other words than the answer": 1,
        "other words than the label": 1,
    }
    counts = EntityCounts.from_json(spanish["counts"])
    assert counts.table.sum(axis=(0, 1)).tolist() == [1, 5, 4]  # right, answers, labels; the date is no entity
    assert spanish["f1"] == pytest.approx(2 / 9) == scores(counts)["f1"]
    low, high = spanish["interval"]
    assert 0 <= low <= spanish["f1"] <= high <= 1 and spanish["sentences"] == 4
    assert made["languages"]["en"]["f1"] == 1 and "words.tsv (" in made["method"]
    assert str(folder) not in json.dumps(made)
    assert made["command"] == (
        "python -m experiments.agreement work --recogniser dictionary:words.tsv --languages es en --split test --sentences 300"
    )
    assert "| Spanish | 4 | 4 | 5 | 1 | 22.2 |" in capsys.readouterr().out


def test_the_same_tweets_are_taken_in_each_language():
    spanish = [record(number, "es", "Roma") for number in range(50)]
    english = [record(number, "en", "Rome") for number in reversed(range(50))]
    chosen = [choose([*spanish, *english], lang, None, 10) for lang in ("es", "en")]
    assert len(chosen[0]) == 10 and [a.image_id for a in chosen[0]] == [b.image_id for b in chosen[1]]


def test_a_language_without_sentences_is_an_error(folder):
    with pytest.raises(
        SystemExit, match=r"`languages` names fr, in which .* has no sentences of the split; leave it out"
    ):
        run(folder, "--languages", "fr")
