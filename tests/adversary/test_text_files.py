"""Text files: read, or refused with file, line and remedy; nothing in between."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dataset_scripts.annotations.plain_conll import read_plain_conll
from dataset_scripts.annotations.sentence import collected_faults
from dataset_scripts.conll import read_conll, write_conll
from dataset_scripts.conll_layout import Layout
from tests.adversary import generators
from tests.adversary.promises import chance_for, promise
from training_2mner.predict.text import TextRecords

pytestmark = pytest.mark.slow

REMEDY = re.compile(r"; \w+")


def refusal_of(error: ValueError, path: Path) -> None:
    """Check that an error names the file and what to do."""
    assert path.name in str(error) and REMEDY.search(str(error)), str(error)


def test_conll_files_of_the_builder(tmp_path):
    chance, path, copy = chance_for("conll"), tmp_path / "train.txt", tmp_path / "copy.txt"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        try:
            sentences = list(read_conll(path))
        except ValueError as error:
            refusal_of(error, path)
            assert f"{path}:" in str(error)
            return
        write_conll(sentences, copy, Layout.of(path))
        assert copy.read_bytes() == content
        assert all(len(sentence.tokens) == len(sentence.tags) for sentence in sentences)

    with promise(
        "A CoNLL file for the builder is refused with file, line and remedy, or comes back byte for byte"
    ) as held:
        for _ in range(1500):
            held.check(read, generators.conll(chance))


def test_conll_files_of_ones_own(tmp_path):
    chance, path = chance_for("own conll"), tmp_path / "train.txt"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        try:
            with collected_faults() as faults:
                sentences = list(read_plain_conll(path, faults))
        except ValueError as error:
            assert str(error).count(f"{path}:") >= 1
            return refusal_of(error, path)
        lines = content.decode("utf-8-sig").split("\n")
        words = sum(map(is_word, lines))
        assert sum(len(sentence.words) for sentence in sentences) == words, "words were lost"
        for sentence in sentences:
            assert len(sentence.words) == len(sentence.tags) == len(sentence.lines) and all(sentence.words)

    def is_word(line: str) -> bool:
        is_mark = "\t" not in line and line.startswith(("IMGID:", "#"))
        return bool(line.strip(" \t\r")) and not is_mark and not line.startswith("-DOCSTART-")

    with promise(
        "Every word of a CoNLL file of one's own is read, or the file is refused with lines and remedies"
    ) as held:
        for _ in range(1500):
            held.check(read, generators.conll(chance))


def test_conll_files_to_predict(tmp_path):
    chance, path = chance_for("predict conll"), tmp_path / "input.conll"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        try:
            records = list(TextRecords(path))
        except ValueError as error:
            return refusal_of(error, path)
        for record in records:
            words = record.sentence["words"]
            assert words and all(isinstance(word, str) and word for word in words)
        lines = content.decode().removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
        words = sum(bool(line) and not line.startswith("IMGID:") for line in lines)
        blank = sum(bool(line) and not line.strip() for line in lines)
        found = sum(len(record.sentence["words"]) for record in records)
        assert words - blank <= found <= words, "words were lost"

    with promise(
        "Every word of a CoNLL file to predict is read, or the file is refused with place and remedy"
    ) as held:
        for _ in range(1000):
            held.check(read, generators.conll(chance))


def test_json_lines_to_predict(tmp_path):
    chance, path = chance_for("jsonl"), tmp_path / "input.jsonl"

    def line() -> str:
        if chance.random() < 0.6:
            value: object = chance.choice(
                ({"text": generators.text(chance)}, {"words": [generators.text(chance, 3) for _ in range(4)]})
            )
        else:
            value = generators.json_value(chance)
        return json.dumps(value, ensure_ascii=chance.random() < 0.5)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        try:
            records = list(TextRecords(path))
        except ValueError as error:
            return refusal_of(error, path)
        filled = [row for row in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if row.decode().strip()]
        assert len(records) == len(filled), "sentences were lost"
        for record, row in zip(records, filled, strict=True):
            given = json.loads(row)
            [name] = [key for key in ("text", "words", "tokens") if given.get(key) is not None]
            assert record.sentence["text" if name == "text" else "words"] == given[name]

    with promise("Every line of a JSONL file is a sentence, or the file is refused with place and remedy") as held:
        for _ in range(1500):
            lines = "\n".join(line() for _ in range(chance.randrange(1, 4)))
            held.check(read, generators.damage(chance, lines.encode()))
