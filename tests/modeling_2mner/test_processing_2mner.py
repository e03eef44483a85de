from __future__ import annotations

import io
import json
import multiprocessing
import os
import pickle
import warnings

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    CLIPImageProcessorPil,
    ConvNextImageProcessorPil,
)

from modeling_2mner import LABELS, TwoMNERProcessor
from modeling_2mner import processing_2mner as processing

CONTRACT = [
    *("word_positions", "word_mask", "first_window", "input_ids", "attention_mask"),
    *("pixel_values", "resnet_pixel_values", "image_index", "labels"),
]


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def first_pieces(batch) -> torch.Tensor:
    """The pieces that the words are read from."""
    return batch["input_ids"].flatten()[batch["word_positions"]]


def test_a_batch_has_the_keys_shapes_and_types_of_the_contract(batch, processor):
    assert list(batch.keys()) == CONTRACT
    assert processor.model_input_names == CONTRACT[:-1]
    shapes = {name: tuple(tensor.shape) for name, tensor in batch.items()}
    pieces = shapes["input_ids"][1]
    assert shapes == {
        **{"word_positions": (4, 8), "word_mask": (4, 8), "first_window": (4,)},
        **{"input_ids": (4, pieces), "attention_mask": (4, pieces)},
        **{"pixel_values": (2, 3, 32, 32), "resnet_pixel_values": (2, 3, 32, 32)},
        **{"image_index": (4,), "labels": (4, 8)},
    }
    assert batch["word_mask"].dtype == torch.bool
    assert batch["pixel_values"].dtype == batch["resnet_pixel_values"].dtype == torch.float32
    for name in ("word_positions", "first_window", "input_ids", "attention_mask", "image_index", "labels"):
        assert batch[name].dtype == torch.int64
    assert batch["image_index"].tolist() == [0, -1, 1, 0]
    assert batch.image_status == batch["image_status"] == ["ok", "missing", "ok", "ok"]


def test_the_default_sizes_are_those_of_the_paper(tokenizer, make_picture):
    batch = TwoMNERProcessor(tokenizer=tokenizer)([["a"]], [make_picture(0, 300, 100)])
    assert batch["pixel_values"].shape == batch["resnet_pixel_values"].shape == (1, 3, 224, 224)


def test_positions_mask_and_padding_fit_together(batch, processor, sentences):
    tokenizer = processor.tokenizer
    for row, sentence in enumerate(sentences):
        assert batch["word_mask"][row].tolist() == [True] * len(sentence) + [False] * (8 - len(sentence))
        pieces = first_pieces(batch)[row][: len(sentence)].tolist()
        expected = [tokenizer(word, add_special_tokens=False).input_ids[0] for word in sentence]
        assert pieces == expected
    assert (batch["input_ids"][batch["attention_mask"] == 0] == tokenizer.pad_token_id).all()
    assert (batch["input_ids"][batch["attention_mask"] == 1] != tokenizer.pad_token_id).all()
    assert batch["first_window"].tolist() == [0, 1, 2, 3]


def test_long_and_short_sentences_in_one_batch(processor):
    sentences = [["a"], [f"{'abc'[index % 3]}bc" for index in range(300)], ["b"], []]
    batch = processor(sentences)
    special = torch.tensor(processor.tokenizer.all_special_ids)
    assert batch["first_window"].tolist() == [0, 1, len(batch["input_ids"]) - 2, len(batch["input_ids"]) - 1]
    assert batch["word_mask"].sum(dim=1).tolist() == [1, 300, 1, 0]
    read = first_pieces(batch)
    assert not torch.isin(read[batch["word_mask"]], special).any()
    letters = processor.tokenizer.convert_ids_to_tokens(read[1].tolist())
    assert letters == ["abc"[index % 3] for index in range(300)]
    assert batch["input_ids"].shape[1] <= 64


