"""Features of pictures in the place of their pixels give the same answers, and no tower runs."""

from __future__ import annotations

import pytest
import torch

from modeling_2mner import TwoMNERReleasedConfig, TwoMNERReleasedForTokenClassification

PIXELS = ("pixel_values", "resnet_pixel_values")
KINDS = {
    "2m-ner": {},
    "2m-ner-vit": {"use_resnet": False},
    "2m-ner-resnet": {"use_vit": False},
    "2m-ner-pooled": {"resnet_features": "pooled"},
    "2m-ner-patches": {"vit_tokens": "patches", "contrastive_vit_pooling": "mean"},
    "umt": {},
    "umgf": {},
    "umgf-pooled": {"visual_nodes": "grid_pool", "grid_size": 1},
    "mkgformer": {},
    "adacan": {},
}


@pytest.fixture(scope="module", params=KINDS)
def network(request, make_model, make_baseline):
    kind = request.param
    if kind.startswith("2m-ner"):
        return make_model(**KINDS[kind])
    return make_baseline(kind.split("-")[0], **KINDS[kind])


@pytest.fixture(scope="module")
def both(network, processor, one_image_processor, word_processor, sentences, tags, pictures):
    """A batch with pixels, and the same with features."""
    reader = processor if network.config.model_type == "2m-ner" else one_image_processor
    reader = word_processor if network.config.reads_words else reader
    batch = dict(reader(sentences, [pictures[0], None, pictures[1], pictures[0]], tags))
    pixels = {name: batch[name] for name in PIXELS if name in batch}
    with torch.no_grad():
        features = network.encode_images(**pixels)
    others = {name: value for name, value in batch.items() if name not in PIXELS}
    return batch, {**others, **features, "image_hashes": torch.tensor([5, 9])}


def towers(network):
    """What needs to run once a picture; MKGFormer's last layers also read the text."""
    if network.config.model_type == "mkgformer":
        tower = network.base_model.vision_model
        return [tower.embeddings, tower.pre_layrnorm, *tower.encoder.layers[: network.config.fusion_start_layer - 1]]
    named = dict(network.base_model.named_children())
    return [named[name] for name in ("vision_model", "resnet_model", "vgg_model") if name in named]


def test_features_are_named_and_have_a_row_for_each_picture(network, both):
    names = set(network.feature_names)
    assert names and names <= set(both[1])
    assert all(both[1][name].dim() == 3 and len(both[1][name]) == 2 for name in names)


def test_features_give_the_answers_of_pixels(network, both, predict):
    expected, found = predict(network, both[0]), predict(network, both[1])
    assert torch.equal(found.predictions, expected.predictions)
    torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-6, atol=0)
    for name in ("text_embeds", "vit_embeds", "resnet_embeds"):
        if expected.get(name) is not None:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-6, atol=1e-6)
    without = predict(network, {name: value for name, value in both[1].items() if name not in network.feature_names})
    assert not torch.allclose(without.logits, found.logits)


def test_no_tower_runs_for_features(network, both, predict):
    calls = []
    handles = [
        part.register_forward_hook(lambda *_: calls.append(1)) for tower in towers(network) for part in tower.modules()
    ]
    try:
        predict(network, both[1])
        assert calls == []
        predict(network, both[0])
        assert calls != []
    finally:
        for handle in handles:
            handle.remove()


def test_one_picture_a_sentence_is_the_default(network, both, predict):
    two = {name: value[:2] if value.dim() else value for name, value in both[1].items()}
    if "input_ids" in two:
        two["input_ids"], two["attention_mask"] = both[1]["input_ids"][:2], both[1]["attention_mask"][:2]
    named = predict(network, {**two, "image_index": torch.tensor([0, 1])})
    left_out = predict(network, {name: value for name, value in two.items() if name != "image_index"})
    assert torch.equal(named.logits, left_out.logits)


def test_half_precision_features_are_read(network, both, predict):
    halves = {name: both[1][name].half() for name in network.feature_names}
    found = predict(network, {**both[1], **halves})
    assert found.logits.dtype == torch.float32
    torch.testing.assert_close(found.logits, predict(network, both[0]).logits, rtol=0.05, atol=0.05)


def test_pixels_beside_features_are_refused(network, both):
    with pytest.raises(ValueError, match="pixels and features"):
        network(**both[0], **{name: both[1][name] for name in network.feature_names})


def test_one_towers_features_without_the_others_are_refused(make_model, processor, sentences, pictures):
    model = make_model()
    batch = processor(sentences[:1], pictures[:1])
    pixels = {name: batch.pop(name) for name in PIXELS}
    features = model.encode_images(**pixels)
    with pytest.raises(ValueError, match="or the features of both"):
        model(**batch, image_features=features["image_features"])


def test_models_that_cannot_say_so(make_baseline, make_config, one_image_processor, sentences, pictures):
    objects = make_baseline("umgf", visual_nodes="objects")
    partial = make_baseline("mkgformer", use_whole_image=False)
    config = make_config(vision_config={"hidden_size": 16})
    parts = {name: getattr(config, name) for name in ("text_config", "vision_config", "resnet_config")}
    released = TwoMNERReleasedForTokenClassification(TwoMNERReleasedConfig(**parts, text_encoder_layer=1))
    for model in (objects, partial, released, make_baseline("bert-crf"), make_baseline("umt", use_image=False)):
        assert model.feature_names == ()
        with pytest.raises(ValueError, match="cannot read its pictures apart"):
            model.encode_images(pixel_values=torch.zeros(1, 3, 32, 32))
    batch = one_image_processor(sentences[:1])
    for model in (objects, partial):
        with pytest.raises(ValueError, match="pass"):
            model(**batch, image_features=torch.zeros(1, 4, 24))


def test_crops_beside_features_are_refused(make_baseline, one_image_processor, sentences, pictures):
    model = make_baseline("mkgformer")
    batch = one_image_processor(sentences[:1], pictures[:1], boxes=[[[0, 0, 20, 20]]])
    features = model.encode_images(pixel_values=batch.pop("pixel_values"))
    with pytest.raises(ValueError, match="whole pictures alone"):
        model(**batch, **features)
