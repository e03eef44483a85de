"""Training only the used rows of the embedding matrix gives the weights that training all of them gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training_2mner.arguments import TwoMNERTrainingArguments
from training_2mner.trainer import TwoMNERTrainer
from training_2mner.used_rows import UsedRows, rows_of

TWO_EPOCHS = {"num_train_epochs": 2, "seed": 11}
SAVING = {
    "save_strategy": "steps",
    "save_steps": 2,
    "save_total_limit": None,
    "eval_strategy": "steps",
    "eval_steps": 2,
}


@pytest.fixture
def few(splits):
    """Training sentences that leave rows of the matrix unused, some of which the validation sentences read."""
    train = splits["train"].filter(lambda row: "Köln" not in row["tokens"])
    assert any("Köln" in tokens for tokens in splits["validation"]["tokens"])
    return train


@pytest.fixture
def train(make_trainer, make_model, few, text_only):
    """Train for two epochs; return the trainer."""

    def run(folder: str, resume: str | None = None, **settings) -> TwoMNERTrainer:
        model = make_model(**text_only)
        trainer = make_trainer(model, few, folder=folder, **{**TWO_EPOCHS, **settings})
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    return run


def equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def embedding_of(trainer) -> nn.Embedding:
    return trainer.model.base_model.text_model.get_input_embeddings()


class TestTraining:
    @pytest.mark.parametrize("optimizer", [{}, {"plain_adam": False}, {"plain_adam": False, "optim": "sgd"}])
    def test_the_weights_are_those_of_training_all_rows(self, train, weights_of, optimizer):
        every, used = train("every", **optimizer), train("used", train_used_rows=True, **optimizer)
        assert equal(weights_of(every.model), weights_of(used.model))
        losses = [[entry["loss"] for entry in run.state.log_history if "loss" in entry] for run in (every, used)]
        assert losses[0] == losses[1]

    def test_with_clipped_gradients_they_agree_to_rounding(self, train, weights_of):
        every, used = train("every", max_grad_norm=0.1), train("used", train_used_rows=True, max_grad_norm=0.1)
        expected, found = weights_of(every.model), weights_of(used.model)
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-4)

    def test_only_used_rows_have_a_state_in_the_optimizer(self, train, few):
        trainer = train("used", train_used_rows=True)
        embedding = embedding_of(trainer)
        assert type(embedding) is nn.Embedding
        sizes = {tuple(state["exp_avg"].shape) for state in trainer.optimizer.state.values()}
        used = len(trainer._used_rows.used.rows)
        assert (used, embedding.embedding_dim) in sizes
        assert used < embedding.num_embeddings
        assert tuple(embedding.weight.shape) not in sizes

    def test_checkpoints_scores_and_the_best_epoch_are_the_same(self, train, weights_of, tmp_path):
        settings = {**SAVING, "load_best_model_at_end": True}
        every, used = train("every", **settings), train("used", train_used_rows=True, **settings)
        scores = [[entry for entry in run.state.log_history if "eval_f1" in entry] for run in (every, used)]
        assert [entry["eval_loss"] for entry in scores[0]] == [entry["eval_loss"] for entry in scores[1]]
        assert equal(weights_of(every.model), weights_of(used.model))
        names = [sorted(path.name for path in (tmp_path / name).glob("checkpoint-*")) for name in ("every", "used")]
        assert names[0] == names[1]
        for name in names[0]:
            files = [(tmp_path / run / name / "model.safetensors").read_bytes() for run in ("every", "used")]
            assert files[0] == files[1]

    def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(self, train, weights_of, tmp_path):
        whole = train("whole", train_used_rows=True, **SAVING)
        checkpoint = tmp_path / "whole" / "checkpoint-4"
        resumed = train("resumed", str(checkpoint), train_used_rows=True, **SAVING)
        assert equal(weights_of(whole.model), weights_of(resumed.model))

    def test_training_again_goes_on_with_the_same_rows(self, train, weights_of):
        weights = []
        for name, option in (("every", False), ("used", True)):
            trainer = train(name, train_used_rows=option)
            trainer.train()
            weights.append(weights_of(trainer.model))
        assert equal(*weights)

    def test_training_again_begins_with_weights_that_were_changed_between(self, train, weights_of):
        weights = []
        for name, option in (("every", False), ("used", True)):
            trainer = train(name, train_used_rows=option)
            torch.nn.init.constant_(embedding_of(trainer).weight, 0.25)
            trainer.train()
            weights.append(weights_of(trainer.model))
        assert equal(*weights)

    def test_the_model_of_a_search_is_built_before_its_rows_are_chosen(
        self, make_model, text_only, few, processor, quiet, weights_of, tmp_path
    ):
        weights = []
        for option in (False, True):
            arguments = TwoMNERTrainingArguments(output_dir=str(tmp_path), train_used_rows=option, **quiet)
            trainer = TwoMNERTrainer(
                args=arguments,
                model_init=lambda: make_model(**text_only),
                processing_class=processor,
                train_dataset=few,
            )
            for _ in range(2):  # each time with a new model
                trainer.train()
            weights.append(weights_of(trainer.model))
        assert equal(*weights)

    def test_a_frozen_text_encoder_has_no_rows_to_train(self, train):
        trainer = train("frozen", train_used_rows=True, freeze=["text"])
        assert trainer._used_rows.used is None

    def test_a_failed_training_gives_the_encoder_its_embedding_back(
        self, make_trainer, make_model, few, text_only, monkeypatch
    ):
        def fail(*arguments):
            raise RuntimeError("lost")

        monkeypatch.setattr(TwoMNERTrainer, "training_step", fail)
        trainer = make_trainer(make_model(**text_only), few, train_used_rows=True)
        with pytest.raises(RuntimeError, match="lost"):
            trainer.train()
        assert type(embedding_of(trainer)) is nn.Embedding


class TestUsedRows:
    def test_a_sub_word_outside_the_training_data_is_refused_in_training(self):
        used = UsedRows(nn.Embedding(10, 4), torch.tensor([1, 2]))
        with pytest.raises(ValueError, match="`train_used_rows` trains the sub-words of the training data"):
            used(torch.tensor([[1, 3]]))

    def test_and_read_in_evaluation(self):
        embedding = nn.Embedding(10, 4)
        used = UsedRows(embedding, torch.tensor([1, 2])).eval()
        used.weight.data += 1
        found = used(torch.tensor([[1, 3]]))
        assert torch.equal(found[0, 0], embedding.weight[1] + 1)
        assert torch.equal(found[0, 1], embedding.weight[3])

    def test_padding_does_not_learn(self):
        used = UsedRows(nn.Embedding(10, 4, padding_idx=2), torch.tensor([1, 2]))
        used(torch.tensor([[1, 2]])).sum().backward()
        assert used.weight.grad.tolist() == [[1.0] * 4, [0.0] * 4]

    def test_it_is_saved_and_loaded_with_all_rows(self):
        used = UsedRows(nn.Embedding(10, 4), torch.tensor([1, 2]))
        other = UsedRows(nn.Embedding(10, 4), torch.tensor([1, 2]))
        used.weight.data += 1
        other.load_state_dict(used.state_dict())
        assert torch.equal(other.weight, used.weight)
        assert torch.equal(other.state_dict()["weight"], used.state_dict()["weight"])
        with pytest.raises(RuntimeError, match="weight"):
            other.load_state_dict({})

    def test_it_moves_and_changes_its_type_as_a_whole(self):
        used = UsedRows(nn.Embedding(10, 4), torch.tensor([1, 2])).to(torch.bfloat16).eval()
        assert used(torch.tensor([[1, 3]])).dtype == torch.bfloat16
        assert used.rows.dtype == torch.long

    def test_rows_of_batches(self):
        assert rows_of([torch.tensor([[5, 1], [1, 0]]), torch.tensor([[7]])]).tolist() == [0, 1, 5, 7]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"weight_decay": 0.1}, "`weight_decay` is 0.1"),
        ({"plain_adam": False, "optim": "adafactor"}, "`optim` is 'adafactor'"),
        ({"fsdp": "full_shard"}, "`fsdp` or `deepspeed` shards the weights"),
        ({"lora": True}, "`lora` trains adapters"),
    ],
)
def test_what_would_not_be_the_same_is_refused(settings, reason, tmp_path):
    with pytest.raises(ValueError, match="`train_used_rows` is true, but " + reason):
        TwoMNERTrainingArguments(output_dir=str(tmp_path), use_cpu=True, train_used_rows=True, **settings)