def test_deleted_words_keep_their_place(processor):
    odd = ["in", "\u200b", "\ufeff", "\u00ad", "\ufffd", "\x00", "\ue000", "\u3000", "", " ", "[SEP]", "Paris"]
    batch = processor([odd, ["Paris"]])
    tokens = processor.tokenizer.convert_ids_to_tokens(first_pieces(batch)[0].tolist())
    assert tokens == ["in", *["[UNK]"] * 10, "Paris"]


def test_raw_text_is_split_with_offsets(processor):
    texts = ["Köln, Jean-Luc!", "", "l'e\u0301te\u0301 à Paris 😀"]
    batch = processor(texts)
    assert batch.words == [["Köln", ",", "Jean-Luc", "!"], [], ["l'", "e\u0301te\u0301", "à", "Paris", "😀"]]
    for text, words, offsets in zip(texts, batch.words, batch.offsets, strict=True):
        assert [text[start:end] for start, end in offsets] == words
    assert batch["word_mask"].sum(dim=1).tolist() == [4, 0, 5]
    mixed = processor(["a b", ("a", "b")])
    assert mixed.words == [["a", "b"], ["a", "b"]] and mixed.offsets == [[(0, 1), (2, 3)], [(0, 1), (1, 2)]]


def test_an_empty_batch_has_the_shapes_of_none(processor):
    batch = processor([], [], [])
    assert batch["word_positions"].shape == batch["word_mask"].shape == batch["labels"].shape == (0, 0)
    assert batch["image_index"].shape == batch["first_window"].shape == (0,)


def test_labels_as_names_and_as_numbers(processor, batch, sentences, tags):
    numbers = [[LABELS.index(tag) for tag in row] for row in tags]
    for labels in (tags, numbers, [np.array(row) for row in numbers], [torch.tensor(row) for row in numbers]):
        assert torch.equal(processor(sentences, labels=labels)["labels"], batch["labels"])
    for row, sentence in enumerate(sentences):
        assert batch["labels"][row].tolist() == numbers[row] + [-100] * (8 - len(sentence))


@pytest.mark.parametrize(
    "labels, message",
    [
        ([["O"]], r"`labels` holds 1 sentences but `words` holds 2"),
        ([["O", "O"], ["O", "O"]], r"`labels\[1\]` has 2 tags for 1 words"),
        ([["O", "B-DOG"], ["O"]], r"`labels\[0\]` holds 'B-DOG'; write one of O, B-PER"),
        ([["O", "O"], [9]], r"`labels\[1\]` holds 9"),
        ([["O", "O"], [-100]], r"`labels\[1\]` holds -100"),
        ([["O", "O"], [None]], r"`labels\[1\]` holds None"),
    ],
)
def test_wrong_labels_name_their_row(processor, labels, message):
    with pytest.raises(ValueError, match=message):
        processor([["a", "b"], ["c"]], labels=labels)


@pytest.mark.parametrize(
    "words, message",
    [
        ("one string", "`words` is one string"),
        ([["a"], None], r"`words\[1\]` is None"),
        ([["a", 3]], r"`words\[0\]`.*3"),
    ],
)
def test_wrong_words_are_named(processor, words, message):
    with pytest.raises(ValueError, match=message):
        processor(words)


def test_a_wrong_number_of_pictures_is_refused(processor, pictures):
    for images in (pictures[:1], pictures, pictures[0], "a.png", png(pictures[0]), {"bytes": b"", "path": None}):
        with pytest.raises(
            ValueError, match=r"`images` holds [0-9]+ pictures but `words` holds 2 sentences; pass one"
        ):
            processor([["a"], ["b"]], images)


def test_other_tensors_and_settings_are_refused(processor, tokenizer):
    with pytest.raises(ValueError, match="`return_tensors` is 'np'"):
        processor([["a"]], return_tensors="np")
    with pytest.raises(ValueError, match="`tokenizer` is missing"):
        TwoMNERProcessor()
    with pytest.raises(ValueError, match="`on_bad_image` is 'ignore'"):
        TwoMNERProcessor(tokenizer=tokenizer, on_bad_image="ignore")


