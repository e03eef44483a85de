"""The component of spaCy on a tiny model: places, scores, pictures, batches, errors, storing and finding it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from modeling_2mner import TwoMNERPipeline

spacy = pytest.importorskip("spacy", reason="no spaCy: pip install '2m-ner[spacy]'")
from spacy.tokens import Doc, Span  # noqa: E402

from integrations_2mner.spacy_component import MultimodalNER  # noqa: E402  # only where there is a spaCy

ROOT = Path(__file__).resolve().parents[2]
TEXT = "Anna Meier wohnt in Köln\n\nund 👩‍🚀 Hi  im Louvre , Paris ."
MODEL = {"model": "a/model"}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, make_model, processor):
    """A tiny model with random weights."""
    folder = tmp_path_factory.mktemp("spacy") / "tiny"
    make_model().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tagger(make_model, processor):
    """The pipeline of the same model, called directly."""
    return TwoMNERPipeline(model=make_model(), processor=processor)


@pytest.fixture(scope="session")
def make_nlp(model_folder):
    """A German pipeline of our component alone, with changes of its configuration."""

    def build(**changes):
        nlp = spacy.blank("de")
        nlp.add_pipe("multimodal_ner", config={"model": str(model_folder), **changes})
        return nlp

    return build


@pytest.fixture(scope="session")
def nlp(make_nlp):
    return make_nlp()


def with_picture(nlp, text, picture=None) -> Doc:
    doc = nlp.make_doc(text)
    doc._.image = picture
    return doc


def places(doc) -> list[tuple]:
    return [(span.label_, span.start, span.end) for span in doc.ents]


def scored(doc) -> list[tuple]:
    group = doc.spans["multimodal_ner"]
    return [
        (span.label_, span.start, span.end, pytest.approx(score, abs=1e-5))
        for span, score in zip(group, group.attrs["scores"], strict=True)
    ]


def expected(tagger, doc, picture=None) -> list[tuple]:
    """What the pipeline says about the words that are not whitespace, in places of tokens."""
    kept = [token for token in doc if not token.text.isspace()]
    found = tagger({"words": [token.text for token in kept], "image": picture})
    return [
        (each["entity_group"], kept[each["start"]].i, kept[each["end"] - 1].i + 1, each["score"]) for each in found
    ]


def test_entities_and_scores_are_those_of_the_pipeline(nlp, tagger, pictures):
    doc = nlp(with_picture(nlp, TEXT, pictures[0]))

    assert [token for token in doc if token.is_space] and len(doc.ents) > 1
    assert scored(doc) == expected(tagger, doc, pictures[0])
    assert places(doc) == [each[:3] for each in expected(tagger, doc, pictures[0])]
    assert doc.spans["multimodal_ner"].attrs["scores"].dtype == np.float32
    assert (doc._.image_status, doc._.image_reason) == ("ok", "")


def test_no_entity_begins_or_ends_with_whitespace(nlp):
    for text in (" \n Anna \n Meier  \t", TEXT, "\n\nKöln\n\nParis\n"):
        for span in nlp(text).ents:
            assert not span[0].is_space and not span[-1].is_space


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_a_document_without_words_has_no_entities(nlp, pictures, text):
    doc = nlp(with_picture(nlp, text, pictures[0]))

    assert list(doc.ents) == [] and len(doc.spans["multimodal_ner"]) == 0
    assert doc.spans["multimodal_ner"].attrs["scores"].shape == (0,)
    assert doc._.image_status == "ok"


def test_a_document_may_be_longer_than_the_window(nlp, tagger):
    doc = nlp("Anna Meier wohnt in Köln . " * 60)

    assert scored(doc) == expected(tagger, doc)
    assert doc.ents[-1].start > 250


def test_a_picture_changes_the_answer_and_may_have_any_form(nlp, pictures, tmp_path):
    pictures[1].save(tmp_path / "picture.png")
    data = (tmp_path / "picture.png").read_bytes()
    kinds = [pictures[1], str(tmp_path / "picture.png"), tmp_path / "picture.png", data]
    plain, *shown = (scored(nlp(with_picture(nlp, TEXT, kind))) for kind in (None, *kinds))

    assert all(each == shown[0] for each in shown) and shown[0] != plain


def test_several_pictures_have_several_statuses(nlp, pictures):
    doc = nlp(with_picture(nlp, TEXT, [pictures[0], b"no picture"]))

    assert doc._.image_status == ["ok", "unreadable"]


def test_a_stream_gives_the_same_and_keeps_its_contexts(nlp, pictures):
    texts = ["Anna Meier", "", TEXT, "Hi", "Le Louvre est à Paris"] * 5
    shown = [pictures[0], None, b"no picture", "no/such/file.jpg", pictures[2]] * 5
    alone = [nlp(with_picture(nlp, text, picture)) for text, picture in zip(texts, shown, strict=True)]
    stream = (
        (with_picture(nlp, text, picture), number)
        for number, (text, picture) in enumerate(zip(texts, shown, strict=True))
    )
    piped = list(nlp.pipe(stream, as_tuples=True, batch_size=7))

    assert [number for _, number in piped] == list(range(25))
    assert [scored(doc) for doc, _ in piped] == [scored(doc) for doc in alone]
    assert [doc._.image_status for doc, _ in piped] == ["ok", "missing", "unreadable", "missing", "ok"] * 5


def test_the_model_reads_batches(make_nlp, monkeypatch):
    nlp, sizes = make_nlp(batch_size=4), []
    component = nlp.get_pipe("multimodal_ner")
    run = component.load()
    monkeypatch.setattr(
        component,
        "_pipeline",
        lambda inputs, **keywords: sizes.append((len(inputs), keywords["batch_size"])) or run(inputs, **keywords),
    )
    assert len(list(nlp.pipe(["Anna"] * 10))) == 10
    assert sizes == [(4, 4), (4, 4), (2, 2)]


def test_a_bad_picture_stops_its_document_only(make_nlp, pictures):
    nlp, failed = make_nlp(on_bad_image="raise"), []
    nlp.set_error_handler(lambda name, component, docs, error: failed.append((name, docs, str(error))))
    docs = [with_picture(nlp, "Anna", picture) for picture in (pictures[0], b"no picture", None, pictures[1])]

    assert list(nlp.pipe(docs)) == [docs[0], docs[2], docs[3]]
    ((name, (bad,), reason),) = failed
    assert name == "multimodal_ner" and bad is docs[1] and "unreadable" in reason
    with pytest.raises(ValueError, match="is unreadable"):
        make_nlp(on_bad_image="raise")(docs[1])


def test_what_is_no_picture_at_all_is_an_error_of_its_document(make_nlp):
    nlp, failed = make_nlp(), []
    nlp.set_error_handler(lambda name, component, docs, error: failed.append(str(error)))
    docs = [with_picture(nlp, "Anna", picture) for picture in (None, 7, None)]

    assert list(nlp.pipe(docs)) == [docs[0], docs[2]]
    assert len(failed) == 1 and "a picture must be" in failed[0]


@pytest.mark.parametrize("ents", ["overwrite", "merge", "keep"])
def test_entities_of_an_earlier_component(make_nlp, nlp, ents):
    own = places(nlp(TEXT))
    _, start, end = own[0]
    merging = make_nlp(ents=ents)
    ruler = merging.add_pipe("entity_ruler", before="multimodal_ner")
    words = nlp.make_doc(TEXT)
    earlier = ("EARLIER", start, end + 1)  # one word more than ours
    ruler.add_patterns([{"label": "EARLIER", "pattern": [{"ORTH": token.text} for token in words[start : end + 1]]}])
    doc = merging(TEXT)

    fitting = [each for each in own if each[1] > end]
    assert fitting and places(doc) == {"overwrite": own, "merge": [earlier, *fitting], "keep": [earlier]}[ents]
    assert [each[:3] for each in scored(doc)] == own  # what is not in `doc.ents` is still in `doc.spans`


def test_threshold_and_key_of_the_spans(make_nlp, nlp):
    scores = sorted(float(score) for score in nlp(TEXT).spans["multimodal_ner"].attrs["scores"])
    between = (scores[0] + scores[1]) / 2
    doc = make_nlp(threshold=between, spans_key="ours")(TEXT)

    assert "multimodal_ner" not in doc.spans and len(doc.spans["ours"]) == len(scores) - 1 == len(doc.ents)


def test_the_scores_survive_storing_a_document(nlp, pictures, tmp_path):
    pictures[0].save(tmp_path / "picture.png")
    doc = nlp(with_picture(nlp, TEXT, str(tmp_path / "picture.png")))
    restored = Doc(nlp.vocab).from_bytes(doc.to_bytes())

    assert scored(restored) == scored(doc) and restored._.image_status == "ok"


def test_the_users_own_extension_is_kept(make_nlp, pictures):
    old = Doc.remove_extension("image")
    try:
        Doc.set_extension("image", getter=lambda doc: pictures[0])
        assert make_nlp()("Anna")._.image_status == "ok"
    finally:
        Doc.set_extension("image", default=old[0], force=True)


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({}, "`model` is missing"),
        ({**MODEL, "ents": "replace"}, "`ents` is 'replace'; write one of overwrite, merge, keep"),
        ({**MODEL, "on_bad_image": "skip"}, "`on_bad_image` is 'skip'"),
        ({**MODEL, "threshold": 2.0}, "`threshold` must be a probability"),
        ({**MODEL, "batch_size": 0}, "`batch_size` must be at least 1"),
    ],
)
def test_a_bad_configuration_is_told_at_once(config, error):
    with pytest.raises(ValueError, match=error):
        spacy.blank("en").add_pipe("multimodal_ner", config=config)


def test_a_model_that_is_not_there_is_named(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("multimodal_ner", config={"model": str(tmp_path / "nothing")})

    with pytest.raises(ValueError, match=r"`model` '.*nothing' of the component 'multimodal_ner' does not load"):
        nlp("Anna")


def test_bytes_name_the_model(make_nlp, nlp, tmp_path):
    other = spacy.blank("de")
    other.add_pipe("multimodal_ner", config={"model": str(tmp_path / "nothing")})
    other.from_bytes(nlp.to_bytes())

    assert scored(other(TEXT)) == scored(nlp(TEXT))


def test_a_model_that_was_loaded_before_gives_way(make_nlp, nlp, make_model, processor, tmp_path):
    network = make_model()
    network.classifier.bias.data += torch.arange(len(network.config.labels)) * 3.0
    network.save_pretrained(tmp_path / "other")
    processor.save_pretrained(tmp_path / "other")
    changing = make_nlp(model=str(tmp_path / "other"))

    assert scored(changing(TEXT)) != scored(nlp(TEXT))
    changing.from_bytes(nlp.to_bytes())
    assert scored(changing(TEXT)) == scored(nlp(TEXT))


def test_a_folder_names_the_model(nlp, tmp_path):
    nlp.to_disk(tmp_path / "stored")

    assert not list(tmp_path.rglob("*.safetensors"))
    assert scored(spacy.load(tmp_path / "stored")(TEXT)) == scored(nlp(TEXT))


def test_a_folder_can_hold_the_model_and_be_moved(make_nlp, nlp, make_model, processor, tmp_path):
    make_model().save_pretrained(tmp_path / "run")
    processor.save_pretrained(tmp_path / "run")
    make_nlp(model=str(tmp_path / "run"), store_model=True).to_disk(tmp_path / "stored")
    (tmp_path / "run").rename(tmp_path / "gone")
    (tmp_path / "stored").rename(tmp_path / "moved")
    loaded = spacy.load(tmp_path / "moved")

    assert scored(loaded(TEXT)) == scored(nlp(TEXT))
    loaded.to_disk(tmp_path / "again")  # the model is stored again, though it came from a folder of spaCy
    assert list((tmp_path / "again").rglob("model.safetensors"))


@pytest.mark.slow
def test_further_processes_are_refused_and_do_not_wait_for_ever(nlp):
    """In a process of its own, which can be stopped if it hangs."""
    code = """
