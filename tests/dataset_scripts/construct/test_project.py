"""Every way in which a translation can spoil entities, through a translator that does just that."""

from __future__ import annotations

from functools import partial

import pytest

from dataset_scripts.construct import project as stage
from dataset_scripts.construct import translate
from dataset_scripts.construct.project import Settings, align_words, project, project_part, train_aligner
from dataset_scripts.construct.records import Record, Span, joined
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.tasks import urgency
from dataset_scripts.construct.words import split_words
from reports_2mner.locks import only_writer

pytest.importorskip("rapidfuzz", reason="rapidfuzz is not installed: pip install '2m-ner[construct]'")
SOURCE_TEXT = ["Ana", "Ruiz", "saw", "the", "Times", "in", "New", "York"]
SPANS = (Span(0, 2, "PER"), Span(4, 5, "ORG"), Span(6, 8, "LOC"))


def source(tokens=SOURCE_TEXT, spans=SPANS):
    text, offsets = joined(tokens)
    return Record("en/O_1", "O_1", "en", "twitter2017", text, tuple(tokens), offsets, spans=spans)


def child(text, *entities, exact=True, alone=None, parent=None, lang="es"):
    """A translation; an entity is given as the strings of its parts, each taken at its first place."""
    parent = parent or source()
    tokens, offsets = split_words(text, lang)
    places = [[(text.index(part), text.index(part) + len(part)) for part in parts] for parts in entities]
    alone = alone or [parent.words(span) for span in parent.labels]
    more = {"translation": {"exact": exact, "places": places, "alone": alone}}
    of = {"uid": parent.uid, "text": parent.text}
    return Record(f"{lang}/O_1", "O_1", lang, "twitter2017", text, tokens, offsets, parent=of, more=more)


def found(record):
    return [(record.words(span), span.status) for span in record.spans]


def exactly(text, *entities, settings=None, **options):
    return project(source(), child(text, *entities, **options), settings or Settings(keep=()))


def test_an_exact_translator_is_believed_and_function_words_are_cut_off():
    record = exactly("Ana Ruiz vio el Tiempo en la Nueva York", ["Ana Ruiz"], ["el Tiempo"], ["la Nueva York"])
    assert found(record) == [("Ana Ruiz", "projected"), ("Tiempo", "projected"), ("Nueva York", "projected")]
    assert [(span.parent, span.score, span.by) for span in record.spans] == [
        (n, 1.0, "project:exact") for n in range(3)
    ]


def test_function_words_stay_where_the_entity_has_some_itself():
    parent = source(["The", "Times", "wins"], (Span(0, 2, "ORG"),))
    record = project(parent, child("Los Tiempos ganan", ["Los Tiempos"], parent=parent), Settings())
    assert found(record) == [("Los Tiempos", "projected")]


def test_fused_articles_are_words_of_their_own():
    parent = source(["German", "wins"], (Span(0, 1, "MISC"),))
    record = project(parent, child("l'or d'Allemagne", ["d'Allemagne"], parent=parent, lang="fr"), Settings())
    assert found(record) == [("Allemagne", "projected")]


def test_parts_are_joined_over_a_few_function_words_only():
    record = exactly("Ana y Ruiz vio Tiempo en Ciudad de la York", ["Ana", "Ruiz"], ["Tiempo"], ["Ciudad", "York"])
    assert found(record)[0::2] == [("Ana y Ruiz", "projected"), ("Ciudad de la York", "projected")]
    record = exactly("Ana vio Ruiz ; Tiempo en York", ["Ana", "Ruiz"], ["Tiempo"], ["York"])
    assert found(record)[0] == ("Ana vio Ruiz", "ambiguous") and len(record.labels) == 2


@pytest.mark.parametrize(
    ("name", "text", "parts", "status"),
    [
        ("Jay - Z", "Geai - Z", ["Geai", "Z"], "projected"),
        ("Victoria ’ s Secret", "Victoire ' s Secrets", ["Victoire", "s Secrets"], "projected"),
        ("Victoria ' s Secret", "Victoire ' s les anges Secrets", ["Victoire", "s", "Secrets"], "ambiguous"),
        ("Cafe Society", 'Société " Café', ["Société", "Café"], "ambiguous"),
    ],
)
def test_parts_are_joined_over_signs_of_the_entity_itself(name, text, parts, status):
    parent = source(name.split(), (Span(0, len(name.split()), "ORG"),))
    record = project(parent, child(text, parts, parent=parent, lang="fr"), Settings())
    assert found(record) == [(text, status)]