def test_no_usable_picture_gives_no_pixels(processor, tmp_path):
    for images in (None, [None, None], [tmp_path / "gone.png", b"<html>"]):
        batch = processor([["a"], ["b"]], images)
        assert "pixel_values" not in batch and "resnet_pixel_values" not in batch
        assert batch["image_index"].tolist() == [-1, -1]


def test_bad_pictures_are_told_and_do_not_stop_the_batch(processor, tmp_path, pictures):
    os.mkfifo(tmp_path / "pipe.png")
    good, truncated = png(pictures[0]), png(pictures[1])[:900]
    cases = [
        *[(good, "ok"), (None, "missing"), (truncated, "unreadable"), (b"", "unreadable"), (b"<html>", "unreadable")],
        *[({"bytes": good, "path": "a"}, "ok"), (tmp_path, "unreadable"), (tmp_path / "pipe.png", "unreadable")],
        *[(str(tmp_path / "gone.png"), "missing"), ("https://example.org/a.png", "unreadable")],
        *[(Image.new("RGB", (1, 5000)), "degenerate"), (Image.new("CMYK", (20, 20)), "ok"), (pictures[2], "ok")],
    ]
    batch = processor([["a"]] * len(cases), [source for source, _ in cases])
    assert batch.image_status == [status for _, status in cases]
    assert batch["image_index"].tolist() == [0, -1, -1, -1, -1, 0, -1, -1, -1, -1, -1, 1, 2]
    assert [reason == "" for reason in batch.image_reasons] == [status == "ok" for _, status in cases]
    assert len(batch["pixel_values"]) == len(batch["resnet_pixel_values"]) == 3


def test_a_bad_picture_can_be_an_error_that_names_its_row(tokenizer, pictures):
    strict = TwoMNERProcessor(tokenizer=tokenizer, on_bad_image="raise")
    with pytest.raises(ValueError, match=r"`images\[2\]` is unreadable: .*Fix it"):
        strict([["a"]] * 3, [None, pictures[0], b"<html>"])
    with pytest.raises(ValueError, match=r"`images\[0\]` is degenerate"):
        strict([["a"]], [Image.new("RGB", (1, 1))])
    assert strict([["a"]] * 3, [{"bytes": None}, pictures[0], None])["image_index"].tolist() == [-1, 0, -1]


def test_a_wrong_kind_of_picture_is_the_callers_mistake(processor):
    with pytest.raises(TypeError, match="not ndarray"):
        processor([["a"]], [np.zeros((20, 20, 3), dtype=np.uint8)])


def test_equal_objects_paths_and_bytes_are_processed_once(processor, tmp_path, pictures, monkeypatch):
    path = tmp_path / "a.png"
    pictures[0].save(path)
    data = png(pictures[1])
    opened = []

    def counting(source, *others):
        opened.append(source)
        return load(source, *others)

    load = processing.load_image
    monkeypatch.setattr(processing, "load_image", counting)
    images = [pictures[2], path, data, str(path), pictures[2], bytes(data), {"bytes": data, "path": None}, pictures[2]]
    batch = processor([["a"]] * 8, images)
    assert len(opened) == 3 and len(batch["pixel_values"]) == 3
    assert batch["image_index"].tolist() == [0, 1, 2, 1, 0, 2, 2, 0]


