from __future__ import annotations

import base64
import copy
import json

import pytest
import torch
from transformers import pipeline

from dataset_scripts.conll import read_conll
from dataset_scripts.mini.generator import write_mini
from modeling_2mner import ExportedConfig, ExportedTagger, TwoMNERPipeline, length_windows
from reports_2mner.locks import only_writer
from training_2mner.predict.__main__ import main
from training_2mner.predict.prediction import load_pipeline, open_records, predict_to_file

TEXTS = [f"Anna {'Meier ' * number}wohnt in Köln {number} ." for number in range(11)]
BATCH = 4


@pytest.fixture(scope="module")
def pipe(model, processor):
    """The pipeline of the tiny model."""
    return TwoMNERPipeline(model=model, processor=processor, device="cpu")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory, model, processor):
    """The tiny model on the disk."""
    folder = tmp_path_factory.mktemp("predict") / "tiny"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def lines(tmp_path, pictures):
    """Eleven sentences in `a.jsonl`, in turn as text, words and tokens, with pictures in every form."""
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    encoded = base64.b64encode((tmp_path / "1.png").read_bytes()).decode()
    images = ["0.png", encoded, f"data:image/png;base64,{encoded}", None, ["0.png", "2.png"], "gone.png", "a.jsonl"]
    rows = []
    for number, text in enumerate(TEXTS):
        kind = ("text", "words", "tokens")[number % 3]
        row = {"id": number, kind: text if kind == "text" else text.split(), "image": images[number % len(images)]}
        rows.append({**row, "note": {"é": number}})
    content = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(content, encoding="utf-8")
    return rows


def read_lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def is_same(results: list[dict], expected: list[dict]) -> bool:
    """Whether entities or word tags are the same; batches may change the last digits of scores."""
    scores = [[result["score"] for result in results] for results in (results, expected)]
    rest = [[{**result, "score": None} for result in results] for results in (results, expected)]
    return rest[0] == rest[1] and scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_objects_get_what_the_pipeline_says_of_each(tmp_path, lines, pipe):
    records = open_records(tmp_path / "a.jsonl")

    summary = predict_to_file(pipe, records, tmp_path / "b.jsonl", BATCH, return_word_tags=True)

    entities = 0
    for record, given, written in zip(records, lines, read_lines(tmp_path / "b.jsonl"), strict=True):
        alone = pipe(record.sentence, return_word_tags=True)
        assert list(written) == [*given, "entities", "image_status", "word_tags"]
        assert {field: written[field] for field in given} == given
        assert is_same(written["entities"], alone["entities"])
        assert is_same(written["word_tags"], alone["words"])
        assert written["image_status"] == alone["image_status"]
        entities += len(alone["entities"])
    assert entities > len(TEXTS)  # or the test would show nothing
    assert (summary.sentences, summary.entities, summary.skipped) == (11, entities, 0)


def test_bad_pictures_are_counted_and_named(tmp_path, lines, pipe):
    summary = predict_to_file(pipe, open_records(tmp_path / "a.jsonl"), tmp_path / "b.jsonl", BATCH)

    assert dict(summary.pictures) == {"ok": 8, "missing": 1, "unreadable": 1}
    assert [line.split(", ")[0] for line in summary.bad_pictures] == [
        f"{tmp_path / 'a.jsonl'}:6: missing",
        f"{tmp_path / 'a.jsonl'}:7: unreadable",
    ]


def test_words_alone_are_no_bad_pictures(tmp_path, pipe):
    (tmp_path / "a.txt").write_text("Anna\n\nin Köln\n", encoding="utf-8")

    summary = predict_to_file(pipe, open_records(tmp_path / "a.txt"), tmp_path / "b.jsonl")

    assert not summary.pictures
    written = read_lines(tmp_path / "b.jsonl")
    assert [row["text"] for row in written] == ["Anna", "", "in Köln"]
    assert {row["image_status"] for row in written} == {"missing"} and written[1]["entities"] == []


