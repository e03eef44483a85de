from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForTokenClassification, BertTokenizer, CLIPImageProcessorPil

from dataset_scripts.card import dataset_card
from dataset_scripts.mini.generator import count_ambiguous, generate_rows
from dataset_scripts.parquet import write_dataset
from dataset_scripts.schema import ENTITY_TYPES, LANGUAGES, SPLITS
from experiments.image_audit import __main__ as image_audit
from experiments.image_audit import audit
from experiments.image_audit.counts import (
    CONDITIONS,
    FLIPS,
    OTHER_CONDITIONS,
    count_errors,
    count_flips,
    describe_conditions,
    verdict,
)
from experiments.image_audit.page import AuditExample, audit_page, entity_pieces
from experiments.image_audit.predictions import GREY, Predictor, Result, blank, predict_all, shuffle
from modeling_2mner import OneImageProcessor
from training_2mner.arguments import DataArguments
from training_2mner.metrics import entity_scores

COLOURS = {"PER": (220, 40, 40), "LOC": (40, 200, 40), "ORG": (40, 40, 220), "MISC": (230, 230, 40)}
NUM_STEPS = 45
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e"
WORDS, GOLD = ["Anna", "met", "Bob"], ["B-PER", "O", "B-PER"]


def flat_picture(kind: str) -> dict:
    out = BytesIO()
    Image.new("RGB", (32, 24), COLOURS[kind]).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": f"{kind}.png"}


def colour(row: dict) -> dict:
    """A row of the mini set whose picture shows its type by colour alone."""
    kinds = Counter(tag[2:] for tag in row["ner_tags"] if tag.startswith("B-"))
    return {**row, "image": flat_picture(kinds.most_common(1)[0][0])}


