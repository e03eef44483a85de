from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchcrf import CRF
from transformers import AutoModel, AutoModelForTokenClassification, BertModel
from transformers.models.bert.modeling_bert import BertLayer

from modeling_2mner import UMTConfig, UMTForTokenClassification, UMTModel
from modeling_2mner.modeling_umt import conversion_matrix
from training_2mner.parts import part_of

VISUAL = ("resnet_model", "visual_", "region_", "word_transformer", "gate")


@pytest.fixture(scope="module")
def umt(make_baseline) -> UMTForTokenClassification:
    """The default tiny model, shared: tests leave its weights and its mode as they are."""
    return make_baseline("umt")


@pytest.fixture(scope="module")
def batch(one_image_processor, sentences, tags, pictures):
    """The four sentences with tags; the first and the last share a picture, the second has none."""
    return one_image_processor(sentences, [pictures[0], None, pictures[1], pictures[0]], tags)


@pytest.fixture(scope="module")
def inputs(batch) -> dict[str, Tensor]:
    """What the model below the decoders takes."""
    return {name: batch[name] for name in batch if name != "labels"}


def layer_by_hand(layer: nn.Module, queries: Tensor, keys: Tensor | None, heads: int = 4) -> Tensor:
    """A layer of BERT for one sequence `(positions, hidden)`, without padding, in einsums; no `keys`, no attention."""
    attended = torch.zeros_like(queries)
    if keys is not None:
        query, key, value = (
            functional.linear(states, part.weight, part.bias).unflatten(1, (heads, -1))
            for states, part in (
                (queries, layer.attention.query),
                (keys, layer.attention.key),
                (keys, layer.attention.value),
            )
        )
        scores = torch.einsum("qhd,khd->hqk", query, key) / math.sqrt(queries.shape[1] / heads)
        context = torch.einsum("hqk,khd->qhd", scores.exp() / scores.exp().sum(-1, keepdim=True), value).flatten(1)
        attended = layer.attention.output(context)
    states = layer.attention_norm(queries + attended)
    return layer.ffn_norm(states + layer.ffn.output(functional.gelu(layer.ffn.intermediate(states))))


def stack_by_hand(transformer: nn.Module, queries: Tensor, keys: Tensor | None) -> Tensor:
    for layer in transformer.layers:
        queries = layer_by_hand(layer, queries, keys)
    return queries


def network_by_hand(model: UMTModel, input_ids: Tensor, picture: Tensor | None) -> tuple[Tensor, Tensor]:
    """H `(pieces, 2 * hidden)` and R_a `(pieces, hidden)` of one window without padding."""
    text = model.text_model(input_ids=input_ids[None]).last_hidden_state[0]
    main, auxiliary = layer_by_hand(model.text_layer, text, text), layer_by_hand(model.span_layer, text, text)
    if picture is None:
        words = stack_by_hand(model.word_transformer, main, None)
        return torch.cat([words, torch.zeros_like(words)], 1), auxiliary
    regions = model.resnet_model(picture[None]).last_hidden_state[0].flatten(1).T
    first, second = model.visual_projection(regions), model.region_projection(regions)
    visual = stack_by_hand(model.visual_transformer, main, first)
    words = stack_by_hand(model.word_transformer, main, stack_by_hand(model.region_transformer, second, main))
    gate = 1 / (1 + (-model.gate(torch.cat([words, visual], 1))).exp())
    return torch.cat([words, gate * visual], 1), auxiliary


