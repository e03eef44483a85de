from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForTokenClassification

from modeling_2mner import OneImageProcessor, UMGFForTokenClassification, UMGFModel, modeling_umgf

PRESETS = Path(__file__).parents[2] / "configuration_2mner" / "models"
HEADS = 4
BOXES = [[(0, 0, 20, 20), (10, 5, 40, 30), (5, 20, 30, 40)], None, [(0, 0, 30, 30)], [(20, 20, 48, 40), (0, 0, 9, 9)]]


@pytest.fixture(scope="module")
def umgf(make_baseline) -> UMGFForTokenClassification:
    """The tiny model on the regions of pictures, shared: tests leave its weights and its mode as they are."""
    return make_baseline("umgf")


@pytest.fixture(scope="module")
def object_umgf(make_baseline) -> UMGFForTokenClassification:
    """The tiny model on objects, shared likewise."""
    return make_baseline("umgf", visual_nodes="objects")


@pytest.fixture(scope="module")
def images(pictures) -> list:
    """The pictures of `sentences`: the first and the last have one in common, the second has none."""
    return [pictures[0], None, pictures[1], pictures[0]]


@pytest.fixture(scope="module")
def batch(one_image_processor, sentences, tags, images):
    return one_image_processor(sentences, images, tags)


@pytest.fixture(scope="module")
def object_batch(one_image_processor, sentences, tags, images) -> dict[str, Tensor]:
    """Three, no, one and two objects; no whole pictures."""
    batch = one_image_processor(sentences, images, tags, boxes=BOXES)
    return {name: batch[name] for name in batch if name != "pixel_values"}


@torch.no_grad()
def run(network: nn.Module, batch, **changes):
    """The output of the model below the decoder."""
    inputs = {name: tensor for name, tensor in {**batch, **changes}.items() if name != "labels"}
    return network.model(**inputs)


def attention_by_hand(attention: nn.Module, nodes: Tensor) -> Tensor:
    """One sequence `(nodes, graph)`, node by node and head by head."""
    query, key, value = attention.query(nodes), attention.key(nodes), attention.value(nodes)
    size = nodes.shape[1] // HEADS
    rows = []
    for node in range(len(nodes)):
        heads = []
        for part in (slice(start, start + size) for start in range(0, nodes.shape[1], size)):
            weights = torch.stack([query[node, part].dot(other[part]) / math.sqrt(size) for other in key]).exp()
            heads.append((weights[:, None] / weights.sum() * value[:, part]).sum(0))
        rows.append(torch.cat(heads))
    return attention.output(torch.stack(rows))


def layer_by_hand(layer: nn.Module, pieces: Tensor, nodes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """Section 8.2 of the sheet for one window without padding, pair by pair, gates over concatenated vectors."""
    pieces = layer.text.attention_norm(pieces + attention_by_hand(layer.text.attention, pieces))
    sums, node_sums = torch.zeros_like(pieces), torch.zeros_like(nodes)
    if len(nodes):
        nodes = layer.visual.attention_norm(nodes + attention_by_hand(layer.visual.attention, nodes))
    for i, piece in enumerate(pieces):
        for j, node in enumerate(nodes):
            if edges[i, j]:
                pair = torch.cat((piece, node))
                sums[i] += (1 / (1 + (-layer.text.gate(pair)).exp())) * node
                node_sums[j] += (1 / (1 + (-layer.visual.gate(pair)).exp())) * piece
    return stream_by_hand(layer.text, pieces, sums), stream_by_hand(layer.visual, nodes, node_sums)


def stream_by_hand(stream: nn.Module, states: Tensor, sums: Tensor) -> Tensor:
    states = stream.gate_norm(states + sums)
    first, _, second = stream.ffn
    return stream.ffn_norm(states + second(first(states).clamp(min=0)))


@torch.no_grad()
def states_by_hand(network: nn.Module, ids: Tensor, nodes: Tensor, edges: Tensor | None = None) -> Tensor:
    """What the tags of one window without padding are told from, `(pieces, size)`, for its visual nodes."""
    model = network.model
    bert = model.text_model(ids[None]).last_hidden_state[0]
    pieces = model.text_projection(bert)
    edges = torch.ones(len(pieces), len(nodes)) if edges is None else edges
    for layer in model.layers:
        pieces, nodes = layer_by_hand(layer, pieces, nodes, edges)
    return torch.cat((bert, pieces), dim=1)


@torch.no_grad()
def nodes_by_hand(network: nn.Module, pixel_values: Tensor) -> Tensor:
    """The nodes of one picture `(3, height, width)`, or of the objects `(objects, 3, height, width)` of one."""
    model, graph_size = network.model, network.config.graph_size
    if not pixel_values.numel():
        return torch.zeros(0, graph_size)
    grid = model.resnet_model(pixel_values.reshape(-1, *pixel_values.shape[-3:])).last_hidden_state
    kind = network.config.visual_nodes
    if kind == "objects":
        regions = model.object_head(grid.mean(dim=(2, 3)))
    elif kind == "grid":
        regions = torch.stack([grid[0, :, row, column] for row in range(4) for column in range(4)])
    else:  # quarters
        parts = (slice(0, 2), slice(2, 4))
        regions = torch.stack([grid[0, :, rows, columns].mean(dim=(1, 2)) for rows in parts for columns in parts])
    first, _, _, second, _, _ = model.visual_projection
    return second(first(regions).clamp(min=0)).clamp(min=0)


def windows_of(batch) -> list[tuple[int, int, Tensor]]:
    """Number, sentence and pieces of each window."""
    first = batch["first_window"].tolist()
    numbers = range(len(batch["input_ids"]))
    sentences = [max(row for row, start in enumerate(first) if start <= number) for number in numbers]
    pieces = [ids[mask.bool()] for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)]
    return list(zip(numbers, sentences, pieces, strict=True))


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["grid", "grid_pool"])
def test_pictures_and_pieces_against_loops(kind, make_baseline, one_image_processor, sentences, images, tokenizer):
    network = make_baseline("umgf", visual_nodes=kind)
    short = OneImageProcessor(one_image_processor.image_processor, tokenizer, max_length=16)
    batch = short(sentences, images)
    assert len(batch["input_ids"]) > len(sentences)  # a sentence of several windows is among them
    outputs = run(network, batch)
    for window, sentence, ids in windows_of(batch):
        image = batch["image_index"][sentence]
        pixel_values = batch["pixel_values"][image] if image >= 0 else torch.zeros(0)
        expected = states_by_hand(network, ids, nodes_by_hand(network, pixel_values))
        close(outputs.piece_states[window, : len(ids)], expected)
    assert torch.equal(outputs.last_hidden_state, outputs.piece_states.flatten(0, 1)[batch["word_positions"]])


