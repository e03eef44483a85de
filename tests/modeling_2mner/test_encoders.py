from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from torch import nn
from transformers import (
    AutoModel,
    BertForPreTraining,
    CLIPConfig,
    CLIPModel,
    DebertaV2Config,
    DebertaV2Model,
    ResNetConfig,
    ResNetForImageClassification,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from modeling_2mner import TwoMNERForTokenClassification, encoders
from modeling_2mner.encoders import (
    ENCODER_ALIASES,
    ENCODERS,
    build_encoder,
    encode_resnet,
    gather_images,
    gather_words,
    hold_batch_norm,
    load_resnet_encoder,
    load_text_encoder,
    load_vision_encoder,
    pool_text,
    pool_vit,
)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, make_config, shake) -> SimpleNamespace:
    """Checkpoints of the architectures that the paper's encoders are published as, in folders of their own."""
    config = make_config()
    clip = CLIPConfig(
        text_config={"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        | {"vocab_size": 20},
        vision_config=config.vision_config.to_dict(),
        projection_dim=6,
    )
    networks = {
        "bert": BertForPreTraining(config.text_config),
        "clip": CLIPModel(clip),
        "resnet": ResNetForImageClassification(config.resnet_config),
    }
    folder = tmp_path_factory.mktemp("pretrained")
    for name, network in networks.items():
        shake(network).eval().save_pretrained(folder / name)
    return SimpleNamespace(folder=folder, **networks)


@pytest.fixture(scope="module")
def assembled(pretrained) -> TwoMNERForTokenClassification:
    folder = pretrained.folder
    return TwoMNERForTokenClassification.from_encoders(folder / "bert", folder / "clip", folder / "resnet")


def assert_equal_tensors(loaded: nn.Module, pretrained: nn.Module) -> None:
    expected = pretrained.state_dict()
    assert set(loaded.state_dict()) == set(expected)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_words_are_gathered_over_windows():
    states = torch.arange(3 * 4 * 2).reshape(3, 4, 2).float()  # (windows, pieces, hidden)
    words = gather_words(states, torch.tensor([[1, 6, 11], [9, 0, 0]]))
    assert words.shape == (2, 3, 2)
    assert torch.equal(words[0], torch.stack([states[0, 1], states[1, 2], states[2, 3]]))
    assert torch.equal(words[1, 0], states[2, 1])


def test_pictures_are_shared_by_index():
    features = torch.tensor([[1.0], [2.0]])
    assert gather_images(features, torch.tensor([1, -1, 0, 1])).flatten().tolist() == [2.0, 1.0, 1.0, 2.0]


def test_text_is_pooled_from_its_first_window_or_over_its_words():
    outputs = SimpleNamespace(last_hidden_state=torch.randn(4, 5, 3), pooler_output=torch.randn(4, 3))
    words, first_window = torch.randn(2, 3, 3), torch.tensor([0, 3])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    args = outputs, words, mask, first_window
    assert torch.equal(pool_text(*args, "pooler"), outputs.pooler_output[[0, 3]])
    assert torch.equal(pool_text(*args, "cls"), outputs.last_hidden_state[[0, 3], 0])
    mean = pool_text(*args, "mean")
    torch.testing.assert_close(mean[0], (words[0, 0] + words[0, 1]) / 2)
    assert (mean[1] == 0).all()


def test_vit_tokens_are_pooled():
    tokens = torch.randn(2, 5, 3)
    assert torch.equal(pool_vit(tokens, "flatten"), tokens.reshape(2, 15))
    assert torch.equal(pool_vit(tokens, "cls"), tokens[:, 0])
    torch.testing.assert_close(pool_vit(tokens, "mean"), tokens.sum(dim=1) / 5)


def test_only_batch_norms_are_held():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3)), nn.LayerNorm(3)).train()
    hold_batch_norm(network)
    assert [module.training for module in network.modules()] == [True, False, True, True, False, True]


def test_the_pooler_is_built_only_when_needed(make_config):
    config = make_config().text_config
    assert build_encoder(config).pooler is None
    assert build_encoder(config, pooler=True).pooler is not None
    assert build_encoder(make_config().resnet_config) is not None


