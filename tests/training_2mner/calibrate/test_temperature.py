from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from training_2mner.arguments import DataArguments
from training_2mner.calibrate.temperature import (
    LEAST,
    MOST,
    GoldLikelihood,
    ReadSentences,
    fit_temperature,
    read_sentences,
)

LABELS = ["O", "B-PER", "I-PER"]
NAMES = {"id2label": dict(enumerate(LABELS)), "label2id": {label: number for number, label in enumerate(LABELS)}}


def scaled(make_model, factor: float, **settings):
    """A model whose transitions are multiplied by a factor."""
    model = make_model(**NAMES, **settings)
    with torch.no_grad():
        for parameter in model.crf.parameters() if model.config.use_crf else ():
            parameter *= factor
    return model


def path_scores(model, emissions: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The scores of all valid tag sequences of a sentence."""
    crf, scores = model.crf, {}
    for path in product(range(3), repeat=len(emissions)):
        if all(tag != 2 or before in (1, 2) for before, tag in zip((0, *path), path, strict=False)):
            score = emissions[range(len(path)), list(path)].sum() + crf.start_transitions[path[0]]
            score = score + crf.end_transitions[path[-1]] + crf.transitions[list(path[:-1]), list(path[1:])].sum()
            scores[path] = score.item()
    return scores


@pytest.fixture(scope="module")
def drawn(make_model) -> ReadSentences:
    """Sentences whose gold tags are drawn from the posterior of the model, so that its own temperature is 1."""
    model, generator = scaled(make_model, 1.0), torch.Generator().manual_seed(5)
    emissions, gold = [], []
    for number in range(600):
        emissions.append(torch.randn(1 + number % 3, 3, generator=generator))
        scores = path_scores(model, emissions[-1])
        shares = torch.tensor(list(scores.values()), dtype=torch.float64).softmax(0)
        path = list(scores)[int(torch.multinomial(shares, 1, generator=generator))]
        gold.append([LABELS[tag] for tag in path])
    return ReadSentences(emissions, gold)


def test_the_temperature_of_a_models_own_tags_is_one(make_model, drawn):
    assert fit_temperature(GoldLikelihood(scaled(make_model, 1.0), drawn)) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("factor", [0.4, 2.0, 3.7])
def test_a_known_temperature_is_found_again(make_model, drawn, factor):
    """Emissions and transitions times a factor need a temperature that is larger by that factor."""
    plain = fit_temperature(GoldLikelihood(scaled(make_model, 1.0), drawn))
    sharper = ReadSentences([factor * row for row in drawn.emissions], drawn.gold)
    assert fit_temperature(GoldLikelihood(scaled(make_model, factor), sharper)) == pytest.approx(
        factor * plain, rel=1e-4
    )


def test_the_fitted_temperature_has_the_highest_likelihood(make_model, drawn):
    likelihood = GoldLikelihood(scaled(make_model, 2.0), drawn)
    best = fit_temperature(likelihood)
    losses = [likelihood.loss(best * factor) for factor in (0.5, 0.98, 1.0, 1.02, 2.0)]
    assert min(losses) == losses[2] and losses == sorted(losses[:2], reverse=True) + sorted(losses[2:])
    step = (likelihood.loss(best + 1e-4) - likelihood.loss(best - 1e-4)) / 2e-4
    assert likelihood.slope(best) / 600 == pytest.approx(step, abs=1e-4)
    assert likelihood.slope(best / 2) / 600 == pytest.approx(
        (likelihood.loss(best / 2 + 1e-4) - likelihood.loss(best / 2 - 1e-4)) / 2e-4, rel=1e-4
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_likelihood_is_that_of_the_gold_tags_among_all_valid_ones(make_model, drawn, temperature):
    model = scaled(make_model, 1.0)
    sentences = ReadSentences(drawn.emissions[:7], drawn.gold[:7])
    expected = 0.0
    for emissions, gold in zip(sentences.emissions, sentences.gold, strict=True):
        scores = path_scores(model, emissions)
        shares = (torch.tensor(list(scores.values()), dtype=torch.float64) / temperature).softmax(0)
        expected -= math.log(shares[list(scores).index(tuple(map(LABELS.index, gold)))]) / 7
    assert GoldLikelihood(model, sentences).loss(temperature) == pytest.approx(expected, abs=1e-6)


def test_without_a_crf_it_is_the_cross_entropy(make_model):
    model = make_model(use_crf=False, **NAMES)
    emissions = [torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0]]), torch.tensor([[0.0, 3.0, 0.0]])]
    rows, tags = torch.cat(emissions), torch.tensor([0, 1, 0])
    likelihood = GoldLikelihood(model, ReadSentences(emissions, [["O", "B-PER"], ["O"]]))
    for temperature in (0.7, 2.0):
        expected = torch.nn.functional.cross_entropy(rows.double() / temperature, tags, reduction="sum").item() / 2
        assert likelihood.loss(temperature) == pytest.approx(expected)
    assert fit_temperature(likelihood) > 1  # one of three words is wrong, and surely so


@pytest.mark.parametrize(("gold", "bound"), [("B-PER", LEAST), ("O", MOST)])
def test_where_no_temperature_is_best_the_bound_is_taken_and_told(make_model, caplog, gold, bound):
    model = make_model(use_crf=False, **NAMES)
    likelihood = GoldLikelihood(model, ReadSentences([torch.tensor([[0.0, 5.0, 0.0]])], [[gold]]))
    assert fit_temperature(likelihood) == bound
    assert f"beyond {bound:g}" in caplog.text and "more sentences" in caplog.text


def test_what_cannot_be_fitted_is_refused(make_model, make_baseline):
    model = scaled(make_model, 1.0)
    with pytest.raises(ValueError, match="no words to calibrate on"):
        GoldLikelihood(model, ReadSentences([torch.zeros(0, 3)], [[]]))
    with pytest.raises(ValueError, match="no valid IOB2"):
        GoldLikelihood(model, ReadSentences([torch.zeros(1, 3)], [["I-PER"]]))
    with pytest.raises(ValueError, match='label_scheme="subword_aux"'):
        GoldLikelihood(make_baseline("umt", label_scheme="subword_aux"), ReadSentences([torch.zeros(1, 9)], [["O"]]))


def test_a_split_is_read_as_the_model_reads_it(model, processor, splits):
    read = read_sentences(model, processor, splits["validation"], DataArguments("tiny"), batch_size=3)
    assert len(read.emissions) == len(read.gold) == 7
    for row, emissions, gold in zip(splits["validation"], read.emissions, read.gold, strict=True):
        batch = processor([row["tokens"]], [row["image"]])
        with torch.no_grad():
            torch.testing.assert_close(emissions, model(**batch).logits[0], atol=1e-4, rtol=1e-4)
        assert gold == [model.config.labels[tag] for tag in row["ner_tags"]]


def test_other_labels_and_unsound_weights_are_refused(make_model, processor, splits):
    with pytest.raises(ValueError, match=r"has the tag 'B-\w+', which the model does not know; it knows O, B-X, I-X"):
        names = {"id2label": {0: "O", 1: "B-X", 2: "I-X"}, "label2id": {"O": 0, "B-X": 1, "I-X": 2}}
        read_sentences(make_model(**names), processor, splits["validation"], DataArguments("tiny"), 4)
    broken = make_model()
    with torch.no_grad():
        broken.classifier.bias[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        read_sentences(broken, processor, splits["validation"], DataArguments("tiny"), 4)
