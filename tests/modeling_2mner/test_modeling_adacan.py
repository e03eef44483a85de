from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForTokenClassification, BertModel

from modeling_2mner import AdaCANConfig, AdaCANForTokenClassification
from modeling_2mner.configuration_words import VGG_16
from modeling_2mner.vgg import VGGFeatures

LENGTHS = (6, 3, 1)
WORDS = {"vocab_size": 30, "num_characters": 40}


def make_batch(width: int = 6, num_characters: int = 7) -> dict[str, Tensor]:
    """Three sentences of `LENGTHS` words, of which the last two share a picture; the same numbers at any width."""
    generator = torch.Generator().manual_seed(5)
    shape = len(LENGTHS), 9
    batch = {
        "word_ids": torch.randint(2, 30, shape, generator=generator),
        "char_ids": torch.randint(1, 40, (*shape, 12), generator=generator)[..., :num_characters],
        "char_lengths": torch.randint(1, 8, shape, generator=generator),
        "word_mask": torch.arange(shape[1]) < torch.tensor(LENGTHS)[:, None],
    }
    batch = {name: tensor[:, :width] for name, tensor in batch.items()}
    batch["image_index"] = torch.tensor([0, 1, 1])
    return {**batch, "pixel_values": torch.randn(2, 3, 32, 32, generator=generator)}


@pytest.fixture(scope="module", params=["concat", "sum"])
def network(request, make_baseline) -> AdaCANForTokenClassification:
    return make_baseline("adacan", attention_combine=request.param)


@pytest.fixture(scope="module")
def run(predict):
    """Run the network below the tags on the batch, with some inputs changed."""

    def forward(network, batch=None, **changes):
        return predict(network.model, make_batch() if batch is None else batch, **changes)

    return forward


@pytest.fixture(scope="module")
def bert_network(make_baseline, make_config) -> AdaCANForTokenClassification:
    return make_baseline("adacan", text_encoder="bert", text_config=make_config().text_config.to_dict())


@pytest.fixture(scope="module")
def bert_batch(one_image_processor, sentences, tags, pictures) -> dict[str, Tensor]:
    return dict(one_image_processor(sentences, [pictures[0], None, pictures[1], pictures[0]], tags))


# The published equations once more, a word at a time and in double precision.


def plain_characters(module, ids: list[int]) -> Tensor:
    vectors = [module.vectors.weight[number] for number in ids]
    pooled = []
    for convolution in module.convolutions:
        width = convolution.kernel_size[0]
        filled = vectors + [torch.zeros_like(vectors[0])] * (width - len(vectors))
        windows = [torch.stack(filled[start : start + width]) for start in range(len(filled) - width + 1)]
        for weight, bias in zip(convolution.weight, convolution.bias, strict=True):  # weight: (size, width)
            pooled.append(max(torch.tanh((weight.T * window).sum() + bias) for window in windows))
    hidden = (module.hidden_layer.weight @ torch.stack(pooled) + module.hidden_layer.bias).clamp(min=0)
    return module.output.weight @ hidden + module.output.bias


def plain_words(model, batch, row: int) -> Tensor:
    inputs = []
    for place in range(LENGTHS[row]):
        count = min(int(batch["char_lengths"][row, place]), model.config.max_characters)
        characters = plain_characters(model.characters, batch["char_ids"][row, place, :count].tolist())
        inputs.append(torch.cat([model.words.vectors.weight[batch["word_ids"][row, place]], characters]))
    return model.lstm.lstm(torch.stack(inputs)[None])[0][0]


