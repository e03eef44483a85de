from __future__ import annotations

from itertools import combinations, product

import pytest
import torch
from torch import Tensor

from modeling_2mner import lattice
from modeling_2mner.crf import LinearChainCRF
from modeling_2mner.posteriors import TagPosteriors, sentence_posteriors
from modeling_2mner.spans import Span, choose_entities, entity_spans

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC"]
SMALL = ["O", "B-PER", "I-PER"]
SIZES = [(SMALL, 1), (SMALL, 5), (LABELS, 1), (LABELS, 3)]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(3)


@pytest.fixture
def crf():
    """Build a CRF whose transitions matter."""

    def build(labels: list[str]) -> LinearChainCRF:
        model = LinearChainCRF(len(labels), labels)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
        return model

    return build


def emissions_of(pictures: int, words: int, labels: list[str]) -> Tensor:
    return 2 * torch.randn(pictures, words, len(labels))


def posteriors_of(
    emissions: Tensor,
    labels: list[str],
    crf: LinearChainCRF | None = None,
    constrained: bool = False,
    temperature: float = 1.0,
) -> TagPosteriors:
    """Those of one sentence with several pictures."""
    mask = torch.ones(emissions.shape[:2], dtype=torch.bool)
    return TagPosteriors(emissions, mask, labels, crf, constrained, temperature, [list(range(len(emissions)))])


def is_valid(names: list[str]) -> bool:
    followed = zip(["O", *names], names, strict=False)
    return all(name[0] != "I" or before[1:] == name[1:] for before, name in followed)


@torch.no_grad()
def readings_of(
    emissions: Tensor,
    labels: list[str],
    crf: LinearChainCRF | None = None,
    constrained: bool = False,
    temperature: float = 1.0,
) -> dict[tuple[int, ...], float]:
    """The probability of every tag sequence of one sentence with one picture, by enumeration."""
    scores = {}
    for path in product(range(len(labels)), repeat=len(emissions)):
        if constrained and not is_valid([labels[tag] for tag in path]):
            continue
        score = emissions.double()[range(len(path)), list(path)].sum()
        if crf is not None:
            score = score + crf.start_transitions[path[0]] + crf.end_transitions[path[-1]]
            score = score + crf.transitions[list(path[:-1]), list(path[1:])].double().sum()
        scores[path] = float(score)
    shares = (torch.tensor(list(scores.values()), dtype=torch.float64) / temperature).softmax(0)
    return dict(zip(scores, shares.tolist(), strict=True))


def share_of(span: tuple[str, int, int], readings: dict[tuple[int, ...], float], labels: list[str]) -> float:
    return sum(
        share for path, share in readings.items() if span in entity_spans([labels[tag] for tag in path], strict=False)
    )


def marginals_of(readings: dict[tuple[int, ...], float], words: int, labels: list[str]) -> Tensor:
    marginals = torch.zeros(words, len(labels), dtype=torch.float64)
    for path, share in readings.items():
        marginals[range(words), list(path)] += share
    return marginals


def all_spans(words: int, labels: list[str]) -> list[tuple[str, int, int]]:
    kinds = [name[2:] for name in labels if name[0] == "B"]
    return [(kind, *ends) for kind in kinds for ends in combinations(range(words + 1), 2)]


@pytest.mark.parametrize("pictures", [1, 3])
@pytest.mark.parametrize("decoder", ["constrained crf", "crf", "none"])
@pytest.mark.parametrize(("labels", "words"), SIZES)
def test_scores_equal_an_enumeration_of_all_readings(crf, labels, words, decoder, pictures):
    constrained = decoder == "constrained crf"
    model = None if decoder == "none" else crf(labels)
    emissions = emissions_of(pictures, words, labels)
    posteriors = posteriors_of(emissions, labels, model, constrained)
    readings = [readings_of(picture, labels, model, constrained) for picture in emissions]

    marginals = sum(marginals_of(one, words, labels) for one in readings) / pictures
    torch.testing.assert_close(posteriors.marginals()[0].double(), marginals, atol=1e-5, rtol=0)
    torch.testing.assert_close(posteriors.marginals()[0].sum(1), torch.ones(words))

    spans = all_spans(words, labels)
    expected = [sum(share_of(span, one, labels) for one in readings) / pictures for span in spans]
    assert posteriors.score_spans([spans])[0] == pytest.approx(expected, abs=1e-5)
    assert posteriors.score_spans([[]])[0] == []