def test_both_branches_see_the_whole_picture_in_one_framing(processor):
    image = Image.new("RGB", (200, 60), "black")
    image.paste((255, 0, 0), (0, 0, 20, 60))  # the left tenth: a centre crop would lose it
    image.paste((0, 0, 255), (180, 0, 200, 60))
    batch = processor([["a"]], [image])
    views = {"pixel_values": processor.image_processor, "resnet_pixel_values": processor.resnet_image_processor}
    shown = []
    for name, image_processor in views.items():
        mean, std = (
            torch.tensor(part)[:, None, None] for part in (image_processor.image_mean, image_processor.image_std)
        )
        shown.append((batch[name][0] * std + mean) * 255)
    torch.testing.assert_close(shown[0], shown[1], atol=1e-2, rtol=0)
    expected = torch.tensor(np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC))).permute(2, 0, 1).float()
    torch.testing.assert_close(shown[0], expected, atol=1e-2, rtol=0)
    assert shown[0][0, 16, 0] > 240 and shown[0][2, 16, -1] > 240


def test_a_given_image_processor_lends_its_size_and_statistics(tokenizer, make_picture):
    resnet = ConvNextImageProcessorPil(size={"shortest_edge": 40}, image_mean=[0.1] * 3, image_std=[0.7] * 3)
    processor = TwoMNERProcessor(CLIPImageProcessorPil(size={"shortest_edge": 24}), resnet, tokenizer)
    for mode in ("RGB", "L", "RGBA", "P", "CMYK", "1", "LA", "I;16"):
        image = make_picture(0, 50, 30).convert("L" if mode == "I;16" else mode)
        batch = processor([["a"]], [image.convert("I;16") if mode == "I;16" else image])
        assert batch["pixel_values"].shape == (1, 3, 24, 24)
        assert batch["resnet_pixel_values"].shape == (1, 3, 40, 40)
    black = processor([["a"]], [Image.new("RGB", (30, 30))])["resnet_pixel_values"]
    torch.testing.assert_close(black, torch.full((1, 3, 40, 40), -0.1 / 0.7))


def test_saved_and_loaded_by_every_auto_class(processor, tmp_path, sentences, tags, pictures, batch):
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is TwoMNERProcessor
    assert (loaded.max_length, loaded.labels, loaded.on_bad_image) == (64, list(LABELS), "none")
    again = loaded(sentences, [pictures[0], None, pictures[1], pictures[0]], tags)
    assert list(again.keys()) == CONTRACT
    assert all(torch.equal(again[name], batch[name]) for name in CONTRACT)
    assert AutoTokenizer.from_pretrained(tmp_path).tokenize("Köln ab") == ["Köln", "a", "##b"]
    assert AutoImageProcessor.from_pretrained(tmp_path).size["height"] == 32
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    for name in ("image_processor", "resnet_image_processor"):
        assert saved[name]["image_processor_type"] == "CLIPImageProcessorPil"


def test_settings_survive_saving(tokenizer, tmp_path):
    names = ["O", "B-DISH", "I-DISH"]
    TwoMNERProcessor(None, None, tokenizer, 32, names, "raise").save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert (loaded.max_length, loaded.labels, loaded.on_bad_image) == (32, names, "raise")
    assert loaded([["a"]], labels=[["I-DISH"]])["labels"].tolist() == [[2]]


