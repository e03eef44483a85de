from __future__ import annotations

import base64
import copy
import ctypes
import errno
import json
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from torch import nn
from transformers import AutoModelForTokenClassification, pipeline

from modeling_2mner import ExportedTagger, OneImageProcessor, TwoMNERPipeline
from modeling_2mner.handler import EndpointHandler
from modeling_2mner.images import load_image
from reports_2mner.command_line import exit_on_error
from tests.stand_in_hub import ROOT, TOKEN
from training_2mner.export import folder as folder_module
from training_2mner.export.__main__ import main
from training_2mner.export.folder import export
from training_2mner.export.graphs import refuse_unsupported
from training_2mner.export.parity import compare, made_up_batches
from training_2mner.features.towers import describe_towers
from training_2mner.folding import fold_batch_norms
from training_2mner.predict.__main__ import main as predict_main
from training_2mner.serve.__main__ import read_command_line as read_serve
from training_2mner.serve.service import build_service

CHILD = Path(__file__).with_name("pull_export.py")
REPO = "user/tiny-onnx"
CLOSE = 1e-4  # emissions of weights that are far from small


@pytest.fixture(scope="module")
def tagger(exported) -> ExportedTagger:
    return AutoModelForTokenClassification.from_pretrained(exported)


@pytest.fixture(scope="module")
def questions(tmp_path_factory, pictures) -> list[dict]:
    folder = tmp_path_factory.mktemp("pictures")
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number}.png")
    zero, one = str(folder / "0.png"), str(folder / "1.png")
    return [
        {"text": "L'équipe de Köln, à Paris!", "image": zero},
        {"words": ["Anna", "Meier", "wohnt", "in", "Köln"]},
        {"text": "São Paulo, le Louvre", "images": [zero, one]},
        {"text": " ".join(["Louvre est in the Paris"] * 20), "image": one},  # several windows
        {"text": ""},
    ]


def assert_alike(found: list, expected: list) -> None:
    """The same entities, with scores that differ at most by rounding."""
    assert [len(entities) for entities in found] == [len(entities) for entities in expected]
    for own, others in zip(found, expected, strict=True):
        for entity, other in zip(own, others, strict=True):
            assert entity["score"] == pytest.approx(other["score"], abs=1e-5)
            assert {**entity, "score": 0} == {**other, "score": 0}


def test_an_export_answers_as_the_original(exported, model, processor, questions):
    pipe = pipeline("multimodal-ner", model=str(exported), pipeline_class=TwoMNERPipeline, threads=1)
    original = TwoMNERPipeline(model=model, processor=processor, device="cpu")

    assert isinstance(pipe.model, ExportedTagger) and (pipe.model.backend, pipe.model.threads) == ("onnx", 1)
    expected = original(questions)
    assert sum(map(len, expected)) > 4
    assert_alike(pipe(questions), expected)
    assert_alike(pipe(questions, batch_size=5), expected)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_parity_on_any_sizes(tagger, model, processor, sentences, tags, pictures, backend):
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[backend])
    shared = processor(sentences, [pictures[0], None, pictures[1], pictures[0]], tags)
    one = processor([["Hi"]], [pictures[2]], [["O"]])
    batches = [*made_up_batches(processor), shared, one, processor([["Hi"], []]), processor([[]]), processor([])]
    windows = [len(batch["input_ids"]) - len(batch["word_mask"]) for batch in batches]
    assert max(windows) > 0 and any("pixel_values" not in batch for batch in batches)

    report = compare(model, tagger.use_backend(backend), batches).report()

    assert report["words"] == sum(int(batch["word_mask"].sum()) for batch in batches)
    assert report["largest_emission_difference"] < CLOSE and report["equal_tags_percent"] == 100
    tagger.use_backend()


def test_loss_and_defaults_are_the_originals(tagger, model, batch, predict):
    wanted = predict(model, batch)
    assert predict(tagger, batch).loss == pytest.approx(float(wanted.loss), abs=1e-4)
    plain = {name: batch[name][:1] for name in ("input_ids", "word_positions")}
    plain["word_positions"] = plain["word_positions"][:, :1]
    found = predict(
        tagger, plain, pixel_values=batch["pixel_values"][:1], resnet_pixel_values=batch["resnet_pixel_values"][:1]
    )
    other = predict(
        model, plain, pixel_values=batch["pixel_values"][:1], resnet_pixel_values=batch["resnet_pixel_values"][:1]
    )
    assert torch.allclose(found.logits, other.logits, atol=CLOSE)