@pytest.mark.parametrize("decoder", ["constrained crf", "crf", "none"])
@pytest.mark.parametrize(("labels", "words"), SIZES)
def test_readings_with_one_picture_are_all_readings_in_order(crf, labels, words, decoder):
    constrained = decoder == "constrained crf"
    model = None if decoder == "none" else crf(labels)
    emissions = emissions_of(1, words, labels)
    readings = readings_of(emissions[0], labels, model, constrained)
    expected = sorted(readings, key=readings.get, reverse=True)

    found = posteriors_of(emissions, labels, model, constrained).best_readings(0, len(readings) + 1)
    assert [tuple(path) for path, _ in found] == expected
    assert [share for _, share in found] == pytest.approx([readings[path] for path in expected], abs=1e-6)
    assert sum(share for _, share in found) == pytest.approx(1.0)
    assert posteriors_of(emissions, labels, model, constrained).best_readings(0, 2) == found[:2]


@pytest.mark.parametrize("decoder", ["constrained crf", "crf", "none"])
@pytest.mark.parametrize(("labels", "words"), SIZES)
def test_readings_with_several_pictures_are_valid_and_follow_the_averaged_posteriors(crf, labels, words, decoder):
    model = None if decoder == "none" else crf(labels)
    posteriors = posteriors_of(emissions_of(4, words, labels).double(), labels, model, decoder == "constrained crf")
    averaged = posteriors.marginals()[0].double().clamp(min=1e-300).log()
    readings = readings_of(averaged, labels, constrained=True)

    found = posteriors.best_readings(0, 4)
    expected = sorted(readings, key=readings.get, reverse=True)[:4]
    assert [tuple(path) for path, _ in found] == expected
    assert [share for _, share in found] == pytest.approx([readings[path] for path in expected], abs=1e-9)


@pytest.mark.parametrize("decoder", ["crf", "none"])
def test_a_valid_reading_is_found_where_no_valid_one_is_likely(crf, decoder):
    emissions = torch.zeros(2, 3, 9)
    emissions[:, :, LABELS.index("I-PER")] = 1000
    posteriors = posteriors_of(emissions, LABELS, None if decoder == "none" else crf(LABELS))
    assert posteriors.marginals()[0][:, LABELS.index("B-PER")].tolist() == [0, 0, 0]
    [(path, share)] = posteriors.best_readings(0, 1)
    assert is_valid([LABELS[tag] for tag in path]) and 0 < share <= 1


def test_equal_pictures_count_as_one(crf):
    model, emissions = crf(LABELS), emissions_of(1, 6, LABELS)
    one, three = (posteriors_of(emissions.expand(count, -1, -1), LABELS, model, True) for count in (1, 3))
    spans = all_spans(6, LABELS)
    torch.testing.assert_close(one.marginals()[0], three.marginals()[0])
    assert one.score_spans([spans])[0] == pytest.approx(three.score_spans([spans])[0], abs=1e-6)


@pytest.mark.parametrize("pictures", [1, 2])
def test_a_sentence_without_words_has_one_reading(crf, pictures):
    posteriors = posteriors_of(torch.zeros(pictures, 0, 9), LABELS, crf(LABELS), True)
    assert posteriors.best_readings(0, 5) == [([], 1.0)]
    assert posteriors.marginals()[0].shape == (0, 9) and posteriors.score_spans([[]])[0] == []


def test_the_type_of_the_emissions_does_not_matter(crf):
    model, emissions = crf(LABELS), emissions_of(2, 5, LABELS).bfloat16()
    low, high = posteriors_of(emissions, LABELS, model), posteriors_of(emissions.double(), LABELS, model)
    spans = all_spans(5, LABELS)
    assert low.score_spans([spans])[0] == pytest.approx(high.score_spans([spans])[0], abs=1e-6)
    assert [path for path, _ in low.best_readings(0, 3)] == [path for path, _ in high.best_readings(0, 3)]


