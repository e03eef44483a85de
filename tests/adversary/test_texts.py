"""Raw text of any script: every character that shows is in exactly one word, with exact offsets."""

from __future__ import annotations

import pytest
import torch

from modeling_2mner import TwoMNERPipeline
from modeling_2mner.windows import split_text
from tests.adversary import generators
from tests.adversary.promises import chance_for, promise

pytestmark = pytest.mark.slow


def test_raw_text():
    def split(text: str) -> None:
        words, offsets = split_text(text)
        end = 0
        for word, (start, stop) in zip(words, offsets, strict=True):
            assert word and text[start:stop] == word
            assert not text[end:start].strip(), "characters were lost between words"
            end = stop
        assert not text[end:].strip(), "characters were lost at the end"

    with promise("Each character of raw text, blanks aside, is in one word, with exact offsets") as held:
        chance = chance_for("texts")
        for category, characters in sorted(generators.characters_by_category().items()):
            for _ in range(30):
                drawn = "".join(chance.choice(characters) for _ in range(chance.randrange(1, 12)))
                held.check(split, drawn)
                held.check(split, f"Anna {drawn}x {drawn} y{drawn}, {category}.")
        for _ in range(1000):
            held.check(split, generators.text(chance))


def test_entities_of_raw_text(model, processor):
    pipe = TwoMNERPipeline(model=model, processor=processor)

    def read(text: str) -> None:
        answer = pipe({"text": text}, return_word_tags=True)
        for entity in answer["entities"]:
            assert text[entity["start"] : entity["end"]] == entity["word"] and 0 <= entity["score"] <= 1 + 1e-9
        assert [word["word"] for word in answer["words"]] == split_text(text)[0]

    with promise("Entities of raw text are cut from it exactly, and each word has one tag") as held:
        chance = chance_for("entities")
        with torch.inference_mode():
            for _ in range(300):
                held.check(read, generators.text(chance, 30))
