"""A misspelt key of a sub-config is refused wherever it is written; what was saved loads as before."""

from __future__ import annotations

import json

import pytest
from transformers import AutoConfig, AutoModelForTokenClassification, BertConfig

from configuration_2mner import load_preset
from modeling_2mner import TwoMNERConfig
from modeling_2mner.configuration_parts import check_part

MISSPELT = [
    ("text_config", "hidden_sise", "hidden_size"),
    ("vision_config", "patchsize", "patch_size"),
    ("resnet_config", "depth", "depths"),
]
# Names that the checkpoint of multilingual BERT still has, and some that every config takes.
LEGACY = {"directionality": "bidi", "pooler_fc_size": 768, "pooler_num_attention_heads": 12, "pooler_type": "first"}
GENERAL = {"attn_implementation": "eager", "torch_dtype": "float32", "output_attentions": False, "_name_or_path": "x"}


@pytest.mark.parametrize(("field", "key", "meant"), MISSPELT)
def test_a_misspelt_key_is_refused_with_what_was_meant(make_config, tmp_path, field, key, meant):
    message = f"`{key}` is not a field of `{field}`; did you mean `{meant}`"
    with pytest.raises(ValueError, match=message):
        TwoMNERConfig(**{field: {key: 16}})
    with pytest.raises(ValueError, match=message):
        AutoConfig.for_model("2m-ner", **{field: {key: 16}})
    with pytest.raises(ValueError, match=message):
        load_preset("2m-ner-demo", **{field: {key: 16}})
    make_config().save_pretrained(tmp_path)
    for read in (TwoMNERConfig.from_pretrained, AutoConfig.from_pretrained):
        with pytest.raises(ValueError, match=message):
            read(tmp_path, **{field: {key: 16}})


def test_the_configs_of_comparison_models_are_checked_too(make_baseline):
    with pytest.raises(ValueError, match="did you mean `hidden_size`"):
        make_baseline("umgf", text_config={"hidden_sise": 16})


def test_a_key_inside_a_nested_config_is_found():
    with pytest.raises(ValueError, match=r"`hidden_sise` is not a field of `c\.vision_config`"):
        check_part("c", {"vision_config": {"hidden_sise": 3}}, "clip")


def test_an_unknown_key_among_changes_is_refused(make_config, tmp_path):
    with pytest.raises(ValueError, match=r"`colour` is not a field of `text_config`.*leave it out"):
        load_preset("2m-ner-demo", text_config={"colour": 1})
    make_config().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"`colour` is not a field of `text_config`.*leave it out"):
        TwoMNERConfig.from_pretrained(tmp_path, text_config={"colour": 1})


def test_known_and_outdated_names_are_accepted(make_config):
    assert make_config(text_config=LEGACY | GENERAL).hidden_size == 16
    assert make_config(text_config={"num_hidden_layers": 1, "type_vocab_size": 1}).text_config.num_hidden_layers == 1


def test_what_was_saved_loads_whatever_its_names(make_config, make_model, tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    saved["text_config"] |= {"hidden_sise": 3, "position_embedding_typ": "absolute"}
    path.write_text(json.dumps(saved))
    assert AutoModelForTokenClassification.from_pretrained(tmp_path).config.hidden_size == 16
    changed = TwoMNERConfig.from_pretrained(tmp_path, text_config={"hidden_dropout_prob": 0.3})
    assert changed.text_config.hidden_dropout_prob == 0.3
    assert TwoMNERConfig(text_config=BertConfig(hidden_size=24, **LEGACY).to_dict()).hidden_size == 24