def test_conll_becomes_conll(tmp_path, pipe, pictures):
    pictures[0].save(tmp_path / "7.jpg")
    (tmp_path / "a.conll").write_text("IMGID:7\nAnna\tB-PER\nMeier\n\nIMGID:8\nHi\tO\n", encoding="utf-8")
    records = open_records(tmp_path / "a.conll", tmp_path)

    summary = predict_to_file(pipe, records, tmp_path / "b.conll")

    assert dict(summary.pictures) == {"ok": 1, "missing": 1}
    read = list(read_conll(tmp_path / "b.conll"))  # strict: valid IOB2 only
    assert [(sentence.image_id, sentence.tokens) for sentence in read] == [("7", ("Anna", "Meier")), ("8", ("Hi",))]
    for record, sentence in zip(records, read, strict=True):
        words = pipe(record.sentence, return_word_tags=True)["words"]
        assert list(sentence.tags) == [word["tag"] for word in words]


@pytest.mark.parametrize("ending", ["jsonl", "conll"])
def test_a_threshold_leaves_entities_out(tmp_path, lines, pipe, ending):
    (tmp_path / "a.conll").write_text("".join(f"{word}\n" for word in TEXTS[9].split()), encoding="utf-8")
    records = open_records(tmp_path / "a.conll")
    entities = pipe(records[0].sentence)
    threshold = sorted(entity["score"] for entity in entities)[1] - 1e-4

    summary = predict_to_file(pipe, records, tmp_path / f"b.{ending}", threshold=threshold)

    assert 0 < summary.entities < len(entities)
    if ending == "conll":
        (sentence,) = read_conll_without_ids(tmp_path / "b.conll")
        assert sum(tag.startswith("B-") for tag in sentence) == summary.entities


def test_an_entity_threshold_is_the_pipeline_s(tmp_path, lines, pipe):
    records = open_records(tmp_path / "a.jsonl")
    predict_to_file(pipe, records, tmp_path / "b.jsonl", entity_threshold=0.1)
    predict_to_file(pipe, records, tmp_path / "c.jsonl")
    written, others = ((tmp_path / name).read_text(encoding="utf-8").splitlines() for name in ("b.jsonl", "c.jsonl"))
    found = [[entity["word"] for entity in json.loads(line)["entities"]] for line in written]
    expected = [[entity["word"] for entity in pipe(record.sentence, entity_threshold=0.1)] for record in records]
    assert found == expected
    assert written != others


def read_conll_without_ids(path) -> list[list[str]]:
    blocks = path.read_text(encoding="utf-8").removesuffix("\n\n").split("\n\n")
    return [[line.split("\t")[1] for line in block.split("\n")] for block in blocks]


def test_a_data_set_is_read_with_its_pictures(tmp_path, pipe):
    write_mini(tmp_path / "mini", seed=3, sizes=(16, 16, 16))

    summary = predict_to_file(pipe, open_records(tmp_path / "mini" / "data" / "de"), tmp_path / "b.jsonl")

    written = read_lines(tmp_path / "b.jsonl")
    assert {row["lang"] for row in written} == {"de"} and len(written) == summary.sentences > 3
    assert summary.pictures["ok"] == summary.pictures.total() > 3
    assert all("image" not in row and len(row["ner_tags"]) == len(row["tokens"]) for row in written)


def test_a_data_set_becomes_conll_too(tmp_path, pipe):
    write_mini(tmp_path / "mini", seed=3, sizes=(16, 16, 16))
    records = open_records(tmp_path / "mini")

    predict_to_file(pipe, records, tmp_path / "b.conll")

    read = [(sentence.image_id, list(sentence.tokens)) for sentence in read_conll(tmp_path / "b.conll")]
    assert read == [(record.fields["image_id"], record.fields["tokens"]) for record in records]


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"num_workers": 2, "batch_size": BATCH}])
def test_batches_and_processes_change_no_entity(tmp_path, lines, pipe, settings):
    records = open_records(tmp_path / "a.jsonl")
    predict_to_file(pipe, records, tmp_path / "b.jsonl", BATCH)
    predict_to_file(pipe, records, tmp_path / "c.jsonl", **settings)

    for expected, written in zip(read_lines(tmp_path / "b.jsonl"), read_lines(tmp_path / "c.jsonl"), strict=True):
        assert is_same(written.pop("entities"), expected.pop("entities"))
        assert written == expected