def test_every_pretrained_tensor_lands(assembled, pretrained):
    model = assembled.model
    assert_equal_tensors(model.text_model, pretrained.bert.bert)
    assert_equal_tensors(model.vision_model, pretrained.clip.vision_model)
    assert_equal_tensors(model.resnet_model, pretrained.resnet.resnet)
    assert not any("classifier" in name for name in model.state_dict())
    assert assembled.config.text_config.vocab_size == pretrained.bert.config.vocab_size
    assert model.text_model.config is assembled.config.text_config


def test_assembled_models_are_ready_for_inference(assembled, batch):
    assert not any(module.training for module in assembled.modules())
    with torch.no_grad():
        outputs = assembled(**batch)
    assert outputs.predictions.shape == (4, 8) and torch.isfinite(outputs.loss)


def test_an_assembled_model_reloads_equal(assembled, tmp_path):
    assembled.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(assembled.state_dict())
    loaded, info = TwoMNERForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not (info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"])
    assert_equal_tensors(loaded, assembled)


def test_padding_is_masked_in_assembled_and_in_new_models(assembled, make_model, batch):
    for model in (assembled, make_model()):
        changed = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 7)
        with torch.no_grad():
            assert torch.equal(model(**batch).logits, model(**batch | {"input_ids": changed}).logits)


def test_the_attention_implementation_reaches_the_layers_of_the_encoders(pretrained):
    folder = pretrained.folder
    model = TwoMNERForTokenClassification.from_encoders(folder / "bert", folder / "clip", folder / "resnet")
    for kind in ("sdpa", "eager", "sdpa"):
        model.set_attn_implementation(kind)
        assert model.config._attn_implementation == kind
        for encoder in (model.model.text_model, model.model.vision_model):
            found = {module.config._attn_implementation for module in encoder.modules() if hasattr(module, "config")}
            assert found == {kind}


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_the_attention_implementation_can_be_asked_for(pretrained, tmp_path, kind):
    folder = pretrained.folder
    encoders = folder / "bert", folder / "clip", folder / "resnet"
    model = TwoMNERForTokenClassification.from_encoders(*encoders, attn_implementation=kind)
    model.save_pretrained(tmp_path)
    loaded = TwoMNERForTokenClassification.from_pretrained(tmp_path, attn_implementation=kind)
    for network in (model, loaded):
        parts = network.config, network.model.text_model.config, network.model.vision_model.config
        assert [part._attn_implementation for part in parts] == [kind] * 3


def test_ready_encoders_keep_their_own_configs(pretrained, make_config, batch):
    text = load_text_encoder(str(pretrained.folder / "bert"), pooler=True)
    config = make_config(use_vit=False, use_resnet=False, text_config=text.config)
    model = TwoMNERForTokenClassification(config, text_model=text).eval()
    assert text.config is model.config.text_config and text.config._attn_implementation == "sdpa"
    changed = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 7)
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, model(**batch | {"input_ids": changed}).logits)


def test_saved_models_do_not_name_folders_of_this_machine(assembled, tmp_path):
    assembled.save_pretrained(tmp_path)
    assert "_name_or_path" not in (tmp_path / "config.json").read_text()


def test_encoders_can_be_shortened_and_left_out(pretrained, tmp_path):
    folder = pretrained.folder
    model = TwoMNERForTokenClassification.from_encoders(
        folder / "bert", folder / "clip", num_text_layers=1, num_vision_layers=1, alpha=0.5
    )
    assert (model.config.use_vit, model.config.use_resnet, model.config.alpha) == (True, False, 0.5)
    assert len(model.model.text_model.encoder.layer) == len(model.model.vision_model.encoder.layers) == 1
    assert_equal_tensors(model.model.text_model.encoder.layer[0], pretrained.bert.bert.encoder.layer[0])
    assert_equal_tensors(model.model.vision_model.encoder.layers[0], pretrained.clip.vision_model.encoder.layers[0])
    model.save_pretrained(tmp_path)
    loaded, info = TwoMNERForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not (info["missing_keys"] or info["unexpected_keys"])
    assert_equal_tensors(loaded, model)
    text_only = TwoMNERForTokenClassification.from_encoders(folder / "bert")
    assert text_only.config.num_branches == 0 and text_only.model.text_model.pooler is None