def test_regions_of_pictures_can_be_kept(tagger, batch, predict, monkeypatch):
    text = {name: value for name, value in batch.items() if not name.endswith("pixel_values")}
    pixels = {name: batch[name] for name in ("pixel_values", "resnet_pixel_values")}
    regions = tagger.encode_images(**pixels)
    called = []
    run = ExportedTagger._call
    monkeypatch.setattr(
        ExportedTagger, "_call", lambda self, graph, values: called.append(graph["name"]) or run(self, graph, values)
    )

    assert torch.equal(predict(tagger, text, **regions).logits, predict(tagger, batch).logits)
    assert called == ["text", "head", "text", "images", "head"]


def test_a_picture_of_several_sentences_is_encoded_once(tagger, processor, sentences, pictures, monkeypatch):
    called = []
    run = ExportedTagger._call
    monkeypatch.setattr(
        ExportedTagger, "_call", lambda self, graph, values: called.append(graph["name"]) or run(self, graph, values)
    )
    questions = [{"words": words, "image": pictures[0]} for words in [*sentences, *sentences[::-1]]]
    pipe = TwoMNERPipeline(model=tagger, processor=processor)
    found = pipe(questions, batch_size=2)
    shared = called.count("images")
    alone = [pipe(question) for question in questions]

    assert len(questions) == 8 and shared == 1 and called.count("images") == 9
    assert sum(map(len, found)) > 4
    assert_alike(found, alone)


def test_stored_features_are_those_of_one_export(tagger, model, processor, pictures, tmp_path, monkeypatch):
    described = describe_towers(tagger, processor, "float32")
    other = copy.deepcopy(tagger)
    other.config.images_graph["sha256"] = ["0" * 64]
    assert described["towers"] not in ({}, describe_towers(other, processor, "float32")["towers"])
    assert described != describe_towers(model, processor, "float32")

    picture = load_image(pictures[0])
    stored = {
        picture.digest: {
            n: row[0] for n, row in tagger.encode_images(**processor.encode_images([picture.image])).items()
        }
    }
    pipe = TwoMNERPipeline(model=tagger, processor=processor)
    question = {"words": ["Anna", "in", "Paris"], "image": pictures[0]}
    expected = pipe(question)
    pipe.image_features = stored
    monkeypatch.setattr(ExportedTagger, "encode_images", lambda self, **pixels: pytest.fail("the towers run"))
    assert_alike([pipe(question)], [expected])


def test_inputs_that_contradict_each_other(tagger, batch):
    text = {name: value for name, value in batch.items() if not name.endswith("pixel_values")}
    with pytest.raises(
        ValueError, match="pass `pixel_values` and `resnet_pixel_values` or `resnet_regions` and `vit_regions`"
    ):
        tagger(**text, pixel_values=batch["pixel_values"])
    with pytest.raises(ValueError, match="the numbers of pictures differ"):
        tagger(**text, pixel_values=batch["pixel_values"], resnet_pixel_values=batch["resnet_pixel_values"][:1])


def test_threads_are_set_and_never_the_runners_choice(tagger, batch, predict, monkeypatch):
    import onnxruntime

    seen = []
    session = onnxruntime.InferenceSession

    def watch(path, options, providers):
        seen.append((options.intra_op_num_threads, options.inter_op_num_threads))
        return session(path, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watch)
    predict(tagger.use_backend(threads=2), batch)
    assert seen == [(2, 1)] * 3
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    predict(tagger.use_backend(), batch)
    assert seen[3:] == [(5, 1)] * 3
    monkeypatch.undo()
    tagger.use_backend()


