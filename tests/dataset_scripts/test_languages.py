import sys
from collections import Counter
from types import SimpleNamespace

import pytest

from dataset_scripts import languages
from dataset_scripts.build.sources import find_source_files
from dataset_scripts.conll import read_conll
from dataset_scripts.languages import KNOWN_ALREADY, assign_languages
from dataset_scripts.schema import LANGUAGES

ELEVEN = (*LANGUAGES, "en_plus_de", "en_plus_fr", "en_plus_es", "de_plus_fr", "de_plus_es", "fr_plus_es", "all_lang")


def read(file):
    return read_conll(file.path)


@pytest.fixture
def told():
    """List the sentences taken from a source: split, image id, words, tags, language, and whether that is a guess."""

    def assign(source):
        files = find_source_files(source)
        result = assign_languages(files, read)
        sentences = [(file.split, sentence) for file in files for sentence in read(file)]
        assert len(result.codes) == len(sentences)
        return [
            (split, sentence.image_id, sentence.tokens, sentence.tags, LANGUAGES[code], place in result.inferred)
            for place, ((split, sentence), code) in enumerate(zip(sentences, result.codes, strict=True))
            if code != KNOWN_ALREADY
        ]

    return assign


@pytest.fixture
def everything(four_languages):
    return Counter(
        (split, image_id, tuple(tokens), tuple(tags), lang)
        for (lang, split), rows in four_languages.items()
        for image_id, tokens, tags in rows
    )


@pytest.fixture
def identifier(monkeypatch):
    """Stands in for py3langid, whose scores are then the words themselves: `en:-1 fr:-2`."""

    def rank(text):
        scores = [word.split(":") for word in text.split(" ")]
        return [(language, float(score)) for language, score in scores]

    monkeypatch.setitem(sys.modules, "py3langid", SimpleNamespace(rank=rank, set_languages=lambda _: None))
    languages._identifier.cache_clear()
    yield
    languages._identifier.cache_clear()


