"""How MKGFormer is put together: new weights, pretrained encoders, and what its configuration refuses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertForPreTraining, CLIPConfig, CLIPModel, CLIPVisionModel, XLMRobertaModel

from modeling_2mner import MKGFormerConfig, MKGFormerForTokenClassification

DEPTH = {"num_hidden_layers": 4}
DEEP = {"text_config": DEPTH, "vision_config": DEPTH, "fusion_start_layer": 3}


@pytest.fixture(scope="module")
def network(make_baseline) -> MKGFormerForTokenClassification:
    return make_baseline("mkgformer", **DEEP)


@pytest.fixture(scope="module")
def inputs(one_image_processor, sentences, pictures) -> dict[str, torch.Tensor]:
    """Two sentences with a picture, and one without."""
    return dict(one_image_processor(sentences[:3], [pictures[0], None, pictures[1]]))


def test_new_weights_start_as_documented(network, tmp_path):
    torch.manual_seed(0)
    config = MKGFormerConfig(
        text_config={"model_type": "bert", "vocab_size": 9, "num_hidden_layers": 2, "hidden_size": 64}
        | {"num_attention_heads": 4, "intermediate_size": 64},
        vision_config={"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 64}
        | {"image_size": 32, "patch_size": 16},
        fusion_start_layer=2,
    )
    fresh = MKGFormerForTokenClassification(config)
    fresh.model.text_model.save_pretrained(tmp_path)  # a checkpoint in which all that is new is missing
    loaded = MKGFormerForTokenClassification.from_pretrained(tmp_path, config=config)
    for model in (fresh.model, loaded.model):
        for weight in (
            model.fusion_layers[0].fusion_dense.weight,
            model.object_embeddings.positions.weight,
            model.small_object_embeddings.positions.weight,
        ):
            assert 0.018 < weight.std() < 0.022 and weight.mean().abs() < 0.002
        assert not model.fusion_layers[0].fusion_dense.bias.any()


def test_full_size_has_the_parameters_of_the_formulas():
    with torch.device("meta"):
        model = MKGFormerForTokenClassification(MKGFormerConfig())
    encoders = ("text_model", "vision_model")
    new = {n: p.numel() for n, p in model.model.named_parameters() if not n.startswith(encoders)}
    assert sum(new.values()) == 4 * (768 * 3072 + 3072) + (48 + 12) * 768 == 9_495_552
    assert model.num_parameters() - model.model.num_parameters() == (768 * 9 + 9) + (9 * 9 + 2 * 9)


@pytest.fixture(scope="module")
def pretrained(network, shake, tmp_path_factory) -> SimpleNamespace:
    """A BERT, a CLIP tower and a whole CLIP in folders of their own."""
    folder = tmp_path_factory.mktemp("pretrained")
    text, vision = network.config.text_config, network.config.vision_config
    clip = CLIPConfig(
        text_config={"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        | {"vocab_size": 20},
        vision_config=vision.to_dict(),
        projection_dim=6,
    )
    for name, encoder in (
        ("bert", BertForPreTraining(text)),
        ("tower", CLIPVisionModel(vision)),
        ("clip", CLIPModel(clip)),
    ):
        shake(encoder).save_pretrained(folder / name)
    return SimpleNamespace(**{name: folder / name for name in ("bert", "tower", "clip")})


@pytest.mark.parametrize("vision", ["tower", "clip"])
def test_every_tensor_of_the_pretrained_encoders_lands(vision, pretrained, inputs, predict):
    source = getattr(pretrained, vision)
    model = MKGFormerForTokenClassification.from_encoders(
        text=str(pretrained.bert), vision=str(source), fusion_start_layer=3, aux_crop_size=32, rcnn_crop_size=16
    )
    own = model.model.state_dict()
    saved = {
        name.replace("bert.", "text_model.", 1): tensor
        for name, tensor in load_file(pretrained.bert / "model.safetensors").items()
        if name.startswith("bert.") and "pooler" not in name
    }
    for name, tensor in load_file(source / "model.safetensors").items():
        if vision == "tower" or name.startswith("vision_model."):
            # The tower's own tensors are stored under either name, depending on the version of transformers.
            saved["vision_model." + name.removeprefix("vision_model.")] = tensor
    assert {name for name in own if not name.startswith(("fusion", "object", "small"))} == set(saved)
    assert all(torch.equal(own[name], tensor) for name, tensor in saved.items())
    assert predict(model, inputs).logits.isfinite().all()


def test_an_encoder_of_the_family_is_as_good_as_bert(make_baseline, inputs, predict):
    text = {"model_type": "xlm-roberta", "pad_token_id": 0}
    network = make_baseline("mkgformer", **{**DEEP, "text_config": {**DEEP["text_config"], **text}})
    assert isinstance(network.model.text_model, XLMRobertaModel)
    model, mask = network.model, inputs["attention_mask"].bool()
    with torch.no_grad():
        before, states, _ = model.encode_text(inputs["input_ids"], inputs["attention_mask"])
        stock = model.text_model(inputs["input_ids"], inputs["attention_mask"], output_hidden_states=True)
    assert torch.equal(states[mask], stock.hidden_states[2][mask])
    assert torch.equal(before[mask], stock.hidden_states[1][mask])
    without = predict(network, inputs, pixel_values=None)
    assert (predict(network, inputs).logits[0, 0] != without.logits[0, 0]).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"text_config": {"model_type": "electra"}},
            "'electra' and 'clip_vision_model'; choose a text encoder of 'bert'",
        ),
        ({"vision_config": {"model_type": "siglip_vision_model"}}, "'bert' and 'siglip_vision_model'; choose"),
        ({"vision_config": {"num_hidden_layers": 3}}, "are 2, 16 and 4, of the ViT 3, 16 and 4; choose"),
        ({"vision_config": {"num_attention_heads": 2}}, "are 2, 16 and 4, of the ViT 2, 16 and 2; choose"),
        ({"fusion_start_layer": 1}, "`fusion_start_layer` is 1; write a layer from 2 to 2"),
        ({"fusion_start_layer": 3}, "`fusion_start_layer` is 3; write a layer from 2 to 2"),
        ({"aux_crop_size": 40}, "`aux_crop_size` is 40; write a multiple of 16"),
        ({"rcnn_crop_size": 0}, "`rcnn_crop_size` is 0; write a number above 0"),
        ({"num_aux_crops": -1}, "`num_aux_crops` is -1; write a number of crops"),
    ],
)
def test_a_network_that_cannot_be_is_refused(changes, message, make_baseline):
    with pytest.raises(ValueError, match=message):
        make_baseline("mkgformer", **changes)


def test_a_text_only_network_may_have_any_encoder(make_baseline):
    network = make_baseline("mkgformer", use_image=False, text_config={"model_type": "electra"})
    assert not hasattr(network.model, "vision_model")


def test_a_network_may_take_no_crops(make_baseline, inputs, tmp_path, predict):
    network = make_baseline("mkgformer", num_aux_crops=0, num_rcnn_crops=0)
    network.save_pretrained(tmp_path)
    loaded = MKGFormerForTokenClassification.from_pretrained(tmp_path)
    assert torch.equal(predict(loaded, inputs).logits, predict(network, inputs).logits)
    with pytest.raises(ValueError, match="at most 0 crops"):
        predict(network, inputs, object_pixel_values=torch.zeros(3, 1, 3, 32, 32))


def test_flash_attention_is_refused(network):
    with pytest.raises(ValueError, match="does not support Flash Attention"):
        MKGFormerForTokenClassification._from_config(network.config, attn_implementation="flash_attention_2")
