from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification

from configuration_2mner import load_preset
from modeling_2mner import BiLSTMCRFForTokenClassification

HBILSTM = {"character_embedding_size": 6, "character_hidden_size": 5, "hidden_layer_size": 7, "lstm_dropout": 0.0}


@pytest.fixture
def inputs(word_processor, sentences, tags):
    return dict(word_processor(sentences, labels=tags))


@pytest.mark.parametrize("row", [0, 2])  # with and without padding
@pytest.mark.parametrize("changes", [{}, HBILSTM])
def test_the_network_is_that_of_the_papers(make_baseline, inputs, changes, row, predict):
    """One sentence without padding, word by word, from the parts that have tests of their own."""
    network, length = make_baseline("bilstm-crf", **changes), int(inputs["word_mask"][row].sum())
    outputs = predict(network.model, {n: t for n, t in inputs.items() if n != "labels"})
    states = outputs.last_hidden_state[row, :length]
    words = network.model.words.vectors.weight[inputs["word_ids"][row, :length]]
    if changes:
        ids, counts = inputs["char_ids"][row], inputs["char_lengths"][row, :length]
        spelled = [network.model.characters(ids[None, [i], :n], n[None, None])[0, 0] for i, n in enumerate(counts)]
        words = torch.cat([words, torch.stack(spelled)], dim=1)
    expected, _ = network.model.lstm.lstm(words[None])
    if changes:
        layer = network.model.hidden_layer
        expected = torch.tanh(expected @ layer.weight.T + layer.bias)
    torch.testing.assert_close(states, expected[0])
    logits = predict(network, inputs).logits[row, :length]
    torch.testing.assert_close(logits, states @ network.classifier.weight.T + network.classifier.bias)


# 300-dimensional vectors; LSTM 2 * 4 * 100 * (300 + 100 + 2), tags 200 * 9 + 9, CRF 9 * 9 + 18.
PARAMETERS = {"bilstm-crf": 321_600 + 1_809 + 99, "hbilstm-crf": 10_400 + 361_600 + 20_100 + 909 + 99}


@pytest.mark.parametrize(("preset", "count"), PARAMETERS.items())
def test_paper_sizes(preset, count):
    with torch.device("meta"):
        network = BiLSTMCRFForTokenClassification(load_preset(preset, vocab_size=1000, num_characters=90))
    vectors = 1000 * 300 + (90 * 25 if preset == "hbilstm-crf" else 0)
    assert sum(parameter.numel() for parameter in network.parameters()) == count + vectors


def test_dropout_is_where_each_paper_has_it():
    with torch.device("meta"):
        plain, characters = (BiLSTMCRFForTokenClassification(load_preset(name)) for name in PARAMETERS)
    assert (plain.model.dropout.p, plain.model.lstm_dropout.p, plain.dropout.p) == (0.5, 0.5, 0.0)
    assert (characters.model.dropout.p, characters.model.lstm_dropout.p, characters.dropout.p) == (0.5, 0.0, 0.0)
    assert plain.model.characters is None and plain.model.hidden_layer is None


def test_without_characters_they_change_nothing(make_baseline, inputs, predict):
    network = make_baseline("bilstm-crf")
    expected = predict(network, inputs)
    found = predict(network, inputs, char_ids=None, char_lengths=None)
    assert torch.equal(found.logits, expected.logits)


def test_characters_tell_unknown_words_apart(make_baseline, word_processor, predict):
    network = make_baseline("bilstm-crf", **HBILSTM)
    batch = word_processor([["Panne", "Hannes"]])
    assert batch["word_ids"].tolist() == [[1, 1]]
    first, second = predict(network, batch).logits[0]
    assert not torch.allclose(first, second, atol=1e-3)
    with pytest.raises(ValueError, match="pass `char_ids` and `char_lengths`"):
        network(word_ids=batch["word_ids"])


def test_all_words_are_real_without_a_mask(make_baseline, word_processor, predict):
    network, batch = make_baseline("bilstm-crf", **HBILSTM), word_processor([["Anna", "Meier"]])
    expected = predict(network, batch)
    batch.pop("word_mask")
    assert torch.equal(predict(network, batch).logits, expected.logits)


def test_saved_tensors_come_back(make_baseline, tmp_path):
    network = make_baseline("bilstm-crf", **HBILSTM)
    network.model.words.singletons[[4, 9]] = True
    network.save_pretrained(tmp_path)
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert type(loaded) is BiLSTMCRFForTokenClassification
    for name, tensor in network.state_dict().items():  # the vector of padding too, which is not zero here
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert loaded.model.words.singletons.nonzero().flatten().tolist() == [4, 9]


def test_missing_tensors_start_anew_in_their_ranges(make_baseline, tmp_path):
    make_baseline("bilstm-crf").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(path).items() if name.startswith("crf.")}
    save_file(kept, path, {"format": "pt"})
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path)
    vectors = loaded.model.words.vectors.weight
    assert not vectors[0].any() and 0.4 < vectors.abs().max() <= 0.5  # sqrt(3 / 12)
    assert not loaded.model.words.singletons.any()
    for weight in loaded.model.lstm.parameters():
        assert 0.2 < weight.abs().max() <= 8**-0.5
    assert torch.equal(loaded.crf.transitions, kept["crf.transitions"])


def test_it_learns_a_sentence(make_baseline, inputs):
    torch.manual_seed(0)
    network = BiLSTMCRFForTokenClassification(make_baseline("bilstm-crf", **HBILSTM).config).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        network(**inputs).loss.backward()
        optimizer.step()
    assert torch.equal(network.eval()(**inputs).predictions, inputs["labels"])