@pytest.mark.parametrize(
    ("word", "status"),
    [("Berlin", "projected"), ("Berlins", "projected"), ("Berlinfan", "ambiguous"), ("Nord-Berlin", "ambiguous")],
)
def test_a_german_compound_is_a_question_and_flags_its_sentence(word, status):
    parent = source(["Berlin", "wins"], (Span(0, 1, "LOC"),))
    record = child(f"Ein {word} gewinnt", [word], exact=False, parent=parent, lang="de")
    projected = project(parent, record, Settings(similarity=0.5), [(0, 1)])
    assert found(projected) == [(word, status)]
    assert projected.flags == (() if status == "projected" else ("compound",))


def test_of_two_entities_on_a_word_the_longer_stays_and_the_other_waits():
    record = exactly("Ana Ruiz-Tiempo en York", ["Ana Ruiz"], ["Tiempo"], ["York"])
    assert found(record) == [("Ana Ruiz-Tiempo", "projected"), ("Ruiz-Tiempo", "collided"), ("York", "projected")]


def test_an_entity_without_a_place_is_missing_and_not_forgotten():
    record = exactly("Ana Ruiz vio York", ["Ana Ruiz"], [], ["York"])
    assert found(record)[1] == ("", "missing") and [span.type for span in record.labels] == ["PER", "LOC"]


def test_names_of_people_keep_their_string_and_all_offsets_move_along():
    text = "Hoy Anita de Ruiz vio el Tiempo en York ; Ana Larga"
    record = project(source(), child(text, ["Anita de Ruiz"], ["Tiempo"], ["York"]), Settings())
    assert record.text == "Hoy Ana Ruiz vio el Tiempo en York ; Ana Larga"
    assert found(record) == [("Ana Ruiz", "projected"), ("Tiempo", "projected"), ("York", "projected")]
    kept = Settings(keep=("PER", "LOC"))
    record = project(source(), child("York , Ana", ["Ana"], [], ["York"]), kept)
    assert record.text == "New York , Ana Ruiz" and found(record)[2] == ("New York", "projected")
    assert exactly("X vio Y", ["X"], [], ["Y"], settings=Settings(translate_names=True)).text == "X vio Y"


def test_a_question_that_ends_in_a_replaced_name_ends_behind_it():
    text = "Tiempo vio Anita en York"
    record = project(source(), child(text, ["Anita"], ["Tiempo", "Anita"], ["York"]), Settings())
    assert record.text == "Tiempo vio Ana Ruiz en York"
    assert found(record)[1] == ("Tiempo vio Ana Ruiz", "collided")
    assert [vote.get("split", vote.get("marker")) for vote in record.more["votes"]] == [(2, 4), (0, 4), (5, 6)]


ALONE = ["Ana Ruiz", "Tiempo", "Nueva York"]
GOOD = "Ana Ruiz vio el Tiempo en Nueva York"


def voted(text, *entities, aligned=(), alone=ALONE, similarity=0.75):
    settings = Settings(keep=(), similarity=similarity)
    return project(source(), child(text, *entities, exact=False, alone=alone), settings, aligned)


def test_two_voices_that_agree_are_needed():
    record = voted(GOOD, ["Ana Ruiz"], ["Tiempo"], [])
    assert found(record) == [("Ana Ruiz", "projected"), ("Tiempo", "projected"), ("Nueva York", "ambiguous")]
    assert [(span.by, span.score) for span in record.spans[1:]] == [
        ("project:marker+fuzzy", 0.67),
        ("project:fuzzy", 0.33),
    ]
    votes = record.more["votes"]
    assert votes[0] == {"entity": 0, "marker": (0, 2), "fuzzy": (0, 2)}
    agreed = voted(GOOD, ["Ana Ruiz"], ["Tiempo"], [], aligned=[(0, 0), (1, 1), (4, 4), (6, 6), (7, 7)])
    assert [(span.status, span.score) for span in agreed.spans] == [("projected", n) for n in (1.0, 1.0, 0.67)]


def test_marks_on_other_words_are_refused_by_what_they_hold():
    record = voted(GOOD, ["vio el"], ["Tiempo"], ["Nueva York"])
    assert "marker" not in record.more["votes"][0] and found(record)[0] == ("Ana Ruiz", "ambiguous")
    record = voted(GOOD, ["vio el"], ["Tiempo"], ["Nueva York"], similarity=0.0)
    assert record.more["votes"][0]["marker"] == (2, 3)  # without its article