def test_assembling_refuses_contradictions(pretrained):
    folder = pretrained.folder
    with pytest.raises(ValueError, match="`use_vit=True` needs an encoder; pass `vision`"):
        TwoMNERForTokenClassification.from_encoders(folder / "bert", use_vit=True)
    with pytest.raises(ValueError, match="`use_resnet=True` needs an encoder; pass `resnet`"):
        TwoMNERForTokenClassification.from_encoders(folder / "bert", folder / "clip", use_resnet=True)
    for wrong in (0, 3):
        with pytest.raises(ValueError, match=f"`num_text_layers` is {wrong}.*from 1 to 2"):
            TwoMNERForTokenClassification.from_encoders(folder / "bert", num_text_layers=wrong)
    with pytest.raises(ValueError, match="`num_vision_layers` is 3"):
        TwoMNERForTokenClassification.from_encoders(folder / "bert", folder / "clip", num_vision_layers=3)
    with pytest.raises(ValueError, match="`resnet` names a 'clip' model"):
        load_resnet_encoder(str(folder / "clip"))
    with pytest.raises(ValueError, match="`vision` names a 'resnet' model"):
        load_vision_encoder(str(folder / "resnet"))


def test_a_vision_tower_alone_loads_too(pretrained, tmp_path):
    load_vision_encoder(str(pretrained.folder / "clip")).save_pretrained(tmp_path)
    assert_equal_tensors(load_vision_encoder(str(tmp_path)), pretrained.clip.vision_model)


def test_encoders_stored_in_half_precision_are_read_in_single(pretrained, tmp_path, batch):
    for name in ("bert", "clip", "resnet"):
        AutoModel.from_pretrained(pretrained.folder / name, dtype=torch.float16).save_pretrained(tmp_path / name)
    model = TwoMNERForTokenClassification.from_encoders(tmp_path / "bert", tmp_path / "clip", tmp_path / "resnet")
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert model(**batch).logits.isfinite().all()


def test_code_in_an_encoders_folder_is_not_run(pretrained, tmp_path):
    source = Path(load_folder(pretrained.folder / "bert", tmp_path))
    config = json.loads((source / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}, "trust_remote_code": True}
    (source / "config.json").write_text(json.dumps(config))
    (source / "evil.py").write_text(f"open({str(source / 'ran')!r}, 'w').close()\n")
    assert type(load_text_encoder(str(source))).__name__ == "BertModel"
    (source / "config.json").write_text(json.dumps(config | {"model_type": "evil"}))
    with pytest.raises(ValueError, match="trust_remote_code"):
        load_text_encoder(str(source))
    assert not (source / "ran").exists()


def load_folder(source: Path, target: Path) -> Path:
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


OTHER_TEXT_ENCODERS = {
    "xlm-roberta": (XLMRobertaForMaskedLM, XLMRobertaConfig, {"pad_token_id": 1, "type_vocab_size": 1}),
    "deberta-v2": (
        *(DebertaV2Model, DebertaV2Config),
        {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8},
    ),
}


@pytest.fixture(scope="module", params=OTHER_TEXT_ENCODERS)
def other_text_encoder(request, tmp_path_factory, shake) -> Path:
    network, config, extra = OTHER_TEXT_ENCODERS[request.param]
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
    folder = tmp_path_factory.mktemp(request.param)
    shake(network(config(vocab_size=200, max_position_embeddings=70, **sizes, **extra))).eval().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_other_text_encoders_work(other_text_encoder, pretrained, batch, tmp_path, pooling):
    model = TwoMNERForTokenClassification.from_encoders(
        other_text_encoder, pretrained.folder / "clip", contrastive_text_pooling=pooling
    )
    with torch.no_grad():
        outputs = model(**batch)
    assert outputs.logits.shape == (4, 8, 9) and torch.isfinite(outputs.loss)
    assert outputs.text_embeds.shape == outputs.vit_embeds.shape == (4, 16)
    model.save_pretrained(tmp_path)
    loaded, info = TwoMNERForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not (info["missing_keys"] or info["unexpected_keys"])
    with torch.no_grad():
        assert torch.equal(loaded(**batch).logits, outputs.logits)


def test_a_pooler_that_the_encoder_has_not_is_refused():
    config = DebertaV2Config(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=4)
    message = r"`contrastive_text_pooling=\"pooler\"` needs .*'deberta-v2' has none; write .*\"cls\"` or `\"mean\"`"
    with pytest.raises(ValueError, match=message):
        build_encoder(config, pooler=True)


def test_a_resnet_of_another_layer_type_loads(tmp_path, shake):
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="bottleneck")
    network = shake(ResNetForImageClassification(config)).eval()
    network.save_pretrained(tmp_path)
    assert_equal_tensors(load_resnet_encoder(str(tmp_path)), network.resnet)


