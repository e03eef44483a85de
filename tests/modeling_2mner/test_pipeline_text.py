"""Texts of all kinds through the pipeline: every word gets a tag, every offset is right."""

from __future__ import annotations

import random
from collections.abc import Callable


class TestText:
    def test_a_long_text_is_read_whole(self, pipe, predict, make_picture):
        words = random.Random(0).choices(["Anna", "in", "Paris", "Köln", ",", "Louvre", "São", "#", "l", "😀"], k=5000)
        text, picture = "\n".join(words), make_picture(0)
        found = pipe(text, picture, return_word_tags=True)
        assert [word["word"] for word in found["words"]] == words
        assert all(text[part["start"] : part["end"]] == part["word"] for part in found["words"] + found["entities"])
        predictions = predict(pipe.model, pipe.processor([words], [picture])).predictions[0].tolist()
        assert [pipe.model.config.label2id[word["tag"]] for word in found["words"]] == predictions

    def test_all_characters_keep_their_place(self, pipe, characters):
        generator = random.Random(7)
        kinds = [*characters, *(["Ll", "Lu", "Zs"] * 6)]
        texts = [
            "".join(generator.choice(characters[kind]) for kind in generator.choices(kinds, k=30)) for _ in range(40)
        ]
        self.check(pipe, texts)

    def test_four_languages_keep_their_place(self, pipe):
        texts = [
            "L'équipe d'Espagne, aujourd'hui à l'Élysée; l’Etosha d’Anna aujourd’hui.",
            "Nordrhein-Westfalen, Ost- und Westdeutschland: Donaudampfschifffahrtsgesellschaft!",
            "¿Dónde está São Paulo? ¡En España, señor Núñez!",
            "RT @user_name: #Köln in the U.S. at 10:30, 3,5 € https://t.co/aB1",
            "👨\u200d👩\u200d👧 Anna 🇩🇪🇫🇷 ❤\ufe0f 👍🏽 1\ufe0f\u20e3 🏴\U000e0067\U000e0062\U000e007f",
            "Cafe\u0301 Ko\u0308ln e\u0301 \u0301 नमस्ते दिल्ली",
            "יְרוּשָׁלַיִם \u200fالقاهرة، مصر\u202c Anna",
        ]
        self.check(pipe, texts)
        words = [word["word"] for word in pipe(" ".join(texts), return_word_tags=True)["words"]]
        assert {"Espagne", "Élysée", "Etosha", "Anna", "Köln", "user_name", "U.S.", "Nordrhein-Westfalen"} <= set(
            words
        )

    @staticmethod
    def check(pipe: Callable, texts: list[str]) -> None:
        entities = 0
        for text, found in zip(
            texts, pipe([{"text": text} for text in texts], batch_size=8, return_word_tags=True), strict=True
        ):
            assert all(text[word["start"] : word["end"]] == word["word"] for word in found["words"])
            visible = "".join(character for character in text if not character.isspace())
            assert "".join(word["word"] for word in found["words"]) == visible
            for entity in found["entities"]:
                assert text[entity["start"] : entity["end"]] == entity["word"] != ""
            entities += len(found["entities"])
        assert entities > len(texts)