def test_outputs_have_the_shapes_of_the_contract(umt, batch, inputs, predict):
    shapes = {name: tuple(value.shape) for name, value in predict(umt, batch).items()}
    assert shapes == {"loss": (), "logits": (4, 8, 9), "predictions": (4, 8)}
    windows, pieces = batch["input_ids"].shape
    below = {name: tuple(value.shape) for name, value in predict(umt.model, inputs).items()}
    assert below == {
        "last_hidden_state": (4, 8, 32),
        "piece_states": (windows, pieces, 32),
        "span_states": (windows, pieces, 16),
    }


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("depths", [[1, 1, 1], [2, 3, 2]])
def test_equals_the_equations(make_baseline, batch, inputs, predict, attention, depths):
    umt = make_baseline("umt", num_cmt_layers=depths)
    umt.set_attn_implementation(attention)
    found = predict(umt.model, inputs)
    for row, image in enumerate(batch["image_index"].tolist()):
        length = batch["attention_mask"][row].sum()
        picture = None if image < 0 else batch["pixel_values"][image]
        with torch.no_grad():
            states, spans = network_by_hand(umt.model, batch["input_ids"][row, :length], picture)
        torch.testing.assert_close(found.piece_states[row, :length], states, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.span_states[row, :length], spans, atol=1e-5, rtol=1e-4)
        first_pieces = batch["word_positions"][row][batch["word_mask"][row]] - row * batch["input_ids"].shape[1]
        words = found.last_hidden_state[row, : len(first_pieces)]
        torch.testing.assert_close(words, states[first_pieces], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("weight", [0, 0.3, 1])
def test_emissions_mix_both_streams(make_baseline, batch, inputs, predict, weight):
    umt = make_baseline("umt", span_logit_weight=weight)
    outputs = predict(umt.model, inputs)
    spans = outputs.span_states.flatten(0, 1)[batch["word_positions"]]
    with torch.no_grad():
        tags = umt.classifier(outputs.last_hidden_state)
        outside, begin, inside = umt.span_head.classifier(spans).unbind(-1)
    converted = torch.stack([outside, *[begin / 4, inside / 4] * 4], -1)
    expected = {0: tags, 0.3: 0.7 * tags + 0.3 * converted, 1: converted}[weight]
    torch.testing.assert_close(predict(umt, batch).logits, expected)


def test_the_loss_is_that_of_tags_and_of_spans(make_baseline, batch, inputs, predict):
    umt = make_baseline("umt", span_loss_weight=0.7)
    outputs = predict(umt, batch)
    mask, labels = batch["word_mask"], batch["labels"].clamp(min=0)
    spans = torch.tensor([0, 1, 2, 1, 2, 1, 2, 1, 2])[labels]
    states = predict(umt.model, inputs).span_states.flatten(0, 1)[batch["word_positions"]]
    with torch.no_grad():
        tag_loss = -CRF.forward(umt.crf, outputs.logits, labels, mask, reduction="mean")
        span_logits = umt.span_head.classifier(states)
        span_loss = -CRF.forward(umt.span_head.crf, span_logits, spans, mask, reduction="mean")
    torch.testing.assert_close(outputs.loss, tag_loss + 0.7 * span_loss)
    with pytest.raises(ValueError, match="tags"):
        predict(umt, batch, labels=torch.full_like(labels, 9))


def test_without_a_crf_both_losses_are_cross_entropies(make_baseline, batch, inputs, predict):
    umt = make_baseline("umt", use_crf=False)
    assert not any(part_of(name) == "crf" for name, _ in umt.named_parameters())
    outputs = predict(umt, batch)
    states = predict(umt.model, inputs).span_states.flatten(0, 1)[batch["word_positions"]]
    words = batch["word_mask"]
    labels = batch["labels"][words]
    spans = torch.where(labels == 0, 0, 2 - labels % 2)
    with torch.no_grad():
        span_loss = functional.cross_entropy(umt.span_head.classifier(states)[words], spans)
    torch.testing.assert_close(outputs.loss, functional.cross_entropy(outputs.logits[words], labels) + 0.5 * span_loss)
    assert torch.equal(outputs.predictions[words], outputs.logits[words].argmax(-1))
    assert torch.equal(predict(umt, batch, labels=batch["labels"].clamp(min=0)).loss, outputs.loss)


def test_the_matrix_shares_out_what_a_span_says_among_the_types():
    matrix = conversion_matrix(UMTConfig())
    assert matrix.shape == (3, 9)
    assert matrix[0].tolist() == [1] + [0] * 8
    assert matrix[1].tolist() == [0, *[0.25, 0] * 4] and matrix[2].tolist() == [0, *[0, 0.25] * 4]
    extended = conversion_matrix(UMTConfig(label_scheme="subword_aux"))
    assert torch.equal(extended[:3, :9], matrix)
    assert torch.equal(extended[3:, 9:], torch.eye(4)) and not extended[3:, :9].any() and not extended[:3, 9:].any()


def test_the_matrix_knows_other_types():
    labels = ["B-x", "I-x", "B-y", "I-y", "B-z", "I-z", "O"]
    matrix = conversion_matrix(UMTConfig(id2label=dict(enumerate(labels))))
    assert matrix[:, -1].tolist() == [1, 0, 0]
    torch.testing.assert_close(matrix.sum(1), torch.ones(3))
    torch.testing.assert_close(matrix[1, 4], torch.tensor(1 / 3))
    without_inside = conversion_matrix(UMTConfig(id2label={0: "O", 1: "B-x"}))
    assert without_inside.tolist() == [[1, 0], [0, 1], [0, 0]]
    with pytest.raises(ValueError, match="IOB2"):
        conversion_matrix(UMTConfig(id2label={0: "O", 1: "OTHER"}))


def test_spans_are_labels_without_their_types(umt):
    labels = torch.tensor([[0, 1, 2, 3, -100], [4, 5, 6, 7, 8]])
    assert umt.span_head.to_spans(labels).tolist() == [[0, 1, 2, 1, -100], [2, 1, 2, 1, 2]]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("scheme", ["word", "subword_aux"])
def test_what_stands_in_the_padding_changes_nothing(make_baseline, batch, predict, attention, scheme):
    umt = make_baseline("umt", label_scheme=scheme)
    umt.set_attn_implementation(attention)
    padding = batch["attention_mask"] == 0
    assert padding.any()
    expected = predict(umt, batch)
    found = predict(umt, batch, input_ids=batch["input_ids"].masked_fill(padding, 7))
    torch.testing.assert_close(found.loss, expected.loss)
    words = batch["word_mask"]
    torch.testing.assert_close(found.logits[words], expected.logits[words], atol=1e-5, rtol=1e-5)
    assert torch.equal(found.predictions, expected.predictions)


def test_a_sentence_without_a_picture_has_its_gate_closed(umt, batch, inputs, predict):
    length = batch["attention_mask"][1].sum()
    words, visual = predict(umt.model, inputs).piece_states.chunk(2, dim=-1)
    assert not visual[1].any() and words[1].any()
    assert visual[[0, 2, 3]].ne(0).all()
    without = predict(umt.model, inputs, pixel_values=None, image_index=torch.full((4,), -1))
    text, nothing = without.piece_states.chunk(2, dim=-1)
    assert not nothing.any()
    torch.testing.assert_close(text[1, :length], words[1, :length], atol=1e-5, rtol=1e-5)
    left_out = predict(umt.model, inputs, pixel_values=None, image_index=None)
    assert torch.equal(left_out.piece_states, without.piece_states)


def test_a_picture_that_no_sentence_has_does_not_matter(umt, batch, predict):
    pixels = batch["pixel_values"].clone()
    pixels[0] = torch.nan
    index = torch.tensor([-1, -1, 1, -1])
    found = predict(umt, batch, pixel_values=pixels, image_index=index)
    assert torch.equal(found.logits, predict(umt, batch, image_index=index).logits)


def test_every_sentence_sees_its_own_picture(umt, batch, predict):
    words = batch["word_mask"]
    expected = predict(umt, batch).logits
    pixels = batch["pixel_values"].flip(0)
    flipped = predict(umt, batch, pixel_values=pixels, image_index=torch.tensor([1, -1, 0, 1])).logits
    torch.testing.assert_close(flipped[words], expected[words], atol=1e-5, rtol=1e-5)
    found = predict(umt, batch, image_index=torch.tensor([1, -1, 1, 0])).logits
    assert ((found - expected)[0, words[0]].abs().amax(-1) > 1e-3).all()
    torch.testing.assert_close(found[1:][words[1:]], expected[1:][words[1:]], atol=1e-5, rtol=1e-5)


def test_all_windows_of_a_sentence_see_its_picture(umt, one_image_processor, pictures, predict):
    long = [f"{'abc'[index % 3]}bcd" for index in range(60)]
    batch = one_image_processor([long, ["Hi"]], [pictures[0], pictures[1]], [["O"] * 60, ["O"]])
    assert len(batch["input_ids"]) > 4
    outputs, other = predict(umt, batch), predict(umt, batch, image_index=torch.tensor([1, 1]))
    assert outputs.loss.isfinite() and (outputs.predictions[0] >= 0).all()
    assert ((outputs.logits - other.logits)[0].abs().amax(-1) > 1e-4).all()
    alone = predict(umt, one_image_processor([["Hi"]], [pictures[1]]))
    torch.testing.assert_close(outputs.logits[1, :1], alone.logits[0], atol=1e-5, rtol=1e-5)


def test_sentences_without_words_have_no_tags(umt, one_image_processor, pictures, predict):
    outputs = predict(umt, one_image_processor([[], []], [pictures[0], None], [[], []]))
    assert outputs.predictions.shape == (2, 0) and outputs.loss == 0


@pytest.mark.parametrize("changes", [{}, {"label_scheme": "subword_aux"}, {"use_crf": False}, {"use_image": False}])
def test_gradients_reach_every_parameter(make_baseline, batch, changes):
    umt = make_baseline("umt", num_cmt_layers=[1, 2, 1], **changes).train()
    given = {name: batch[name] for name in batch if changes.get("use_image", True) or name != "pixel_values"}
    umt(**given).loss.backward()
    idle = {name for name, parameter in umt.named_parameters() if parameter.grad is None or not parameter.grad.any()}
    # A softmax does not change if all its scores grow alike, as a key's bias makes them.
    assert {name for name in idle if not name.endswith("key.bias")} == set()


def test_without_weight_the_spans_learn_nothing(make_baseline, batch):
    umt = make_baseline("umt", span_logit_weight=0, span_loss_weight=0)
    umt(**batch).loss.backward()
    moved = {name for name, parameter in umt.named_parameters() if parameter.grad is not None and parameter.grad.any()}
    assert moved and not any("span" in name for name in moved)


def test_text_only_has_no_trace_of_pictures(make_baseline, batch, inputs, predict):
    umt = make_baseline("umt", use_image=False)
    assert not [name for name, _ in umt.model.named_children() if name.startswith(VISUAL)]
    assert umt.classifier.in_features == 16
    length = batch["attention_mask"][0].sum()
    with torch.no_grad():
        text = umt.model.text_model(input_ids=batch["input_ids"][:1, :length]).last_hidden_state[0]
        expected = layer_by_hand(umt.model.text_layer, text, text)
    found = predict(umt.model, inputs).piece_states
    torch.testing.assert_close(found[0, :length], expected, atol=1e-5, rtol=1e-4)
    assert predict(umt, batch, pixel_values=None).loss == predict(umt, batch).loss


def test_a_full_size_model_has_the_parameters_of_the_source():
    with torch.device("meta"):
        umt = UMTForTokenClassification(UMTConfig(label_scheme="subword_aux"))
        bert_layer = BertLayer(umt.config.text_config)
    new = {name: parameter.numel() for name, parameter in umt.named_parameters() if part_of(name) != "encoder"}
    assert sum(new.values()) == 39_792_662
    layers = [umt.model.text_layer, umt.model.span_layer, *umt.model.word_transformer.layers]
    size = sum(parameter.numel() for parameter in bert_layer.parameters())
    assert [sum(parameter.numel() for parameter in layer.parameters()) for layer in layers] == [size] * 3
    assert umt.span_head.classifier.out_features == 7 and umt.classifier.out_features == 13


def test_both_crfs_learn_at_the_rate_of_crfs(umt):
    names = {name for name, _ in umt.named_parameters() if part_of(name) == "crf"}
    transitions = ("start_transitions", "end_transitions", "transitions")
    assert names == {f"{place}crf.{name}" for place in ("", "span_head.") for name in transitions}


def test_a_checkpoint_loads_whole_or_in_part(umt, batch, predict, tmp_path):
    umt.save_pretrained(tmp_path)
    again, told = AutoModelForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"]
    assert torch.equal(again.span_head.conversion, umt.span_head.conversion)
    expected, found = predict(umt, batch), predict(again, batch)
    assert torch.equal(found.logits, expected.logits) and torch.equal(found.loss, expected.loss)
    below, told = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert isinstance(below, UMTModel) and not told["missing_keys"] and not told["unexpected_keys"]


def test_decoders_that_a_checkpoint_lacks_start_as_they_should(umt, tmp_path):
    umt.model.save_pretrained(tmp_path)
    again = UMTForTokenClassification.from_pretrained(tmp_path)
    assert torch.equal(again.span_head.conversion, conversion_matrix(again.config))
    for parameter in again.span_head.crf.parameters():
        assert 0 < parameter.abs().max() <= 0.1
    assert not again.span_head.classifier.bias.any()


def test_crfs_and_matrix_stay_in_float32(umt, batch, predict, tmp_path):
    umt.save_pretrained(tmp_path)
    half = UMTForTokenClassification.from_pretrained(tmp_path, dtype=torch.bfloat16)
    kept = {name.removesuffix(".weight") for name, value in half.state_dict().items() if value.dtype == torch.float32}
    assert {"crf.transitions", "span_head.crf.transitions", "span_head.conversion"} <= kept
    assert half.model.gate.weight.dtype == half.span_head.classifier.weight.dtype == torch.bfloat16
    assert predict(half, batch).loss.isfinite()


@pytest.mark.parametrize(("batch_norm", "moves"), [("fixed", False), ("train", True)])
def test_batch_norm_is_held_unless_told(make_baseline, umt, batch, batch_norm, moves):
    resnet = make_baseline("umt").model.resnet_model.eval()
    text = BertModel(umt.config.text_config, add_pooling_layer=False)
    config = UMTConfig.from_dict({**umt.config.to_dict(), "resnet_batch_norm": batch_norm})
    ready = UMTForTokenClassification(config, text_model=text, resnet_model=resnet)
    assert ready.model.resnet_model is resnet and ready.model.text_model is text
    before = resnet.embedder.embedder.normalization.running_mean.clone()
    for network in (ready, ready.train()):
        network(**batch)
    assert torch.equal(resnet.embedder.embedder.normalization.running_mean, before) is not moves


def test_flash_attention_is_refused(umt):
    with pytest.raises(ValueError, match=r"[Ff]lash"):
        umt.set_attn_implementation("flash_attention_2")
