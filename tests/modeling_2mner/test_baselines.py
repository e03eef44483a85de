"""What holds for every comparison model."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForTokenClassification,
    AutoProcessor,
    BertModel,
    CLIPVisionModel,
    ResNetModel,
)

HBILSTM = {"character_embedding_size": 6, "character_hidden_size": 5, "hidden_layer_size": 7, "lstm_dropout": 0.0}
MODELS = {
    "bilstm-crf": ("bilstm-crf", {}),
    "hbilstm-crf": ("bilstm-crf", HBILSTM),
    "bert": ("bert-crf", {"use_crf": False}),
    "bert-crf": ("bert-crf", {}),
    "adacan": ("adacan", {}),
    "adacan-sum": ("adacan", {"attention_combine": "sum"}),
    "adacan-text": ("adacan", {"use_image": False}),
    "umt": ("umt", {}),
    "umt-text": ("umt", {"use_image": False}),
    "umt-subword": ("umt", {"label_scheme": "subword_aux"}),
    "umgf": ("umgf", {}),
    "umgf-text": ("umgf", {"use_image": False}),
    "umgf-subword": ("umgf", {"label_scheme": "subword_aux"}),
    "mkgformer": ("mkgformer", {}),
    "mkgformer-text": ("mkgformer", {"use_image": False}),
    "mkgformer-subword": ("mkgformer", {"label_scheme": "subword_aux"}),
}
LOOKING = [name for name, (kind, changes) in MODELS.items() if changes.get("use_image", kind[:2] not in ("bi", "be"))]
ON_PIECES = [name for name, (kind, _) in MODELS.items() if kind in ("bert-crf", "umt", "umgf", "mkgformer")]


@pytest.fixture(scope="module", params=MODELS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(name, make_baseline) -> torch.nn.Module:
    kind, changes = MODELS[name]
    return make_baseline(kind, **changes)


@pytest.fixture(scope="module")
def read(one_image_processor, word_processor):
    """The processor that fits a model."""

    def choose(network):
        return word_processor if network.config.reads_words else one_image_processor

    return choose


@pytest.fixture(scope="module")
def inputs(network, read, sentences, tags, pictures):
    """Four sentences; the first and the last share a picture, the second has none."""
    batch = read(network)(sentences, [pictures[0], None, pictures[1], pictures[0]], tags)
    return dict(batch) if network.config.uses_image else {n: t for n, t in batch.items() if n != "pixel_values"}


@pytest.fixture(scope="module")
def answer(network, read, predict):
    """Run a model on sentences with pictures, without labels."""

    def run(sentences, images=None):
        batch = read(network)(sentences, images)
        return predict(network, {n: t for n, t in batch.items() if n != "pixel_values" or network.config.uses_image})

    return run


def test_every_word_gets_one_tag(network, inputs, predict):
    outputs = predict(network, inputs)
    assert outputs.logits.shape == (4, 8, 9) and outputs.loss > 0 and outputs.loss.isfinite()
    assert torch.equal(outputs.predictions >= 0, inputs["word_mask"])
    assert torch.equal(outputs.predictions == -100, ~inputs["word_mask"]) and outputs.predictions.max() < 9


def test_a_sentence_alone_is_the_sentence_in_a_batch(answer, sentences, pictures):
    images = [pictures[0], None, pictures[1], pictures[0]]
    together = answer(sentences, images)
    for row, (words, image) in enumerate(zip(sentences, images, strict=True)):
        alone = answer([words], [image])
        torch.testing.assert_close(alone.logits[0], together.logits[row, : len(words)], rtol=1e-4, atol=1e-4)
        assert torch.equal(alone.predictions[0], together.predictions[row, : len(words)])


def test_padding_counts_for_nothing(network, inputs, predict):
    expected = predict(network, inputs)
    changed = dict(inputs)
    if network.config.reads_words:
        changed["word_ids"] = inputs["word_ids"].masked_fill(~inputs["word_mask"], 3)
        changed["char_ids"] = inputs["char_ids"].masked_fill(~inputs["word_mask"][..., None], 2)
    else:
        changed["input_ids"] = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, 7)
    found = predict(network, changed)
    assert torch.equal(found.predictions, expected.predictions) and found.loss == expected.loss
    real = inputs["word_mask"]
    assert torch.equal(found.logits[real], expected.logits[real])


def test_the_order_of_sentences_does_not_matter(answer, sentences, pictures):
    images = [pictures[0], None, pictures[1], pictures[0]]
    forwards, backwards = answer(sentences, images), answer(sentences[::-1], images[::-1])
    words = forwards.predictions >= 0
    torch.testing.assert_close(forwards.logits[words], backwards.logits.flip(0)[words], rtol=1e-4, atol=1e-4)


def test_sentences_without_words_are_allowed(answer, pictures):
    outputs = answer([["Paris"], []], [pictures[0], pictures[1]])
    assert outputs.predictions[1].tolist() == [-100] and outputs.predictions[0, 0] >= 0
    assert answer([[], []], [pictures[0], None]).predictions.shape == (2, 0)


def test_a_missing_picture_is_the_same_in_every_batch(answer, sentences, pictures):
    mixed = answer(sentences[:2], [None, pictures[0]])
    without = answer(sentences[:2], [None, None])
    torch.testing.assert_close(mixed.logits[0], without.logits[0], rtol=1e-4, atol=1e-4)


def test_text_only_models_have_no_image_modules(name, network):
    towers = [part for part in ("vision_model", "resnet_model", "vgg_model") if hasattr(network.model, part)]
    assert bool(towers) == (name in LOOKING) == network.config.uses_image


def test_a_picture_that_is_not_finite_spoils_only_its_own_sentence(network, inputs, predict):
    if not network.config.uses_image:
        pytest.skip("the model has no image branch")
    broken = inputs["pixel_values"].clone()
    broken[1] = float("nan")  # that of the third sentence
    outputs = predict(network, {n: t for n, t in inputs.items() if n != "labels"}, pixel_values=broken)
    assert outputs.logits[[0, 1, 3]].isfinite().all()


def test_a_training_step_reaches_every_weight(name, network, inputs):
    step = type(network)(network.config)
    step.load_state_dict(network.state_dict())
    step.train()
    torch.manual_seed(0)
    outputs = step(**inputs)
    assert outputs.predictions is None
    outputs.loss.backward()
    idle = {n for n, p in step.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    idle -= {n for n in idle if "position_embedding" in n or n.endswith(("embeddings.weight", "pooler.dense.bias"))}
    # A bias of keys shifts all scores of a softmax alike; MKGFormer reads the ViT before its last norm, and crops not at all.
    idle -= {n for n in idle if "key.bias" in n or "k_proj.bias" in n or "post_layernorm" in n or "position" in n}
    idle -= {n for n in idle if n.endswith("attention.score.bias")}  # shifts them alike, too
    if name == "adacan":  # the query's half of the attention falls out of the softmax
        idle -= {n for n in idle if "attention" in n}
    if name.startswith("umgf"):  # of the last layer only the words are read
        idle -= {n for n in idle if ".layers.1.visual." in n}
    assert idle == set()


def test_a_reloaded_model_is_bit_identical(network, inputs, tmp_path, predict):
    network.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(network.state_dict())
    loaded, info = AutoModelForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is type(network) and not loaded.training
    assert not (info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"])
    state = loaded.state_dict()
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    # Not bit by bit: where in memory the weights lie decides how the products of small matrices are rounded.
    expected, found = predict(network, inputs), predict(loaded, inputs)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-5, atol=1e-5)
    again = predict(type(network).from_pretrained(tmp_path), inputs)
    assert torch.equal(found.logits, again.logits) and torch.equal(found.predictions, again.predictions)
    assert found.loss == again.loss
    base, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not (info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"])
    states = {n: t for n, t in inputs.items() if n != "labels"}
    expected = predict(loaded.model, states).last_hidden_state
    torch.testing.assert_close(predict(base, states).last_hidden_state, expected, rtol=1e-5, atol=1e-5)


def test_a_checkpoint_without_a_decoder_gets_a_new_one(network, tmp_path):
    network.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {n: tensor for n, tensor in weights.items() if n.startswith("model.")}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    loaded, info = AutoModelForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert info["missing_keys"] == set(weights) - set(kept)
    if network.config.use_crf:
        for weight in loaded.crf.parameters():
            assert weight.abs().max() <= 0.1 and len(weight.unique()) == weight.numel() > 1


def test_the_processor_reloads(network, read, sentences, pictures, tmp_path):
    processor = read(network)
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is type(processor)
    images = [pictures[0], None, pictures[1], pictures[0]]
    expected, found = processor(sentences, images), loaded(sentences, images)
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_autocast_keeps_the_loss_in_float32(network, inputs):
    expected = network(**inputs).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = network(**inputs)
    assert outputs.loss.dtype == torch.float32 and outputs.loss.isfinite()
    torch.testing.assert_close(outputs.loss, expected, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", ON_PIECES)
def test_kinds_of_attention_agree(name, make_baseline, one_image_processor, sentences, pictures, predict):
    kind, changes = MODELS[name]
    network = make_baseline(kind, **changes)
    batch = dict(one_image_processor(sentences, [pictures[0], None, pictures[1], pictures[0]]))
    if not network.config.uses_image:
        batch.pop("pixel_values")
    logits = []
    for attention in ("eager", "sdpa"):
        network.set_attn_implementation(attention)
        logits.append(predict(network, batch).logits)
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ON_PIECES)
def test_long_sentences_are_read_in_windows(name, make_baseline, one_image_processor, make_picture, predict):
    kind, changes = MODELS[name]
    network = make_baseline(kind, **changes)
    words = [f"{'ab' * (number % 3 + 1)}" for number in range(60)]
    batch = one_image_processor([["Hi"], words, ["Paris"]], [make_picture(0), make_picture(1), make_picture(2)])
    assert len(batch["input_ids"]) > 3
    batch = {n: t for n, t in batch.items() if n != "pixel_values" or network.config.uses_image}
    outputs = predict(network, batch)
    assert (outputs.predictions[1] >= 0).all()
    short = one_image_processor([["Paris"]], [make_picture(2)])
    short = {n: t for n, t in short.items() if n != "pixel_values" or network.config.uses_image}
    torch.testing.assert_close(outputs.logits[2, :1], predict(network, short).logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["bert", "bert-crf", "umt", "umgf", "mkgformer"])
def test_every_tensor_of_pretrained_encoders_lands(name, make_baseline, shake, tmp_path):
    kind, changes = MODELS[name]
    config = make_baseline(kind, **changes).config
    kinds = {"text": BertModel, "vision": CLIPVisionModel, "resnet": ResNetModel}
    wanted = [part for part in kinds if f"{part}_config" in config.sub_configs]
    for part in wanted:
        shake(kinds[part](getattr(config, f"{part}_config"))).save_pretrained(tmp_path / part)
    own = {"fusion_start_layer": 2} if name == "mkgformer" else {}
    model_class = AutoModelForTokenClassification._model_mapping[type(config)]
    assembled = model_class.from_encoders(**{part: str(tmp_path / part) for part in wanted}, **own, **changes)
    assert not assembled.training
    for part in wanted:
        saved = load_file(tmp_path / part / "model.safetensors")
        state = getattr(assembled.model, f"{part}_model").state_dict()
        missing = {n for n in saved if not n.startswith("pooler.") and not torch.equal(state[n], saved[n])}
        assert missing == set() and len(state) > 4
    with pytest.raises(ValueError, match="has no `vgg` encoder"):
        model_class.from_encoders(text=str(tmp_path / "text"), vgg="file")
    if len(wanted) == 2:
        alone = model_class.from_encoders(text=str(tmp_path / "text"), **own)
        assert not alone.config.uses_image
        with pytest.raises(ValueError, match="`use_image=True` needs an encoder"):
            model_class.from_encoders(text=str(tmp_path / "text"), use_image=True, **own)


def test_bert_crf_is_2m_ner_without_pictures(make_model, make_baseline, batch, predict, tmp_path):
    ours = make_model(use_vit=False, use_resnet=False)
    theirs = make_baseline("bert-crf")
    assert [n for n, _ in theirs.named_parameters()] == [n for n, _ in ours.named_parameters()]
    theirs.load_state_dict(ours.state_dict())
    inputs = {n: t for n, t in batch.items() if "pixel" not in n}
    expected, found = predict(ours, inputs), predict(theirs, inputs)
    assert torch.equal(found.logits, expected.logits) and torch.equal(found.predictions, expected.predictions)
    assert found.loss == expected.loss
    torch.manual_seed(3)
    fresh = type(ours)(ours.config)
    torch.manual_seed(3)
    assert all(
        torch.equal(first, second)
        for first, second in zip(fresh.parameters(), type(theirs)(theirs.config).parameters(), strict=True)
    )