def test_a_missing_runner_is_named_before_the_first_batch(exported, tagger, processor, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install '2m-ner\[onnx\]'"):
        TwoMNERPipeline(model=tagger, processor=processor)
    (tmp_path / "in.txt").write_text("Hi\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"does not load .* run `pip install onnxruntime`"):
        predict_main([str(exported), "--input", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.jsonl")])


def test_what_a_backend_cannot_do(tagger, exported, model, processor):
    with pytest.raises(ValueError, match='`backend` is "onnx", but'):
        type(tagger)(type(tagger.config)(backend="openvino")).use_backend("onnx")
    with pytest.raises(ValueError, match="`backend` is 'tensorrt'"):
        tagger.use_backend("tensorrt")
    for threads, reason in (
        (0, "at least 1"),
        (1.5, "a whole number"),
        ("4", "a whole number"),
        (10**6, "at most 1024"),
    ):
        with pytest.raises(ValueError, match=f"`threads` must be {reason}"):
            tagger.use_backend(threads=threads)
    with pytest.raises(ValueError, match="`device` is 'cuda:0', but an exported model runs on the CPU"):
        TwoMNERPipeline(model=tagger, processor=processor, device="cuda:0")
    with pytest.raises(ValueError, match="`backend` and `threads` are for exported models"):
        TwoMNERPipeline(model=model, processor=processor, backend="onnx")


def test_graphs_lie_beside_their_config(tagger):
    graph = {"name": "text", "files": ["../text.onnx"], "inputs": [], "outputs": []}
    with pytest.raises(ValueError, match="graphs lie beside config"):
        type(tagger.config)(graphs=[graph])


def test_the_folder_holds_no_pickle_and_a_record(exported):
    names = {path.name for path in exported.iterdir()}
    code = {"modeling_exported.py", "crf.py", "posteriors.py", "pipeline_2mner.py", "handler.py"}
    assert code <= names and not any(name.startswith("modeling_") for name in names - code)
    assert {name for name in names if not name.endswith(".py")} == {
        *("config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "tokenizer_config.json"),
        *("text.onnx", "images.onnx", "head.onnx", "export.json", "parity.json", "requirements.txt", "README.md"),
    }
    card = ModelCard.load(exported / "README.md")
    assert (
        'model="tiny", trust_remote_code=True, backend="onnx")' in card.text
        and "| made-up sentences | 25 |" in card.text
    )
    assert not any(str(ROOT).encode() in path.read_bytes() for path in exported.iterdir())
    record = json.loads((exported / "export.json").read_text(encoding="utf-8"))
    assert (record["backend"], record["precision"], record["source_model_type"]) == ("onnx", "fp32", "2m-ner")
    assert record["parity_threads"] == torch.get_num_threads() and record["versions"]["onnx"]


def test_predict_serve_and_handler_run_an_export(exported, tmp_path, model, processor, questions):
    original = TwoMNERPipeline(model=model, processor=processor, device="cpu")
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, questions[:3])), encoding="utf-8")
    predict_main(
        [
            *(str(exported), "--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl")),
            *("--backend", "onnx", "--threads", "1"),
        ]
    )
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert_alike([row["entities"] for row in rows], original(questions[:3]))

    encoded = {**questions[0], "image": base64.b64encode(Path(questions[0]["image"]).read_bytes()).decode()}
    with pytest.MonkeyPatch.context() as patch:  # a folder's own code has other classes
        patch.setattr("modeling_2mner.handler.pipeline", lambda *_, **chosen: make_pipe(exported, **chosen))
        handler = EndpointHandler(str(exported), backend="onnx", threads=1)
        service = build_service(read_serve([str(exported), "--backend", "onnx", "--threads", "1"]))
    assert_alike([handler({"inputs": encoded})["entities"]], original(questions[:1]))
    service._batcher.close()


def make_pipe(folder: Path, backend: str, threads: int, **_) -> TwoMNERPipeline:
    assert (backend, threads) == ("onnx", 1)
    return pipeline(
        "multimodal-ner", model=str(folder), pipeline_class=TwoMNERPipeline, backend=backend, threads=threads
    )


def test_an_export_from_the_hub_answers_alone(exported, hub, tmp_path, monkeypatch, model, processor, questions):
    hub.connect(monkeypatch, tmp_path / "author")
    api = HfApi(token=TOKEN)
    api.create_repo(REPO)
    api.upload_folder(repo_id=REPO, folder_path=exported)
    (tmp_path / "questions.json").write_text(json.dumps(questions), encoding="utf-8")

    answers = tmp_path / "answers.json"
    done = hub.run(
        *("-I", str(CHILD), REPO, str(tmp_path / "questions.json"), str(answers)), home=tmp_path / "user", token=None
    )

    assert done.returncode == 0, done.stderr
    original = TwoMNERPipeline(model=model, processor=processor, device="cpu")
    assert_alike(json.loads(answers.read_text(encoding="utf-8")), original(questions))


def test_saved_again_with_its_graphs(tagger, processor, tmp_path, batch, predict):
    TwoMNERPipeline(model=tagger, processor=processor).save_pretrained(tmp_path / "again")
    again = AutoModelForTokenClassification.from_pretrained(tmp_path / "again")
    assert torch.equal(predict(again, batch).logits, predict(tagger, batch).logits)


def test_batch_norms_fold_into_copies(model, pictures, processor):
    import copy

    network = copy.deepcopy(model.model.resnet_model)
    pixels = processor.encode_images(pictures)["resnet_pixel_values"]
    fold_batch_norms(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    with torch.no_grad():
        found, wanted = (net(pixel_values=pixels).last_hidden_state for net in (network, model.model.resnet_model))
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_neither_a_full_disk_nor_a_killed_process_leaves_anything(model, processor, tmp_path, monkeypatch):
    (tmp_path / ".exported.draft").mkdir()  # as a killed process leaves it
    (tmp_path / ".exported.draft" / "text.onnx").write_bytes(b"half")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder_module, "_write_graphs", fail)
    with pytest.raises(SystemExit, match="error: No space left on device; free some space"), exit_on_error():
        export(model, processor, tmp_path / "exported")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("bilstm-crf", {}, "models on word vectors|Models on word vectors"),
        ("umt", {"label_scheme": "subword_aux"}, "its CRF runs over sub-words"),
        ("umgf", {"visual_nodes": "objects"}, 'train with `visual_nodes="grid"`'),
        ("mkgformer", {"use_whole_image": False}, "exported models take whole pictures"),
    ],
)
def test_models_that_cannot_be_exported(make_baseline, kind, changes, reason):
    with pytest.raises(ValueError, match=reason):
        refuse_unsupported(make_baseline(kind, **changes))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"to": "onnx", "precision": "bf16"}, "needs OpenVINO"),
        ({"to": "openvino", "precision": "int8"}, "`calibrate_on`"),
        ({"to": "tflite"}, "`to` is 'tflite'"),
    ],
)
def test_options_that_contradict_each_other(model, processor, tmp_path, settings, reason):
    with pytest.raises(ValueError, match=reason):
        export(model, processor, tmp_path / "out", **settings)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_never_written_over(exported, model, processor):
    with pytest.raises(ValueError, match="exists already"):
        export(model, processor, exported)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[] if kind == "mkgformer" else pytest.mark.slow)
        for kind in ("umt", "umgf", "mkgformer")
    ],
)
def test_comparison_models_have_one_graph(make_baseline, one_image_processor, tmp_path, kind):
    pytest.importorskip("onnxscript")
    report = export(make_baseline(kind), one_image_processor, tmp_path / kind)["made_up"]
    assert report["largest_emission_difference"] < CLOSE and report["equal_tags_percent"] == 100
    assert [path.name for path in (tmp_path / kind).glob("*.onnx")] == ["tagger.onnx"]


