from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, CLIPImageProcessorPil
from transformers.image_utils import IMAGENET_DEFAULT_MEAN
from transformers.image_utils import OPENAI_CLIP_MEAN as CLIP_MEAN

from modeling_2mner import OneImageProcessor, TwoMNERProcessor, WordProcessor

TEXT = ["word_positions", "word_mask", "first_window", "input_ids", "attention_mask"]
MEAN, SPREAD = 0.4, 0.2  # of the shared processor


@pytest.fixture(scope="module")
def build(tokenizer):
    """Build a processor for pictures of 32 pixels, some arguments changed."""

    def make(width: int = 32, **changes) -> OneImageProcessor:
        size = {"height": 32, "width": width}
        statistics = {"image_mean": [MEAN] * 3, "image_std": [SPREAD] * 3}
        images = CLIPImageProcessorPil(size=size, **statistics)
        return OneImageProcessor(images, tokenizer, **{"object_size": 32, "small_object_size": 16, **changes})

    return make


@pytest.fixture(scope="module")
def quarters() -> Image.Image:
    """A picture of 40 x 20 pixels in four colours: black, red, green and blue, by rows."""
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:10, 20:, 0] = pixels[10:, :20, 1] = pixels[10:, 20:, 2] = 255
    return Image.fromarray(pixels)


def colour(crop: torch.Tensor) -> list[float]:
    """The mean of each channel of a crop `(3, side, side)`, from 0 to 1; the crop must be of one colour."""
    assert crop.std(dim=(1, 2)).max() < 1e-4
    return [round(float(mean) * SPREAD + MEAN, 3) for mean in crop.mean(dim=(1, 2))]


def test_a_batch_is_that_of_2m_ner_with_one_kind_of_pixels(one_image_processor, processor, sentences, tags, pictures):
    images = [pictures[0], None, pictures[1], pictures[0]]
    batch = one_image_processor(sentences, images, tags)
    expected = processor(sentences, images, tags)
    assert sorted(batch) == sorted([*TEXT, "pixel_values", "image_index", "labels"])
    assert sorted(one_image_processor.model_input_names) == sorted([*TEXT, "pixel_values", "image_index"])
    for name in (*TEXT, "image_index", "labels"):
        assert torch.equal(batch[name], expected[name])
    assert torch.equal(batch["pixel_values"], expected["resnet_pixel_values"])  # the same statistics
    assert batch.image_status == expected.image_status and batch.words == expected.words


def test_the_defaults_are_those_of_imagenet(tokenizer, quarters):
    batch = OneImageProcessor(tokenizer=tokenizer)([["a"]], [quarters])
    assert batch["pixel_values"].shape == (1, 3, 224, 224)
    corner = batch["pixel_values"][0, :, -1, -1]  # blue
    torch.testing.assert_close(
        corner, torch.tensor([-0.485 / 0.229, -0.456 / 0.224, 0.594 / 0.225]), atol=1e-3, rtol=0
    )


def test_pictures_that_are_wanted_oblong_become_so(build, make_picture):
    batch = build(width=48)([["a"]], [make_picture(0)], boxes=[[(0, 0, 20, 20)]])
    assert batch["pixel_values"].shape == (1, 3, 32, 48)
    assert batch["object_pixel_values"].shape == (1, 1, 3, 32, 32)


def test_a_text_only_processor_makes_no_pixels_but_tells_of_pictures(build, quarters):
    text_only = build(use_image=False)
    batch = text_only([["a"], ["b"]], [quarters, b"no picture"], boxes=[[(0, 0, 9, 9)], []])
    assert sorted(batch) == sorted([*TEXT, "image_index"]) == sorted(text_only.model_input_names)
    assert batch.image_status == ["ok", "unreadable"]


