"""MKGFormer against its formulas, and what its tokens may and may not see."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import gelu, layer_norm

from modeling_2mner import MKGFormerForTokenClassification, modeling_mkgformer
from modeling_2mner.modeling_mkgformer import aggregate

DEPTH = {"num_hidden_layers": 4}
DEEP = {"text_config": DEPTH, "vision_config": DEPTH, "fusion_start_layer": 3}
CROPS = ("object_pixel_values", "object_mask", "small_object_pixel_values", "small_object_mask")
HEADS = 4


@pytest.fixture(scope="module")
def network(make_baseline) -> MKGFormerForTokenClassification:
    return make_baseline("mkgformer", **DEEP)


@pytest.fixture(scope="module")
def blind(make_baseline) -> MKGFormerForTokenClassification:
    """As released: no whole pictures."""
    return make_baseline("mkgformer", **DEEP, use_whole_image=False)


@pytest.fixture(scope="module")
def inputs(one_image_processor, sentences, pictures) -> dict[str, torch.Tensor]:
    """Four sentences; the first and the last share a picture, the second has none."""
    return dict(one_image_processor(sentences, [pictures[0], None, pictures[1], pictures[0]]))


@pytest.fixture(scope="module")
def with_crops(inputs) -> dict[str, torch.Tensor]:
    """The same with crops: two large ones at most and three small ones, some masked; the second has none at all."""
    generator = torch.Generator().manual_seed(1)
    return {
        **inputs,
        "object_pixel_values": torch.randn(4, 2, 3, 32, 32, generator=generator),
        "object_mask": torch.tensor([[1, 1], [0, 0], [0, 1], [0, 0]]).bool(),
        "small_object_pixel_values": torch.randn(4, 3, 3, 16, 16, generator=generator),
        "small_object_mask": torch.tensor([[1, 0, 1], [0, 0, 0], [0, 0, 0], [1, 1, 1]]).bool(),
    }


def difference(found, expected, batch) -> torch.Tensor:
    """How far the emissions of each sentence's words lie apart at most, `(batch,)`."""
    return (found - expected).abs().amax(dim=-1).masked_fill(~batch["word_mask"], 0).amax(dim=-1)


