"""A small distribution of sentences in four languages, and what writes such files."""

from __future__ import annotations

from random import Random

import pytest

from dataset_scripts.mini.text import FILLERS, SENTENCE_TEMPLATES, FilledTemplate, slot_type, slots
from dataset_scripts.schema import LANGUAGES, SPLITS
from tests.dataset_scripts.distribution import Distribution, write_everything

AUTHORS_NAMES = ("train_conll_format.txt", "valid_conll_format.txt", "test_conll_format.txt")


@pytest.fixture(scope="session")
def write_files():
    """Write the three files of a folder; a sentence is an image id, words (or a string of them) and perhaps tags."""

    def write(folder, train, validation, test, names=AUTHORS_NAMES):
        folder.mkdir(parents=True)
        for name, sentences in zip(names, (train, validation, test), strict=True):
            text = "".join(_conll(*sentence) for sentence in sentences)
            (folder / name).write_bytes(text.encode())
        return folder

    return write


@pytest.fixture
def write_text(tmp_path):
    """Write text or bytes to a file train.txt."""

    def write_file(content):
        path = tmp_path / "train.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture(scope="session")
def four_languages():
    """Give `{(lang, split): sentences}`: tweets in all languages, spread over the splits one by one, and captions in one."""
    corpus = {(lang, split): [] for lang in LANGUAGES for split in SPLITS}
    rng = Random(0)
    for number, sentence in enumerate(_sentences("known") + _sentences("mixed")):
        for lang in LANGUAGES:
            corpus[lang, rng.choice(SPLITS)].append((f"17_06_{number}", *sentence.render(lang, "PER")))
    for number, sentence in enumerate(_sentences("one")):
        lang = LANGUAGES[number % len(LANGUAGES)]
        image_id = f"{rng.randrange(10**8):08d}---a%2Fb*{number}?"
        corpus[lang, SPLITS[number % len(SPLITS)]].append((image_id, *sentence.render(lang, "ORG")))
    return corpus


@pytest.fixture
def write_distribution(write_files, four_languages):
    """Write folders of `four_languages`, such as "en", "en_plus_de" and "all_lang"; those of several in another order."""

    def write(source, *kinds):
        for kind in kinds:
            languages = LANGUAGES if kind == "all_lang" else kind.split("_plus_")
            splits = [[row for lang in languages for row in four_languages[lang, split]] for split in SPLITS]
            if len(languages) > 1:
                splits = [Random(kind).sample(rows, len(rows)) for rows in splits]
            write_files(source / f"train_valid_test_{kind}", *splits)
        return source

    return write


def _conll(image_id, words, tags=None):
    words = words.split(" ") if isinstance(words, str) else words
    lines = (f"{word}\t{tag}\n" for word, tag in zip(words, tags or ["O"] * len(words), strict=True))
    return f"IMGID:{image_id}\n{''.join(lines)}\n"


def _sentences(kind):
    """Every template of a kind with some name in each slot."""
    rng = Random(kind)
    names = {**FILLERS, "X": FILLERS["ORG"]}
    return [
        FilledTemplate(template, {slot: rng.choice(names[slot_type(slot)]) for slot in slots(template)})
        for template in SENTENCE_TEMPLATES[kind]
    ]


@pytest.fixture(scope="session")
def distribution(tmp_path_factory) -> Distribution:
    """The authors' eleven folders with everything that can be wrong with a picture; tests leave it as it is."""
    return write_everything(tmp_path_factory.mktemp("authors"))