def test_all_voices_silent_is_missing():
    record = voted("nada se dice", [], [], [])
    assert [span.status for span in record.spans] == ["missing"] * 3


def test_a_string_that_occurs_twice_is_found_in_its_order_or_not_at_all():
    parent = source(["Ana", "and", "Ana"], (Span(0, 1, "PER"), Span(2, 3, "PER")))
    make = partial(child, exact=False, parent=parent)
    record = project(parent, make("Ana y Ana", [], []), Settings())
    assert [(span.start, span.status) for span in record.spans] == [(0, "ambiguous"), (2, "ambiguous")]
    record = project(parent, make("Ana y Ana y Ana", [], []), Settings())
    assert [span.status for span in record.spans] == ["missing", "missing"]


def test_people_see_the_worst_first():
    texts = {
        "missing": exactly("Ana Ruiz York", ["Ana Ruiz"], [], ["York"]),
        "collided": exactly("Ana Ruiz-Tiempo York", ["Ana Ruiz"], ["Tiempo"], ["York"]),
        "ambiguous": exactly("Ana vio Ruiz ; Tiempo York", ["Ana", "Ruiz"], ["Tiempo"], ["York"]),
        "one voice": voted(GOOD, ["Ana Ruiz"], ["Tiempo"], []),
        "projected": exactly(GOOD, ["Ana Ruiz"], ["Tiempo"], ["Nueva York"]),
    }
    assert sorted(texts, key=lambda name: urgency(texts[name])) == list(texts)


def test_the_stage_counts_every_entity_by_status(tmp_path):
    counts = Counts()
    part = iter([source(), child("Ana Ruiz York", ["Ana Ruiz"], [], ["York"])])
    records = list(project_part(part, counts, Settings(), None))
    assert counts.notes == {"es: entities projected": 2, "es: entities missing": 1} and records[0] == source()
    with pytest.raises(ValueError, match="does not stand behind its source"):
        list(project_part(iter([child("Ana", ["Ana"], [], [])]), counts, Settings(), None))


def test_the_aligner_learns_from_the_pairs_of_the_work_folder(tmp_path):
    pytest.importorskip("thot", reason="sil-thot is not installed: pip install '2m-ner[construct]'")
    words = {"Ana": "Ana", "saw": "vio", "Rome": "Roma", "and": "y", "Paris": "París"}
    lines = ["Ana saw Rome", "Ana saw Paris", "Rome and Paris", "Paris and Rome", "Ana and Paris", "Rome saw Ana"] * 5
    pairs = [(line.split(), [words[word] for word in line.split()]) for line in lines]
    train_aligner("fast_align", iter(pairs), tmp_path / "es")
    assert align_words("fast_align", tmp_path / "es", *pairs[2]) == [(0, 0), (1, 1), (2, 2)]


def test_the_whole_way_with_a_dictionary_is_the_same_in_two_processes(tmp_path):
    pytest.importorskip("thot", reason="sil-thot is not installed: pip install '2m-ner[construct]'")
    from dataset_scripts.build.engine import process_engine

    (tmp_path / "words.tsv").write_text("saw\tvio\nin\ten\nthe\tel\nNew\tNueva\n", "utf-8")
    files = []
    for name, number in (("one", 1), ("two", 2)):
        work = Work(tmp_path / name, quiet=True, records_per_part=2)
        texts = [source() for _ in range(5)]
        work.write_records("tweets", lambda counts, texts=texts: _read(texts, counts), {}, {})
        with process_engine(number, stage.__name__) as engine:
            translate.run(work, translate.Settings(to=("es",), engine=f"dictionary:{tmp_path / 'words.tsv'}"), engine)
            manifest = stage.run(work, Settings(), engine)
        assert manifest["counts"]["notes"] == {"es: entities projected": 15}
        files.append([path.read_bytes() for path in work.parts("project")])
    assert files[0] == files[1] and not (tmp_path / "two" / ".aligner").exists()
    with only_writer(work.folder / ".aligner", "WORK"), pytest.raises(ValueError, match="is being written by process"):
        stage.run(work, Settings())


def _read(records, counts):
    counts.read += len(records)
    return iter(records)


def test_without_translations_the_error_names_the_stage_before(tmp_path):
    work = Work(tmp_path, quiet=True)
    work.write_records("tweets", lambda counts: _read([source()], counts), {}, {})
    with pytest.raises(ValueError, match="run `translate` first"):
        stage.run(work, Settings())