def rename(row: dict, split: str) -> dict:
    return {**row, "id": row["id"].replace("train", split)}


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Sentences of the mini set whose words do not tell the types, one without picture, one with the stand-in for it."""
    made = generate_rows(7, 64, 16, 16)["train"]
    found = [colour(row) for row in made if count_ambiguous(row) and row["image"]]
    missing = {**found[0], "id": "en/missing-train", "image_id": "missing", "image": None, "image_status": "missing"}
    default = {**found[1], "id": "en/default-train", "image_id": "default", "image_status": "default"}
    return [*found, {**missing, "lang": "en"}, {**default, "lang": "en"}]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, rows):
    """A data set folder with the same rows in each split."""
    folder = tmp_path_factory.mktemp("data") / "coloured"
    parts = {
        (lang, split): [rename(row, split) for row in rows if row["lang"] == lang]
        for lang in LANGUAGES
        for split in SPLITS
    }
    write_dataset(folder, parts, partial(dataset_card, name="coloured", title="Coloured", summary="Flat colours."))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder.parent / "cache")
        yield str(folder)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, make_baseline, rows) -> dict[str, str]:
    """A tiny MKGFormer that has learned the colours, and the same weights in a network that looks at crops alone."""
    words = sorted({word for row in rows for word in row["tokens"]})
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=False, model_max_length=64)
    processor = OneImageProcessor(CLIPImageProcessorPil(size={"height": 32, "width": 32}), tokenizer, max_length=64)
    settings = {"text_config": {"vocab_size": len(vocabulary)}, "dropout": 0.0}
    config = make_baseline("mkgformer", **settings).config
    torch.manual_seed(0)
    model = AutoModelForTokenClassification.from_config(config).train()
    images, tags = [row["image"] for row in rows], [row["ner_tags"] for row in rows]
    batch = processor([row["tokens"] for row in rows], images, tags)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(NUM_STEPS):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    folders = {name: str(tmp_path_factory.mktemp("models") / name) for name in ("looking", "blind")}
    for name, folder in folders.items():
        model.config.use_whole_image = name == "looking"
        model.eval().save_pretrained(folder)
        processor.save_pretrained(folder)
    return folders


@pytest.fixture(scope="module")
def audits(tmp_path_factory, checkpoints, dataset) -> dict[str, tuple[dict, str]]:
    """What the command has written for each model."""
    output = tmp_path_factory.mktemp("audits")
    found = {}
    for name, folder in checkpoints.items():
        arguments = [
            folder,
            "--dataset",
            dataset,
            "--output",
            str(output / name),
            "--examples",
            "3",
            "--batch_size",
            "7",
        ]
        image_audit.main([*arguments, "--device", "cpu"])
        described = json.loads((output / name / "audit.json").read_text(encoding="utf-8"))
        found[name] = described, (output / name / "image_audit.html").read_text(encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def result(checkpoints, dataset) -> tuple[Result, object]:
    """The predictions of the model that looks, and the test split."""
    options = image_audit.read_command_line([checkpoints["looking"], "--device", "cpu"])
    reader = audit.load_predictor(options)
    test = audit.load_test_with_pictures(DataArguments(dataset), reader)
    return predict_all(reader, test), test


def test_a_model_that_looks_and_a_blind_one_are_told_apart(audits):
    (looking, page), (blind, blind_page) = audits["looking"], audits["blind"]
    assert looking["verdict"]["uses_picture"] and not blind["verdict"]["uses_picture"]
    assert looking["strict"]["right"]["f1"] > 0.8
    for other in OTHER_CONDITIONS:
        assert looking["strict"][other]["comparison"]["p_value"] < 0.01 and looking["strict"][other]["flips"]["saved"]
        assert blind["strict"][other]["comparison"]["difference"] == 0
        assert set(blind["strict"][other]["flips"].values()) == {0}
    assert "The model uses the picture" in page and "does not look at the picture" in blind_page
    assert blind_page.count("There are none.") == 2


def test_the_figures_are_those_of_the_predictions(audits, result):
    found, _ = result
    described, rows = audits["looking"][0], np.flatnonzero(found.usable)
    gold = [found.gold[row] for row in rows]
    for shown in CONDITIONS:
        expected = entity_scores([found.tags[shown][row] for row in rows], gold)
        assert described["strict"][shown]["f1"] == pytest.approx(expected["f1"])
        assert described["lenient"][shown]["f1"] == pytest.approx(expected["lenient_f1"])
        low, high = described["strict"][shown]["interval"]
        assert low <= described["strict"][shown]["f1"] <= high
    expected = entity_scores(found.tags["right"], found.gold)
    assert described["all_sentences"]["strict_f1"] == pytest.approx(expected["f1"])


def test_flips_add_up_to_the_differences(audits):
    described = audits["looking"][0]
    parts = [described["strict"], *(part for group in described["groups"].values() for part in group.values())]
    assert set(described["groups"]) == {"type", "lang", "source"} and set(described["groups"]["type"]) == set(
        ENTITY_TYPES
    )
    for part in parts:
        for other in OTHER_CONDITIONS:
            flips = part[other]["flips"]
            gained = (part["right"]["recall"] - part[other]["recall"]) * part["entities"]
            assert flips["saved"] - flips["spoiled"] == pytest.approx(gained)
    for column in ("type", "lang", "source"):
        total = sum(part["none"]["flips"]["saved"] for part in described["groups"][column].values())
        assert total == described["strict"]["none"]["flips"]["saved"]


def test_sentences_without_a_usable_picture_are_told_apart(audits, result, rows):
    found, test = result
    unusable = [place for place, status in enumerate(test["image_status"]) if status != "ok"]
    assert np.flatnonzero(~found.usable).tolist() == unusable and len(unusable) == 2
    assert all(found.tags[other][row] == found.tags["right"][row] for other in OTHER_CONDITIONS for row in unusable)
    described = audits["looking"][0]
    assert described["without_picture"]["sentences"] == 2
    assert described["sentences"]["with_picture"] == len(rows) - 2 and described["sentences"]["all"] == len(rows)


def test_the_audit_file_holds_no_data_and_no_folders(audits, rows, dataset):
    text = json.dumps(audits["looking"][0])
    assert not any(row["image_id"] in text or row["id"] in text for row in rows)
    assert dataset not in text and str(dataset.rpartition("/")[0]) not in text


def test_each_sentence_gets_the_picture_of_another():
    pictures = np.array([4, 4, 4, 1, 2, 2, 9, 4, 7, 8])
    donors = shuffle(pictures, seed=1)
    assert sorted(donors) == list(range(10)) and not (pictures[donors] == pictures).any()
    assert (shuffle(pictures, seed=1) == donors).all()
    assert any((shuffle(pictures, seed=seed) != donors).any() for seed in (2, 3, 4))
    for seed in range(20):
        even = np.array([0, 0, 1, 2, 0, 1])  # one picture has exactly half of them
        assert not (even[shuffle(even, seed)] == even).any()


@pytest.mark.parametrize("pictures", [[], [1], [1, 1, 2]])
def test_what_cannot_be_shuffled_is_an_error(pictures):
    with pytest.raises(ValueError, match="cannot be shuffled"):
        shuffle(np.array(pictures, dtype=int))


def test_a_blank_picture_is_grey_and_of_the_same_size():
    grey = blank(flat_picture("PER"))
    assert grey.size == (32, 24) and grey.getcolors() == [(32 * 24, GREY)]


def test_the_model_is_shown_what_the_words_say(result, checkpoints):
    """The processor gets the donors' pictures and boxes, grey ones of the same shape, or nothing."""
    test = result[1].select_columns(["image", "image_id"])
    reader = Predictor(None, None, boxes=(("boxes", "image_id"),))
    right = reader._show(test, [2, 0], "right")
    assert (
        right
        == {"images": test[[2, 0]]["image"], "boxes": test[[2, 0]]["image_id"]}
        == reader._show(test, [2, 0], "shuffled")
    )
    assert reader._show(test, [2, 0], "none") == {}
    grey = reader._show(test, [2, 0], "blank")
    assert [image.getpixel((0, 0)) for image in grey["images"]] == [GREY] * 2
    assert grey["boxes"] == right["boxes"]