def plain_attention(module, word: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    scores = []
    for position in positions:
        left, right = module.key.weight @ position, module.query.weight @ word + module.query.bias
        z = torch.cat([left, right]) if module.concat else left + right
        scores.append((module.score.weight[0] @ torch.tanh(z) + module.score.bias[0]).exp())
    weights = torch.stack(scores) / sum(scores)
    return sum(weight * position for weight, position in zip(weights, positions, strict=True)), weights


def plain_word(module, words: Tensor, place: int, regions: Tensor) -> tuple[Tensor, Tensor]:
    seen, weights = plain_attention(module.visual_attention, words[place], regions)
    read, _ = plain_attention(module.textual_attention, seen, words)
    p = torch.tanh(module.visual_fusion.weight @ seen + module.visual_fusion.bias)
    q = torch.tanh(module.textual_fusion.weight @ read + module.textual_fusion.bias)
    gate = 1 / (1 + (-module.fusion_gate.weight[0] @ torch.cat([p, q])).exp())
    m = gate * p + (1 - gate) * q
    parts = module.word_filter.weight @ words[place], module.fused_filter.weight @ m + module.fused_filter.bias
    s = 1 / (1 + (-module.filter_gate.weight[0] @ torch.cat(parts)).exp())
    return s * torch.tanh(module.output.weight @ m + module.output.bias), weights


@pytest.mark.parametrize("max_characters", [30, 3])
def test_the_published_equations(network, run, max_characters, make_baseline):
    kind = network.config.attention_combine
    model = make_baseline("adacan", attention_combine=kind, max_characters=max_characters).double()
    batch = make_batch()
    outputs = run(model, batch)
    model, size = model.model, model.config.hidden_size
    with torch.no_grad():
        for row, length in enumerate(LENGTHS):
            picture = model.vgg_model(batch["pixel_values"][batch["image_index"][row]][None].double())[0]
            places = [picture[:, y, x] for y in range(8) for x in range(8)]
            projection = model.image_projection
            regions = torch.stack([torch.tanh(projection.weight @ place + projection.bias) for place in places])
            words = plain_words(model, batch, row)
            torch.testing.assert_close(outputs.last_hidden_state[row, :length, :size], words)
            for place in range(length):
                filtered, weights = plain_word(model.co_attention, words, place, regions)
                torch.testing.assert_close(outputs.last_hidden_state[row, place, size:], filtered)
                torch.testing.assert_close(outputs.attentions[row, place], weights)


def test_the_published_attention_does_not_depend_on_the_word(network, run):
    outputs = run(network)
    weights, size = outputs.attentions[0], network.config.hidden_size
    spread = (weights - weights[:1]).abs().max()
    filtered = torch.nn.functional.normalize(outputs.last_hidden_state[0, :, size:], dim=-1)
    directions = (filtered - filtered[:1]).abs().max()
    assert weights[0].std() > 5e-4
    if network.config.attention_combine == "concat":  # one picture vector for all words, at most longer or shorter
        assert spread < 1e-6 and directions < 1e-5
        assert (outputs.last_hidden_state[0, :, size:].norm(dim=-1).diff().abs() > 1e-6).all()
    else:
        assert spread > 1e-4 and directions > 1e-4


def test_attention_weights_are_shares(network, run):
    weights = run(network).attentions
    assert weights.shape == (3, 6, 64) and (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 6))


def test_padded_words_are_not_attended_to(network, run):
    expected = run(network)
    found = run(network, make_batch(width=9, num_characters=12))
    for row, length in enumerate(LENGTHS):
        for field in ("last_hidden_state", "attentions"):
            torch.testing.assert_close(found[field][row, :length], expected[field][row, :length], rtol=1e-4, atol=1e-5)
    words, regions = torch.randn(2, 4, 16), torch.randn(2, 5, 16)
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    attention = network.model.co_attention.textual_attention
    _, weights = attention(words, words, mask)
    assert (weights[0, :, 2:] == 0).all() and (weights[1] > 0).all() and (weights[0, :, :2] > 0).all()
    assert attention(words, regions)[1].shape == (2, 4, 5)


def test_the_picture_reaches_each_of_its_words(network, run):
    other = make_batch()["pixel_values"].flip(3) * 2
    expected, found = run(network), run(network, pixel_values=other)
    size = network.config.hidden_size
    changed = (found.last_hidden_state - expected.last_hidden_state).abs().amax(dim=-1)
    assert (changed[make_batch()["word_mask"]] > 1e-4).all()
    assert torch.equal(found.last_hidden_state[..., :size], expected.last_hidden_state[..., :size])


def test_one_picture_a_sentence_by_default(network, run):
    pixels = make_batch()["pixel_values"][[0, 1, 1]]
    expected = run(network).last_hidden_state
    torch.testing.assert_close(run(network, pixel_values=pixels, image_index=None).last_hidden_state, expected)
    with pytest.raises(ValueError, match="2 pictures for 3 sentences"):
        run(network, image_index=None)


