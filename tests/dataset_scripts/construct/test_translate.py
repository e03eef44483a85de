from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from dataset_scripts.construct import translate
from dataset_scripts.construct.marks import MarkedText
from dataset_scripts.construct.records import Record, Span, joined
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.translate import (
    Apertium,
    Dictionary,
    Memory,
    Network,
    Output,
    load_translator,
    translate_part,
)

WORDS = {"saw": "vio", "in": "en", "the": "el", "Rome": "Roma"}


def sentence(text, *spans, uid="en/O_1") -> Record:
    tokens = tuple(text.split(" "))
    text, offsets = joined(tokens)
    return Record(
        uid, uid[3:], "en", "twitter2017", text, tokens, offsets, spans=spans, more={"released_split": "train"}
    )


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "words.tsv"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in WORDS.items()), "utf-8")
    return path


def translated(records, tmp_path, engine, to=("es",), **options):
    counts = Counts()
    settings = translate.Settings(to=to, engine=engine, **options)
    return list(translate_part(iter(records), counts, settings, tmp_path / "memory")), counts


def test_a_translation_stands_behind_its_source_with_the_places_of_its_entities(tmp_path, words):
    source = sentence("Ana saw # Rome in 🎉", Span(0, 1, "PER"), Span(3, 4, "LOC"))
    records, counts = translated([source], tmp_path, f"dictionary:{words}")
    assert records[0] == source and counts.added == {"translations into es": 1}
    child = records[1]
    assert (child.uid, child.text, child.tokens) == (
        "es/O_1",
        "Ana vio # Rome en 🎉",
        ("Ana", "vio", "#", "Rome", "en", "🎉"),
    )
    assert child.parent == {"uid": "en/O_1", "text": source.text} and child.spans == ()
    places = child.more["translation"]["places"]
    assert [child.text[start:end] for ((start, end),) in places] == ["Ana", "Rome"]
    assert child.more["translation"]["alone"] == ["Ana", "Roma"] and child.more["released_split"] == "train"


def test_other_languages_and_translations_pass_unchanged(tmp_path, words):
    french = replace(sentence("le chat"), uid="fr/O_2", lang="fr")
    child = replace(sentence("x", uid="en/O_3"), parent={"uid": "fr/O_3", "text": "y"})
    records, counts = translated([french, child], tmp_path, f"dictionary:{words}")
    assert records == [french, child] and not counts.added


def test_a_sentence_without_words_keeps_those_of_its_source(tmp_path, monkeypatch):
    monkeypatch.setattr(translate, "load_translator", lambda *_: Dictionary(spoil=lambda text: ""))
    records, counts = translated([sentence("Ana saw", Span(0, 1, "PER"))], tmp_path, "dictionary:x")
    assert records[1].text == "Ana saw" and records[1].flags == ("translation: empty",)
    assert records[1].more["translation"]["places"] == (((0, 3),),)
    assert counts.notes["es: translation: empty"] == 1


@pytest.mark.parametrize(
    ("output", "flag"),
    [
        (Output("va a ver va a ver va a ver va a ver"), "repeats itself"),
        (Output("Ana saw the big house"), "equals its source"),
        (Output("Ana vio la casa grande", True), "cut off at its greatest length"),
        (Output("Ana vio la casa grande"), None),
    ],
)
def test_the_faults_of_networks_are_flagged(tmp_path, monkeypatch, output, flag):
    class Spoilt(Dictionary):
        def translate(self, texts, source, target):
            return [output for _ in texts]

    monkeypatch.setattr(translate, "load_translator", lambda *_: Spoilt())
    records, _ = translated([sentence("Ana saw the big house")], tmp_path, "dictionary:x")
    assert records[1].flags == ((f"translation: {flag}",) if flag else ())


def test_nothing_is_translated_twice_unless_engine_language_or_text_change(tmp_path):
    calls = []

    class Counting(Dictionary):
        def translate(self, texts, source, target):
            calls.append((target, list(texts)))
            return super().translate(texts, source, target)

    translator = Counting()
    for texts, target in ((["a", "b", "a"], "es"), (["b", "c"], "es"), (["a"], "fr")):
        memory = Memory(tmp_path / "memory")
        found = memory.translate([MarkedText(text) for text in texts], translator, "en", target)
        memory.close()
        assert [translation.text for translation, _ in found] == texts
    translator.name = "another"
    Memory(tmp_path / "memory").translate([MarkedText("a")], translator, "en", "es")
    assert calls == [("es", ["a", "b"]), ("es", ["c"]), ("fr", ["a"]), ("es", ["a"])]


