from __future__ import annotations

import pytest

from dataset_scripts.construct.words import PERSON, PERSON_REMNANT, PROTECTED, is_function_word, split_words


@pytest.mark.parametrize(
    ("lang", "text", "words"),
    [
        ("fr", "L'Institut d'Allemagne, qu'il aime", ["L'", "Institut", "d'", "Allemagne", ",", "qu'", "il", "aime"]),
        ("it", "nell’Italia dell'Est", ["nell’", "Italia", "dell'", "Est"]),
        ("en", "Harry's 1,000.5 U.S. T-shirts don't", ["Harry", "'s", "1,000.5", "U.S.", "T-shirts", "don", "'", "t"]),
        (
            "es",
            "¡Sí! <PERSON> 🎉🎉 👨‍👩‍👧 🇪🇸 #Río",
            ["¡", "Sí", "!", "<PERSON>", "🎉", "🎉", "👨‍👩‍👧", "🇪🇸", "#", "Río"],
        ),
        ("de", "siehe https://t.co/aB1?x=2, ja.", ["siehe", "https://t.co/aB1?x=2", ",", "ja", "."]),
        ("xx", "d'un", ["d", "'", "un"]),
    ],
)
def test_words_are_split_as_the_language_has_it(lang, text, words):
    tokens, offsets = split_words(text, lang)
    assert list(tokens) == words
    assert [text[start:end] for start, end in offsets] == words


def test_what_must_not_be_translated_is_found():
    text = "RT @ user_1 : # Rio2016 and #Go http://t.co/a. 🎉 🎉 <Person> RTL 5"
    found = [match.group() for match in PROTECTED.finditer(text)]
    assert found == ["RT", "@ user_1", "# Rio2016", "#Go", "http://t.co/a", "🎉 🎉", "<Person>"]


def test_the_mark_of_a_person_is_found_in_the_forms_that_translators_leave():
    assert all(PERSON.search(text) for text in ("<PERSON>", "< Person >", "<personne>", "</PERSONA>"))
    assert all(PERSON_REMNANT.search(text) for text in ("<PERSON is", "PERSON> is"))
    assert not PERSON_REMNANT.search("the person is PERSON")


def test_function_words_are_known_in_any_case_and_with_any_apostrophe():
    assert is_function_word("L’", "fr") and is_function_word("Del", "es") and not is_function_word("Roma", "es")