def test_objects_are_cut_out_of_their_pictures(build, quarters):
    boxes = [[(0, 0, 20, 10), (20, 10, 40, 20)], None, [], [(19.6, -0.3, 39.6, 9.6)]]
    batch = build()([["a"], ["b"], ["c"], ["d"]], [quarters, quarters, quarters, quarters], boxes=boxes)
    assert batch["object_pixel_values"].shape == (4, 2, 3, 32, 32)
    assert batch["object_mask"].tolist() == [[True, True], [False, False], [False, False], [True, False]]
    assert batch["object_mask"].dtype == torch.bool
    found = [colour(batch["object_pixel_values"][row, place]) for row, place in ((0, 0), (0, 1), (3, 0))]
    assert found == [[0, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert not batch["object_pixel_values"][~batch["object_mask"]].any()


def test_a_box_is_cut_to_its_picture_and_one_outside_is_none(build, quarters):
    outside = [(40, 0, 60, 20), (-9, -9, 0, 20), (0, 20, 40, 30), (5, 5, 5, 15), (0.1, 0, 0.4, 9)]
    boxes = [[(25, 12, 4000, 3000), *outside, (-50, -50, 10, 8)]]
    batch = build()([["a"]], [quarters], boxes=boxes)
    assert batch["object_mask"].tolist() == [[True, False, False, False, False, False, True]]
    crops = batch["object_pixel_values"][0]
    assert colour(crops[0]) == [0, 0, 1] and colour(crops[-1]) == [0, 0, 0]


def test_objects_of_the_upright_picture(build, quarters):
    turned = quarters.rotate(90, expand=True)  # as a camera on its side stores it
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it back
    buffer = io.BytesIO()
    turned.save(buffer, "PNG", exif=exif)
    batch = build()([["a"]], [buffer.getvalue()], boxes=[[(20, 0, 40, 10)]])
    assert colour(batch["object_pixel_values"][0, 0]) == [1, 0, 0]


def test_a_sentence_without_a_picture_has_no_objects(build, quarters):
    images = [None, quarters, b"no picture"]
    batch = build()([["a"], ["b"], ["c"]], images, boxes=[[(0, 0, 9, 9)]] * 3)
    assert batch["object_mask"].tolist() == [[False], [True], [False]]
    assert build()([["a"]], boxes=[[(0, 0, 9, 9)]])["object_mask"].tolist() == [[False]]


def test_both_kinds_of_objects_each_with_its_size_and_number(build, quarters):
    boxes = [[(0, 0, 20, 10), (20, 0, 40, 10), (20, 10, 40, 20)]]
    batch = build(max_objects=2, max_small_objects=1)([["a"]], [quarters], boxes=boxes, small_boxes=[boxes[0][::-1]])
    assert batch["object_pixel_values"].shape == (1, 2, 3, 32, 32)
    assert batch["small_object_pixel_values"].shape == (1, 1, 3, 16, 16)
    assert batch["small_object_mask"].tolist() == [[True]]
    assert colour(batch["object_pixel_values"][0, 1]) == [1, 0, 0]
    assert colour(batch["small_object_pixel_values"][0, 0]) == [0, 0, 1]


def test_no_objects_at_all(build, quarters):
    for sentences, images, boxes in (([["a"]], [quarters], [[]]), ([], [], [])):
        batch = build()(sentences, images, boxes=boxes)
        assert batch["object_pixel_values"].shape == (len(sentences), 0, 3, 32, 32)
        assert batch["object_mask"].shape == (len(sentences), 0)
    assert "object_mask" not in build()([["a"]], [quarters])


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_boxes_may_be_arrays(kind, build, quarters):
    boxes = [[0.0, 0.0, 20.0, 10.0], [20.0, 0.0, 40.0, 10.0]]
    found, expected = (build()([["a"]], [quarters], boxes=[given]) for given in (kind(boxes), boxes))
    assert torch.equal(found["object_pixel_values"], expected["object_pixel_values"])
    assert found["object_mask"].all()


@pytest.mark.parametrize("box", [(0, 0, 9), 3, (0, 0, math.nan, 9), (0, 0, math.inf, 9), "left", (0, 0, None, 9)])
@pytest.mark.parametrize("argument", ["boxes", "small_boxes"])
def test_what_is_no_box_is_refused_with_its_place(box, argument, build, quarters):
    for images in ([quarters, quarters], None):
        with pytest.raises(ValueError, match=rf"`{argument}\[1\]` holds .*\(left, top, right, bottom\)"):
            build()([["a"], ["b"]], images, **{argument: [[], [(0, 0, 9, 9), box]]})


@pytest.mark.parametrize("box", [(10, 10, 5, 15), (10, 10, 15, 5)])
def test_boxes_of_width_and_height_are_noticed(box, build, quarters):
    with pytest.raises(ValueError, match="not width and height"):
        build()([["a"]], [quarters], boxes=[[box]])


def test_boxes_must_fit_the_sentences_and_the_model(build, quarters):
    with pytest.raises(ValueError, match="`boxes` holds 1 lists for 2 sentences"):
        build()([["a"], ["b"]], [quarters, None], boxes=[[]])
    with pytest.raises(ValueError, match="`small_boxes` is not for this model"):
        build(small_object_size=None)([["a"]], [quarters], small_boxes=[[]])


def test_a_bad_picture_is_an_error_where_wanted(build, tokenizer):
    with pytest.raises(ValueError, match=r"`images\[0\]` is unreadable"):
        build(on_bad_image="raise")([["a"]], [b"no picture"], boxes=[[(0, 0, 9, 9)]])
    with pytest.raises(ValueError, match="`tokenizer` is missing"):
        OneImageProcessor()


def test_saved_and_loaded_it_does_the_same(build, quarters, tmp_path):
    saved = build(use_image=True, max_objects=2, max_small_objects=1, max_length=20, labels=["O", "B-X", "I-X"])
    saved.save_pretrained(tmp_path)
    loaded = OneImageProcessor.from_pretrained(tmp_path)
    inputs = {"words": [["a", "b"]], "images": [quarters], "labels": [["O", "B-X"]]}
    boxes = {"boxes": [[(0, 0, 20, 10)] * 3], "small_boxes": [[(0, 0, 20, 10)] * 2]}
    expected, found = saved(**inputs, **boxes), loaded(**inputs, **boxes)
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert loaded.max_length == 20 and loaded.on_bad_image == "none"
    assert not build(use_image=False).to_dict()["use_image"]


def test_a_saved_folder_names_its_processor(build, tmp_path):
    processor = build(use_image=False)
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path, trust_remote_code=False)
    assert type(loaded) is OneImageProcessor and isinstance(loaded, TwoMNERProcessor) and not loaded.use_image


@pytest.mark.parametrize(
    "kind, changes, side, crops",
    [
        ("bert-crf", {}, 48, (None, None)),
        ("umt", {}, 48, (None, None)),
        ("umgf", {}, 48, (None, None)),
        ("umgf", {"visual_nodes": "objects"}, 48, (48, None)),
        ("mkgformer", {}, 32, (32, 16)),  # sizes of its own
    ],
)
def test_a_processor_is_made_for_its_model(make_baseline, tokenizer, kind, changes, side, crops):
    model = make_baseline(kind, **changes)
    processor = OneImageProcessor.for_model(model, tokenizer, max_length=100, resnet_image_size=48)
    assert processor.image_processor.size["height"] == side
    assert list(processor.image_processor.image_mean) == list(
        CLIP_MEAN if kind == "mkgformer" else IMAGENET_DEFAULT_MEAN
    )
    assert (processor.object_size, processor.small_object_size) == crops
    assert processor.max_length == 64  # the text encoder's positions
    assert (processor.use_image, processor.labels) == (model.config.uses_image, model.config.labels)


def test_a_processor_of_adacan_reads_what_its_text_encoder_reads(
    make_baseline, word_processor, tokenizer, make_config
):
    words = WordProcessor.for_model(make_baseline("adacan"), word_processor.tokenizer, resnet_image_size=48)
    text = {"text_config": make_config().text_config.to_dict()}
    pieces = WordProcessor.for_model(make_baseline("adacan", text_encoder="bert", **text), tokenizer)
    assert (type(words), type(pieces)) == (WordProcessor, OneImageProcessor)
    assert words.image_processor.size["height"] == pieces.image_processor.size["height"] == 32  # VGG's
