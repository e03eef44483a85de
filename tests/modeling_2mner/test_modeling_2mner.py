from __future__ import annotations

import inspect
import itertools

import pytest
import torch
from torch import nn
from torchcrf import CRF
from transformers import BertModel

from modeling_2mner import LABELS, TwoMNERForTokenClassification
from modeling_2mner.alignment import contrastive_loss

TEXT_ONLY = {"use_vit": False, "use_resnet": False}
PIXELS = ("pixel_values", "resnet_pixel_values")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def assert_same_sentences(found, expected, rows: list[int], lengths: list[int]) -> None:
    """The sentences of `found` are the `rows` of `expected`, whatever stands beside and behind them."""
    for here, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        logits, predictions = found.logits[here, :length], found.predictions[here, :length]
        torch.testing.assert_close(logits, expected.logits[row, :length], atol=1e-5, rtol=0)
        assert torch.equal(predictions, expected.predictions[row, :length])
        for name in ("text_embeds", "vit_embeds", "resnet_embeds"):
            torch.testing.assert_close(found[name][here], expected[name][row], atol=1e-5, rtol=0)


def test_outputs_have_the_shapes_of_the_contract(model, batch, predict):
    outputs = predict(model, batch)
    shapes = {name: tuple(value.shape) for name, value in outputs.items()}
    assert shapes == {
        **{"loss": (), "logits": (4, 8, 9), "predictions": (4, 8)},
        **dict.fromkeys(("text_embeds", "vit_embeds", "resnet_embeds"), (4, 16)),
    }
    assert outputs.predictions.dtype == torch.int64
    assert ((outputs.predictions == -100) == ~batch["word_mask"]).all()
    assert len(outputs.predictions.unique()) > 3, "the tiny network must tell words apart, or nothing here is tested"
    base = predict(model.model, {name: batch[name] for name in batch if name != "labels"})
    assert base.last_hidden_state.shape == (4, 8, 32)
    assert torch.equal(base.vit_embeds, outputs.vit_embeds)


def test_tuples_are_the_same_outputs(model, batch, predict):
    outputs, in_a_tuple = predict(model, batch), predict(model, batch, return_dict=False)
    assert isinstance(in_a_tuple, tuple)
    assert all(torch.equal(one, other) for one, other in zip(outputs.to_tuple(), in_a_tuple, strict=True))


def test_a_sentence_alone_is_the_sentence_in_a_batch(model, processor, sentences, pictures, batch, predict):
    together = predict(model, batch)
    images = [pictures[0], None, pictures[1], pictures[0]]
    for row, (sentence, image) in enumerate(zip(sentences, images, strict=True)):
        assert_same_sentences(predict(model, processor([sentence], [image])), together, [row], [len(sentence)])
    order = [2, 0, 3, 1]
    shuffled = processor([sentences[row] for row in order], [images[row] for row in order])
    assert_same_sentences(predict(model, shuffled), together, order, [len(sentences[row]) for row in order])


def test_a_sentence_beside_one_of_many_windows(model, processor, sentences, pictures, batch, predict):
    long = [f"{'abc'[index % 3]}bcd" for index in range(150)]
    beside = processor([long, sentences[0], [], sentences[2]], [pictures[2], pictures[0], None, pictures[1]])
    assert len(beside["input_ids"]) > 8
    outputs = predict(model, beside)
    assert (outputs.predictions[0] >= 0).all() and (outputs.predictions[2] == -100).all()
    together = predict(model, batch)
    for here, row in ((1, 0), (3, 2)):
        length = len(sentences[row])
        torch.testing.assert_close(outputs.logits[here, :length], together.logits[row, :length], atol=1e-5, rtol=0)
        assert torch.equal(outputs.predictions[here, :length], together.predictions[row, :length])
    torch.testing.assert_close(outputs.text_embeds[3], together.text_embeds[2], atol=1e-5, rtol=0)


