"""A frozen ResNet trains as a folded copy: the same losses, and nothing of it in the model."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn


class Watch:
    """Count how often batch norms run in training and in evaluation."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.counts = model, {True: 0, False: 0}
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.register_forward_hook(self.count)

    def count(self, *_) -> None:
        self.counts[self.model.training] += 1


def losses(trainer) -> list[float]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_the_losses_are_the_same_without_a_batch_norm(make_trainer, make_model, no_dropout, weights_of, monkeypatch):
    settings = {"freeze": ["resnet"], "eval_strategy": "steps", "eval_steps": 2}
    plain = make_trainer(make_model(**no_dropout), **settings)
    with monkeypatch.context() as patch:
        patch.setattr("training_2mner.trainer.folded_in_training", lambda model: nullcontext())
        expected, watched = losses_and_norms(plain)
    assert watched.counts[True]
    folded = make_trainer(make_model(**no_dropout), folder="folded", **settings)
    found, watch = losses_and_norms(folded)
    assert not watch.counts[True] and watch.counts[False] == watched.counts[False] > 0
    assert len(found) > 1 and found == pytest.approx(expected, rel=1e-5)
    assert set(weights_of(folded.model)) == set(weights_of(plain.model))
    assert "forward" not in vars(folded.model.model.resnet_model)


def losses_and_norms(trainer) -> tuple[list[float], Watch]:
    watch = Watch(trainer.model)
    found = losses(trainer)
    trainer.evaluate()
    return found, watch


def test_a_resnet_that_learns_and_one_that_is_never_seen_are_not_copied(
    make_trainer, make_model, no_dropout, monkeypatch
):
    copied = []
    monkeypatch.setattr("training_2mner.folding.folded_copy", lambda network: copied.append(network) or network)
    make_trainer(make_model(**no_dropout), max_steps=1).train()
    make_trainer(make_model(use_resnet=False), max_steps=1, folder="vit").train()
    assert copied == []


def test_a_training_that_fails_leaves_the_resnet_as_it_was(make_trainer, monkeypatch):
    trainer = make_trainer(freeze=["resnet"])
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = trainer.model.eval().model.resnet_model(pixels).last_hidden_state

    def fail(*_, **__):
        assert "forward" in vars(trainer.model.model.resnet_model)
        raise RuntimeError("the power went")

    monkeypatch.setattr(trainer, "training_step", fail)
    with pytest.raises(RuntimeError, match="the power went"):
        trainer.train()
    assert "forward" not in vars(trainer.model.model.resnet_model)
    with torch.no_grad():
        assert torch.equal(trainer.model.eval().model.resnet_model(pixels).last_hidden_state, expected)