class Interrupted:
    """Records that somebody stops with Ctrl-C at one of them."""

    def __init__(self, records, last: int):
        self._records, self._last = records, last

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int):
        if index == self._last:
            raise KeyboardInterrupt
        return self._records[index]


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize(("source", "output"), [("a.jsonl", "b.jsonl"), ("a.conll", "b.conll")])
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, lines, pipe, source, output, lost, monkeypatch):
    (tmp_path / "a.conll").write_text("\n\n".join(text.replace(" ", "\n") for text in TEXTS), encoding="utf-8")
    records = open_records(tmp_path / source)
    monkeypatch.setattr(length_windows, "WINDOW_PIXELS", 0)  # a window for each batch
    predict_to_file(pipe, records, tmp_path / f"whole-{output}", BATCH)

    with pytest.raises(KeyboardInterrupt):
        predict_to_file(pipe, Interrupted(records, 2 * BATCH + lost), tmp_path / output, BATCH)
    partial = tmp_path / f"{output}.partial"
    if lost:  # of what comes after the last complete window
        partial.write_bytes(partial.read_bytes() + b'{"tokens": ["unfinis')
    assert partial.stat().st_size > 0 and not (tmp_path / output).exists()
    summary = predict_to_file(pipe, records, tmp_path / output, BATCH)

    assert (summary.skipped, summary.sentences) == (8, 3)
    assert (tmp_path / output).read_bytes() == (tmp_path / f"whole-{output}").read_bytes()
    assert [path.name for path in tmp_path.glob("*.partial*")] == []


def test_the_command_line_writes_and_tells(tmp_path, lines, model_folder, capsys):
    arguments = [model_folder, "--input", str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "new" / "b.jsonl")]

    main([*arguments, "--device", "cpu", "--batch_size", "5"])

    told = capsys.readouterr().out
    assert (
        "11 sentences, " in told and "1 missing, 1 unreadable" in told and "a.jsonl:6: missing, no such file" in told
    )
    assert len(read_lines(tmp_path / "new" / "b.jsonl")) == 11
    with pytest.raises(SystemExit, match=r"exists already; .*--overwrite"):
        main(arguments)
    main([*arguments, "--overwrite"])


def test_bfloat16_from_the_command_line(tmp_path, lines, model_folder, capsys):
    inputs = [model_folder, "--input", str(tmp_path / "a.jsonl"), "--output"]
    main([*inputs, str(tmp_path / "full.jsonl"), "--dtype", "float32"])
    main([*inputs, str(tmp_path / "half.jsonl"), "--dtype", "bfloat16"])
    capsys.readouterr()
    own = pipeline("multimodal-ner", model=model_folder, pipeline_class=TwoMNERPipeline, dtype=torch.bfloat16)
    assert {weight.dtype for weight in own.model.crf.parameters()} == {torch.float32}
    assert own.model.classifier.weight.dtype == own.model.model.text_model.dtype == torch.bfloat16
    records = open_records(tmp_path / "a.jsonl")
    expected = [own(record.sentence) for record in records]
    full, half = read_lines(tmp_path / "full.jsonl"), read_lines(tmp_path / "half.jsonl")
    scores = [entity["score"] for row in half for entity in row["entities"]]
    assert scores and scores != [entity["score"] for row in full for entity in row["entities"]]
    assert all(0 < score <= 1 for score in scores)
    for row, entities in zip(half, expected, strict=True):
        places = [
            [(each["start"], each["end"], each["entity_group"]) for each in found]
            for found in (row["entities"], entities)
        ]
        assert places[0] == places[1]


