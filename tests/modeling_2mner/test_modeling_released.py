from __future__ import annotations

import json
from dataclasses import dataclass
from math import sqrt

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torchcrf import CRF
from transformers import AutoModel, AutoModelForTokenClassification, BertModel, CLIPVisionModel
from transformers.dynamic_module_utils import get_relative_imports

from modeling_2mner import TwoMNERReleasedConfig, TwoMNERReleasedForTokenClassification, TwoMNERReleasedModel
from modeling_2mner.modeling_released import convert_released_state_dict

BRANCHES = ("vit", "resnet")
TEXT_ONLY = {"use_vit": False, "use_resnet": False, "fusion_projection": False}
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
SMALL = {
    "text_config": {"model_type": "bert", "vocab_size": 40, **SIZES, **NO_DROPOUT},
    "vision_config": {"model_type": "clip_vision_model", "image_size": 32, "patch_size": 16, **SIZES},
    "resnet_config": {"embedding_size": 8, "hidden_sizes": [16, 32, 48, 64], "depths": [1, 2, 1, 1]},
    "dropout": 0.0,
}
# Which word each piece belongs to, in rows padded to the longest; where each word begins.
WORD_IDS = (
    [None, 0, 0, 1, 2, 2, 2, 3, None],
    [None, 0, 1, 1, None, None, None, None, None],
    [None, 0, 0, 0, 1, 2, None, None, None],
)
FIRST_PIECES = ([1, 3, 4, 7], [1, 2], [1, 4, 5])
LENGTHS = (9, 5, 7)


