"""The snippets of docs/other-programs.md run as they stand, on a tiny model."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).resolve().parents[1] / "docs" / "other-programs.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(title: str, language: str) -> list[str]:
    """The fenced blocks of one language in a section."""
    (section,) = (part for part in PAGE.read_text("utf-8").split("\n## ") if part.startswith(f"{title}\n"))
    return [code for name, code in FENCE.findall(section) if name == language]


@pytest.fixture
def folder(tmp_path, monkeypatch, make_model, processor, make_picture):
    """The working folder of a reader: a run and a photo."""
    monkeypatch.chdir(tmp_path)
    make_model().save_pretrained("runs/2m-ner")
    processor.save_pretrained("runs/2m-ner")
    make_picture(1).save("photo.jpg")  # in which the tiny model sees entities
    return tmp_path


def test_the_snippet_on_the_pipeline_of_transformers(folder, keep_caches_in, monkeypatch):
    keep_caches_in(folder, monkeypatch)
    names: dict = {}
    (snippet,) = snippets("transformers' own pipeline", "python")
    exec(snippet, names)
    found = names["tagger"]("Anna Meier lives in Paris.")
    assert found and all({"entity_group", "score", "word"} <= set(entity) for entity in found)


def test_the_snippet_on_peft(folder, make_model, batch, predict):
    pytest.importorskip("peft", reason="no PEFT: pip install '2m-ner[lora]'")
    names: dict = {"model": make_model(), "model_without_adapters": make_model()}
    (snippet,) = snippets("PEFT", "python")
    exec(snippet, names)
    merged = predict(names["merged"].eval(), batch)
    assert torch.allclose(merged.logits, predict(make_model(), batch).logits, atol=1e-5)  # adapters begin at zero


def test_the_snippets_on_spacy(folder):
    pytest.importorskip("spacy", reason="no spaCy: pip install '2m-ner[spacy]'")
    import integrations_2mner.spacy_component  # noqa: F401  # in a checkout, nothing announces it

    names: dict = {}
    first, stream, beside = snippets("spaCy", "python")
    exec(first, names)
    assert names["status"] == "ok" and len(names["found"]) == len(names["scores"]) > 0
    exec(stream, names)
    assert names["statuses"] == ["ok", "missing"]
    exec(beside, names)
    doc = names["doc"]
    assert "PRODUCT" in {span.label_ for span in doc.ents} and doc.spans["multimodal_ner"]


def test_the_table_on_spacy_has_the_options_and_their_defaults():
    pytest.importorskip("spacy", reason="no spaCy: pip install '2m-ner[spacy]'")
    from integrations_2mner.spacy_component import SETTINGS

    rows = re.findall(r"^\| `(\w+)` \|(.*?)\|", PAGE.read_text("utf-8"), re.MULTILINE)
    written = {name: default.strip(' `"') for name, default in rows}
    shown = {name: str(value).lower() if isinstance(value, bool) else f"{value}" for name, value in SETTINGS.items()}
    assert written == {**shown, "threshold": "0", "device": "a GPU if there is one"}
    assert (SETTINGS["threshold"], SETTINGS["device"]) == (0, None)


def test_the_commands_and_the_configuration_on_label_studio():
    from training_2mner.serve.__main__ import read_command_line
    from training_2mner.serve.label_studio import read_labeling_config

    (commands,), (config,) = snippets("Label Studio", "bash"), snippets("Label Studio", "xml")
    (served,) = (line for line in commands.splitlines() if line.startswith("python -m training_2mner.serve "))
    options = read_command_line(shlex.split(served)[3:])
    assert options.label_studio and options.upload_root == Path("lsdata/media/upload") and options.port == 9090
    found = read_labeling_config(config, ["PER", "LOC", "ORG", "MISC"])
    assert found.labels == {"PER": "Person", "LOC": "LOC"} and found.pictures == ("image",)