def test_objects_against_loops(object_umgf, object_batch):
    outputs = run(object_umgf, object_batch)
    for window, sentence, ids in windows_of(object_batch):
        crops = object_batch["object_pixel_values"][sentence][object_batch["object_mask"][sentence]]
        expected = states_by_hand(object_umgf, ids, nodes_by_hand(object_umgf, crops))
        close(outputs.piece_states[window, : len(ids)], expected)


def test_edges_of_words_against_loops(object_umgf, object_batch, sentences, tokenizer):
    generator = torch.Generator().manual_seed(3)
    edges = torch.rand(4, 8, 3, generator=generator) < 0.5
    outputs = run(object_umgf, object_batch, word_object_mask=edges)
    for window, sentence, ids in windows_of(object_batch):
        crops = object_batch["object_pixel_values"][sentence][object_batch["object_mask"][sentence]]
        words = tokenizer(sentences[sentence], is_split_into_words=True).word_ids()
        assert None in words and len(words) == len(ids)
        none = torch.zeros(3, dtype=torch.bool)
        rows = torch.stack([none if word is None else edges[sentence, word] for word in words])
        expected = states_by_hand(object_umgf, ids, nodes_by_hand(object_umgf, crops), rows)
        close(outputs.piece_states[window, : len(ids)], expected)


def test_the_order_of_objects_does_not_matter(object_umgf, object_batch):
    order = torch.tensor([2, 0, 1])
    turned = {name: object_batch[name][:, order] for name in ("object_pixel_values", "object_mask")}
    found, expected = (run(object_umgf, object_batch, **changes).last_hidden_state for changes in (turned, {}))
    close(found, expected)
    other = object_batch["object_pixel_values"].flip(3)
    assert not torch.allclose(run(object_umgf, object_batch, object_pixel_values=other)[0], expected, atol=1e-2)


def test_a_masked_object_is_none(object_umgf, object_batch):
    mask = object_batch["object_mask"].clone()
    mask[0, 2] = False
    broken = object_batch["object_pixel_values"].masked_fill(~mask[..., None, None, None], float("nan"))
    masked = run(object_umgf, object_batch, object_mask=mask, object_pixel_values=broken).piece_states
    shorter = {name: object_batch[name][:, :2] for name in ("object_pixel_values", "object_mask")}
    close(masked, run(object_umgf, object_batch, **shorter).piece_states)
    assert not torch.allclose(masked[0], run(object_umgf, object_batch).piece_states[0], atol=1e-2)
    close(masked[1:], run(object_umgf, object_batch).piece_states[1:])