def test_what_stands_in_the_padding_changes_nothing(model, batch, predict):
    changed = dict(batch)
    changed["input_ids"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 9)
    changed["word_positions"] = batch["word_positions"].masked_fill(~batch["word_mask"], 3)
    expected, found = predict(model, batch), predict(model, changed)
    mask = batch["word_mask"]
    assert torch.equal(found.logits[mask], expected.logits[mask])
    assert torch.equal(found.predictions, expected.predictions) and found.loss == expected.loss
    assert predict(model, batch, labels=batch["labels"].clamp(min=0)).loss == expected.loss
    assert torch.equal(found.text_embeds, expected.text_embeds)


def test_padding_on_the_left_changes_nothing(make_model, batch, predict):
    model, shift, moved = make_model(), 5, dict(batch)
    width, words = batch["input_ids"].shape[1], batch["word_mask"]
    expected = predict(model, batch).logits[words]
    for name in ("input_ids", "attention_mask"):
        moved[name] = nn.functional.pad(batch[name], (shift, 0))
    moved["word_positions"] = batch["word_positions"] + shift * (batch["word_positions"] // width + 1)
    # BERT numbers positions from the left edge, padding included; give the pieces the numbers they had.
    model.model.text_model.embeddings.position_ids[:, shift : shift + width] = torch.arange(width)
    torch.testing.assert_close(predict(model, moved).logits[words], expected, atol=1e-5, rtol=0)


def test_the_picture_of_another_sentence_changes_nothing(model, batch, predict):
    changed = dict(batch)
    for name in PIXELS:
        changed[name] = batch[name].clone()
        changed[name][1] = torch.randn_like(changed[name][1])
    expected, found = predict(model, batch), predict(model, changed)
    others = [0, 1, 3]
    torch.testing.assert_close(found.logits[others], expected.logits[others], atol=1e-5, rtol=0)
    assert not torch.allclose(found.logits[2], expected.logits[2], atol=1e-3)


def test_the_same_without_pictures_in_every_way_to_say_so(model, processor, sentences, batch, predict):
    plain = processor(sentences)
    expected = predict(model, plain)
    none = predict(model, processor(sentences, [None] * 4))
    without_index = predict(model, {name: plain[name] for name in plain if name != "image_index"})
    unused = predict(model, batch, image_index=torch.full((4,), -1), labels=None)
    dropped = predict(model, batch, labels=None, **dict.fromkeys(PIXELS))
    for found in (none, without_index, unused, dropped):
        mask = batch["word_mask"]
        torch.testing.assert_close(found.logits[mask], expected.logits[mask], atol=1e-6, rtol=0)
        assert torch.equal(found.predictions, expected.predictions)
        assert (found.vit_embeds == 0).all() and (found.resnet_embeds == 0).all()
    assert torch.equal(predict(model, batch).logits[1, :1], unused.logits[1, :1])


@pytest.mark.parametrize(
    "changes", [{}, {"contrastive_text_pooling": "mean"}, {"use_vit": False}, {"use_resnet": False}, TEXT_ONLY]
)
def test_what_only_the_contrastive_losses_read_is_left_out_on_request(make_model, batch, predict, changes):
    model = make_model(**changes)
    plain = {name: batch[name] for name in batch if not name.endswith("pixel_values")}
    ran = []
    parts = ("text_head", "vit_head", "resnet_head", "text_model.pooler")
    for name, module in model.model.named_modules():
        if name in parts:
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    for given in (batch, plain):
        expected = predict(model, given)
        used = set(ran)
        ran.clear()
        found = predict(model, given, output_embeds=False)
        assert not ran and (changes == TEXT_ONLY or "text_head" in used)
        assert torch.equal(found.logits, expected.logits) and torch.equal(found.predictions, expected.predictions)
        assert found.loss == expected.loss
        assert found.text_embeds is found.vit_embeds is found.resnet_embeds is None
        again = predict(model, given)  # the encoder itself still has its pooling layer
        assert changes == TEXT_ONLY or torch.equal(again.text_embeds, expected.text_embeds)
        ran.clear()


def test_left_out_inputs_mean_one_window_and_one_picture_each(model, processor, sentences, make_picture, predict):
    images = [make_picture(number) for number in range(4)]
    batch = processor(sentences, images)
    assert batch["image_index"].tolist() == batch["first_window"].tolist() == [0, 1, 2, 3]
    short = {name: batch[name] for name in batch if name not in ("image_index", "first_window")}
    assert torch.equal(predict(model, short).logits, predict(model, batch).logits)
    whole = processor([["in", "Paris"], ["Köln", "Hi"]])
    unmasked = {name: whole[name] for name in whole if name != "word_mask"}
    assert torch.equal(predict(model, unmasked).predictions, predict(model, whole).predictions)


def test_a_shared_picture_is_encoded_once(model, batch, predict):
    copies = {name: batch[name][[0, 1, 0]] for name in ("pixel_values", "resnet_pixel_values")}
    copies["image_index"] = torch.tensor([0, -1, 1, 2])
    rows: dict[str, list[int]] = {"vision_model": [], "resnet_model": [], "vit_head": [], "resnet_projection": []}
    hooks = [
        getattr(model.model, name).register_forward_hook(
            lambda module, args, kwargs, output, seen=seen: seen.append(
                len(args[0] if args else kwargs["pixel_values"])
            ),
            with_kwargs=True,
        )
        for name, seen in rows.items()
    ]
    shared, separate = predict(model, batch), predict(model, batch, **copies)
    for hook in hooks:
        hook.remove()
    assert rows == {key: [2, 3] for key in rows}
    torch.testing.assert_close(shared.logits, separate.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(shared.vit_embeds, separate.vit_embeds, atol=1e-5, rtol=0)


@pytest.mark.parametrize("training", [False, True])
def test_a_text_only_model_is_bert_dropout_linear_and_crf(make_model, batch, training):
    model = make_model(**TEXT_ONLY, crf_constrained_decoding=False).train(training)
    names = {name.split(".")[1] for name in model.state_dict() if name.startswith("model.")}
    assert names == {"text_model"} and model.model.text_model.pooler is None
    bert = BertModel(model.config.text_config, add_pooling_layer=False)
    bert.load_state_dict(model.model.text_model.state_dict())
    linear, crf, dropout = nn.Linear(16, 9), CRF(9, batch_first=True), nn.Dropout(0.1)
    linear.load_state_dict(model.classifier.state_dict())
    crf.load_state_dict(model.crf.state_dict())
    for part in (bert, dropout):
        part.train(training)

    torch.manual_seed(1)
    outputs = model(**batch)
    torch.manual_seed(1)
    states = bert(batch["input_ids"], batch["attention_mask"]).last_hidden_state
    words = torch.stack([states.reshape(-1, 16)[positions] for positions in batch["word_positions"]])
    emissions = linear(dropout(words))
    assert torch.equal(outputs.logits, emissions)
    mask, tags = batch["word_mask"], batch["labels"].clamp(min=0)
    loss = -crf.double()(emissions.double(), tags, mask, reduction="none").mean()
    torch.testing.assert_close(outputs.loss, loss.float(), rtol=1e-6, atol=0)
    if not training:
        decoded = crf.decode(emissions.double(), mask)
        assert [row[row >= 0].tolist() for row in outputs.predictions] == decoded
    torch.testing.assert_close(
        torch.autograd.grad(outputs.loss, model.classifier.weight)[0],
        torch.autograd.grad(loss, linear.weight)[0],
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"vit_tokens": "patches", "contrastive_vit_pooling": "mean", "contrastive_text_pooling": "mean"},
        {"resnet_features": "pooled", "contrastive_vit_pooling": "cls", "contrastive_text_pooling": "cls"},
        {"fusion_projection": True, "projection_dim": 7},
    ],
)
@torch.no_grad()
def test_the_network_is_put_together_as_in_figure_2(make_model, processor, sentences, pictures, changes):
    model = make_model(**changes)
    batch = processor([sentences[0]], [pictures[0]])
    network, config = model.model, model.config
    outputs = model(**batch)

    text = network.text_model(batch["input_ids"], batch["attention_mask"])
    words = text.last_hidden_state[:, batch["word_positions"][0]]
    tokens = network.vision_model(batch["pixel_values"]).last_hidden_state
    tokens = tokens if config.vit_tokens == "all" else tokens[:, 1:]
    grid = network.resnet_model(batch["resnet_pixel_values"]).last_hidden_state
    blocks = torch.stack([grid[:, :, y, x] for y in range(4) for x in range(4)], dim=1)
    mean = blocks.mean(dim=1)
    regions = network.resnet_projection(blocks if config.resnet_features == "regions" else mean[:, None])
    has_image = torch.tensor([True])
    fused = [
        network.vit_collaboration(words, tokens, has_image)[0],
        network.resnet_collaboration(words, regions, has_image)[0],
    ]
    emissions = model.classifier(model.fusion_projection(torch.cat(fused, dim=-1)))
    torch.testing.assert_close(outputs.logits, emissions, atol=1e-5, rtol=1e-5)

    sentence = {"pooler": text.pooler_output, "cls": text.last_hidden_state[:, 0], "mean": words.mean(dim=1)}
    picture = {"flatten": tokens.flatten(1), "cls": tokens[:, 0], "mean": tokens.mean(dim=1)}
    expected = {
        "text_embeds": network.text_head(sentence[config.contrastive_text_pooling]),
        "vit_embeds": network.vit_head(picture[config.contrastive_vit_pooling]),
        "resnet_embeds": network.resnet_head(mean),
    }
    for name, embeds in expected.items():
        torch.testing.assert_close(outputs[name], embeds, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kept, dropped", [("vit", "resnet"), ("resnet", "vit")])
def test_a_branch_left_out_takes_its_loss_along(make_model, batch, predict, kept, dropped):
    model = make_model(**{f"use_{dropped}": False})
    parts = {name.split(".")[1] for name in model.state_dict() if name.startswith("model.")}
    assert not any(part.startswith(dropped) for part in parts) and ("vision_model" in parts) == (kept == "vit")
    assert model.classifier.in_features == model.config.fused_size == 16
    outputs = predict(model, batch)
    assert f"{dropped}_embeds" not in outputs and outputs[f"{kept}_embeds"].shape == (4, 16)
    embeds = outputs.text_embeds, outputs.vit_embeds, outputs.resnet_embeds
    objective = model.objective(outputs.loss, *embeds, batch["image_index"])
    assert set(objective) == {"loss", "crf_loss", f"{kept}_contrastive_loss"}
    without = {
        name: value
        for name, value in batch.items()
        if name not in PIXELS or name.startswith("pixel") == (kept == "vit")
    }
    assert torch.equal(predict(model, without).logits, outputs.logits)


def test_the_objective_is_equation_18(model, batch, predict):
    outputs, ids = predict(model, batch), batch["image_index"]
    parts = model.objective(outputs.loss, outputs.text_embeds, outputs.vit_embeds, outputs.resnet_embeds, ids)
    vit = contrastive_loss(outputs.text_embeds, outputs.vit_embeds, ids)
    resnet = contrastive_loss(outputs.text_embeds, outputs.resnet_embeds, ids)
    assert list(parts) == ["loss", "crf_loss", "vit_contrastive_loss", "resnet_contrastive_loss"]
    assert (parts["crf_loss"], parts["vit_contrastive_loss"], parts["resnet_contrastive_loss"]) == (
        *(outputs.loss, vit, resnet),
    )
    assert vit > 0 and resnet > 0 and vit != resnet
    torch.testing.assert_close(parts["loss"], 0.8 * outputs.loss + 0.2 * (vit + resnet))


def test_the_objective_obeys_the_config(make_model, batch, predict):
    changes = {"contrastive_loss": "infonce", "contrastive_temperature": 0.1, "mask_duplicate_images": True}
    model = make_model(alpha=0.3, use_resnet=False, projection_dim=5, **changes)
    outputs, ids = predict(model, batch), batch["image_index"]
    assert outputs.text_embeds.shape == outputs.vit_embeds.shape == (4, 5)
    expected = contrastive_loss(outputs.text_embeds, outputs.vit_embeds, ids, "infonce", 0.1, True)
    loss = model.objective(outputs.loss, outputs.text_embeds, outputs.vit_embeds, None, ids)["loss"]
    torch.testing.assert_close(loss, 0.3 * outputs.loss + 0.7 * expected)


def test_the_loss_is_the_mean_over_sentences(model, processor, sentences, tags, pictures, batch, predict):
    images = [pictures[0], None, pictures[1], pictures[0]]
    alone = [
        predict(model, processor([words], [image], [row])).loss
        for words, image, row in zip(sentences, images, tags, strict=True)
    ]
    torch.testing.assert_close(predict(model, batch).loss, torch.stack(alone).mean())


def test_the_objective_of_a_text_only_model_is_its_loss(make_model, batch, predict):
    model = make_model(**TEXT_ONLY)
    outputs = predict(model, batch)
    assert model.objective(outputs.loss, outputs.text_embeds, outputs.vit_embeds, outputs.resnet_embeds, None) == {
        "loss": outputs.loss,
        "crf_loss": outputs.loss,
    }


def test_gradients_reach_every_weight(make_model, batch):
    model = make_model(dropout=0.0).train()
    outputs = model(**batch)
    embeds = outputs.text_embeds, outputs.vit_embeds, outputs.resnet_embeds
    model.objective(outputs.loss, *embeds, batch["image_index"])["loss"].backward()
    without = {name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()}
    # CLIP normalises only its pooled output after the last layer, which this network does not read. A key's bias moves
    # all scores of a softmax alike.
    unread = {f"model.vision_model.post_layernorm.{part}" for part in ("weight", "bias")}
    biases = {name for name, _ in model.named_parameters() if name.endswith(("key.bias", "k_proj.bias"))}
    assert unread <= without <= unread | biases
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


def test_the_trainer_must_not_scale_the_loss(model):
    assert TwoMNERForTokenClassification.accepts_loss_kwargs is False
    parameters = inspect.signature(inspect.unwrap(TwoMNERForTokenClassification.forward)).parameters
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values())
    assert [name for name in parameters if "label" in name] == ["labels"]