@pytest.mark.parametrize("kind", ["2m-ner", "adacan", "bert-crf", "bilstm-crf", "mkgformer", "umgf", "umt"])
def test_the_encoders_of_all_models_stand_in_one_table(make_model, make_baseline, kind):
    model = make_model() if kind == "2m-ner" else make_baseline(kind)
    there = {name for name, encoder in ENCODERS.items() if hasattr(model.base_model, encoder.module)}
    assert there == set(model.base_model.encoders) - ({"text"} if kind == "adacan" else set())  # it reads words
    assert set(model.config.image_switches) == there - {"text"}
    assert all(getattr(model.config, switch) for switch in model.config.image_switches.values())
    assert not set(ENCODER_ALIASES) & set(ENCODERS) and set(ENCODER_ALIASES.values()) <= set(ENCODERS)


def test_a_model_cannot_do_without_its_text_encoder():
    with pytest.raises(ValueError, match="`text` is missing"):
        TwoMNERForTokenClassification.from_encoders(vision="somewhere")


class TestWindowsInGroups:
    @pytest.fixture
    def long_batch(self, processor):
        """Five windows of one text, and a short sentence."""
        return processor([["Anna", "in", "Köln"] * 35, ["Paris"]])

    @pytest.fixture
    def groups(self, monkeypatch):
        """Two windows a group, and the windows that an encoder reads at once."""

        def watch(text_model) -> list[int]:
            seen: list[int] = []
            forward = text_model.forward
            monkeypatch.setattr(encoders, "WINDOW_PIECES", 2 * 64)
            monkeypatch.setattr(
                text_model,
                "forward",
                lambda **inputs: seen.append(len(inputs["input_ids"])) or forward(**inputs),
            )
            return seen

        return watch

    def test_states_are_the_same(self, make_model, long_batch, groups, predict):
        model = make_model()
        expected = predict(model, long_batch)
        seen = groups(model.model.text_model)
        found = predict(model, long_batch)
        assert max(seen) == 2 and sum(seen) == len(long_batch["input_ids"]) == 6
        assert (found.logits - expected.logits).abs().max() < 1e-6
        assert found.predictions.equal(expected.predictions)
        assert (found.text_embeds - expected.text_embeds).abs().max() < 1e-6

    @pytest.mark.parametrize("kind", ["bert-crf", "umt", "umgf", "mkgformer"])
    def test_of_every_model_on_sub_words(self, make_baseline, one_image_processor, groups, predict, kind):
        model = make_baseline(kind)
        batch = one_image_processor([["Anna", "in", "Köln"] * 35, ["Paris"]])
        expected = predict(model, batch)
        seen = groups(model.model.text_model)
        assert (predict(model, batch).logits - expected.logits).abs().max() < 1e-6
        assert max(seen, default=2) == 2

    def test_not_in_training_and_not_one_window_a_sentence(self, make_model, processor, long_batch, groups):
        model = make_model()
        seen = groups(model.model.text_model)
        model.train()(**long_batch)
        model.eval()(**processor([["Anna", "in", "Köln"]] * 40))
        assert seen == [len(long_batch["input_ids"]), 40]


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
def test_few_pictures_on_one_thread_take_the_fast_convolutions(shake):
    """torch chooses slow ones for convolutions of one pixel; conftest.py sets one thread."""
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 20], depths=[1, 2], layer_type="bottleneck")
    resnet, pixels = shake(build_encoder(config)).eval(), torch.rand(3, 3, 32, 32)

    def run(**autocast) -> tuple[torch.Tensor, set[str]]:
        with torch.profiler.profile() as profile, torch.autocast("cpu", torch.bfloat16, **autocast):
            grid = encode_resnet(resnet, pixels)[0]
        return grid, {event.key for event in profile.key_averages()}

    plain, steps = run(enabled=False)  # with gradient, as in training
    assert "aten::_slow_conv2d_forward" in steps and plain.requires_grad
    with torch.no_grad():
        found, steps = run(enabled=False)
        assert "aten::_slow_conv2d_forward" not in steps and "aten::mkldnn_convolution" in steps
        assert run(enabled=True)[0].dtype == torch.bfloat16
        with torch.backends.mkldnn.flags(enabled=False):
            assert "aten::mkldnn_convolution" not in run(enabled=False)[1]
    torch.testing.assert_close(found, plain.detach(), atol=1e-5, rtol=1e-5)