def test_without_objects_the_text_goes_its_way_with_sums_of_zero(object_umgf, object_batch):
    nothing = torch.zeros_like(object_batch["object_mask"])
    masked = run(object_umgf, object_batch, object_mask=nothing).piece_states
    without = run(object_umgf, object_batch, object_pixel_values=None, object_mask=None).piece_states
    assert torch.equal(masked, without)
    for window, _, ids in windows_of(object_batch):
        close(masked[window, : len(ids)], states_by_hand(object_umgf, ids, nodes_by_hand(object_umgf, torch.zeros(0))))
    no_edges = run(object_umgf, object_batch, word_object_mask=torch.zeros(4, 8, 3, dtype=torch.bool)).piece_states
    real = object_batch["attention_mask"].bool()
    close(no_edges[real], masked[real])
    mixed = run(object_umgf, object_batch).piece_states  # the second sentence has no picture
    close(mixed[1], masked[1])


def test_a_sentence_without_picture_does_not_see_those_of_others(umgf, batch):
    without = run(umgf, batch, pixel_values=None, image_index=None).piece_states
    for pixel_values in (batch["pixel_values"], torch.full_like(batch["pixel_values"], float("nan"))):
        close(run(umgf, batch, pixel_values=pixel_values).piece_states[1], without[1])
    assert not torch.allclose(run(umgf, batch).piece_states[0], without[0], atol=1e-2)


def test_eager_attention_gives_the_same(umgf, object_umgf, batch, object_batch, make_baseline):
    for network, inputs in ((umgf, batch), (object_umgf, object_batch)):
        eager = make_baseline("umgf", visual_nodes=network.config.visual_nodes)
        eager.set_attn_implementation("eager")
        assert network.config._attn_implementation == "sdpa"
        real = inputs["attention_mask"].bool()
        close(run(eager, inputs).piece_states[real], run(network, inputs).piece_states[real])