def test_settings_are_checked(tmp_path):
    with pytest.raises(ValueError, match="`to` must name the languages"):
        translate.run(Work(tmp_path), translate.Settings())
    with pytest.raises(ValueError, match="other languages than `source`"):
        translate.Settings(to=("en",))
    with pytest.raises(ValueError, match="`engine` must be apertium, hf:NAME"):
        load_translator("baidu")


def test_without_apertium_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ValueError, match="apt-get install apertium"):
        Apertium()


needs_apertium = pytest.mark.skipif(shutil.which("apertium") is None, reason="apertium is not installed")


@needs_apertium
def test_apertium_moves_marks_with_their_words_and_leaves_protected_text_alone(tmp_path):
    source = sentence("German minister @ user saw http://t.co/a 🎉 [ x ]", Span(0, 1, "MISC"))
    records, _ = translated([source], tmp_path, "apertium", to=("es", "fr", "pt", "it"))
    for child in records[1:]:
        [[(start, end)]] = child.more["translation"]["places"]
        assert child.text[start:end].lower()[:2] in ("al", "te") and start > 0, child.text
        assert all(piece in child.text for piece in ("@ user", "http://t.co/a", "🎉", "[ x ]"))


@needs_apertium
def test_a_nul_in_a_sentence_does_not_shift_the_translations_behind_it(tmp_path):
    sources = [
        sentence("The house \0 today", uid="en/1"),
        *(sentence(f"The {w}", uid=f"en/{w}") for w in ("dog", "cat")),
    ]
    records, _ = translated(sources, tmp_path, "apertium")
    assert [record.text.split()[-1] for record in records[1::2]] == ["hoy", "perro", "gato"]
    assert not any(record.flags for record in records)


@needs_apertium
def test_apertium_refuses_a_language_that_it_does_not_have():
    with pytest.raises(ValueError, match="cannot translate from en to de"):
        Apertium().revision("en", "de")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A tiny mBART-50 with random weights."""
    from transformers import MBart50Tokenizer, MBartConfig, MBartForConditionalGeneration

    folder = tmp_path_factory.mktemp("network")
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *"▁abcdefghijklmnopqrstuvwxyz<>/", "▁Ana"]
    tokenizer = MBart50Tokenizer(vocab=[(piece, 0.0 if n < 4 else -float(n)) for n, piece in enumerate(pieces)])
    config = MBartConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, max_position_embeddings=64
    )
    for side in ("encoder", "decoder"):
        setattr(config, f"{side}_attention_heads", 2)
        setattr(config, f"{side}_ffn_dim", 16)
    MBartForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_network_translates_in_batches_and_keeps_the_order(network):
    translator = Network(str(network), batch_size=2)
    texts = ["ana", "a", "ana saw it", "it saw ana and so on"]
    found = translator.translate(texts, "en", "fr")
    assert found == translator.translate(texts[::-1], "en", "fr")[::-1] and len(found) == 4
    assert "beams=4" in translator.name and not translator.exact


def test_what_a_network_cannot_read_to_its_end_is_flagged(network):
    [output] = Network(str(network)).translate(["ana " * 100], "en", "fr")
    assert output.is_cut


def test_a_network_refuses_a_language_that_it_does_not_have(network):
    assert Network(str(network)).revision("en", "de") == "en_XX-de_DE"
    with pytest.raises(ValueError, match="has no language xx"):
        Network(str(network)).revision("en", "xx")


@pytest.mark.parametrize("ends", [True, False])
def test_a_text_at_which_apertium_breaks_is_found_and_comes_back_as_it_was(monkeypatch, ends):
    def run(arguments, stream):
        """Break at `bad`, as a program does that dies: what is behind it comes back empty, or never."""
        if arguments == ["-V"]:
            return b"Apertium 0"
        whole, bad, rest = stream.upper().partition(b"BAD")
        return whole + (b"\0" * rest.count(b"\0") if ends else b"") if bad else whole + b"\0\0"

    monkeypatch.setattr(Apertium, "_run", staticmethod(run))
    outputs = Apertium().translate(["one", "two", "bad", "four", "five"], "en", "es")
    assert [output.text for output in outputs] == ["ONE", "TWO", "bad", "FOUR", "FIVE"]
    assert [output.is_cut for output in outputs] == [False, False, True, False, False]