@pytest.fixture
def no_identifier(monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid", None)
    languages._identifier.cache_clear()


def without_flags(rows):
    return Counter(row[:-1] for row in rows)


def scores(**values):
    return " ".join(f"{language}:{value}" for language, value in values.items())


def test_all_languages_in_one_folder_are_told_from_the_words(write_distribution, told, everything, tmp_path):
    pytest.importorskip("py3langid", reason="py3langid, which tells languages from words, is not installed")
    rows = told(write_distribution(tmp_path, "all_lang"))
    assert without_flags(rows) == everything
    assert all(inferred for *_, inferred in rows)


def test_folders_of_two_languages_are_told_from_the_words(write_distribution, told, everything, tmp_path):
    pytest.importorskip("py3langid", reason="py3langid, which tells languages from words, is not installed")
    rows = told(write_distribution(tmp_path, *(kind for kind in ELEVEN if "_plus_" in kind)))
    assert without_flags(rows) == everything
    assert all(inferred for *_, inferred in rows)


def test_one_known_language_leaves_the_others_to_be_told(write_distribution, told, everything, tmp_path):
    pytest.importorskip("py3langid", reason="py3langid, which tells languages from words, is not installed")
    rows = told(write_distribution(tmp_path, "de", "all_lang"))
    assert without_flags(rows) == everything
    assert all(inferred == (lang != "de") for *_, lang, inferred in rows)


@pytest.mark.parametrize("rest", LANGUAGES)
def test_the_fourth_language_follows_from_three(write_distribution, told, everything, tmp_path, rest, no_identifier):
    known = [lang for lang in LANGUAGES if lang != rest]
    rows = told(write_distribution(tmp_path, *known, "all_lang"))
    assert without_flags(rows) == everything
    assert not any(inferred for *_, inferred in rows)


def test_the_second_language_follows_from_the_first(write_distribution, told, everything, tmp_path, no_identifier):
    rows = told(write_distribution(tmp_path, "en", "en_plus_de", "en_plus_fr", "en_plus_es"))
    assert without_flags(rows) == everything
    assert not any(inferred for *_, inferred in rows)


def test_eleven_folders_hold_nothing_twice(write_distribution, told, everything, tmp_path, no_identifier):
    rows = told(write_distribution(tmp_path, *ELEVEN))
    assert without_flags(rows) == everything
    assert not any(inferred for *_, inferred in rows)


def test_sentences_of_a_picture_get_different_languages_even_across_splits(write_files, told, tmp_path, identifier):
    first, second = scores(en=-1, fr=-9, es=-9, de=-9), scores(en=-2, fr=-8, es=-6, de=-7)
    third, fourth = scores(en=-1, fr=-3, es=-4, de=-4), scores(en=-1, fr=-5, es=-5, de=-4)
    other = scores(en=-1, fr=-2, es=-2, de=-2)
    write_files(
        tmp_path / "train_valid_test_all_lang",
        [("O_1", first), ("O_2", other)],
        [("O_1", second), ("O_1", third)],
        [("O_1", fourth), ("O_3", other)],
    )
    found = [lang for *_, lang, _ in told(tmp_path)]
    assert found == ["en", "en", "es", "fr", "de", "en"]  # first, other, second, third, fourth, other


def test_a_picture_with_more_sentences_than_languages_repeats_some(write_files, told, tmp_path, identifier):
    english, german = scores(en=-1, de=-2), scores(en=-2, de=-1)
    write_files(
        tmp_path / "train_valid_test_en_plus_de", [("1", english), ("1", german)], [("1", german)], [("2", "de:0")]
    )
    assert [lang for *_, lang, _ in told(tmp_path)] == ["en", "de", "de", "de"]


def test_no_sentence_gets_a_language_that_its_folder_does_not_hold(write_files, told, tmp_path, identifier):
    english, german = scores(en=-1, fr=0, es=0, de=-2), scores(en=-2, fr=0, es=0, de=-1)
    rest = [("2", english)], [("2", german)]
    write_files(tmp_path / "train_valid_test_en_plus_de", [("1", english), ("1", german), ("1", german)], *rest)
    write_files(
        tmp_path / "train_valid_test_fr_plus_es", [("1", scores(fr=-1, es=-2))], [("3", "fr:0")], [("3", "es:0")]
    )
    assert [lang for *_, lang, _ in told(tmp_path)] == ["en", "de", "de", "en", "de", "fr", "fr", "es"]


def test_equal_sentences_of_a_file_stay_as_often_as_they_occur(write_files, told, tmp_path, no_identifier):
    twice = [("1", "a"), ("1", "a"), ("2", "b")]
    for lang in ("en", "fr", "es"):
        write_files(tmp_path / f"train_valid_test_{lang}", twice, [(lang, "v")], [(lang, "t")])
    everything = twice * 3 + [("1", "a"), ("3", "c"), ("3", "c")]
    held_out = [(lang, "v") for lang in LANGUAGES], [(lang, "t") for lang in LANGUAGES]
    write_files(tmp_path / "train_valid_test_all_lang", everything, *held_out)
    counts = Counter((tokens, lang) for split, _, tokens, _, lang, _ in told(tmp_path) if split == "train")
    assert counts == {
        **{(("a",), lang): 2 for lang in ("en", "fr", "es")},
        **{(("b",), lang): 1 for lang in ("en", "fr", "es")},
        (("a",), "de"): 1,
        (("c",), "de"): 2,
    }


@pytest.mark.parametrize(
    "other",
    [("O_2", ["a", "b c"]), ("O_1", ["a b", "c"]), ("O_1", ["a", "b", "c"]), ("O_1", ["a", "b c"], ["O", "B-LOC"])],
)
def test_only_the_very_same_sentence_is_the_same(write_files, tmp_path, no_identifier, other):
    known, rest = ("O_1", ["a", "b c"]), ([("v", "v")], [("t", "t")])
    write_files(tmp_path / "train_valid_test_en", [known], *rest)
    write_files(tmp_path / "train_valid_test_en_plus_de", [other, known], *rest)
    codes = assign_languages(find_source_files(tmp_path), read).codes
    assert [*codes] == [0, 0, 0, 3, *[KNOWN_ALREADY] * 3]


def test_equal_words_of_another_split_are_another_sentence(write_files, told, tmp_path, no_identifier):
    write_files(tmp_path / "train_valid_test_en", [("1", "a")], [("v", "v")], [("t", "t")])
    write_files(tmp_path / "train_valid_test_en_plus_de", [("1", "a")], [("v", "v"), ("1", "a")], [("t", "t")])
    assert [(row[0], row[1], row[4]) for row in told(tmp_path)][3:] == [("validation", "1", "de")]


def test_equal_words_of_a_language_that_the_file_cannot_hold_are_another_sentence(
    write_files, told, tmp_path, identifier
):
    words = scores(en=-1, fr=-2, es=-3, de=-4)
    write_files(tmp_path / "train_valid_test_en", [("1", words)], [("v", words)], [("t", words)])
    write_files(tmp_path / "train_valid_test_fr_plus_es", [("1", words)], [("v", words)], [("t", words)])
    assert [lang for *_, lang, _ in told(tmp_path)] == ["en"] * 3 + ["fr"] * 3


def test_what_is_left_of_a_pair_is_known_to_be_in_its_other_language(write_files, told, tmp_path, no_identifier):
    english, other = ("1", "x"), ("1", "y")  # the same words in German and French
    for kind, rows in {"en": [english], "en_plus_fr": [other, english], "en_plus_de": [english, other]}.items():
        write_files(tmp_path / f"train_valid_test_{kind}", rows, rows, rows)
    assert Counter(lang for *_, lang, _ in told(tmp_path)) == {"en": 3, "fr": 3, "de": 3}


def test_single_languages_need_no_identifier(write_distribution, told, tmp_path, no_identifier):
    rows = told(write_distribution(tmp_path, "en", "fr"))
    assert {lang for *_, lang, _ in rows} == {"en", "fr"}


def test_a_missing_identifier_is_named_with_the_remedy(write_distribution, told, tmp_path, no_identifier):
    with pytest.raises(ValueError, match=r"add those folders, or install py3langid.*pip install py3langid"):
        told(write_distribution(tmp_path, "en", "all_lang"))


def test_an_empty_file_is_refused(write_files, told, tmp_path):
    write_files(tmp_path / "train_valid_test_en", [("1", "a")], [], [("t", "t")])
    with pytest.raises(ValueError, match=r"valid_conll_format\.txt holds no sentence"):
        told(tmp_path)