def test_without_a_picture_the_word_states_stand_alone(network, run):
    size, whole = network.config.hidden_size, run(network)
    missing = run(network, image_index=torch.tensor([0, -1, 1]))
    none = run(network, pixel_values=None, image_index=torch.full((3,), -1))
    assert none.attentions is None
    assert (none.last_hidden_state[..., size:] == 0).all() and (missing.last_hidden_state[1, :, size:] == 0).all()
    assert (missing.attentions[1] == 0).all() and (missing.attentions[[0, 2]].sum(dim=-1) > 0.99).all()
    assert torch.equal(missing.last_hidden_state[1], none.last_hidden_state[1])
    assert torch.equal(missing.last_hidden_state[[0, 2]], whole.last_hidden_state[[0, 2]])
    unused = make_batch()["pixel_values"] / torch.tensor([0.0, 1.0])[:, None, None, None]
    found = run(network, pixel_values=unused, image_index=torch.tensor([-1, -1, 1]))
    assert found.last_hidden_state.isfinite().all()


@pytest.mark.parametrize("width", [0, 3])
def test_sentences_without_words(network, predict, width):
    batch = make_batch(width)
    batch["word_mask"] = torch.zeros_like(batch["word_mask"])
    outputs = predict(network, batch, labels=torch.full((3, width), -100))
    assert outputs.predictions.shape == (3, width) and (outputs.predictions == -100).all()
    assert outputs.logits.isfinite().all()


def test_words_without_known_characters(network, run):
    batch = make_batch() | {"char_lengths": torch.zeros(3, 6, dtype=torch.long)}
    expected = run(network, batch).last_hidden_state
    assert expected.isfinite().all()
    shorter = batch | {"char_ids": batch["char_ids"][..., :0]}
    torch.testing.assert_close(run(network, shorter).last_hidden_state, expected)


def test_only_the_first_characters_count(run, make_baseline):
    network = make_baseline("adacan", max_characters=3)
    batch = make_batch() | {"char_lengths": torch.full((3, 6), 7)}
    changed = batch["char_ids"].clone()
    changed[..., 3:] = 1
    assert torch.equal(run(network, batch).last_hidden_state, run(network, batch, char_ids=changed).last_hidden_state)
    changed[..., 2] += 1
    changes = run(network, batch, char_ids=changed % 40).last_hidden_state - run(network, batch).last_hidden_state
    assert (changes[batch["word_mask"]].abs().amax(dim=-1) > 1e-4).all()


def test_gradients(network):
    step = AdaCANForTokenClassification(network.config)
    step.load_state_dict(network.state_dict())
    step.eval()(**make_batch(), labels=torch.randint(0, 9, (3, 6))).loss.backward()
    constant = ("query.", "score.bias") if network.config.attention_combine == "concat" else ("score.bias",)
    for name, parameter in step.named_parameters():
        size = parameter.grad.abs().max()
        # What is the same for all positions falls out of the softmax.
        assert size < 1e-6 if any(part in name for part in constant) else size > 1e-6, name
        if name.endswith("score.weight") and network.config.attention_combine == "concat":
            of_positions, of_words = parameter.grad[0].chunk(2)
            assert of_positions.abs().max() > 1e-6 > of_words.abs().max()


def test_dropout_falls_on_words_and_inside_the_characters(make_baseline):
    model = make_baseline("adacan").model
    batch = make_batch()
    inputs = {name: batch[name] for name in ("word_ids", "char_ids", "char_lengths", "word_mask")}
    characters, words = model.characters(batch["char_ids"], batch["char_lengths"]), model.encode_words(**inputs)
    model.train()
    assert not torch.equal(model.characters(batch["char_ids"], batch["char_lengths"]), characters)
    model.characters.dropout.p = 0.0
    assert torch.equal(model.characters(batch["char_ids"], batch["char_lengths"]), characters)
    assert not torch.equal(model.encode_words(**inputs), words)
    model.dropout.p = 0.0
    assert torch.equal(model.encode_words(**inputs), words)
    fresh = AdaCANForTokenClassification(AdaCANConfig(**WORDS, lstm_hidden_size=4, vgg_channels=[[4]]))
    assert (fresh.model.dropout.p, fresh.model.characters.dropout.p, fresh.dropout.p) == (0.5, 0.25, 0.0)