@pytest.mark.parametrize(
    ("right", "other", "expected"),
    [
        (GOLD, ["B-LOC", "O", "B-PER"], {"saved": 1}),
        (["B-LOC", "O", "B-PER"], GOLD, {"spoiled": 1}),
        (["B-LOC", "O", "B-PER"], ["B-ORG", "O", "B-PER"], {"changed": 1}),
        (["B-LOC", "O", "B-PER"], ["O", "O", "B-PER"], {"changed": 1}),
        (["B-PER", "B-LOC", "B-PER"], GOLD, {"changed": 1}),
        (GOLD, ["O", "O", "O"], {"saved": 2}),
        (["B-PER", "I-PER", "I-PER"], GOLD, {"spoiled": 2}),
        (["B-LOC", "O", "O"], ["B-LOC", "O", "O"], {}),
    ],
)
def test_every_entity_that_differs_is_counted_once(right, other, expected):
    counts = count_flips([GOLD], [right], [other], ENTITY_TYPES).sum(axis=(0, 1))
    assert dict(zip(FLIPS, counts.tolist(), strict=True)) == {"saved": 0, "spoiled": 0, "changed": 0} | expected


def test_errors_are_missed_and_invented_entities():
    assert count_errors([GOLD] * 3, [GOLD, ["B-LOC", "O", "B-PER"], ["O", "O", "B-PER"]]).tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("right", "shuffled", "uses", "words"),
    [
        (GOLD, ["O", "O", "O"], True, "uses the picture"),
        (["O", "O", "O"], GOLD, False, "misleads"),
        (GOLD, GOLD, False, "does not look"),
        (["B-LOC", "O", "B-PER"], ["B-ORG", "O", "B-PER"], False, "does not measurably"),
    ],
)
def test_the_verdict_says_what_was_found(right, shuffled, uses, words):
    tags = {"right": [right] * 30, "none": [right] * 30, "blank": [right] * 30, "shuffled": [shuffled] * 30}
    found = verdict(describe_conditions([GOLD] * 30, tags, range(30), {}, list(ENTITY_TYPES)))
    assert found[0] is uses and words in found[1]


def test_a_text_only_model_is_refused(tmp_path, make_baseline, one_image_processor):
    make_baseline("umt", use_image=False).save_pretrained(tmp_path)
    one_image_processor.save_pretrained(tmp_path)
    with pytest.raises(SystemExit, match="text-only model"):
        image_audit.main([str(tmp_path), "--dataset", "nowhere"])


@pytest.mark.parametrize("wrong", [["--batch_size", "0"], ["--examples", "-1"]])
def test_a_number_that_is_too_small_is_an_error(tmp_path, capsys, wrong):
    with pytest.raises(SystemExit, match="2"):
        image_audit.main([str(tmp_path), *wrong])
    assert f"argument {wrong[0]}: must be at least" in capsys.readouterr().err


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match="error: `"):
        image_audit.main([str(tmp_path)])


def test_a_data_set_that_is_not_there_is_an_error(checkpoints):
    with pytest.raises(SystemExit, match=r"error: .*nowhere"):
        image_audit.main([checkpoints["blind"], "--dataset", "nowhere", "--device", "cpu"])


def test_a_data_set_without_pictures_is_refused(dataset, monkeypatch):
    whole = audit.load_splits
    monkeypatch.setattr(audit, "load_splits", lambda arguments: whole(arguments).remove_columns("image"))
    with pytest.raises(ValueError, match="no column 'image'"):
        audit.load_test_with_pictures(DataArguments(dataset), SimpleNamespace(boxes=()))


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.names, self.attributes, self.text = Counter(), set(), []

    def handle_starttag(self, tag, attrs):
        self.names[tag] += 1
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text.append(data)