def test_an_export_has_its_own_precision(tmp_path, processor):
    ExportedTagger(ExportedConfig()).save_pretrained(tmp_path / "exported")
    processor.save_pretrained(tmp_path / "exported")
    load_pipeline(str(tmp_path / "exported"), "cpu")
    with pytest.raises(ValueError, match=r"`dtype` is 'bfloat16', but .* is an export"):
        load_pipeline(str(tmp_path / "exported"), "cpu", dtype="bfloat16")


def test_shards_from_the_command_line(tmp_path, lines, model_folder, capsys):
    arguments = [model_folder, "--input", str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "b.jsonl")]
    main([*arguments, "--device", "cpu", "--shard", "1/2"])
    told = capsys.readouterr().out
    assert f"Written to {tmp_path / 'b.shard-1-of-2.jsonl'}" in told
    with pytest.raises(SystemExit, match=r"b\.shard-1-of-2\.jsonl exists already"):
        main([*arguments, "--shard", "1/2"])
    with pytest.raises(SystemExit, match="`shard` is '3/2'"):
        main([*arguments, "--shard", "3/2"])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"--input": "none.jsonl"}, r"`input` .*none\.jsonl does not exist"),
        ({"--input": "."}, "holds no data set"),
        ({"--input": "bad.jsonl"}, r"bad\.jsonl:2: not valid JSON .*write one object per line"),
        ({"--output": "b.csv"}, r"b\.csv must end in \.jsonl"),
        ({"--output": "plain.txt"}, "the input itself"),
        ({"--output": "b.conll"}, r"plain\.txt:1: text that is not split into words"),
        ({"--images": "none"}, "`images` must be a folder"),
        ({"--output": "b.conll", "--return_word_tags": None}, "needs a .jsonl file"),
        ({"model": "no model"}, "`model` no model does not load"),
        ({"--device": "nothing"}, "does not load on `device` nothing"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, model_folder, monkeypatch, changes, error):
    (tmp_path / "plain.txt").write_text("Anna\n")
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{\n')
    monkeypatch.chdir(tmp_path)
    options = {"model": model_folder, "--input": "plain.txt", "--output": "b.jsonl", **changes}

    with pytest.raises(SystemExit, match=f"error: .*{error}"):
        main([part for pair in options.items() for part in pair if part not in ("model", None)])

    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "plain.txt"]


@pytest.mark.parametrize(
    "option", [("--batch_size", "0"), ("--num_workers", "-1"), ("--threshold", "1.5"), ("--entity_threshold", "0")]
)
def test_numbers_out_of_range_are_told(option, capsys):
    with pytest.raises(SystemExit):
        main(["model", "--input", "a", "--output", "b", *option])

    assert option[0] in capsys.readouterr().err


def test_ctrl_c_tells_how_to_go_on(tmp_path, lines, model_folder, monkeypatch):
    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("training_2mner.predict.prediction.predict_to_file", interrupt)
    with pytest.raises(SystemExit, match="repeat the command to continue"):
        main([model_folder, "--input", str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "b.jsonl")])


def test_two_predictions_do_not_mix(tmp_path, pipe, lines):
    records = open_records(tmp_path / "a.jsonl")
    with (
        only_writer(tmp_path / "b.jsonl", "output"),
        pytest.raises(ValueError, match=r"`output` .* is being written by"),
    ):
        predict_to_file(pipe, records, tmp_path / "b.jsonl")
    predict_to_file(pipe, records, tmp_path / "b.jsonl")
    assert len(read_lines(tmp_path / "b.jsonl")) == len(lines)


@pytest.mark.filterwarnings("ignore:The model's scores")
def test_sentences_without_finite_scores_are_marked(tmp_path, model, processor, lines):
    broken = copy.deepcopy(model)
    broken.classifier.bias.data.fill_(float("nan"))
    records = open_records(tmp_path / "a.jsonl")
    summary = predict_to_file(TwoMNERPipeline(model=broken, processor=processor), records, tmp_path / "b.jsonl")
    written = read_lines(tmp_path / "b.jsonl")
    assert len(written) == len(lines) and all("not finite" in line["prediction_error"] for line in written)
    assert f"{len(lines)} sentences have no tags: The model's scores are not finite" in str(summary)