def test_fixed_batch_norm_keeps_its_statistics_while_its_weights_train(make_model, make_config, batch):
    for model in (make_model().train(), TwoMNERForTokenClassification(make_config())):
        assert model.training and model.model.text_model.training
        before = {
            name: tensor.clone() for name, tensor in model.named_buffers() if "running" in name or "num_" in name
        }
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        weights = {name: weight.clone() for name, weight in model.named_parameters() if "normalization.weight" in name}
        model(**batch).loss.backward()
        optimizer.step()
        after = dict(model.named_buffers())
        assert before and all(torch.equal(after[name], tensor) for name, tensor in before.items())
        assert weights and all(not torch.equal(model.get_parameter(name), weight) for name, weight in weights.items())


def test_batch_norm_can_be_trained(make_model, batch):
    model = make_model(resnet_batch_norm="train").train()
    before = {name: tensor.clone() for name, tensor in model.named_buffers() if "running_mean" in name}
    model(**batch)
    assert all(not torch.equal(model.get_buffer(name), tensor) for name, tensor in before.items())
    model.eval()
    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    model(**batch)
    assert all(torch.equal(model.get_buffer(name), tensor) for name, tensor in before.items())


def test_training_mode_does_not_decode(make_model, batch):
    model = make_model().train()
    outputs = model(**batch)
    assert outputs.predictions is None and outputs.loss.requires_grad