def test_text_only_is_cnn_bilstm_crf(make_baseline, run):
    network, whole = make_baseline("adacan", use_image=False), make_baseline("adacan")
    parts = {name.split(".")[1] for name, _ in network.named_parameters() if name.startswith("model.")}
    assert parts == {"words", "characters", "lstm"}
    assert network.classifier.in_features == 16 and whole.classifier.in_features == 32
    network.model.load_state_dict(whole.model.state_dict(), strict=False)
    outputs = run(network)
    assert outputs.attentions is None
    assert torch.equal(outputs.last_hidden_state, run(whole).last_hidden_state[..., :16])


def test_without_characters(make_baseline, run):
    network = make_baseline("adacan", character_embedding_size=None, use_image=False)
    batch = {name: tensor for name, tensor in make_batch().items() if "char" not in name and "pixel" not in name}
    assert not any("characters" in name for name, _ in network.named_parameters())
    assert run(network, batch).last_hidden_state.shape == (3, 6, 16)


def test_bert_gives_the_word_states(bert_network, bert_batch, predict, make_baseline, tmp_path):
    model = bert_network.model
    parts = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert parts == {"text_model", "vgg_model", "image_projection", "co_attention"}
    outputs = predict(model, {name: tensor for name, tensor in bert_batch.items() if name != "labels"})
    with torch.no_grad():
        states = model.text_model(bert_batch["input_ids"], bert_batch["attention_mask"]).last_hidden_state
    words = states.flatten(0, 1)[bert_batch["word_positions"]]
    assert torch.equal(outputs.last_hidden_state[..., :16], words)
    assert (outputs.last_hidden_state[1, :, 16:] == 0).all() and outputs.attentions.shape == (4, 8, 64)
    tagged = predict(bert_network, bert_batch)
    assert torch.equal(tagged.predictions >= 0, bert_batch["word_mask"]) and tagged.loss.isfinite()
    bert_network.save_pretrained(tmp_path)
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert torch.equal(predict(loaded, bert_batch).logits, tagged.logits)
    assert loaded.config.get_text_config().model_type == "bert"
    loaded.set_attn_implementation("eager")
    torch.testing.assert_close(predict(loaded, bert_batch).logits, tagged.logits)


def test_inputs_of_the_other_kind_are_refused(make_baseline, bert_network, bert_batch, predict):
    words = make_baseline("adacan")
    assert words.config.get_text_config() is words.config
    words.set_attn_implementation("sdpa")
    with pytest.raises(ValueError, match="this model reads words; pass `word_ids`"):
        predict(words, bert_batch)
    with pytest.raises(ValueError, match="pass `word_ids`, `char_ids`"):
        predict(words, {name: tensor for name, tensor in make_batch().items() if name != "char_ids"})
    with pytest.raises(ValueError, match="this model reads sub-words; pass `input_ids`"):
        predict(bert_network, make_batch())


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, make_config, shake):
    """A folder with a small VGG and a small BERT."""
    folder = tmp_path_factory.mktemp("pretrained")
    torch.manual_seed(0)
    torch.save(VGGFeatures([[6, 4], [8]]).state_dict(), folder / "vgg.pth")
    shake(BertModel(make_config().text_config)).save_pretrained(folder / "bert")
    return folder


@pytest.mark.parametrize("kind", ["lstm", "bert"])
def test_every_tensor_of_pretrained_encoders_lands(pretrained, kind, tmp_path, predict, bert_batch):
    text = {"text": str(pretrained / "bert")} if kind == "bert" else {**WORDS, "lstm_hidden_size": 8}
    # VGG-16 could not halve 36 pixels five times; the loaded one halves them twice.
    network = AdaCANForTokenClassification.from_encoders(vgg=str(pretrained / "vgg.pth"), image_size=36, **text)
    assert not network.training and network.config.text_encoder == kind and network.config.use_image
    assert network.config.vgg_channels == [[6, 4], [8]]
    saved = torch.load(pretrained / "vgg.pth", weights_only=True)
    state = network.model.vgg_model.state_dict()
    assert set(state) == set(saved) and all(torch.equal(state[name], saved[name]) for name in saved)
    if kind == "bert":
        saved, state = load_file(pretrained / "bert" / "model.safetensors"), network.model.text_model.state_dict()
        lost = {n for n in saved if not n.startswith("pooler.") and not torch.equal(state[n], saved[n])}
        assert lost == set() and len(saved) > 20
        assert network.model.text_model.config._attn_implementation == "sdpa"
    network.save_pretrained(tmp_path)
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path)
    batch = make_batch() if kind == "lstm" else bert_batch
    # Close, not equal: LSTMs round otherwise where weights lie at other places in memory.
    torch.testing.assert_close(predict(loaded, batch).logits, predict(network, batch).logits)