class Formulas:
    """The network from its equations, for one window without padding and the tokens that it sees; in float64."""

    def __init__(self, network):
        self.w = {name: tensor.double() for name, tensor in network.model.state_dict().items()}
        self.depth = network.config.text_config.num_hidden_layers
        self.start = network.config.fusion_start_layer

    def linear(self, name, x):
        return torch.einsum("oi,pi->po", self.w[f"{name}.weight"], x) + self.w[f"{name}.bias"]

    def norm(self, name, x, eps):
        return layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], eps)

    def attend(self, queries, keys, values):
        size = queries.shape[1] // HEADS
        contexts = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            scores = queries[:, part] @ keys[:, part].T / size**0.5
            contexts.append((scores.exp() / scores.exp().sum(1, keepdim=True)) @ values[:, part])
        return torch.cat(contexts, dim=1)

    def text_embeddings(self, ids):
        name = "text_model.embeddings"
        words = self.w[f"{name}.word_embeddings.weight"][ids]
        places = self.w[f"{name}.position_embeddings.weight"][: len(ids)]
        types = self.w[f"{name}.token_type_embeddings.weight"][0]
        return self.norm(f"{name}.LayerNorm", words + places + types, 1e-12)

    def text_layer(self, number, before, vision):
        """T_l of T_{l-1}, `number` from 1; in the fusion layers with V_l, or `None` for Agg = 0."""
        name = f"text_model.encoder.layer.{number - 1}"
        query, key, value = (
            self.linear(f"{name}.attention.self.{kind}", before) for kind in ("query", "key", "value")
        )
        context = self.attend(query, key, value)
        after = before + self.linear(f"{name}.attention.output.dense", context)
        attended = self.norm(f"{name}.attention.output.LayerNorm", after, 1e-12)
        inner = self.linear(f"{name}.intermediate.dense", attended)
        if number >= self.start:
            similar = torch.zeros_like(context)
            if vision is not None:
                similar = (context @ vision.T).softmax(dim=1) @ vision
            inner = inner + self.linear(f"fusion_layers.{number - self.start}.fusion_dense", similar)
        return self.norm(
            f"{name}.output.LayerNorm", attended + self.linear(f"{name}.output.dense", gelu(inner)), 1e-12
        )

    def vision_layer(self, number, before, text_input):
        """V_l of V_{l-1}; in the fusion layers with T_{l-2}, the input of text layer l-1."""
        name = f"vision_model.encoder.layers.{number - 1}"
        normed = self.norm(f"{name}.layer_norm1", before, 1e-5)
        query, key, value = (self.linear(f"{name}.self_attn.{kind}_proj", normed) for kind in "qkv")
        if number >= self.start:
            prefix = f"text_model.encoder.layer.{number - 2}.attention.self"
            key = torch.cat([self.linear(f"{prefix}.key", text_input), key])
            value = torch.cat([self.linear(f"{prefix}.value", text_input), value])
        after = before + self.linear(f"{name}.self_attn.out_proj", self.attend(query, key, value))
        inner = self.linear(f"{name}.mlp.fc1", self.norm(f"{name}.layer_norm2", after, 1e-5))
        return after + self.linear(f"{name}.mlp.fc2", inner / (1 + (-1.702 * inner).exp()))

    def patches(self, picture):
        """CLIP's patches of one picture `(3, side, side)`, in reading order."""
        weight = self.w["vision_model.embeddings.patch_embedding.weight"]
        side = weight.shape[-1]
        rows, columns = picture.shape[1] // side, picture.shape[2] // side
        cut = [
            picture[:, row * side : (row + 1) * side, column * side : (column + 1) * side].double()
            for row in range(rows)
            for column in range(columns)
        ]
        return torch.stack([(weight * patch).sum(dim=(1, 2, 3)) for patch in cut])

    def tokens(self, row, batch, whole):
        """What is seen of the picture of a sentence and its crops; `None` for nothing."""
        parts = []
        class_token = self.w["vision_model.embeddings.class_embedding"][None]
        picture = batch["image_index"][row]
        if not whole:
            parts.append(class_token)
        elif picture >= 0:
            patches = torch.cat([class_token, self.patches(batch["pixel_values"][picture])])
            parts.append(patches + self.w["vision_model.embeddings.position_embedding.weight"])
        for kind in ("object", "small_object"):
            positions = self.w[f"{kind}_embeddings.positions.weight"]
            for place, crop in enumerate(batch.get(f"{kind}_pixel_values", [[]] * (row + 1))[row]):
                if batch[f"{kind}_mask"][row, place]:
                    patches = self.patches(crop)
                    parts.append(patches + positions[place * len(patches) : (place + 1) * len(patches)])
        return self.norm("vision_model.pre_layrnorm", torch.cat(parts), 1e-5) if parts else None

    def run(self, ids, vision):
        text = [self.text_embeddings(ids)]
        for number in range(1, self.depth + 1):
            if vision is not None:
                vision = self.vision_layer(number, vision, text[max(number - 2, 0)])
            text.append(self.text_layer(number, text[-1], vision))
        return text[-1]