def read(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    return elements


def test_the_page_loads_nothing_and_shows_a_limited_number(audits):
    described, page = audits["looking"]
    elements = read(page)
    assert elements.names["li"] == elements.names["img"] == 3 + min(3, len(described["spoiled_rows"]))
    assert f"(3 of {len(described['saved_rows'])}, drawn at random)" in page
    assert "their licences hold" in page and "their licences" not in audits["blind"][1]
    assert not {"script", "link", "iframe", "base"} & set(elements.names)
    assert not re.search(r"https?:|url\(|@import|\shref=", page)
    assert all(source.startswith("data:image/webp;base64,") for source in re.findall(r'src="([^"]*)', page))
    assert f"{100 * described['strict']['shuffled']['f1']:.2f}" in "".join(elements.text)


def test_hostile_words_and_names_are_text(audits):
    described, page = audits["looking"]
    hostile = json.loads(json.dumps(described).replace('"lang": {"en"', f'"lang": {{{json.dumps(HOSTILE)}'))
    hostile |= {"run": HOSTILE, "model": HOSTILE, "verdict": {**described["verdict"], "text": HOSTILE}}
    hostile["data"] = {**described["data"], "name": HOSTILE, "config": HOSTILE}
    example = AuditExample(0, HOSTILE, [HOSTILE] * 3, flat_picture("PER"), GOLD, GOLD, [f"B-{HOSTILE}", "O", "O"])
    elements = read(audit_page(hostile, {"saved": [example], "spoiled": []}))
    assert set(elements.names) <= set(read(page).names) and elements.attributes <= read(page).attributes
    assert "".join(elements.text).count("<script>alert(1)</script>") >= 12


def test_entities_are_marked_right_or_wrong():
    pieces, left = entity_pieces(WORDS, ["B-PER", "O", "B-LOC"], GOLD)
    assert pieces == [("Anna", "PER", "right"), ("met", "", ""), ("Bob", "LOC", "wrong")] and left == 0
    assert entity_pieces(WORDS, GOLD)[0][0] == ("Anna", "PER", "")
    pieces, left = entity_pieces(["a"] * 100, ["O"] * 79 + ["B-PER", "I-PER"] + ["O"] * 19)
    assert pieces[-1] == ("a a", "PER", "") and left == 19


def test_long_rows_are_shown_around_their_first_difference():
    words = [f"w{place}" for place in range(300)]
    gold = ["O"] * 180 + ["B-PER", "I-PER", "I-PER", "O", "B-LOC"] + ["O"] * 115
    none = ["O"] * 300
    late = ["O"] * 184 + ["B-LOC"] + ["O"] * 115
    example = AuditExample(0, "en", words, None, gold, late, none)
    assert example.start == 164
    pieces, left = entity_pieces(words, late, gold, example.start)
    assert pieces[0] == ("w164", "", "") and ("w184", "LOC", "right") in pieces and left == 300 - 164 - 80
    crossing = ["O"] * 160 + ["B-ORG", *["I-ORG"] * 9] + ["O"] * 130
    assert AuditExample(0, "en", words, None, crossing, late, none).start == 160
    early = ["B-PER"] + ["O"] * 183 + ["B-LOC"] + ["O"] * 115
    assert AuditExample(0, "en", words, None, gold, early, none).start == 0
    assert AuditExample(0, "en", words[:80], None, gold[:80], none[:80], none[:80]).start == 0


def test_the_page_says_how_many_words_come_before(audits):
    described, _ = audits["looking"]
    words = [f"w{place}" for place in range(200)]
    late = ["O"] * 150 + ["B-LOC"] + ["O"] * 49
    example = AuditExample(0, "en", words, None, late, late, ["O"] * 200)
    page = audit_page(described, {"saved": [example], "spoiled": []})
    assert page.count("130 words before,") == 3 and "w150" in page and "w129" not in page


def test_errors_name_the_rows_of_the_test_split(checkpoints, dataset):
    reader = audit.load_predictor(image_audit.read_command_line([checkpoints["looking"], "--device", "cpu"]))
    test = audit.load_test_with_pictures(DataArguments(dataset), reader).select(range(6))
    broken = test.map(lambda row, place: {"tokens": row["tokens"] if place != 4 else [None]}, with_indices=True)
    with pytest.raises(ValueError, match=r"`words\[1\]` is .* The batch holds the rows \[3, 4, 5\] of the test split"):
        replace(reader, batch_size=3).predict(broken, range(6), "right", range(6))