def test_encoders_that_do_not_fit_are_refused(pretrained):
    vgg, text = str(pretrained / "vgg.pth"), str(pretrained / "bert")
    assemble = AdaCANForTokenClassification.from_encoders
    alone = assemble(**WORDS)
    assert not alone.config.use_image and not hasattr(alone.model, "vgg_model")
    assert not assemble(vgg=vgg, use_image=False, **WORDS).config.use_image
    with pytest.raises(ValueError, match="needs an encoder; pass `vgg`"):
        assemble(use_image=True, **WORDS)
    with pytest.raises(ValueError, match="`text_encoder` is 'lstm'; leave `text` out"):
        assemble(text=text, vgg=vgg, text_encoder="lstm")
    with pytest.raises(ValueError, match="`text_encoder` is 'bert'; pass `text`"):
        assemble(vgg=vgg, text_encoder="bert")
    with pytest.raises(ValueError, match="has no `resnet` encoder; its encoders: `text`, `vgg`"):
        assemble(resnet=vgg)


@pytest.mark.parametrize("way", ["new", "missing"])
def test_new_weights_start_as_they_should(way, tmp_path):
    config = AdaCANConfig(**WORDS, lstm_hidden_size=20, vgg_channels=[[32], [64]], image_size=32)
    network = AdaCANForTokenClassification(config)
    if way == "missing":  # built without weights, and filled afterwards
        network.save_pretrained(tmp_path)
        crf = {name: tensor for name, tensor in network.state_dict().items() if name.startswith("crf.")}
        save_file(crf, tmp_path / "model.safetensors", {"format": "pt"})
        network = AutoModelForTokenClassification.from_pretrained(tmp_path)
    model = network.model
    second = model.vgg_model.features[3]
    assert second.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.03)
    assert (second.bias == 0).all()
    for convolution in model.characters.convolutions:
        bound = (30 * convolution.kernel_size[0]) ** -0.5
        assert 0.98 * bound < convolution.weight.abs().max() <= bound and 0 < convolution.bias.abs().max() <= bound
    for layer in (model.co_attention.output, model.co_attention.fusion_gate, network.classifier):
        bound = math.sqrt(6 / sum(layer.weight.shape))
        assert 0.9 * bound < layer.weight.abs().max() <= bound and (layer.bias is None or not layer.bias.any())
    assert (model.characters.vectors.weight[0] == 0).all() and (model.characters.vectors.weight[1:] != 0).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [("vgg_channels", [[4], []]), ("vgg_channels", [[4, 0]]), ("character_widths", [0]), ("max_characters", 0)],
)
def test_sizes_are_above_zero(field, value):
    with pytest.raises(ValueError, match=f"`{field}` is"):
        AdaCANConfig(**{field: value})


def test_full_size():
    with torch.device("meta"):
        model = AdaCANForTokenClassification(AdaCANConfig(vocab_size=1000, num_characters=100)).model
    counts = {name: sum(part.numel() for part in module.parameters()) for name, module in model.named_children()}
    assert model.config.vgg_channels == VGG_16 and counts["vgg_model"] == 14_714_688
    convolutions = 32 * (30 * (2 + 3 + 4) + 3)
    assert counts["characters"] == 100 * 30 + convolutions + 97 * 100 + 101 * 50
    assert counts["lstm"] == 2 * 4 * 200 * (350 + 200 + 2)
    assert counts["image_projection"] == 513 * 400
    attention = 2 * 400 * 200 + 200 + 2 * 200 + 1
    assert counts["co_attention"] == 2 * attention + 4 * 401 * 400 + 400 * 400 + 2 * 800