def assert_follows_formulas(network, batch, predict) -> None:
    found = predict(network.model, batch).piece_states
    formulas = Formulas(network)
    for row, (ids, real) in enumerate(zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True)):
        expected = formulas.run(ids[real], formulas.tokens(row, batch, network.config.use_whole_image))
        torch.testing.assert_close(found[row, real].double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("sees_whole_image", [True, False])
def test_the_network_follows_its_formulas(attention, sees_whole_image, make_baseline, inputs, with_crops, predict):
    network = make_baseline("mkgformer", **DEEP, use_whole_image=sees_whole_image)
    network.set_attn_implementation(attention)
    assert network.model.vision_model.config._attn_implementation == attention
    assert_follows_formulas(network, inputs, predict)
    assert_follows_formulas(network, with_crops, predict)
    no_pictures = {name: tensor for name, tensor in with_crops.items() if name != "pixel_values"}
    assert_follows_formulas(network, {**no_pictures, "image_index": torch.full((4,), -1)}, predict)


def test_layers_before_the_fusion_are_those_of_the_encoders(network, inputs, predict):
    model, mask = network.model, inputs["attention_mask"].bool()
    with torch.no_grad():
        before, text, _ = model.encode_text(inputs["input_ids"], inputs["attention_mask"])
        vision, visible = model.encode_vision(
            inputs["pixel_values"], inputs["image_index"], [], inputs["first_window"], len(inputs["input_ids"])
        )
        bert = model.text_model(inputs["input_ids"], inputs["attention_mask"], output_hidden_states=True)
        clip = model.vision_model(inputs["pixel_values"], output_hidden_states=True)
    assert torch.equal(before[mask], bert.hidden_states[1][mask])
    assert torch.equal(text[mask], bert.hidden_states[2][mask])
    for window, picture in enumerate([0, None, 1, 0]):
        expected = torch.zeros_like(vision[0]) if picture is None else clip.hidden_states[2][picture]
        torch.testing.assert_close(vision[window], expected, rtol=1e-6, atol=1e-6)
        assert (visible[window] == (picture is not None)).all()


def test_without_crops_a_shared_picture_is_encoded_once(network, inputs, with_crops, predict):
    sizes = []
    hook = network.model.vision_model.encoder.layers[0].register_forward_hook(
        lambda module, arguments, output: sizes.append(output.shape)
    )
    predict(network, inputs)
    predict(network, with_crops)
    hook.remove()
    assert sizes == [(2, 5, 16), (4, 5 + 2 * 4 + 3, 16)]  # pictures, and sentences


def test_as_released_a_picture_changes_nothing_without_crops(blind, inputs, with_crops, predict):
    expected = predict(blind, inputs).logits
    assert torch.equal(predict(blind, inputs, pixel_values=inputs["pixel_values"] + 1).logits, expected)
    assert torch.equal(predict(blind, inputs, pixel_values=None).logits, expected)
    assert torch.equal(predict(blind, inputs, image_index=torch.tensor([1, 0, -1, 0])).logits, expected)
    crops = predict(blind, with_crops).logits
    assert torch.equal(predict(blind, with_crops, pixel_values=inputs["pixel_values"] + 1).logits, crops)
    found = predict(blind, with_crops, object_pixel_values=with_crops["object_pixel_values"] + 1).logits
    assert (difference(found, crops, inputs) > 1e-3).tolist() == [True, False, True, False]


def test_the_whole_picture_changes_the_tags_of_its_sentences(network, inputs, predict):
    expected = predict(network, inputs).logits
    changed = inputs["pixel_values"].clone()
    changed[0] += 1
    by_sentence = difference(predict(network, inputs, pixel_values=changed).logits, expected, inputs)
    assert (by_sentence[[0, 3]] > 0.01).all() and (by_sentence[[1, 2]] == 0).all()


def test_padded_text_never_reaches_the_picture(network, inputs, predict):
    seen = []
    hooks = [
        layer.register_forward_hook(lambda module, arguments, output: seen.append(output[1]))
        for layer in network.model.fusion_layers
    ]
    padded = inputs["attention_mask"] == 0
    assert padded.any()
    predict(network, inputs)
    predict(network, inputs, input_ids=inputs["input_ids"].masked_fill(padded, 7))
    longer = {name: torch.nn.functional.pad(inputs[name], (0, 5)) for name in ("input_ids", "attention_mask")}
    predict(network, inputs, **longer)
    for hook in hooks:
        hook.remove()
    assert torch.equal(seen[1], seen[3])
    torch.testing.assert_close(seen[1], seen[5], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network_name", ["network", "blind"])
def test_no_attention_of_the_picture_is_over_nothing(network_name, request, inputs, with_crops, predict):
    """What a kernel makes of an empty row, and of its gradient, is its own affair."""
    network, masks = request.getfixturevalue(network_name), []
    hook = network.model.vision_model.encoder.layers[0].register_forward_pre_hook(
        lambda module, arguments: masks.append(arguments[1])
    )
    predict(network, with_crops, pixel_values=None, image_index=None)
    hook.remove()
    assert masks[0].dtype == torch.bool and masks[0].any(dim=-1).all() and not masks[0].all()


def test_masked_crops_are_no_crops(network, inputs, with_crops, predict):
    expected = predict(network, inputs).logits
    nothing = {name: torch.zeros_like(with_crops[name]) for name in ("object_mask", "small_object_mask")}
    masked = predict(network, with_crops, **nothing).logits
    torch.testing.assert_close(masked, expected, rtol=1e-4, atol=1e-4)
    none_at_all = {name: with_crops[name][:, :0] for name in CROPS}
    assert torch.equal(predict(network, inputs, **none_at_all).logits, expected)
    expected = predict(network, with_crops).logits
    broken = with_crops["object_pixel_values"].masked_fill(
        ~with_crops["object_mask"][..., None, None, None], torch.nan
    )
    assert torch.equal(predict(network, with_crops, object_pixel_values=broken).logits, expected)
    wider = {
        "small_object_pixel_values": with_crops["small_object_pixel_values"][:, :1],
        "small_object_mask": with_crops["small_object_mask"][:, :1],
    }
    narrow = with_crops["small_object_mask"] & torch.tensor([True, False, False])
    torch.testing.assert_close(
        predict(network, with_crops, **wider).logits,
        predict(network, with_crops, small_object_mask=narrow).logits,
        rtol=1e-4,
        atol=1e-4,
    )


def test_crops_are_told_apart_by_their_place_and_are_there_by_default(network, with_crops, predict):
    all_of_them = {name: torch.ones_like(with_crops[name]) for name in ("object_mask", "small_object_mask")}
    expected = predict(network, with_crops, **all_of_them).logits
    left_out = dict.fromkeys(all_of_them)
    assert torch.equal(predict(network, with_crops, **left_out).logits, expected)
    swapped = with_crops["object_pixel_values"].flip(1)
    assert (predict(network, with_crops, **all_of_them, object_pixel_values=swapped).logits != expected).any()


def test_crops_that_do_not_fit_are_refused(network, with_crops, predict):
    pixels = with_crops["object_pixel_values"]
    for wrong in (pixels.repeat(1, 2, 1, 1, 1), pixels[..., :16], pixels[:3], pixels[:, 0]):
        with pytest.raises(
            ValueError, match=r"`object_pixel_values` .* pass \(4, crops, 3, 32, 32\).*at most 3 crops"
        ):
            predict(network, with_crops, object_pixel_values=wrong, object_mask=None)


def test_a_sentence_sees_its_own_crops_in_all_its_windows(network, one_image_processor, make_picture, predict):
    words = ["Paris", *["abab"] * 40]
    batch = dict(one_image_processor([["Hi"], words], [make_picture(0), make_picture(1)]))
    assert len(batch["input_ids"]) > 2
    crops = torch.randn(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    before = predict(network, batch, object_pixel_values=crops).logits
    crops[1] += 1
    by_word = (predict(network, batch, object_pixel_values=crops).logits - before).abs().amax(dim=-1)
    assert by_word[0, 0] == 0 and (by_word[1] > 1e-3).all()


def gradients(network, batch, checkpointing: bool = False) -> dict[str, torch.Tensor]:
    """Gradients of a step in training mode but without dropout, which recomputation would not be compared with."""
    step = MKGFormerForTokenClassification(network.config)
    step.load_state_dict(network.state_dict())
    if checkpointing:
        step.gradient_checkpointing_enable()
    for module in step.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    step(**batch).loss.backward()
    return {name: weight.grad for name, weight in step.model.named_parameters() if weight.grad is not None}


@pytest.fixture(scope="module")
def labelled(one_image_processor, with_crops, sentences, tags):
    return {**with_crops, "labels": one_image_processor(sentences, None, tags)["labels"]}


def test_gradients_reach_every_weight_that_is_used(network, labelled):
    found = gradients(network, labelled)
    used = {name for name, _ in network.model.named_parameters() if "post_layernorm" not in name}
    assert used == set(found)
    # A bias of keys shifts all scores of a softmax alike, unless the other stream has a bias of its own.
    shifts = ("key.bias", "k_proj.bias")
    assert all(
        gradient.isfinite().all() and gradient.any() for name, gradient in found.items() if not name.endswith(shifts)
    )
    assert found["object_embeddings.positions.weight"].any(dim=1).tolist() == [True] * 8 + [False] * 4
    assert found["small_object_embeddings.positions.weight"].any(dim=1).all()


def test_sentences_that_see_nothing_spoil_no_gradient(network, labelled):
    """The second sees no crop, and there are no pictures."""
    batch = {name: tensor for name, tensor in labelled.items() if name not in ("pixel_values", "image_index")}
    assert all(gradient.isfinite().all() for gradient in gradients(network, batch).values())
    unseen = {name: tensor for name, tensor in batch.items() if name not in CROPS}
    found = gradients(network, unseen)
    assert all(gradient.isfinite().all() for gradient in found.values())
    assert not any(name.startswith(("vision_model", "object", "small")) for name in found)
    assert found["fusion_layers.0.fusion_dense.bias"].any() and not found["fusion_layers.0.fusion_dense.weight"].any()


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable:FutureWarning")
def test_gradient_checkpointing_changes_no_gradient(network, labelled, monkeypatch):
    calls = []
    monkeypatch.setattr(modeling_mkgformer, "aggregate", lambda *arguments: calls.append(1) or aggregate(*arguments))
    expected = gradients(network, labelled)
    assert len(calls) == 2  # fusion layers
    found = gradients(network, labelled, checkpointing=True)
    assert len(calls) == 2 + 4 and set(found) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5)


def test_text_only_is_bert_crf(make_baseline, inputs, predict):
    network = make_baseline("mkgformer", use_image=False)
    bert_crf = make_baseline("bert-crf")
    assert list(network.state_dict()) == list(bert_crf.state_dict())
    bert_crf.load_state_dict(network.state_dict())
    words = {name: tensor for name, tensor in inputs.items() if name != "pixel_values"}
    expected, found = predict(bert_crf, words), predict(network, words)
    assert torch.equal(found.logits, expected.logits) and torch.equal(found.predictions, expected.predictions)
