from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, AutoModelForTokenClassification

from modeling_2mner import TwoMNERForTokenClassification, TwoMNERModel

TEXT_ONLY = {"use_vit": False, "use_resnet": False}
PIXELS = ("pixel_values", "resnet_pixel_values")


def test_autocast_keeps_the_losses_in_float32(make_model, batch):
    model = make_model()
    expected = model(**batch).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(**batch)
        embeds = outputs.text_embeds, outputs.vit_embeds, outputs.resnet_embeds
        parts = model.objective(outputs.loss, *embeds, batch["image_index"])
    assert outputs.logits.dtype == torch.bfloat16
    assert all(part.dtype == torch.float32 and part.isfinite() for part in parts.values())
    torch.testing.assert_close(outputs.loss, model.tag_loss(outputs.logits, batch["labels"], batch["word_mask"]))
    torch.testing.assert_close(outputs.loss, expected, rtol=0.05, atol=0)


def test_loading_in_bfloat16_keeps_the_crf_in_float32(model, batch, tmp_path, predict):
    model.save_pretrained(tmp_path)
    loaded = TwoMNERForTokenClassification.from_pretrained(tmp_path, dtype=torch.bfloat16)
    kinds = {name.split(".")[0]: weight.dtype for name, weight in loaded.named_parameters()}
    assert kinds == {"model": torch.bfloat16, "classifier": torch.bfloat16, "crf": torch.float32}
    outputs = predict(loaded, batch)  # the processor's float32 pictures included
    assert outputs.logits.dtype == torch.bfloat16 and outputs.loss.dtype == torch.float32
    torch.testing.assert_close(outputs.loss, predict(model, batch).loss, rtol=0.05, atol=0)


@pytest.mark.parametrize("convert", [lambda model: model.to(torch.bfloat16), lambda model: model.half()])
def test_converting_a_model_keeps_the_crf_in_float32(make_model, convert):
    model = make_model()
    transitions = model.crf.transitions.detach().clone()
    parameter = model.crf.transitions
    convert(model)
    assert model.classifier.weight.dtype in (torch.bfloat16, torch.float16)
    assert torch.equal(model.crf.transitions, transitions) and model.crf.transitions is parameter
    assert model.to(torch.float64).crf.transitions.dtype == torch.float64


@pytest.mark.parametrize("changes", [{}, TEXT_ONLY])
def test_a_reloaded_model_is_bit_identical(make_model, batch, tmp_path, predict, changes):
    model = make_model(**changes)
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(model.state_dict())
    loaded, info = AutoModelForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is TwoMNERForTokenClassification and not loaded.training
    assert not (info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"])
    expected, found = predict(model, batch), predict(loaded, batch)
    assert torch.equal(found.logits, expected.logits) and torch.equal(found.predictions, expected.predictions)
    assert found.loss == expected.loss


def test_a_checkpoint_without_a_crf_gets_a_new_one(model, tmp_path):
    model.save_pretrained(tmp_path)
    weights = {name: tensor for name, tensor in load_file(tmp_path / "model.safetensors").items() if "crf" not in name}
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    loaded, info = TwoMNERForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert info["missing_keys"] == {f"crf.{name}" for name, _ in model.crf.named_parameters()}
    for weight in loaded.crf.parameters():
        assert weight.abs().max() <= 0.1 and len(weight.unique()) == weight.numel() > 1


def test_base_model_and_whole_model_load_from_each_other(model, batch, tmp_path, predict):
    model.model.save_pretrained(tmp_path / "base")
    base, info = AutoModel.from_pretrained(tmp_path / "base", output_loading_info=True)
    assert type(base) is TwoMNERModel and not (info["missing_keys"] or info["unexpected_keys"])
    whole, info = TwoMNERForTokenClassification.from_pretrained(tmp_path / "base", output_loading_info=True)
    assert {name.split(".")[0] for name in info["missing_keys"]} == {"classifier", "crf"}
    assert all(weight.isfinite().all() and weight.abs().max() < 100 for weight in whole.parameters())
    inputs = {name: batch[name] for name in batch if name != "labels"}
    expected = predict(model.model, inputs).last_hidden_state
    assert torch.equal(predict(whole.model, inputs).last_hidden_state, expected)
    model.save_pretrained(tmp_path / "whole")
    base, info = AutoModel.from_pretrained(tmp_path / "whole", output_loading_info=True)
    assert not (info["missing_keys"] or info["unexpected_keys"])
    assert torch.equal(predict(base, inputs).last_hidden_state, expected)


def test_a_checkpoint_can_be_shortened_while_loading(model, batch, tmp_path, predict):
    model.save_pretrained(tmp_path)
    loaded = TwoMNERForTokenClassification.from_pretrained(tmp_path, num_text_layers=1)
    assert loaded.config.num_text_layers == len(loaded.model.text_model.encoder.layer) == 1
    kept = loaded.model.text_model.state_dict()
    assert all(torch.equal(tensor, model.model.text_model.state_dict()[name]) for name, tensor in kept.items())
    assert not torch.equal(predict(loaded, batch).logits, predict(model, batch).logits)


def test_a_decoder_that_is_dropped_is_told(model, tmp_path):
    model.save_pretrained(tmp_path)
    info = TwoMNERForTokenClassification.from_pretrained(tmp_path, use_crf=False, output_loading_info=True)[1]
    assert {name.split(".")[0] for name in info["unexpected_keys"]} == {"crf"}


class Emissions(nn.Module):
    """The part of the model that can be exported: all but the decoding."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, tensors):
        return self.model(**tensors).logits


@pytest.mark.parametrize("left_out", [(), ("word_mask", "first_window", "image_index", *PIXELS)])
def test_emissions_can_be_exported_for_any_batch(
    make_model, processor, sentences, make_picture, batch, predict, left_out
):
    model = make_model(num_text_layers=1, num_vision_layers=1)
    size = {name: torch.export.Dim(name, min=2) for name in ("sentences", "words", "windows", "pictures")}
    size |= {"pieces": torch.export.Dim("pieces", min=2, max=64)}
    windows = size["sentences"] if "first_window" in left_out else size["windows"]
    axes = {
        **{key: {0: size["sentences"], 1: size["words"]} for key in ("word_positions", "word_mask")},
        **{key: {0: size["sentences"]} for key in ("first_window", "image_index")},
        **{key: {0: windows, 1: size["pieces"]} for key in ("input_ids", "attention_mask")},
        **{key: {0: size["pictures"]} for key in PIXELS},
    }
    names = [name for name in batch if name not in ("labels", *left_out)]
    sample, axes = {name: batch[name] for name in names}, {name: axes[name] for name in names}
    program = torch.export.export(Emissions(model), (sample,), dynamic_shapes=(axes,), strict=False)
    other = processor([*sentences[:3] * 2, ["Paris"] * 11], [make_picture(number) for number in range(7)])
    inputs = {name: other[name] for name in names}
    torch.testing.assert_close(program.module()(inputs), predict(model, inputs).logits, atol=1e-5, rtol=1e-5)


def test_the_vocabulary_can_grow(make_model, batch, predict):
    model = make_model()
    expected = predict(model, batch).logits
    size = model.config.text_config.vocab_size
    model.resize_token_embeddings(size + 3, mean_resizing=False)
    assert model.config.text_config.vocab_size == size + 3
    assert model.get_input_embeddings().weight.shape == (size + 3, 16)
    assert torch.equal(predict(model, batch).logits, expected)
