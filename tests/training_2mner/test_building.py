from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForTokenClassification,
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    CLIPVisionModel,
    ResNetModel,
    RobertaConfig,
    RobertaModel,
)

from modeling_2mner import LABELS
from modeling_2mner.processing_2mner import imagenet_processor
from training_2mner.arguments import ModelArguments
from training_2mner.building import build_tagger, build_tokenizer, is_checkpoint, learn_vocabulary

SENTENCES = [["Anna", "Meier", "in", "Paris"], ["the", "Louvre", "est", "in", "Paris"], ["Köln", "🙂"]] * 3
SIZES = {"vocabulary_size": 60, "max_length": 64, "resnet_image_size": 32}


@pytest.fixture
def build_from(preset):
    """Build a model and a processor of the tiny preset."""

    def make(labels=LABELS, model=preset, **arguments):
        return build_tagger(ModelArguments(model=str(model), **{**SIZES, **arguments}), SENTENCES, list(labels))

    return make


@pytest.fixture(scope="module")
def encoders(tmp_path_factory, make_config, tokenizer, shake) -> dict[str, str]:
    """Folders of tiny pretrained encoders: text with its tokenizer, ViT, ResNet."""
    folder = tmp_path_factory.mktemp("encoders")
    config = make_config()
    networks = {
        "text": BertModel(config.text_config),
        "vision": CLIPVisionModel(config.vision_config),
        "resnet": ResNetModel(config.resnet_config),
    }
    for name, network in networks.items():
        shake(network).save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / "text")
    return {f"{name}_encoder": str(folder / name) for name in networks}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, make_model, processor) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    make_model().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def same_weights(network: torch.nn.Module, folder: str, network_class, **kwargs) -> bool:
    """Whether every weight and statistic is the one saved in the folder."""
    saved = network_class.from_pretrained(folder, **kwargs).state_dict()
    state = network.state_dict()
    return state.keys() == saved.keys() and all(state[name].equal(value) for name, value in saved.items())


def test_preset_with_a_new_vocabulary(build_from):
    model, processor = build_from(tokenizer="new")
    batch = processor(SENTENCES[:3], None, [["O"] * len(words) for words in SENTENCES[:3]])

    assert model.config.text_config.vocab_size == len(processor.tokenizer) <= 60
    assert model.config.num_branches == 2
    assert processor.tokenizer.unk_token_id not in batch["input_ids"]
    assert processor.tokenizer.convert_tokens_to_ids(["[PAD]", "[UNK]", "[CLS]"]) == [0, 1, 2]
    assert torch.isfinite(model(**batch).loss)


def test_a_new_vocabulary_keeps_case_and_accents():
    tokenizer = build_tokenizer(ModelArguments(tokenizer="new", vocabulary_size=100), SENTENCES)

    assert "".join(tokenizer.tokenize("Köln")).replace("##", "") == "Köln"
    assert tokenizer.tokenize("Paris") == ["Paris"]


def test_a_new_vocabulary_is_the_same_each_time():
    """Two processes, or a resumed run, learn it each for itself; a shuffled one would make the embeddings nonsense."""
    letters = "abcdefghijklmnop"
    sentences = [[first + second + first for first in letters] for second in letters]  # every pair equally often
    emoji = [[chr(0x1F300 + number)] for number in range(1200)]
    arguments = ModelArguments(tokenizer="new", vocabulary_size=1400)
    vocabularies = [build_tokenizer(arguments, sentences * 2 + emoji).get_vocab() for _ in range(4)]

    assert all(vocabulary == vocabularies[0] for vocabulary in vocabularies)
    assert len(vocabularies[0]) == 1400


def test_preset_with_a_tokenizer_of_a_folder(build_from, encoders, tokenizer):
    model, processor = build_from(tokenizer=encoders["text_encoder"])

    assert processor.tokenizer.get_vocab() == tokenizer.get_vocab()
    assert model.config.text_config.vocab_size == len(tokenizer)


def test_a_tokenizer_must_be_named(build_from):
    with pytest.raises(ValueError, match="`tokenizer` is missing"):
        build_from()