def test_nothing_is_said_about_torchvision(tokenizer, tmp_path, pictures, caplog, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TwoMNERProcessor(tokenizer=tokenizer).save_pretrained(tmp_path)
        AutoProcessor.from_pretrained(tmp_path)([["a"]], [pictures[0]])
    assert not caplog.records
    assert "torchvision" not in "".join(capfd.readouterr())


def test_pickled_processor_and_batch(processor, batch, sentences):
    again = pickle.loads(pickle.dumps(processor))(sentences)
    assert torch.equal(again["input_ids"], batch["input_ids"])
    copied = pickle.loads(pickle.dumps(batch))
    assert list(copied.keys()) == CONTRACT and copied.words == sentences
    assert copied.image_status == batch.image_status and copied.offsets == batch.offsets


def test_batches_come_from_a_worker_process(processor, batch, sentences):
    context = multiprocessing.get_context("fork")
    loader = DataLoader(sentences, batch_size=4, collate_fn=processor, num_workers=1, multiprocessing_context=context)
    [loaded] = list(loader)
    assert torch.equal(loaded["word_positions"], batch["word_positions"]) and loaded.words == sentences


def test_a_batch_moves_to_a_type_and_keeps_what_it_knows(processor, sentences, pictures):
    moved = processor(sentences[:1], [pictures[0]]).to(torch.bfloat16)
    assert moved["pixel_values"].dtype == torch.bfloat16 and moved["input_ids"].dtype == torch.int64
    assert moved.words == sentences[:1] and moved.image_status == ["ok"]


def test_entities_of_words_and_of_text(processor):
    tags = torch.tensor([[LABELS.index(tag) for tag in ("B-PER", "I-PER", "O", "B-LOC", "B-LOC")]])
    words = processor([["Anna", "Meier", "in", "Köln", "Paris"]])
    assert processor.post_process_entities(tags, words) == [
        [
            {"entity_group": "PER", "word": "Anna Meier", "start": 0, "end": 2},
            {"entity_group": "LOC", "word": "Köln", "start": 3, "end": 4},
            {"entity_group": "LOC", "word": "Paris", "start": 4, "end": 5},
        ]
    ]
    text = "😀 U.S., 'Paris'"
    batch = processor([text])
    assert batch.words == [["😀", "U.S.", ",", "'", "Paris", "'"]]
    tags = torch.tensor([[LABELS.index(tag) for tag in ("O", "B-LOC", "O", "B-ORG", "I-ORG", "I-ORG")]])
    [entities] = processor.post_process_entities(tags, batch)
    assert [(entity["entity_group"], entity["word"]) for entity in entities] == [("LOC", "U.S."), ("ORG", "'Paris'")]
    assert all(text[entity["start"] : entity["end"]] == entity["word"] for entity in entities)


@pytest.mark.parametrize(
    "tags, spans",
    [
        (["O", "O"], []),
        (["I-PER"], [("PER", 0, 1)]),
        (["O", "I-PER", "I-PER"], [("PER", 1, 3)]),
        (["B-PER", "I-LOC"], [("PER", 0, 1), ("LOC", 1, 2)]),
        (["B-PER", "B-PER", "I-PER"], [("PER", 0, 1), ("PER", 1, 3)]),
        (["I-PER", "I-LOC", "I-LOC", "O", "I-LOC"], [("PER", 0, 1), ("LOC", 1, 3), ("LOC", 4, 5)]),
        (["B-PER", "O", "I-PER"], [("PER", 0, 1), ("PER", 2, 3)]),
        ([], []),
    ],
)
def test_stray_continuations_open_an_entity(processor, tags, spans):
    batch = processor([[f"w{index}" for index in range(len(tags))], ["x"] * 6])
    padded = [LABELS.index(tag) for tag in tags] + [-100] * (6 - len(tags))
    [entities, others] = processor.post_process_entities(torch.tensor([padded, [0] * 6]), batch)
    assert [(entity["entity_group"], entity["start"], entity["end"]) for entity in entities] == spans
    assert others == []


@pytest.mark.parametrize(
    "container", [np.array, pandas.Series, lambda words: pandas.Series(words, index=[*range(len(words))][::-1])]
)
def test_arrays_and_columns_of_words_are_words(processor, sentences, predict, container):
    expected, found = processor([sentences[0]]), processor([container(sentences[0])])
    assert found.words == expected.words and {type(word) for word in found.words[0]} == {str}
    assert all(found[name].equal(expected[name]) for name in expected)
    texts = processor(container(["Anna in Paris", "Hi"]))
    assert texts.texts == ["Anna in Paris", "Hi"]


@pytest.mark.parametrize("words", [{"Anna": 1}, [{"Anna": "B-PER"}], [{"Anna", "Paris"}], {"Anna in Paris"}])
def test_what_has_no_order_is_no_sentence(processor, words):
    with pytest.raises(ValueError, match="pass a list of"):
        processor(words)
