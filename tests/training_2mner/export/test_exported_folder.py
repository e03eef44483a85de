"""Which graphs of an export are opened, what goes with them, and what is refused."""

from __future__ import annotations

import copy
import json
import pickle
import shutil

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForTokenClassification

from modeling_2mner import ExportedTagger
from modeling_2mner.configuration_tagging import TaggingConfig
from reports_2mner.files import file_sha256
from training_2mner.export.folder import _assemble, export
from training_2mner.export.graphs import Graph
from training_2mner.hub.release import check_in_clean_process
from training_2mner.hub.staging import Names, stage

REPO = "user/tiny-onnx"


@pytest.fixture(scope="module")
def tagger(exported) -> ExportedTagger:
    return AutoModelForTokenClassification.from_pretrained(exported)


def test_windows_of_long_texts_are_read_in_groups(tagger, processor, predict, monkeypatch):
    batch = processor([["Louvre", "in", "Paris"] * 60, ["Anna"], ["Köln", "und", "Paris"] * 30])
    windows, pieces = batch["input_ids"].shape
    wanted = predict(tagger, batch).logits
    sizes = []
    run = ExportedTagger._call
    monkeypatch.setattr("modeling_2mner.modeling_exported.WINDOW_PIECES", 4 * pieces)
    monkeypatch.setattr(
        ExportedTagger,
        "_call",
        lambda self, graph, values: (
            sizes.append(len(values["input_ids"]) if "input_ids" in graph["inputs"] else 0) or run(self, graph, values)
        ),
    )
    found = predict(tagger, batch).logits

    assert windows > 8 and sum(sizes) == windows and max(sizes) == 4
    assert torch.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"files": [7]}, "each graph has a `name`, lists of"),
        ({"files": []}, "without files, name or hash"),
        ({"sha256": None}, "without files, name or hash"),
        ({"inputs": None}, "each graph has a `name`, lists of"),
        ({"inputs": ["words"]}, "'words', which no batch and no graph before it has"),
        ({"outputs": ["words"]}, "no graph of `graphs` has the output 'logits'"),
    ],
)
def test_graphs_that_cannot_follow_each_other(tagger, change, reason):
    graph = {"name": "tagger", "files": ["a.onnx"], "inputs": ["input_ids"], "outputs": ["logits"], "sha256": ""}
    type(tagger.config)(graphs=[graph])
    with pytest.raises(ValueError, match=reason):
        type(tagger.config)(graphs=[graph | change])


@pytest.mark.parametrize("damage", ["pointer", "cut", "other"])
def test_only_the_exported_graphs_are_opened(exported, tmp_path, damage):
    shutil.copytree(exported, tmp_path / "copy")
    path = tmp_path / "copy" / "head.onnx"
    content = {"cut": path.read_bytes()[:-9], "other": (exported / "text.onnx").read_bytes()}
    path.write_bytes(content.get(damage, b"version https://git-lfs.github.com/spec/v1\n"))
    with pytest.raises(ValueError, match=r"head\.onnx are not what was exported with this config\.json"):
        AutoModelForTokenClassification.from_pretrained(tmp_path / "copy").open_graphs()


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_graph_that_no_runner_opens_is_named(exported, tmp_path, backend):
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[backend])
    shutil.copytree(exported, tmp_path / "copy")
    path, config = tmp_path / "copy" / "text.onnx", tmp_path / "copy" / "config.json"
    fields = json.loads(config.read_text(encoding="utf-8"))
    path.write_bytes(b"no graph")
    fields["graphs"][0]["sha256"] = file_sha256(path)
    config.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(ValueError, match=f"`backend` '{backend}' cannot open .*text.onnx"):
        AutoModelForTokenClassification.from_pretrained(tmp_path / "copy").use_backend(backend).open_graphs()
    with pytest.raises(ValueError, match="load the model with `from_pretrained`"):
        ExportedTagger(type(AutoConfig.from_pretrained(exported)).from_pretrained(exported)).open_graphs()


def test_copies_open_the_graphs_themselves(tagger, batch, predict):
    wanted = predict(tagger, batch).logits
    again = pickle.loads(pickle.dumps(tagger))  # as `Dataset.map` does, to know what it has computed
    assert not again._runners and torch.equal(predict(again, batch).logits, wanted)


def test_the_crf_stays_with_the_graphs(tagger):
    again = copy.deepcopy(tagger).half().to("meta")
    assert {(weights.dtype, weights.device.type) for weights in again.parameters()} == {(torch.float32, "cpu")}


def test_what_would_do_nothing_or_upload_a_part(exported, tagger, tmp_path):
    with pytest.warns(UserWarning, match="`dtype` torch.bfloat16 changes nothing"):
        AutoModelForTokenClassification.from_pretrained(exported, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="without its graphs"):
        tagger.save_pretrained(tmp_path / "part", push_to_hub=True)


def test_decoder_and_temperature_are_the_originals(make_model, tmp_path):
    model = make_model(crf_temperature=2.5, crf_constrained_decoding=False, dropout=0.3)
    (tmp_path / "tagger.onnx").write_bytes(b"")
    graph = Graph("tagger", nn.Identity(), {}, ("logits",))
    config = _assemble(model, [graph], tmp_path, "onnx", "fp32").config
    for name in TaggingConfig.own_fields():
        assert getattr(config, name) == getattr(model.config, name), name
    assert config.crf_temperature == 2.5


def test_calibration_needs_pictures_of_a_model_that_reads_them(model, processor, tmp_path):
    with pytest.raises(ValueError, match="`calibrate_on` has no picture"):
        export(model, processor, tmp_path / "out", "openvino", "int8", calibration=[processor(["Anna in Paris"])])
    assert not list(tmp_path.iterdir())


def test_a_release_of_an_export_has_its_graphs(exported, tmp_path):
    (tmp_path / "staged").mkdir()
    assert stage(exported, tmp_path / "staged", Names(REPO)) == []
    check_in_clean_process(tmp_path / "staged")
    for name in ("text.onnx", "images.onnx", "head.onnx", "model.safetensors", "export.json", "parity.json"):
        assert (tmp_path / "staged" / name).read_bytes() == (exported / name).read_bytes()
    assert "onnxruntime" in (tmp_path / "staged" / "requirements.txt").read_text(encoding="utf-8")
    assert f'model="{REPO}", trust_remote_code=True, backend="onnx")' in (tmp_path / "staged" / "README.md").read_text(
        encoding="utf-8"
    )

    shutil.copytree(exported, tmp_path / "part", ignore=shutil.ignore_patterns("head.onnx"))
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match=r"has no 'head\.onnx', which its config\.json names"):
        stage(tmp_path / "part", tmp_path / "other", Names(REPO))