def test_an_encoder_of_another_kind_is_told_as_such_and_a_missing_one_by_its_argument(build_from, encoders):
    text = encoders["text_encoder"]
    with pytest.raises(ValueError, match=r"^`resnet` names a 'bert' model"):
        build_from(text_encoder=text, resnet_encoder=text)
    with pytest.raises(ValueError, match=r"`resnet_encoder` '/nowhere' does not load; name a folder or a Hub id: "):
        build_from(text_encoder=text, resnet_encoder="/nowhere")


def test_pretrained_text_encoder_alone_makes_a_text_only_model(build_from, encoders):
    model, processor = build_from(text_encoder=encoders["text_encoder"], config={"use_vit": True})

    assert (model.config.use_vit, model.config.use_resnet) == (False, False)
    assert same_weights(model.model.text_model, encoders["text_encoder"], BertModel, add_pooling_layer=False)
    assert model(**processor([["Anna"]])).predictions.shape == (1, 1)


def test_pretrained_encoders_of_all_kinds(build_from, encoders, preset):
    model, processor = build_from(**encoders, config={"alpha": 0.6, "contrastive_vit_pooling": "mean"})

    assert same_weights(model.model.text_model, encoders["text_encoder"], BertModel)
    assert same_weights(model.model.vision_model, encoders["vision_encoder"], CLIPVisionModel)
    assert same_weights(model.model.resnet_model, encoders["resnet_encoder"], ResNetModel)
    assert (model.config.alpha, model.config.contrastive_vit_pooling) == (0.6, "mean")
    assert model.config.dropout == json.loads(preset.read_text(encoding="utf-8"))["dropout"]
    assert processor.image_processor.size["height"] == model.config.vision_config.image_size == 32


def test_the_image_tower_of_a_whole_clip(build_from, encoders, make_config, shake, tmp_path):
    vision = make_config().vision_config.to_dict()
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    clip = shake(CLIPModel(CLIPConfig(text_config={**text, "vocab_size": 30}, vision_config=vision, projection_dim=8)))
    clip.save_pretrained(tmp_path / "clip")
    model, _ = build_from(text_encoder=encoders["text_encoder"], vision_encoder=str(tmp_path / "clip"))

    assert (model.config.use_vit, model.config.use_resnet) == (True, False)
    saved = clip.vision_model.state_dict()
    state = model.model.vision_model.state_dict()
    assert all(any(name.endswith(key) and state[name].equal(value) for name in state) for key, value in saved.items())


def test_pretrained_encoder_with_a_config_of_its_own_is_a_contradiction(build_from, encoders):
    with pytest.raises(ValueError, match="`text_config`"):
        build_from(text_encoder=encoders["text_encoder"], config={"text_config": {"hidden_dropout_prob": 0.3}})


def test_pretrained_encoder_with_a_new_vocabulary_is_a_contradiction(build_from, encoders):
    with pytest.raises(ValueError, match="`tokenizer`"):
        build_from(text_encoder=encoders["text_encoder"], tokenizer="new")


def test_no_machine_path_in_the_config_of_a_model_made_of_folders(build_from, encoders, tmp_path):
    model, processor = build_from(**encoders)
    model.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")

    for path in (tmp_path / "saved").glob("*.json"):
        assert str(Path(encoders["text_encoder"]).parent) not in path.read_text(encoding="utf-8"), path.name


def test_from_a_checkpoint(build_from, checkpoint, make_model, batch):
    model, processor = build_from(model=checkpoint)

    assert same_weights(model, checkpoint, AutoModelForTokenClassification)
    assert model(**batch).predictions.equal(make_model()(**batch).predictions)
    assert (processor.max_length, processor.labels) == (64, list(LABELS))


def test_config_changes_reach_a_checkpoint(build_from, checkpoint):
    changes = {"alpha": 0.3, "num_text_layers": 1, "text_config": {"hidden_dropout_prob": 0.3}}
    model, _ = build_from(model=checkpoint, config=changes)

    assert model.config.alpha == 0.3
    assert len(model.model.text_model.encoder.layer) == 1
    assert model.model.text_model.embeddings.dropout.p == 0.3