@pytest.mark.parametrize("decoder", ["constrained crf", "crf", "none"])
def test_a_batch_of_sentences_is_read_like_each_of_them_alone(crf, decoder):
    model = None if decoder == "none" else crf(LABELS)
    lengths, pictures = [4, 4, 7, 0, 1, 7], [[0], [1], [2, 5, 2], [3], [4]]  # words of the rows; rows of the sentences
    emissions = torch.randn(6, 7, len(LABELS)) * 2
    mask = torch.arange(7) < torch.tensor(lengths).unsqueeze(1)
    spoilt = emissions.masked_fill(~mask.unsqueeze(2), torch.nan)
    together = TagPosteriors(spoilt, mask, LABELS, model, decoder == "constrained crf", pictures=pictures)
    for n_best in (None, 4):
        for rows, found in zip(pictures, together.read(n_best, score_tags=True), strict=True):
            own = emissions[rows, : lengths[rows[0]]]
            [alone] = posteriors_of(own, LABELS, model, decoder == "constrained crf").read(n_best, score_tags=True)
            assert [(one.tags, one.spans) for one in found] == [(one.tags, one.spans) for one in alone]
            for one, other in zip(found, alone, strict=True):
                assert one.score == pytest.approx(other.score)
                assert one.span_scores == pytest.approx(other.span_scores)
                assert one.tag_scores == pytest.approx(other.tag_scores)


def test_forward_backward_runs_once_for_a_batch_and_viterbi_not_again(crf, monkeypatch):
    calls = []
    sums, search = lattice.forward_backward, LinearChainCRF.viterbi
    monkeypatch.setattr(lattice, "forward_backward", lambda *given: calls.append("sums") or sums(*given))
    monkeypatch.setattr(LinearChainCRF, "viterbi", lambda *given: calls.append("search") or search(*given))
    emissions, mask = torch.randn(3, 5, 9), torch.ones(3, 5, dtype=torch.bool)
    model = crf(LABELS)
    decoded = model.viterbi(emissions, mask, True)
    calls.clear()
    readings = TagPosteriors(emissions, mask, LABELS, model, True, decoded=decoded).read(score_tags=True)
    assert len(readings) == 3 and calls == ["sums"]


@pytest.mark.parametrize("temperature", [0.4, 3.0])
@pytest.mark.parametrize("decoder", ["constrained crf", "crf", "none"])
def test_a_temperature_divides_the_scores_of_all_readings(crf, decoder, temperature):
    constrained = decoder == "constrained crf"
    model = None if decoder == "none" else crf(SMALL)
    emissions = emissions_of(2, 5, SMALL)
    posteriors = posteriors_of(emissions, SMALL, model, constrained, temperature)
    readings = [readings_of(picture, SMALL, model, constrained, temperature) for picture in emissions]
    marginals = sum(marginals_of(one, 5, SMALL) for one in readings) / 2
    torch.testing.assert_close(posteriors.marginals()[0].double(), marginals, atol=1e-5, rtol=0)
    spans = all_spans(5, SMALL)
    expected = [sum(share_of(span, one, SMALL) for one in readings) / 2 for span in spans]
    assert posteriors.score_spans([spans])[0] == pytest.approx(expected, abs=1e-5)

    one = posteriors_of(emissions[:1], SMALL, model, constrained, temperature).best_readings(0, 4)
    best = sorted(readings[0], key=readings[0].get, reverse=True)[:4]
    assert [tuple(path) for path, _ in one] == best
    assert [share for _, share in one] == pytest.approx([readings[0][path] for path in best], abs=1e-6)


def test_with_one_picture_no_temperature_changes_the_order_of_the_readings(crf):
    """Not even among readings whose scores, sums of whole numbers, are exactly equal: quotients would be rounded."""
    model, emissions = crf(LABELS), emissions_of(1, 4, LABELS).round()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.round_()
    plain = [path for path, _ in posteriors_of(emissions, LABELS, model, True).best_readings(0, 200)]
    for temperature in (1e-3, 0.3, 1.7, 3.0, 1e3):
        readings = posteriors_of(emissions, LABELS, model, True, temperature).best_readings(0, 200)
        assert [path for path, _ in readings] == plain


