from __future__ import annotations

import math

import pytest
import torch


@pytest.mark.parametrize("settings", [{"max_grad_norm": 0.0}, {"logging_nan_inf_filter": False}])
def test_a_loss_that_is_no_number_stops_the_run_with_its_step(make_trainer, settings):
    """Rates this high are finite; after the first update the weights are not, or their loss is not."""
    trainer = make_trainer(learning_rate=1e38, lr_scheduler_type="constant", **settings)
    with pytest.raises(ValueError, match=r"has diverged: at step [23] the loss is .*lower `learning_rate`"):
        trainer.train()


@pytest.mark.parametrize("strategy", ["no", "steps", "epoch"])
def test_weights_are_checked_before_they_are_saved(make_trainer, tmp_path, strategy):
    """Also those of the last step, whose loss nobody computes."""
    trainer = make_trainer(max_steps=1, save_strategy=strategy, save_steps=1)
    trainer.create_optimizer()
    trainer.optimizer.register_step_post_hook(lambda *_: trainer.model.crf.transitions.data.fill_(math.nan))
    with pytest.raises(ValueError, match=r"after step 1 `crf\.transitions` holds values that are not finite"):
        trainer.train()

    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_sound_run_ends(make_trainer):
    assert torch.isfinite(torch.tensor(make_trainer().train().training_loss))


@pytest.mark.parametrize("score", ["evaluate", "predict"])
def test_a_loss_of_an_evaluation_that_is_no_number_is_an_error(make_trainer, splits, score):
    """Finite weights can be too large to score with."""
    trainer = make_trainer()
    for parameter in trainer.model.parameters():
        parameter.data.fill_(1e30)
    with pytest.raises(ValueError, match=r"has diverged: after step 0 `(eval|test)_loss` is (nan|inf)"):
        getattr(trainer, score)(splits["test"])