def test_the_paper_s_projection_and_positions(make_baseline, batch):
    network = make_baseline(
        "umgf", text_projection="mlp", sinusoidal_positions=True, concat_bert=False, num_fusion_layers=1
    )
    _, _, ids = windows_of(batch)[1]
    with torch.no_grad():
        bert = network.model.text_model(ids[None]).last_hidden_state[0]
        codes = [
            [
                (math.sin if column % 2 == 0 else math.cos)(place / 10_000 ** (column // 2 * 2 / 16))
                for column in range(16)
            ]
            for place in range(len(ids))
        ]
        first, _, _, second, _, _ = network.model.text_projection
        pieces = second(first(bert + torch.tensor(codes)).clamp(min=0)).clamp(min=0)
        expected, _ = layer_by_hand(network.model.layers[0], pieces, torch.zeros(0, 24), torch.zeros(len(ids), 0))
    close(run(network, batch).piece_states[1, : len(ids)], expected)
    assert network.classifier.in_features == 24


def test_a_text_only_model_has_attention_and_feed_forward_layers_alone(make_baseline, batch):
    network = make_baseline("umgf", use_image=False)
    names = {name for name, _ in network.model.named_modules()}
    assert not any(part in name for name in names for part in ("resnet", "visual", "gate", "object"))
    _, _, ids = windows_of(batch)[0]
    with torch.no_grad():
        bert = network.model.text_model(ids[None]).last_hidden_state[0]
        pieces = network.model.text_projection(bert)
        for layer in network.model.layers:
            pieces = layer.text.attention_norm(pieces + attention_by_hand(layer.text.attention, pieces))
            pieces = layer.text.ffn_norm(pieces + layer.text.ffn(pieces))
    found = run(network, batch, pixel_values=None).piece_states[0, : len(ids)]
    close(found, torch.cat((bert, pieces), dim=1))


def test_the_released_preset_has_the_weights_of_the_authors_code():
    preset = json.loads((PRESETS / "umgf-released.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        network = AutoModelForTokenClassification.from_config(AutoConfig.for_model(**preset))
    counts = {name: weight.numel() for name, weight in network.named_parameters()}
    towers = ("model.text_model.", "model.resnet_model.")
    assert sum(count for name, count in counts.items() if not name.startswith(towers)) == 24_863_696
    assert sum(count for name, count in counts.items() if name.startswith("model.layers.5.")) == 3_157_504
    assert network.crf.transitions.shape == (13, 13) and network.dropout.p == 0


def test_only_models_on_objects_have_the_head(umgf, object_umgf):
    assert hasattr(object_umgf.model, "object_head") and not hasattr(umgf.model, "object_head")


def test_new_layers_start_as_in_the_authors_code_but_all_different(make_baseline):
    torch.manual_seed(0)
    config = make_baseline("umgf", visual_nodes="objects", text_config={"hidden_size": 64}).config
    network = UMGFForTokenClassification(config)
    first, second = network.model.layers
    assert not torch.equal(first.text.attention.query.weight, first.text.attention.key.weight)
    assert not torch.equal(first.text.attention.query.weight, second.text.attention.query.weight)
    xavier = [first.text.attention.query, second.visual.gate, first.visual.ffn[0], network.model.visual_projection[3]]
    for layer in xavier:
        assert_uniform(layer.weight, math.sqrt(6 / sum(layer.weight.shape)))
        assert not layer.bias.any()
    for layer in (network.model.text_projection, network.model.object_head, network.classifier):
        assert_uniform(layer.weight, layer.in_features**-0.5)
        assert layer.bias.abs().max() > 0
    query = network.model.text_model.encoder.layer[0].attention.self.query.weight
    assert abs(query.std() - 0.02) < 0.002 and query.abs().max() > 0.05  # BERT starts as BERT does


def assert_uniform(weight: Tensor, bound: float) -> None:
    assert 0.95 * bound < weight.abs().max() <= bound and abs(weight.std() - bound / math.sqrt(3)) < 0.1 * bound


def test_what_a_checkpoint_lacks_starts_in_the_documented_ranges(umgf, tmp_path):
    umgf.model.save_pretrained(tmp_path)
    network = UMGFForTokenClassification.from_pretrained(tmp_path)
    assert_uniform(network.classifier.weight, 40**-0.5)
    gate = umgf.model.layers[0].text.gate.weight
    assert torch.equal(network.model.layers[0].text.gate.weight, gate)
    assert isinstance(UMGFModel.from_pretrained(tmp_path), UMGFModel)


@pytest.mark.parametrize("kind", ["grid", "objects"])
def test_gradients_reach_all_but_the_last_messages_to_nodes(kind, umgf, object_umgf, batch, object_batch):
    shaken, inputs = (umgf, batch) if kind == "grid" else (object_umgf, object_batch)
    network = type(umgf)(shaken.config)
    network.load_state_dict(shaken.state_dict())
    network.train()
    network(**inputs).loss.backward()
    idle = {name for name, weight in network.named_parameters() if weight.grad is None and "pooler" not in name}
    last = network.model.layers[1].visual
    parts = {"gate": last.gate, "gate_norm": last.gate_norm, "ffn": last.ffn, "ffn_norm": last.ffn_norm}
    assert idle == {
        f"model.layers.1.visual.{part}.{name}" for part in parts for name, _ in parts[part].named_parameters()
    }
    silent = [name for name, weight in network.named_parameters() if weight.grad is not None and not weight.grad.any()]
    # A bias of keys shifts all scores of a softmax alike.
    assert [name for name in silent if not name.endswith("key.bias")] == []


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable:FutureWarning")  # the name of older transformers
def test_checkpointing_gives_the_same_gradients(make_baseline, batch):
    gradients = []
    for checkpointing in (False, True):
        network = make_baseline("umgf").train()
        if checkpointing:
            network.gradient_checkpointing_enable()
            assert network.model.layers[0].gradient_checkpointing
        torch.manual_seed(3)
        network(**batch).loss.backward()
        gradients.append([weight.grad for weight in network.parameters() if weight.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_batch_norm_keeps_its_statistics_unless_told_otherwise(make_baseline, batch):
    for held, network in ((True, make_baseline("umgf")), (False, make_baseline("umgf", resnet_batch_norm="train"))):
        network.train()
        means = [buffer for name, buffer in network.named_buffers() if name.endswith("running_mean")]
        before = [mean.clone() for mean in means]
        network(**batch)
        assert all(torch.equal(*pair) for pair in zip(means, before, strict=True)) == held


def test_labels_of_pieces_with_objects(make_baseline, object_batch, predict):
    network = make_baseline("umgf", visual_nodes="objects", label_scheme="subword_aux")
    outputs = predict(network, object_batch)
    assert outputs.logits.shape == (4, 8, 9) and outputs.loss > 0
    assert torch.equal(outputs.predictions >= 0, object_batch["word_mask"])


def test_sentences_without_words_may_have_objects_and_edges(object_umgf, one_image_processor, pictures):
    batch = one_image_processor([[], []], [pictures[0], None], boxes=[[(0, 0, 20, 20)], None])
    edges = torch.ones(2, 0, 1, dtype=torch.bool)
    assert run(object_umgf, batch, word_object_mask=edges).last_hidden_state.shape == (2, 0, 40)


def test_objects_need_a_model_that_takes_them(umgf, object_umgf, batch, object_batch, monkeypatch):
    with pytest.raises(ValueError, match=r"visual_nodes='grid'.*visual_nodes=\"objects\""):
        run(umgf, object_batch)
    with pytest.raises(ValueError, match="takes no objects"):
        run(umgf, batch, word_object_mask=torch.ones(4, 8, 3, dtype=torch.bool))
    warnings = []
    monkeypatch.setattr(modeling_umgf.logger, "warning_once", warnings.append)
    run(object_umgf, object_batch)
    assert warnings == []
    run(object_umgf, batch)
    assert "pictures without objects" in warnings[0] and "`boxes`" in warnings[0]