def test_predictions_are_valid_iob2_unless_told_otherwise(make_model, batch, predict):
    free, valid = make_model(crf_constrained_decoding=False), make_model()
    broken = {
        name: count_strays(predict(model, batch).predictions) for name, model in (("free", free), ("valid", valid))
    }
    assert broken["valid"] == 0 < broken["free"]


def count_strays(predictions: torch.Tensor) -> int:
    strays = 0
    for row in predictions:
        names = ["O", *(LABELS[tag] for tag in row if tag >= 0)]
        strays += sum(now[0] == "I" and before[1:] != now[1:] for before, now in itertools.pairwise(names))
    return strays


def test_constrained_likelihood_is_higher(make_model, batch, predict):
    assert predict(make_model(crf_constrained_likelihood=True), batch).loss < predict(make_model(), batch).loss


def test_softmax_in_place_of_the_crf(make_model, batch, predict):
    model = make_model(use_crf=False)
    assert not any("crf" in name for name in model.state_dict())
    outputs, mask = predict(model, batch), batch["word_mask"]
    expected = nn.functional.cross_entropy(outputs.logits[mask], batch["labels"][mask])
    torch.testing.assert_close(outputs.loss, expected)
    assert torch.equal(outputs.predictions[mask], outputs.logits[mask].argmax(dim=-1))
    assert (outputs.predictions[~mask] == -100).all()
    assert predict(model, batch, labels=batch["labels"].clamp(min=0)).loss == outputs.loss