import spacy, sys, integrations_2mner.spacy_component
nlp = spacy.blank("de")
nlp.add_pipe("multimodal_ner", config={"model": sys.argv[1]})
nlp("Anna")
list(nlp.pipe(["Anna", "Paris"], n_process=2))
"""
    folder = nlp.get_pipe("multimodal_ner").model
    made = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, text=True, timeout=300)

    assert made.returncode and "`n_process` must be 1" in made.stderr


FOUND = """
import spacy, sys
assert "integrations_2mner" not in sys.modules
nlp = spacy.blank("de")
slow = {"transformers", "modeling_2mner", "training_2mner"} & set(sys.modules)
assert not slow, f"every pipeline of spaCy now imports {slow}"
nlp.add_pipe("multimodal_ner", config={"model": sys.argv[1]})
doc = nlp("Anna Meier wohnt in Köln")
print([(span.label_, span.start, span.end) for span in doc.ents])
"""


@pytest.mark.slow
def test_an_installed_package_is_found_by_name_and_slows_no_other_pipeline(nlp, model_folder, tmp_path):
    """As pip leaves it: a folder with metadata, in which the entry point of pyproject.toml is announced."""
    information = tmp_path / "2m_ner-0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: 2m-ner\nVersion: 0\n")
    (line,) = (
        line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("multimodal_ner")
    )
    (information / "entry_points.txt").write_text(f"[spacy_factories]\n{line.replace(chr(34), '')}\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    made = subprocess.run(
        [sys.executable, "-c", FOUND, str(model_folder)], env=environment, cwd=tmp_path, capture_output=True, text=True
    )

    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == str(places(nlp("Anna Meier wohnt in Köln")))


def test_the_component_can_be_used_without_a_configuration(model_folder, nlp):
    component = MultimodalNER(str(model_folder))

    doc = component(nlp.make_doc(TEXT))
    assert places(doc) == places(nlp(TEXT)) and all(isinstance(span, Span) for span in doc.ents)