@dataclass
class Released:
    """The authors' network: tensors under their names, and two of its encoders to run them."""

    tensors: dict[str, Tensor]
    bert: BertModel
    clip: CLIPVisionModel | None

    def linear(self, name: str, states: Tensor) -> Tensor:
        return F.linear(states, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def mlp(self, first: str, second: str, states: Tensor) -> Tensor:
        return self.linear(second, self.linear(first, states).relu())

    def train(self, mode: bool) -> None:
        self.training = mode
        self.bert.train(mode)
        if self.clip is not None:
            self.clip.train(mode)


# The reference: the authors' forward pass written down from what is known about it, on plain tensors.


def released_index(word_ids: list[int | None], width: int) -> list[int]:
    """Number the pieces that belong to a word, and take the number of each word's first."""
    counted = [word for word in word_ids if word is not None]
    index = [counted.index(word) for word in sorted(set(counted))]
    return index + [0] * (width - len(index))


def batch_norm(released: Released, name: str, images: Tensor) -> Tensor:
    weight, bias, mean, variance = (
        released.tensors[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return F.batch_norm(images, mean, variance, weight, bias, released.training, momentum=0.1, eps=1e-5)


def convolve(released: Released, name: str, number: str, images: Tensor, stride: int = 1) -> Tensor:
    weight = released.tensors[f"{name}.conv{number}.weight"]
    images = F.conv2d(images, weight, stride=stride, padding=weight.shape[-1] // 2)
    return batch_norm(released, f"{name}.bn{number}", images)


def bottleneck(released: Released, name: str, images: Tensor, stride: int) -> Tensor:
    hidden = convolve(released, name, "1", images).relu()
    hidden = convolve(released, name, "2", hidden, stride).relu()
    hidden = convolve(released, name, "3", hidden)
    if f"{name}.downsample.0.weight" in released.tensors:
        images = F.conv2d(images, released.tensors[f"{name}.downsample.0.weight"], stride=stride)
        images = batch_norm(released, f"{name}.downsample.1", images)
    return (hidden + images).relu()


@torch.no_grad()
def encode_pictures(released: Released, pixels: Tensor) -> Tensor:
    root = "my_resnet.resnet"
    images = F.max_pool2d(convolve(released, root, "1", pixels, stride=2).relu(), 3, stride=2, padding=1)
    for stage in range(1, 5):
        layer = 0
        while f"{root}.layer{stage}.{layer}.conv1.weight" in released.tensors:
            stride = 2 if stage > 1 and layer == 0 else 1
            images = bottleneck(released, f"{root}.layer{stage}.{layer}", images, stride)
            layer += 1
    return images.mean(dim=(2, 3))


def attend(released: Released, name: str, words: Tensor, images: Tensor, heads: int) -> Tensor:
    def project(layer: str, states: Tensor) -> Tensor:
        return released.linear(f"{name}.self.{layer}", states).unflatten(-1, (heads, -1)).transpose(1, 2)

    query, key, value = project("key", words), project("key", images), project("value", images)
    weights = torch.softmax(query @ key.transpose(2, 3) / sqrt(key.shape[-1]), dim=-1)
    mixed = released.linear(f"{name}.output.dense", (weights @ value).transpose(1, 2).flatten(2))
    scale, shift = (released.tensors[f"{name}.output.LayerNorm.{part}"] for part in ("weight", "bias"))
    return F.layer_norm(mixed + words, words.shape[-1:], scale, shift, eps=1e-12)


def contrast(texts: Tensor, images: Tensor) -> Tensor:
    vectors = [vector / vector.norm() for vector in (*texts, *images)]
    total = torch.zeros(())
    for here in range(len(vectors)):
        others = [torch.exp(vectors[here] @ vectors[at] / 0.5) for at in range(len(vectors)) if at != here]
        positive = vectors[(here + len(texts)) % len(vectors)]
        total = total - torch.log(torch.exp(vectors[here] @ positive / 0.5) / sum(others))
    return total / len(vectors)


def fuse(released: Released, words: Tensor, pooler: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    heads = released.bert.config.num_attention_heads
    tokens = released.clip(pixel_values=batch["pixel_values"]).last_hidden_state
    pooled = encode_pictures(released, batch["resnet_pixel_values"])
    text = released.mlp("text_dense_cl", "text_output_cl", pooler)
    vit_loss = contrast(text, released.mlp("image_dense_cl", "image_output_cl", tokens.flatten(1)))
    resnet_loss = contrast(text, released.mlp("image_dense_cl_resnet", "image_output_cl_resnet", pooled))
    copies = released.linear("dense_resnet", pooled)[:, None].expand_as(words)
    branches = (
        attend(released, "bert_att_vit", words, tokens, heads),
        attend(released, "bert_att_resnet", words, copies, heads),
    )
    return released.linear("dense_cat", torch.cat(branches, dim=-1)), vit_loss, resnet_loss


def run_released(released: Released, batch: dict[str, Tensor]) -> dict[str, Tensor | list]:
    width = batch["labels"].shape[1]
    index = torch.tensor([released_index(word_ids, width) for word_ids in WORD_IDS[: len(batch["labels"])]])
    text = released.bert(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    words = torch.stack([states[at] for states, at in zip(text.last_hidden_state, index, strict=True)])
    vit_loss = resnet_loss = torch.zeros(())
    if released.clip is not None:
        words, vit_loss, resnet_loss = fuse(released, words, text.pooler_output, batch)
    emissions = released.linear("classifier", words)
    crf = CRF(emissions.shape[-1], batch_first=True)
    crf.load_state_dict({name: released.tensors[f"crf.{name}"] for name in crf.state_dict()})
    mask = batch["labels"] != -100
    crf_loss = -crf(emissions, batch["labels"].clamp(min=0), mask=mask, reduction="mean")
    return {
        "emissions": emissions,
        "crf_loss": crf_loss,
        "vit_contrastive_loss": vit_loss,
        "resnet_contrastive_loss": resnet_loss,
        "loss": (0.8 * crf_loss + 0.2 * (vit_loss + resnet_loss)) * 2,
        "paths": crf.decode(emissions, mask=mask),
    }


# Random weights under the released names.


def random_linear(name: str, inputs: int, outputs: int) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.randn(outputs, inputs) / sqrt(inputs), f"{name}.bias": torch.randn(outputs) / 10}


def random_norm(name: str, size: int) -> dict[str, Tensor]:
    return {f"{name}.weight": 1 + torch.randn(size) / 10, f"{name}.bias": torch.randn(size) / 10}


def random_convolution(name: str, norm: str, inputs: int, outputs: int, kernel: int) -> dict[str, Tensor]:
    return {
        f"{name}.weight": torch.randn(outputs, inputs, kernel, kernel) / sqrt(inputs * kernel * kernel / 2),
        **random_norm(norm, outputs),
        f"{norm}.running_mean": torch.randn(outputs) / 10,
        f"{norm}.running_var": 0.5 + torch.rand(outputs),
        f"{norm}.num_batches_tracked": torch.tensor(0),
    }


def random_resnet(config) -> dict[str, Tensor]:
    root = "my_resnet.resnet"
    tensors = random_convolution(f"{root}.conv1", f"{root}.bn1", 3, config.embedding_size, 7)
    inputs = config.embedding_size
    for stage, (size, depth) in enumerate(zip(config.hidden_sizes, config.depths, strict=True), start=1):
        for layer in range(depth):
            name = f"{root}.layer{stage}.{layer}"
            for number, (before, after, kernel) in enumerate(
                ((inputs, size // 4, 1), (size // 4, size // 4, 3), (size // 4, size, 1)), start=1
            ):
                tensors |= random_convolution(f"{name}.conv{number}", f"{name}.bn{number}", before, after, kernel)
            if layer == 0:
                tensors |= random_convolution(f"{name}.downsample.0", f"{name}.downsample.1", inputs, size, 1)
            inputs = size
    return tensors | random_linear(f"{root}.fc", inputs, 1000)


def random_fusion(config) -> dict[str, Tensor]:
    size, channels = config.hidden_size, config.resnet_config.hidden_sizes[-1]
    inputs = {"image_dense_cl": config.num_vit_tokens * size, "dense_cat": 2 * size}
    inputs |= dict.fromkeys(("image_dense_cl_resnet", "dense_resnet"), channels)
    layers = ("self.query", "self.key", "self.value", "output.dense")
    names = [f"bert_att_{branch}.{layer}" for branch in BRANCHES for layer in layers]
    names += [
        "text_dense_cl",
        "text_output_cl",
        "image_output_cl",
        "image_output_cl_resnet",
        "w_txt",
        "w_img",
        *inputs,
    ]
    tensors = {"contrastive_loss.temperature": torch.tensor(0.5)}
    for name in names:
        tensors |= random_linear(name, inputs.get(name, size), size)
    for branch in BRANCHES:
        tensors |= random_norm(f"bert_att_{branch}.output.LayerNorm", size)
    return tensors


def random_released(config: TwoMNERReleasedConfig) -> Released:
    bert = BertModel(config.text_config)
    clip = CLIPVisionModel(config.vision_config) if config.use_vit else None
    tensors = {f"emb.{name}": tensor for name, tensor in bert.state_dict().items()}
    tensors["emb.embeddings.position_ids"] = torch.arange(512)[None]  # older versions saved it
    if clip is not None:
        tensors |= {f"vit.vision_model.{name}": tensor for name, tensor in clip.state_dict().items()}
        tensors |= random_resnet(config.resnet_config) | random_fusion(config)
    tensors |= random_linear("classifier", config.hidden_size, config.num_labels)
    labels = config.num_labels
    sizes = {"start_transitions": (labels,), "end_transitions": (labels,), "transitions": (labels, labels)}
    tensors |= {f"crf.{name}": torch.randn(size) for name, size in sizes.items()}
    return Released(tensors, bert, clip)


def build_pair(config, training: bool = False) -> tuple[Released, TwoMNERReleasedForTokenClassification]:
    released = random_released(config)
    model = TwoMNERReleasedForTokenClassification(config)
    model.load_state_dict(convert_released_state_dict(released.tensors))
    released.train(training)
    return released, model.train(training)


def random_batch(config: TwoMNERReleasedConfig, sentences: int, resnet_side: int) -> dict[str, Tensor]:
    pieces, side = len(WORD_IDS[0]), config.vision_config.image_size
    positions = [torch.tensor(first) + row * pieces for row, first in enumerate(FIRST_PIECES[:sentences])]
    mask = pad_sequence([torch.ones_like(row, dtype=torch.bool) for row in positions], batch_first=True)
    return {
        "word_positions": pad_sequence(positions, batch_first=True),
        "word_mask": mask,
        "first_window": torch.arange(sentences),
        "input_ids": torch.randint(5, config.text_config.vocab_size, (sentences, pieces)),
        "attention_mask": (torch.arange(pieces) < torch.tensor(LENGTHS[:sentences])[:, None]).long(),
        "pixel_values": torch.randn(sentences, 3, side, side),
        "resnet_pixel_values": torch.randn(sentences, 3, resnet_side, resnet_side),
        "image_index": torch.arange(sentences),
        "labels": torch.randint(config.num_labels, mask.shape).masked_fill(~mask, -100),
    }


def without_pictures(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in batch.items() if "pixel" not in name and name != "image_index"}


def run_ours(model: TwoMNERReleasedForTokenClassification, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    outputs = model(**batch)
    embeds = (outputs.text_embeds, outputs.vit_embeds, outputs.resnet_embeds)
    parts = model.objective(outputs.loss, *embeds, batch.get("image_index"))
    return {**parts, "emissions": outputs.logits, "paths": outputs.predictions}


def largest_difference(ours: dict, reference: dict, mask: Tensor) -> float:
    """The largest absolute difference of emissions at words and of all losses."""
    differences = [(ours["emissions"] - reference["emissions"])[mask].abs().max()]
    differences += [(value - reference[name]).abs() for name, value in ours.items() if name.endswith("loss")]
    return max(difference.item() for difference in differences)


def as_lists(paths: Tensor) -> list[list[int]]:
    return [[tag for tag in row if tag != -100] for row in paths.tolist()]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def pair():
    """Build the authors' network with random weights and ours with the same; fields of the config may change."""

    def build(training: bool = False, **changes) -> tuple[Released, TwoMNERReleasedForTokenClassification]:
        return build_pair(TwoMNERReleasedConfig(**{**SMALL, **changes}), training)

    return build


@pytest.fixture
def batch() -> dict[str, Tensor]:
    return random_batch(TwoMNERReleasedConfig(**SMALL), sentences=3, resnet_side=64)


@pytest.mark.parametrize("training", [False, True])
def test_agrees_with_the_released_forward_pass(pair, batch, training):
    released, model = pair(training)
    reference, ours = run_released(released, batch), run_ours(model, batch)
    assert set(ours) == set(reference)
    assert largest_difference(ours, reference, batch["word_mask"]) < 1e-5
    assert reference["vit_contrastive_loss"] > 0.1 and reference["resnet_contrastive_loss"] > 0.1


def test_gradients_agree_with_the_released_forward_pass(pair, batch):
    released, model = pair(training=True)
    trained = ("bert_att_vit.self.key.weight", "dense_resnet.weight", "text_dense_cl.bias", "classifier.bias")
    for name in trained:
        released.tensors[name].requires_grad_()
    run_released(released, batch)["loss"].backward()
    run_ours(model, batch)["loss"].backward()
    ours = dict(model.named_parameters())
    for name in trained:
        (renamed,) = convert_released_state_dict({name: released.tensors[name]})
        torch.testing.assert_close(ours[renamed].grad, released.tensors[name].grad, atol=1e-5, rtol=1e-4)


def test_training_mode_drifts_the_batch_norms_of_the_frozen_resnet_alike(pair, batch):
    released, model = pair()
    name = "my_resnet.resnet.layer2.1.bn3.running_var"
    before = released.tensors[name].clone()
    for training in (False, True, True):
        released.train(training)
        model.train(training)
        run_released(released, batch)
        run_ours(model, batch)
        assert torch.equal(before, released.tensors[name]) is not training
    ours = model.state_dict()
    for renamed, tensor in convert_released_state_dict(released.tensors).items():
        if "running" in renamed:
            torch.testing.assert_close(ours[renamed], tensor, atol=1e-6, rtol=1e-5)


def test_viterbi_paths_are_those_of_pytorch_crf_and_unconstrained(pair, batch):
    released, model = pair()
    paths = as_lists(run_ours(model, batch)["paths"])
    assert paths == run_released(released, batch)["paths"]
    with torch.no_grad():
        for crf in (model.crf.transitions, released.tensors["crf.transitions"]):
            crf[:, 4] += 100.0  # I-LOC after anything
    paths = as_lists(run_ours(model, batch)["paths"])
    assert paths == run_released(released, batch)["paths"]
    assert paths[0][1:] == [4, 4, 4] and paths[0][0] != 3


@pytest.mark.parametrize("training", [False, True])
def test_text_only_network_agrees_and_keeps_the_weight_alpha(pair, batch, training):
    released, model = pair(training, **TEXT_ONLY)
    batch = without_pictures(batch)
    reference, ours = run_released(released, batch), run_ours(model, batch)
    assert set(ours) == {"loss", "crf_loss", "emissions", "paths"}
    assert largest_difference(ours, reference, batch["word_mask"]) < 1e-5
    torch.testing.assert_close(ours["loss"], 1.6 * ours["crf_loss"])


def test_without_a_crf_the_objective_is_the_cross_entropy(pair, batch):
    config = TwoMNERReleasedConfig(**SMALL, use_crf=False)
    parts = run_ours(TwoMNERReleasedForTokenClassification(config).eval(), batch)
    expected = F.cross_entropy(parts["emissions"].flatten(0, 1), batch["labels"].flatten())
    torch.testing.assert_close(parts["loss"], expected)


def test_words_read_the_position_before_their_first_piece(pair):
    _, model = pair()
    # A sentence of two windows of six pieces, then one of a window; the second sentence has a padding word.
    input_ids = torch.randint(5, 40, (3, 6))
    positions = torch.tensor([[1, 3, 6 + 1, 6 + 2], [12 + 1, 12 + 4, 12 + 5, 0]])
    text, words = model.model.encode_text(input_ids, torch.ones_like(input_ids), positions)
    states = text.last_hidden_state
    expected = [[states[0, 0], states[0, 2], states[1, 0], states[1, 1]], [states[2, 0], states[2, 3], states[2, 4]]]
    assert torch.equal(words[0], torch.stack(expected[0]))
    assert torch.equal(words[1, :3], torch.stack(expected[1]))
    assert released_index([None, 0, 0, 1, 2, None], width=4) == [0, 2, 3, 0]  # so does the reference


def test_text_encoder_layer_moves_the_words_but_not_the_pooler(pair, batch):
    _, model = pair()
    last = model(**batch)
    model.config.text_encoder_layer = 1
    first = model(**batch)
    text, words = model.model.encode_text(batch["input_ids"], batch["attention_mask"], batch["word_positions"])
    assert torch.equal(words[0, 1], text.hidden_states[1][0, 2])
    assert torch.equal(last.text_embeds, first.text_embeds)
    assert not torch.allclose(last.logits, first.logits)
    model.config.text_encoder_layer = 2
    assert torch.equal(last.logits, model(**batch).logits)


def test_text_only_words_ignore_text_encoder_layer(pair, batch):
    _, model = pair(**TEXT_ONLY, text_encoder_layer=1)
    batch = without_pictures(batch)
    text, words = model.model.encode_text(batch["input_ids"], batch["attention_mask"], batch["word_positions"])
    assert torch.equal(words[0, 1], text.last_hidden_state[0, 2])


def test_query_layers_and_resnet_get_no_gradient(pair, batch):
    _, model = pair(training=True)
    run_ours(model, batch)["loss"].backward()
    still = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    queries = {
        f"model.{branch}_collaboration.attention.query.{part}" for branch in BRANCHES for part in ("weight", "bias")
    }
    resnet = {f"model.resnet_model.{name}" for name, _ in model.model.resnet_model.named_parameters()}
    unused = {f"model.vision_model.post_layernorm.{part}" for part in ("weight", "bias")}  # CLIP pools with it
    assert still == queries | resnet | unused


def test_resnet_vector_is_copied_to_every_word_position(pair, batch):
    _, model = pair(dropout=0.5)
    model.set_attn_implementation("eager")
    words = batch["word_positions"].shape[1]
    vit, resnet = model(**batch, output_attentions=True).cross_attentions
    assert vit.shape[-1] == model.config.num_vit_tokens
    torch.testing.assert_close(resnet, torch.full((3, 4, words, words), 1 / words))
    dropped = model.train()(**batch, output_attentions=True).cross_attentions[1] * words
    assert set(dropped.round(decimals=4).unique().tolist()) == {0.0, 2.0}
    assert dropped.sum(dim=-1).unique().numel() > 2  # each copy is dropped alone, not the whole vector


def test_new_layers_start_as_torch_makes_them():
    model = TwoMNERReleasedForTokenClassification(TwoMNERReleasedConfig(**SMALL))
    for layer in (model.classifier, model.fusion_projection, model.model.vit_head[0], model.model.resnet_projection):
        bound = layer.in_features**-0.5
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert 0 < layer.bias.abs().max() <= bound


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_encoder_layer": 3}, "from 0 to 2"),
        ({"vision_config": {**SMALL["vision_config"], "hidden_size": 16}}, "choose encoders of the same size"),
        ({"use_vit": False, "use_resnet": False}, "fusion_projection=False"),
    ],
)
def test_config_refuses_what_the_release_cannot_do(changes, message):
    with pytest.raises(ValueError, match=message):
        TwoMNERReleasedConfig(**{**SMALL, **changes})


def test_conversion_names_every_tensor_and_refuses_strangers(pair):
    released, model = pair()
    converted = convert_released_state_dict(released.tensors)
    assert set(converted) == set(model.state_dict())
    assert len(released.tensors) - len(converted) == 8  # w_txt, w_img, fc, temperature, position_ids
    assert list(convert_released_state_dict({"vit.pre_layrnorm.bias": 0})) == ["model.vision_model.pre_layrnorm.bias"]
    with pytest.raises(ValueError, match=r"interaction_module\.0"):
        convert_released_state_dict({**released.tensors, "interaction_module.0.weight": torch.zeros(1)})


def test_saves_and_reloads_bit_equal(pair, batch, tmp_path):
    _, model = pair(text_encoder_layer=1)
    model.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings["model_type"] == "2m-ner-released"
    assert settings["auto_map"] == {
        "AutoConfig": "modeling_released.TwoMNERReleasedConfig",
        "AutoModel": "modeling_released.TwoMNERReleasedModel",
        "AutoModelForTokenClassification": "modeling_released.TwoMNERReleasedForTokenClassification",
    }
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    assert type(loaded) is TwoMNERReleasedForTokenClassification
    assert loaded.config.text_encoder_layer == 1 and loaded.config.resnet_features == "pooled"
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    before, after = model(**batch), loaded(**batch)
    assert torch.equal(before.logits, after.logits) and torch.equal(before.predictions, after.predictions)
    assert type(AutoModel.from_pretrained(tmp_path)) is TwoMNERReleasedModel


def test_checkpoint_holds_all_code_it_imports(pair, tmp_path):
    pair()[1].save_pretrained(tmp_path)
    files = {path.stem for path in tmp_path.glob("*.py")}
    assert {"modeling_released", "modeling_2mner", "torchvision_resnet"} <= files
    for path in tmp_path.glob("*.py"):
        assert set(get_relative_imports(path)) <= files


@pytest.mark.slow
def test_agrees_with_the_released_forward_pass_at_full_size():
    config = TwoMNERReleasedConfig(text_config={"model_type": "bert", "vocab_size": 119_555})
    batch = random_batch(config, sentences=2, resnet_side=224)
    released, model = build_pair(config)
    with torch.no_grad():
        reference, ours = run_released(released, batch), run_ours(model, batch)
    assert as_lists(ours["paths"]) == reference["paths"]
    difference = largest_difference(ours, reference, batch["word_mask"])
    assert difference < 1e-4