@pytest.mark.parametrize(
    "changes, regions",
    [
        ({}, (5, 16)),
        ({"vit_tokens": "patches", "contrastive_vit_pooling": "mean"}, (4, 16)),
        ({"resnet_features": "pooled", "contrastive_vit_pooling": "cls", "contrastive_text_pooling": "cls"}, (5, 1)),
        ({"vit_tokens": "patches", "contrastive_text_pooling": "mean", "fusion_projection": True}, (4, 16)),
    ],
)
def test_eager_attention_shows_its_weights(make_model, batch, predict, changes, regions):
    model = make_model(attn_implementation="eager", **changes)
    outputs = predict(model, batch, output_attentions=True)
    assert [tuple(weights.shape) for weights in outputs.cross_attentions] == [(4, 4, 8, count) for count in regions]
    for weights in outputs.cross_attentions:
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(4, 4, 8))
    assert model.classifier.in_features == (16 if "fusion_projection" in changes else 32)
    if regions[1] == 1:
        assert torch.equal(outputs.cross_attentions[1], torch.ones(4, 4, 8, 1))


def test_attention_weights_are_refused_where_there_are_none(model, make_model, batch, predict):
    assert model.config._attn_implementation == "sdpa" and predict(model, batch).cross_attentions is None
    with pytest.raises(ValueError, match=r"`output_attentions=True` needs eager attention, not 'sdpa'; call"):
        predict(model, batch, output_attentions=True)
    other = make_model()
    other.set_attn_implementation("eager")
    assert len(predict(other, batch, output_attentions=True).cross_attentions) == 2
    torch.testing.assert_close(predict(other, batch).logits, predict(model, batch).logits, atol=1e-5, rtol=1e-5)


