from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from modeling_2mner import BiLSTMCRFConfig, BiLSTMCRFForTokenClassification
from modeling_2mner.word_layers import CharacterBiLSTM, PackedBiLSTM, WordEmbeddings

LENGTHS = [3, 0, 5, 1]


@pytest.fixture
def lstm(shake) -> PackedBiLSTM:
    return shake(PackedBiLSTM(4, 3)).eval()


@pytest.fixture
def states() -> Tensor:
    return torch.randn(4, 5, 4, generator=torch.Generator().manual_seed(0))


def run_by_hand(lstm, row: Tensor, suffix: str) -> Tensor:
    """The LSTM equations step by step over one row `(steps, features)`."""
    weight, recurrent, bias, recurrent_bias = (
        getattr(lstm.lstm, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    hidden = cell = torch.zeros(lstm.lstm.hidden_size)
    outputs = []
    for step in row:
        gates = weight @ step + bias + recurrent @ hidden + recurrent_bias
        enter, forget, candidate, leave = gates.chunk(4)
        cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        outputs.append(hidden)
    return torch.stack(outputs)


@torch.no_grad()
def test_each_row_is_read_to_its_own_end(lstm, states):
    outputs, last = lstm(states, torch.tensor(LENGTHS))
    assert outputs.shape == (4, 5, 6) and last.shape == (4, 6)
    for row, length in enumerate(LENGTHS):
        assert torch.equal(outputs[row, length:], torch.zeros(5 - length, 6))
        if length:
            forward = run_by_hand(lstm, states[row, :length], "")
            backward = run_by_hand(lstm, states[row, :length].flip(0), "_reverse").flip(0)
            torch.testing.assert_close(outputs[row, :length], torch.cat([forward, backward], dim=1))
            torch.testing.assert_close(last[row], torch.cat([forward[-1], backward[0]]))
    assert torch.equal(last[1], torch.zeros(6))


def test_what_is_not_real_is_not_read(lstm, states):
    lengths = torch.tensor(LENGTHS)
    changed = states.clone()
    changed[torch.arange(5)[None, :] >= lengths[:, None]] = 9.0
    for expected, found in zip(lstm(states, lengths), lstm(changed, lengths), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize(("rows", "steps"), [(0, 5), (3, 0), (0, 0), (2, 4)])
def test_nothing_to_read(lstm, rows, steps):
    outputs, last = lstm(torch.ones(rows, steps, 4), torch.zeros(rows, dtype=torch.long))
    assert torch.equal(outputs, torch.zeros(rows, steps, 6)) and torch.equal(last, torch.zeros(rows, 6))


def test_a_word_vector_is_that_of_its_first_and_last_real_character(shake):
    characters = shake(CharacterBiLSTM(9, 4, 3)).eval()
    char_ids = torch.tensor([[[2, 3, 4], [5, 0, 0]], [[0, 0, 0], [7, 8, 0]]])
    vectors = characters(char_ids, torch.tensor([[3, 1], [0, 2]]))
    assert vectors.shape == (2, 2, 6) and torch.equal(vectors[1, 0], torch.zeros(6))
    for row, place, ids in ((0, 0, [2, 3, 4]), (0, 1, [5]), (1, 1, [7, 8])):
        letters = characters.vectors.weight[ids]
        forward = run_by_hand(characters.lstm, letters, "")[-1]
        backward = run_by_hand(characters.lstm, letters.flip(0), "_reverse")[-1]
        torch.testing.assert_close(vectors[row, place], torch.cat([forward, backward]))


def embeddings(rate: float, vocab_size: int = 6) -> WordEmbeddings:
    part = WordEmbeddings(BiLSTMCRFConfig(vocab_size=vocab_size, word_embedding_size=3, unknown_rate=rate))
    part.singletons[[3, 5]] = True
    return part


def test_singletons_are_read_as_unknown_in_training_alone():
    part, word_ids = embeddings(1.0), torch.tensor([[2, 3, 4], [5, 1, 0]])
    expected = part.vectors(torch.tensor([[2, 1, 4], [1, 1, 0]]))
    assert torch.equal(part(word_ids), expected)
    assert torch.equal(part.eval()(word_ids), part.vectors(word_ids))
    never = embeddings(0.0)
    assert torch.equal(never(word_ids), never.vectors(word_ids))


def test_half_of_the_singletons_are_replaced_by_default():
    part, word_ids = embeddings(BiLSTMCRFConfig().unknown_rate), torch.full((40, 100), 3)
    torch.manual_seed(0)
    replaced = (part(word_ids) == part.vectors.weight[1]).all(dim=-1)
    assert abs(replaced.float().mean().item() - 0.5) < 0.05


def test_singletons_train_the_unknown_word():
    part = embeddings(1.0)
    part(torch.tensor([[3, 0]])).sum().backward()
    assert part.vectors.weight.grad.abs().sum(dim=1).nonzero().flatten().tolist() == [1]


def test_weights_start_in_their_ranges():
    config = BiLSTMCRFConfig(
        vocab_size=400, num_characters=60, character_embedding_size=25, hidden_layer_size=50, lstm_hidden_size=30
    )
    network = BiLSTMCRFForTokenClassification(config)
    bounds = {
        "model.words.vectors.weight": math.sqrt(3 / 300),
        "model.characters.vectors.weight": math.sqrt(3 / 25),
        "model.characters.lstm": 1 / math.sqrt(25),
        "model.lstm": 1 / math.sqrt(30),
        "model.hidden_layer": 1 / math.sqrt(60),
        "classifier": 1 / math.sqrt(50),
        "crf": 0.1,
    }
    for name, weight in network.named_parameters():
        (bound,) = (bound for start, bound in bounds.items() if name.startswith(start))
        assert weight.abs().max() <= bound
        assert weight.numel() < 50 or (weight.abs().max() > 0.9 * bound and abs(weight.mean()) < bound / 4)
    for vectors in (network.model.words.vectors, network.model.characters.vectors):
        assert not vectors.weight[0].any() and vectors.weight[1:].all()
    assert not network.model.words.singletons.any()
