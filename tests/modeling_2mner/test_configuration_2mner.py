from __future__ import annotations

import json

import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, BertConfig

from modeling_2mner import LABELS, TwoMNERConfig, TwoMNERModel
from modeling_2mner.encoders import build_encoder


def test_defaults_are_the_network_of_the_paper():
    config = TwoMNERConfig()
    text, vision, resnet = config.text_config, config.vision_config, config.resnet_config
    assert (text.model_type, vision.model_type, resnet.model_type) == ("bert", "clip_vision_model", "resnet")
    assert (text.vocab_size, text.hidden_size, text.num_hidden_layers, text.num_attention_heads) == (
        119547,
        768,
        12,
        12,
    )
    assert (vision.hidden_size, vision.num_hidden_layers, vision.num_attention_heads) == (768, 12, 12)
    assert (vision.image_size, vision.patch_size, config.num_vit_tokens) == (224, 32, 50)
    assert (resnet.depths, resnet.hidden_sizes, resnet.layer_type) == (
        [3, 8, 36, 3],
        [256, 512, 1024, 2048],
        "bottleneck",
    )
    assert (config.alpha, config.dropout, config.contrastive_temperature) == (0.8, 0.1, 0.5)
    assert (config.contrastive_loss, config.contrastive_text_pooling, config.contrastive_vit_pooling) == (
        *("ntxent", "pooler", "flatten"),
    )
    assert (config.vit_tokens, config.resnet_features, config.resnet_batch_norm) == ("all", "regions", "fixed")
    assert config.use_vit and config.use_resnet and config.use_crf and config.collaboration_ffn
    assert not config.fusion_projection and not config.mask_duplicate_images
    assert config.crf_constrained_decoding and not config.crf_constrained_likelihood
    assert (config.num_collaboration_heads, config.fused_size) == (12, 1536)


def test_defaults_are_not_shared_between_configs():
    TwoMNERConfig().text_config.vocab_size = 3
    TwoMNERConfig(text_config={"model_type": "bert", "vocab_size": 3})
    assert TwoMNERConfig().text_config.vocab_size == 119547


def test_labels_are_the_nine_in_their_order():
    config = TwoMNERConfig()
    assert LABELS == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC")
    assert config.id2label == dict(enumerate(LABELS)) and config.num_labels == 9
    assert config.label2id == {label: index for index, label in enumerate(LABELS)}


def test_round_trip_through_a_folder(tmp_path, make_config):
    names = ["O", "B-DISH", "I-DISH"]
    config = make_config(
        **{"alpha": 0.3, "use_resnet": False, "vit_tokens": "patches", "contrastive_vit_pooling": "mean"},
        **{"num_text_layers": 1, "id2label": dict(enumerate(names))},
    )
    config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["text_config"]["model_type"] == "bert" and saved["label2id"] == {"O": 0, "B-DISH": 1, "I-DISH": 2}
    for loaded in (TwoMNERConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert type(loaded) is TwoMNERConfig and type(loaded.text_config) is BertConfig
        assert loaded.to_diff_dict() == config.to_diff_dict()
        assert loaded.id2label == dict(enumerate(names)) and loaded.text_config.num_hidden_layers == 1


def test_saved_config_names_the_classes_that_load_it(tmp_path, make_config):
    make_config().save_pretrained(tmp_path)
    auto_map = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    assert auto_map["AutoConfig"] == "configuration_2mner.TwoMNERConfig"
    assert auto_map["AutoModel"] == "modeling_2mner.TwoMNERModel"
    assert auto_map["AutoModelForTokenClassification"] == "modeling_2mner.TwoMNERForTokenClassification"


@pytest.mark.parametrize(
    "encoder, field", [("text_config", "num_text_layers"), ("vision_config", "num_vision_layers")]
)
def test_first_layers_are_kept(make_config, encoder, field):
    assert getattr(make_config(), encoder).num_hidden_layers == 2
    assert getattr(make_config(**{field: 1}), encoder).num_hidden_layers == 1
    for wrong in (0, 3, -1):
        with pytest.raises(ValueError, match=f"`{field}` is {wrong}.*from 1 to 2"):
            make_config(**{field: wrong})


def test_first_layers_do_not_shorten_the_callers_config():
    encoder = BertConfig(num_hidden_layers=4)
    assert TwoMNERConfig(text_config=encoder, num_text_layers=2).text_config.num_hidden_layers == 2
    assert encoder.num_hidden_layers == 4


@pytest.mark.parametrize(
    "field, wrong, remedy",
    [
        ("vit_tokens", "patch", "'patches'"),
        ("resnet_features", "grid", "'regions'"),
        ("resnet_batch_norm", "frozen", "'fixed'"),
        ("contrastive_text_pooling", "max", "'pooler'"),
        ("contrastive_vit_pooling", "pooler", "'flatten'"),
        ("contrastive_loss", "NTXent", "'ntxent'"),
        ("alpha", 1.5, "from 0 to 1"),
        ("alpha", -0.1, "from 0 to 1"),
        ("dropout", 1.0, "below 1"),
        ("contrastive_temperature", 0, "above 0"),
        ("contrastive_temperature", float("nan"), "above 0"),
        ("contrastive_temperature", float("inf"), "finite"),
        *[("crf_temperature", wrong, "finite number above 0") for wrong in (0, -1.0, float("nan"), float("inf"))],
        ("collaboration_heads", 3, "divisor"),
        ("collaboration_heads", 0, "divisor"),
        ("collaboration_intermediate_size", 0, "above 0"),
        ("projection_dim", -4, "above 0"),
    ],
)
def test_an_unknown_value_is_refused_with_a_remedy(make_config, field, wrong, remedy):
    with pytest.raises(ValueError, match=f"`{field}` is .*{remedy}"):
        make_config(**{field: wrong})


@pytest.mark.parametrize(
    "contradiction, named",
    [
        ({"vit_tokens": "patches", "contrastive_vit_pooling": "cls"}, "`contrastive_vit_pooling"),
        ({"use_crf": False, "crf_constrained_likelihood": True}, "`crf_constrained_likelihood=True`"),
        ({"fusion_projection": True, "use_vit": False, "use_resnet": False}, "`fusion_projection=True`"),
        ({"num_labels": 4}, "`num_labels` is 4.*`id2label`"),
        ({"label2id": {"O": 0, "B-X": 1}}, "`label2id` is not the inverse of `id2label`"),
        ({"id2label": {0: "O", 1: "B-X"}, "label2id": {"O": 1, "B-X": 0}}, "`label2id` is not the inverse"),
        ({"id2label": {0: "O", 1: "O", 2: "B-X"}}, "`id2label`"),
        ({"id2label": {1: "O", 2: "B-X"}}, "`id2label`"),
    ],
)
def test_a_contradiction_is_refused(make_config, contradiction, named):
    with pytest.raises(ValueError, match=named):
        make_config(**contradiction)


@pytest.mark.parametrize(
    "misspelt, meant",
    [("use_vitt", "use_vit"), ("aplha", "alpha"), ("drop_out", "dropout"), ("contrastive_temprature", None)],
)
def test_a_misspelt_field_is_refused(make_config, misspelt, meant):
    with pytest.raises(ValueError, match=f"`{misspelt}` is not a field.*did you mean `{meant or 'contrastive_temp'}"):
        make_config(**{misspelt: 1})


def test_a_wrong_type_is_refused(make_config):
    with pytest.raises(StrictDataclassError, match="alpha"):
        make_config(alpha="0.8")


def test_fields_that_transformers_and_its_trainer_write_are_accepted(make_config):
    config = make_config(use_cache=False, architectures=["TwoMNERModel"], transformers_version="5.23.0")
    assert config.architectures == ["TwoMNERModel"]


def test_a_value_spoilt_later_is_refused_when_saving_and_when_building(tmp_path, make_config):
    config = make_config()
    config.vit_tokens = "patch"
    with pytest.raises((ValueError, StrictDataclassError), match="vit_tokens"):
        config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="`vit_tokens` is 'patch'"):
        TwoMNERModel(config)