def test_activation_checkpointing_changes_no_gradient(make_model, batch):
    gradients = []
    for checkpointing in (False, True):
        model = make_model().train()
        if checkpointing:
            # transformers before 5.23, the newest for Python 3.10, has only the older name, which later warns
            older = not hasattr(model, "activation_checkpointing_enable")
            model.gradient_checkpointing_enable() if older else model.activation_checkpointing_enable()
            assert model.model.vit_collaboration.gradient_checkpointing
        torch.manual_seed(3)
        outputs = model(**batch)
        embeds = outputs.text_embeds, outputs.vit_embeds, outputs.resnet_embeds
        loss = model.objective(outputs.loss, *embeds, batch["image_index"])["loss"]
        loss.backward()
        gradients.append([loss, *(weight.grad for weight in model.parameters() if weight.grad is not None)])
    assert len(gradients[0]) == len(gradients[1])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"word_positions": None}, "`word_positions` is missing; make the inputs with `TwoMNERProcessor`"),
        ({"pixel_values": None}, "both `pixel_values` and `resnet_pixel_values`"),
        ({"image_index": None}, "there are 2 pictures for 4 sentences; pass `image_index`"),
        ({"resnet_pixel_values": torch.zeros(3, 3, 32, 32)}, "`pixel_values` holds 2 pictures.*holds 3"),
        (
            {"first_window": None, "input_ids": torch.ones(5, 18).long(), "attention_mask": None},
            "5 windows for 4 sentences; pass `first_window`",
        ),
    ],
)
def test_contradicting_inputs_are_refused(model, batch, predict, change, message):
    with pytest.raises(ValueError, match=message):
        predict(model, batch, **change)


def test_batches_without_words(model, processor, predict):
    nothing = predict(model, processor([[], []], labels=[[], []]))
    assert nothing.logits.shape == (2, 0, 9) and nothing.predictions.shape == (2, 0) and nothing.loss == 0
    some = predict(model, processor([[], ["Paris"]], labels=[[], ["B-LOC"]]))
    assert (some.predictions[0] == -100).all() and some.loss.isfinite()


def test_sentences_without_words_may_have_pictures(model, processor, pictures, predict):
    outputs = predict(model, processor([[], []], [pictures[0], None]))
    assert outputs.logits.shape[:2] == outputs.predictions.shape == (2, 0)