def test_with_several_pictures_a_temperature_weighs_them_against_each_other():
    """One picture is sure of PER, two lean to LOC: a mean of sure posteriors is a vote, one of soft ones a sum of scores."""
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    emissions = torch.full((3, 1, 5), -100.0)
    emissions[:, 0, 1] = torch.tensor([10.0, 0.0, 0.0])
    emissions[:, 0, 3] = torch.tensor([0.0, 2.0, 2.0])
    # The means of PER: (1 + 0.119 + 0.119) / 3 = 0.41 at 1, and (0.731 + 0.450 + 0.450) / 3 = 0.54 at 10.
    for temperature, tag, share in ((1.0, 3, 0.587), (10.0, 1, 0.544)):
        posteriors = posteriors_of(emissions, labels, temperature=temperature)
        assert posteriors.best_readings(0, 1)[0][0] == [tag]
        assert posteriors.marginals()[0][0, tag].item() == pytest.approx(share, abs=1e-3)


def test_the_posteriors_of_a_model_are_those_at_its_temperature(make_model, batch):
    plain, softer, softmax = (
        make_model(),
        make_model(crf_temperature=2.0),
        make_model(use_crf=False, crf_temperature=2),
    )
    with torch.no_grad():
        outputs = [network(**batch) for network in (plain, softer)]
    assert outputs[0].loss.equal(outputs[1].loss) and outputs[0].predictions.equal(outputs[1].predictions)
    logits, mask = outputs[0].logits, batch["word_mask"]
    halved = make_model()
    with torch.no_grad():
        for parameter in halved.crf.parameters():
            parameter /= 2
    expected = sentence_posteriors(halved, logits / 2, mask)
    for found, wanted in zip(sentence_posteriors(softer, logits, mask), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    assert not torch.allclose(expected[0], sentence_posteriors(plain, logits, mask)[0], atol=1e-2)
    found = sentence_posteriors(softmax, logits, mask)[0]
    torch.testing.assert_close(found, (logits[0, : len(found)].double() / 2).softmax(-1))
    own, mask = logits[:1, :5], mask[:1, :5]
    assert TagPosteriors.from_model(softer, own, mask).score_spans([[Span("PER", 0, 2)]])[0] == pytest.approx(
        TagPosteriors.from_model(plain, own, mask, temperature=2.0).score_spans([[Span("PER", 0, 2)]])[0]
    )


@pytest.mark.parametrize("pictures", [1, 3])
@pytest.mark.parametrize("decoder", ["constrained crf", "crf", "none"])
@pytest.mark.parametrize(("labels", "words"), SIZES)
@pytest.mark.parametrize("least", [0.01, 0.1, 0.4])
def test_the_entities_above_a_posterior_are_those_of_an_enumeration(crf, labels, words, decoder, pictures, least):
    constrained = decoder == "constrained crf"
    model = None if decoder == "none" else crf(labels)
    emissions = emissions_of(pictures, words, labels)
    found = posteriors_of(emissions, labels, model, constrained).entities_above(least)[0]
    readings = [readings_of(picture, labels, model, constrained) for picture in emissions]
    shares = {
        span: sum(share_of(span, one, labels) for one in readings) / pictures for span in all_spans(words, labels)
    }
    expected = {span: share for span, share in shares.items() if share >= least}
    assert found == pytest.approx(expected, abs=1e-5)
    assert all(share > 0 for share in found.values())


def test_entities_of_a_batch_are_those_of_each_sentence_alone(crf):
    model, lengths = crf(LABELS), [7, 1, 4]
    emissions = emissions_of(3, 7, LABELS)
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    together = TagPosteriors(emissions, mask, LABELS, model, True).entities_above(0.05)
    for row, length in enumerate(lengths):
        alone = posteriors_of(emissions[row : row + 1, :length], LABELS, model, True).entities_above(0.05)[0]
        assert together[row] == pytest.approx(alone, abs=1e-6)
        assert all(span.end <= length for span in together[row])


def test_a_long_sentence_of_unsure_tags_has_few_likely_entities(crf):
    posteriors = posteriors_of(torch.zeros(1, 2000, len(SMALL)), SMALL, None)
    found = posteriors.entities_above(0.05)[0]
    assert 2000 < len(found) < 2000 / 0.05


def test_readings_by_entities_are_valid_and_hold_those_with_the_highest_expected_score(crf):
    model = crf(LABELS)
    emissions = emissions_of(1, 5, LABELS)
    posteriors = posteriors_of(emissions, LABELS, model, True)
    (reading,) = posteriors.read(entity_threshold=0.2, score_tags=True)[0]
    assert is_valid(reading.tags)
    assert len(reading.tags) == len(reading.tag_scores) == 5
    assert reading.spans == choose_entities(posteriors.entities_above(0.2)[0], 0.2) != []
    assert reading.span_scores == pytest.approx(posteriors.score_spans([reading.spans])[0])
    assert min(reading.span_scores) > 0.2
    assert posteriors.read(entity_threshold=0.99)[0][0].spans == []


def test_a_sentence_without_words_has_no_likely_entities(crf):
    posteriors = posteriors_of(torch.zeros(1, 0, len(SMALL)), SMALL, crf(SMALL))
    assert posteriors.entities_above(0.1) == [{}]
    assert posteriors.read(entity_threshold=0.4)[0][0].tags == []


@pytest.mark.parametrize("seed", range(12))
def test_no_likely_entity_is_missed_whatever_the_transitions(crf, seed):
    """Long entities under strong transitions: what begins, what continues, and what is left as unlikely."""
    torch.manual_seed(seed)
    model, words = crf(SMALL), 7
    with torch.no_grad():
        model.transitions.mul_(2)
    emissions = emissions_of(1, words, SMALL) / 2
    found = posteriors_of(emissions, SMALL, model, constrained=bool(seed % 2)).entities_above(0.15)[0]
    readings = readings_of(emissions[0], SMALL, model, bool(seed % 2))
    shares = {span: share_of(span, readings, SMALL) for span in all_spans(words, SMALL)}
    assert found == pytest.approx({span: share for span, share in shares.items() if share >= 0.15}, abs=1e-5)


def test_unlikely_entities_are_left_early(crf, monkeypatch):
    """Without that, a sentence of n words would have n * n / 2 candidates."""
    counts = []
    close = lattice.Lattice._close
    monkeypatch.setattr(
        lattice.Lattice, "_close", lambda self, row, *others: counts.append(len(row)) or close(self, row, *others)
    )
    posteriors_of(torch.zeros(1, 400, len(SMALL)), SMALL).entities_above(0.05)
    assert 400 < sum(counts) <= 2 * 400 / 0.05


@pytest.mark.parametrize("least", [0.0, 0.009, -1.0, float("nan")])
def test_thresholds_below_the_least_are_refused(crf, least):
    with pytest.raises(ValueError, match=r"`least` is .*; write a probability from 0.01 to 1"):
        posteriors_of(emissions_of(1, 3, SMALL), SMALL).entities_above(least)


def test_sentences_without_finite_scores_have_no_reading_by_entities(crf):
    emissions = emissions_of(2, 3, SMALL)
    emissions[1, 1, 1] = float("nan")
    mask = torch.ones(2, 3, dtype=torch.bool)
    found = TagPosteriors(emissions, mask, SMALL, crf(SMALL), True).read(entity_threshold=0.4)
    assert [len(readings) for readings in found] == [1, 0]


def test_readings_are_either_counted_or_chosen(crf):
    with pytest.raises(ValueError, match="`n_best` counts tag sequences"):
        posteriors_of(emissions_of(1, 3, SMALL), SMALL).read(n_best=2, entity_threshold=0.4)


def test_labels_without_entities_have_none_and_half_a_pair_is_refused():
    assert posteriors_of(torch.zeros(1, 3, 1), ["O"]).entities_above(0.1) == [{}]
    for labels in (["O", "B-X"], ["O", "I-X"]):
        with pytest.raises(ValueError, match=rf"the labels are O, {labels[1]}, without [BI]-X"):
            posteriors_of(torch.zeros(1, 3, 2), labels).entities_above(0.1)