def test_changes_while_loading_are_checked_and_obeyed(tmp_path, make_config):
    make_config().save_pretrained(tmp_path)
    assert TwoMNERConfig.from_pretrained(tmp_path, alpha=0.5).alpha == 0.5
    changed = TwoMNERConfig.from_pretrained(tmp_path, num_text_layers=1, text_config={"hidden_dropout_prob": 0.0})
    assert changed.text_config.hidden_dropout_prob == 0.0 and changed.text_config.hidden_size == 16
    assert changed.text_config.num_hidden_layers == 1
    with pytest.raises(ValueError, match="`alpha` is 7"):
        TwoMNERConfig.from_pretrained(tmp_path, alpha=7)
    with pytest.raises(ValueError, match="`label2id`"):
        TwoMNERConfig.from_pretrained(tmp_path, id2label={0: "O", 1: "B-X"})


def test_code_named_by_an_encoders_config_is_not_run(tmp_path, make_config):
    (tmp_path / "evil.py").write_text("raise SystemExit('this code ran')\n")
    remote = {"auto_map": {"AutoModel": f"{tmp_path}--evil.Evil"}, "trust_remote_code": True}
    config = make_config(text_config=remote)
    assert type(build_encoder(config.text_config)).__name__ == "BertModel"
    with pytest.raises(ValueError, match="Unrecognized model type"):
        make_config(text_config={**remote, "model_type": "evil"})


@pytest.mark.parametrize("model_type", ["bilstm-crf", "adacan", "bert-crf", "umt", "umgf", "mkgformer"])
def test_all_models_have_a_temperature_which_is_saved(make_baseline, model_type, tmp_path):
    make_baseline(model_type).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert saved["crf_temperature"] == AutoConfig.from_pretrained(tmp_path).crf_temperature == 1.0
    (tmp_path / "config.json").write_text(json.dumps(saved | {"crf_temperature": 1.625}), encoding="utf-8")
    AutoConfig.from_pretrained(tmp_path).save_pretrained(tmp_path / "again")
    assert AutoConfig.from_pretrained(tmp_path / "again").crf_temperature == 1.625
    del saved["crf_temperature"]  # a config from before the field
    (tmp_path / "config.json").write_text(json.dumps(saved), encoding="utf-8")
    assert AutoConfig.from_pretrained(tmp_path).crf_temperature == 1.0


def test_variables_of_the_class_are_no_fields():
    fields = set(TwoMNERConfig.own_fields())
    assert {"crf_temperature", "vit_tokens", "text_config"} <= fields
    assert not {"choices", "encoder_defaults", "image_switches", "default_auto_map"} & fields