@pytest.mark.parametrize("changes", [{"alhpa": 0.3}, {"no_such_thing": 1}])
def test_an_unknown_field_is_an_error(build_from, checkpoint, changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        build_from(tokenizer="new", config=changes)
    with pytest.raises(ValueError, match=next(iter(changes))):
        build_from(model=checkpoint, config=changes)


@pytest.mark.parametrize("field", ["text_encoder", "vision_encoder", "resnet_encoder", "tokenizer"])
def test_a_checkpoint_with_other_encoders_is_a_contradiction(build_from, checkpoint, field):
    with pytest.raises(ValueError, match=f"`{field}`"):
        build_from(model=checkpoint, **{field: "other"})


def test_a_checkpoint_with_other_tags_is_an_error(build_from, checkpoint):
    with pytest.raises(ValueError, match=r"B-PER.*the data set O, B-LOC, I-LOC"):
        build_from(model=checkpoint, labels=["O", "B-LOC", "I-LOC"])
    with pytest.raises(ValueError, match="same order"):
        build_from(model=checkpoint, labels=[*LABELS[1:], "O"])


def test_tags_of_the_data_set_name_the_models(build_from):
    labels = ["O", "B-GENE", "I-GENE"]
    model, processor = build_from(labels=labels, tokenizer="new")

    assert model.config.id2label == dict(enumerate(labels))
    assert processor.labels == labels
    assert model(**processor([["Anna"]])).logits.shape == (1, 1, 3)


def test_windows_are_no_longer_than_the_positions(build_from, encoders):
    model, processor = build_from(text_encoder=encoders["text_encoder"], max_length=512)
    batch = processor([["Louvre", "abc"] * 60])

    assert processor.max_length == 64
    assert batch["input_ids"].shape[1] <= 64
    assert model(**batch).predictions.shape == (1, 120)


def test_windows_are_no_longer_than_the_run_asks(build_from, encoders):
    _, processor = build_from(text_encoder=encoders["text_encoder"], max_length=20)

    assert processor([["Louvre", "abc"] * 60])["input_ids"].shape[1] <= 20


def test_positions_that_begin_after_the_padding_index(build_from, tokenizer, tmp_path):
    """RoBERTa with 66 positions has room for 64 or fewer pieces; the tokenizer may not know."""
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=66,
        pad_token_id=1,
    )
    RobertaModel(config).save_pretrained(tmp_path / "roberta")
    tokenizer.save_pretrained(tmp_path / "roberta")
    model, processor = build_from(text_encoder=str(tmp_path / "roberta"), max_length=512)

    assert processor.max_length == 64
    assert model(**processor([["Louvre", "abc"] * 60])).predictions.shape == (1, 120)


def test_a_tokenizer_too_large_for_the_encoder_is_an_error(build_from, make_config, tokenizer, tmp_path):
    config = BertConfig(**{**make_config().text_config.to_dict(), "vocab_size": 20})
    BertModel(config).save_pretrained(tmp_path / "small")
    tokenizer.save_pretrained(tmp_path / "small")

    with pytest.raises(ValueError, match=f"{len(tokenizer)}.*20"):
        build_from(text_encoder=str(tmp_path / "small"))


def test_what_counts_as_a_checkpoint(preset, checkpoint, encoders):
    assert is_checkpoint(str(checkpoint)) and is_checkpoint("someone/2m-ner")
    assert not is_checkpoint("2m-ner") and not is_checkpoint(str(preset))


@pytest.mark.parametrize("arguments", [{"vocabulary_size": -3}, {"resnet_image_size": 0}, {"resnet_image_size": -1}])
def test_sizes_that_cannot_be_are_refused(build_from, arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"`{name}` is {value}; write a number of 1 or more"):
        build_from(tokenizer="new", **arguments)


def test_sizes_that_cannot_be_are_refused_without_arguments_too():
    with pytest.raises(ValueError, match="`vocabulary_size` must be 1 or more, got -3"):
        learn_vocabulary(["Anna"], -3)
    with pytest.raises(ValueError, match="`resnet_image_size` must be 1 pixel or more, got 0"):
        imagenet_processor(0)


def test_a_temperature_is_not_kept_for_other_weights(build_from, make_model, processor, tmp_path, caplog):
    make_model(crf_temperature=2.5).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with caplog.at_level("INFO"):
        model, _ = build_from(model=tmp_path)
    assert model.config.crf_temperature == 1.0 and "fit it anew" in caplog.text
    model, _ = build_from(model=tmp_path, new_labels=True)
    assert model.config.crf_temperature == 1.0
    model, _ = build_from(model=tmp_path, config={"crf_temperature": 3.0})
    assert model.config.crf_temperature == 3.0