def test_eight_bits_from_the_command_line(make_baseline, one_image_processor, data_folder, tmp_path, capsys):
    for package in ("onnxscript", "openvino", "nncf"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install '2m-ner[onnx,openvino]'")
    model = make_baseline("bert-crf", use_crf=False)
    for part in (model, OneImageProcessor.for_model(model, one_image_processor.tokenizer)):
        part.save_pretrained(tmp_path / "run")
    (tmp_path / "run" / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    out = tmp_path / "out"

    main(
        [
            *(str(tmp_path / "run"), str(out), "--to", "openvino", "--precision", "int8"),
            *("--calibrate_on", str(data_folder), "--calibration_sentences", "10", "--batch_size", "4"),
            *("--evaluate_on", str(data_folder)),
        ]
    )

    report = json.loads((out / "parity.json").read_text(encoding="utf-8"))
    assert json.dumps(report, indent=2) in capsys.readouterr().out
    assert report["data_set"]["sentences"] == 7 and {"f1_before", "f1_after"} <= set(report["data_set"])
    assert 0 < report["made_up"]["largest_emission_difference"] < 5
    assert "FakeQuantize" in (out / "tagger.xml").read_text(encoding="utf-8")
    assert json.loads((out / "export.json").read_text(encoding="utf-8"))["calibration_batches"] == 3
    tagger = AutoModelForTokenClassification.from_pretrained(out)
    assert (tagger.backend, tagger.config.precision) == ("openvino", "int8")
    card = ModelCard.load(out / "README.md")
    assert (
        card.data.license == "mit"
        and f"| a data set | 7 | {report['data_set']['largest_emission_difference']:.1e} |" in card.text
    )
    assert pipeline("multimodal-ner", model=str(out), pipeline_class=TwoMNERPipeline)("Anna in Paris") is not None


class SignalStack(ctypes.Structure):
    _fields_ = [("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def signal_stack() -> tuple[int | None, int]:
    stack = SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    return stack.place, stack.size


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another `stack_t`")
def test_openvino_leaves_the_stack_of_signals_as_it_is(model, processor, sentences, tmp_path):
    """With another one, which OpenVINO frees, the next signal that Python handles ends the process."""
    pytest.importorskip("openvino")
    before = signal_stack()
    folder = tmp_path / "exported"
    export(model, processor, folder, to="openvino")
    tagger = AutoModelForTokenClassification.from_pretrained(folder).use_backend("openvino", threads=1)
    tagger(**processor(sentences))
    assert signal_stack() == before
