"""The posteriors of the tags of sentences, with one picture each or averaged over several."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from .crf import LinearChainCRF
from .spans import Span, choose_entities, entity_spans, spans_to_tags

LEAST = 0.01  # the lowest threshold of entities: below it, there may be thousands in a sentence


@dataclass(frozen=True)
class Reading:
    """One tag sequence of a sentence, with its entities.

    Args:
        tags: a tag for each word.
        score: the posterior of the entire sequence; 1 where only the best one was asked for.
        spans: its entities.
        span_scores: the posterior of each entity.
        tag_scores: the posterior of the tag of each word; empty if not asked for.
    """

    tags: list[str]
    score: float
    spans: list[Span]
    span_scores: list[float]
    tag_scores: list[float]


class TagPosteriors:
    """The tag posteriors of a batch of sentences, each averaged over its pictures.

    With one picture, the best reading is Viterbi's (Eq. 15), whatever the temperature. With several, it is the valid IOB2
    sequence with the highest product of the averaged posteriors; there a temperature also weighs the pictures against
    each other, since it changes how much a sure one counts, and so it can change the best reading.

    Forward-backward runs once for all rows, where the emissions are; marginals and readings are computed only if they
    are asked for.

    Args:
        logits (`torch.Tensor` of shape `(rows, words, labels)`): emissions of sentences with one of their pictures.
        word_mask (`torch.Tensor` of shape `(rows, words)`): true where there is a word.
        labels (`list[str]`): tag names in the order of the logits.
        crf ([`LinearChainCRF`], *optional*): the model's decoder; without it, each word is decided independently.
        constrained (`bool`, defaults to `False`): exclude what IOB2 forbids, as the model's decoding does.
        temperature (`float`, defaults to 1.0): divides all scores of a sequence.
        pictures (`list[list[int]]`, *optional*): of each sentence its rows; by default each row is a sentence.
        decoded (`torch.Tensor` of shape `(rows, words)`, *optional*): the best tags of each row, where the model has
            found them already.
    """

    def __init__(
        self,
        logits: Tensor,
        word_mask: Tensor,
        labels: list[str],
        crf: LinearChainCRF | None = None,
        constrained: bool = False,
        temperature: float = 1.0,
        pictures: Sequence[Sequence[int]] | None = None,
        decoded: Tensor | None = None,
    ) -> None:
        self.labels = labels
        self._logits, self._word_mask = logits, word_mask
        self._crf = crf or _without_transitions(labels, logits.device)
        self._constrained = constrained
        self._temperature = temperature
        self._pictures = [[row] for row in range(len(logits))] if pictures is None else pictures
        self._decoded = decoded
        self._lattice = self._crf.lattice(logits, word_mask, constrained, temperature)
        self._lengths: list[int] = word_mask.sum(1).tolist()

    @classmethod
    def from_model(
        cls,
        model: PreTrainedModel,
        logits: Tensor,
        word_mask: Tensor,
        pictures: Sequence[Sequence[int]] | None = None,
        decoded: Tensor | None = None,
        temperature: float | None = None,
    ) -> "TagPosteriors":
        """The posteriors of sentences under a model's own decoder.

        Args:
            model: the model that the `logits` come from, with or without CRF.
            logits, word_mask, pictures, decoded: as above.
            temperature: by default the model's own, `crf_temperature`.

        Raises:
            ValueError: for a model whose decoder runs over sub-words.
        """
        config = model.config
        crf, constrained = word_decoder(model)
        temperature = config.crf_temperature if temperature is None else temperature
        return cls(logits, word_mask, config.labels, crf, constrained, temperature, pictures, decoded)

    @cached_property
    def _averaged(self) -> Tensor:
        """The marginals of each sentence, (sentences, words, labels)."""
        marginals = self._lattice.marginals()[:, : self._logits.shape[1]]
        if all(len(rows) == 1 for rows in self._pictures):
            return marginals[[row for (row,) in self._pictures]]
        return torch.stack([marginals[list(rows)].mean(0) for rows in self._pictures])

    def marginals(self) -> list[Tensor]:
        """The posteriors of the tags of each sentence, `(words, labels)` each, on the CPU."""
        averaged = self._rounded(self._averaged).cpu()
        return [found[: self._length(place)] for place, found in enumerate(averaged)]

    def are_sound(self) -> list[bool]:
        """Whether the emissions and the posteriors of each sentence are finite numbers."""
        finite = (self._logits.isfinite() | ~self._word_mask.unsqueeze(2)).all(2).all(1)
        sound = (finite & self._lattice.is_sound()).tolist()
        return [all(sound[row] for row in rows) for rows in self._pictures]

    def best_tags(self) -> list[list[int]]:
        """The most likely tag sequence of each sentence."""
        one = [place for place, rows in enumerate(self._pictures) if len(rows) == 1]
        several = [place for place, rows in enumerate(self._pictures) if len(rows) > 1]
        tags: dict[int, list[int]] = {}
        if one:
            decoded = self._decoded
            if decoded is None:
                decoded = self._crf.viterbi(self._logits, self._word_mask, self._constrained)
            best: list[list[int]] = decoded.tolist()
            tags |= {place: best[self._pictures[place][0]] for place in one}
        if several:
            mask = self._word_mask[[self._pictures[place][0] for place in several]]
            decoder = _without_transitions(self.labels, self._logits.device)
            averaged: list[list[int]] = decoder.viterbi(_log(self._averaged[several]), mask, constrained=True).tolist()
            tags |= zip(several, averaged, strict=True)
        return [tags[place][: self._length(place)] for place in range(len(self._pictures))]

    def best_readings(self, place: int, count: int) -> list[tuple[list[int], float]]:
        """The up to `count` most likely tag sequences of one sentence with their posteriors, best first."""
        return self.best_readings_of([place], count)[0]

    def best_readings_of(self, places: Sequence[int], count: int) -> list[list[tuple[list[int], float]]]:
        """The same of several sentences, which are decoded together."""
        one = [place for place in places if len(self._pictures[place]) == 1]
        several = [place for place in places if len(self._pictures[place]) > 1]
        found: dict[int, list[tuple[list[int], float]]] = {}
        if one:
            rows = [self._pictures[place][0] for place in one]
            logits, mask = self._logits[rows], self._word_mask[rows]
            paths = self._crf.best_paths_of(logits, mask, count, self._constrained, self._temperature)
            found |= zip(one, paths, strict=True)
        if several:
            mask = self._word_mask[[self._pictures[place][0] for place in several]]
            decoder = _without_transitions(self.labels, self._logits.device)
            paths = decoder.best_paths_of(_log(self._averaged[several]), mask, count, constrained=True)
            found |= zip(several, paths, strict=True)
        return [found[place] for place in places]

    def score_spans(self, spans: Sequence[Sequence[Span]], places: Sequence[int] | None = None) -> list[list[float]]:
        """The posterior of each entity: that of exactly this type and these words.

        Args:
            spans: entities, for each of `places`.
            places: numbers of sentences, each any number of times; by default each sentence once.
        """
        owners = [self._pictures[place] for place in (range(len(self._pictures)) if places is None else places)]
        rows: list[int] = []
        numbered: list[tuple[int, int, int, int]] = []
        for own, found in zip(owners, spans, strict=True):
            for kind, start, end in found:
                rows += own
                numbered += [(start, end, *self._numbers_of(kind))] * len(own)
        scores = iter(self._rounded(self._lattice.span_posteriors(rows, numbered)).tolist())
        return [
            [sum(islice(scores, len(own))) / len(own) for _ in found] for own, found in zip(owners, spans, strict=True)
        ]

    def entities_above(self, least: float) -> list[dict[Span, float]]:
        """All entities of each sentence whose posterior is at least `least`, which may overlap, with their posteriors.

        Raises:
            ValueError: for a `least` below `LEAST`, and for labels without a pair of `B-` and `I-` for each type.
        """
        if not least >= LEAST:
            raise ValueError(f"`least` is {least}; write a probability from {LEAST:g} to 1.")
        kinds = list(dict.fromkeys(label[2:] for label in self.labels if label != "O"))
        if not kinds:
            return [{} for _ in self._pictures]
        begins, insides = torch.tensor([self._numbers_of(kind) for kind in kinds], device=self._logits.device).unbind(
            1
        )
        owner = {row: place for place, rows in enumerate(self._pictures) for row in rows}
        found: list[dict[Span, None]] = [{} for _ in self._pictures]
        for row, start, end, kind in self._lattice.spans_above(least, begins, insides).tolist():
            found[owner[row]][Span(kinds[kind], start, end)] = None  # several pictures may have it
        spans = [sorted(some) for some in found]
        return [
            {span: score for span, score in zip(own, scores, strict=True) if score >= least}
            for own, scores in zip(spans, self.score_spans(spans), strict=True)
        ]

    def likely_entities(self, threshold: float) -> list[list[Span]]:
        """The entities of each sentence above the threshold, see [`choose_entities`]."""
        return [choose_entities(found, threshold) for found in self.entities_above(threshold)]

    def read(
        self, n_best: int | None = None, score_tags: bool = False, entity_threshold: float | None = None
    ) -> list[list[Reading]]:
        """The best readings of each sentence, best first: one without `n_best`, none where scores are not finite.

        With `entity_threshold`, it is that of the entities above it, see [`choose_entities`].

        Raises:
            ValueError: for `n_best` beside it.
        """
        check_alternatives(n_best, entity_threshold)
        sound = self.are_sound()
        if entity_threshold is not None:
            found = [[(tags, 1.0)] for tags in self._likely_tags(entity_threshold)]
        elif n_best is None:
            found = [[(tags, 1.0)] for tags in self.best_tags()]
        else:
            found = [[] for _ in sound]
            wanted = [place for place, is_sound in enumerate(sound) if is_sound]
            for place, own in zip(wanted, self.best_readings_of(wanted, n_best), strict=True):
                found[place] = own
        marginals = [words.tolist() for words in self.marginals()] if score_tags else []
        places = [(place, *one) for place, own in enumerate(found) if sound[place] for one in own]
        names = [[self.labels[tag] for tag in tags] for _, tags, _ in places]
        spans = [entity_spans(tags, strict=False) for tags in names]
        scores = self.score_spans(spans, [place for place, _, _ in places])
        readings: list[list[Reading]] = [[] for _ in sound]
        for (place, tags, score), own_names, own_spans, own_scores in zip(places, names, spans, scores, strict=True):
            words = [row[tag] for row, tag in zip(marginals[place], tags, strict=True)] if score_tags else []
            readings[place].append(Reading(own_names, score, own_spans, own_scores, words))
        return readings

    def _numbers_of(self, kind: str) -> tuple[int, int]:
        """The numbers of the labels that begin and continue entities of a type."""
        missing = [label for label in (f"B-{kind}", f"I-{kind}") if label not in self.labels]
        if missing:
            raise ValueError(
                f"the labels are {', '.join(self.labels)}, without {missing[0]}, so {kind} has no posteriors."
            )
        return self.labels.index(f"B-{kind}"), self.labels.index(f"I-{kind}")

    def _likely_tags(self, threshold: float) -> list[list[int]]:
        ids = {label: index for index, label in enumerate(self.labels)}
        entities = self.likely_entities(threshold)
        return [
            [ids[tag] for tag in spans_to_tags(spans, self._length(place))] for place, spans in enumerate(entities)
        ]

    def _rounded(self, posteriors: Tensor) -> Tensor:
        """To no more digits than the emissions have, whose last ones depend on the batch."""
        return posteriors.to(torch.promote_types(self._logits.dtype, torch.float32))

    def _length(self, place: int) -> int:
        return self._lengths[self._pictures[place][0]]


def check_alternatives(n_best: int | None, entity_threshold: float | None) -> None:
    """Check that not both are given.

    Raises:
        ValueError: if they are.
    """
    if n_best is not None and entity_threshold is not None:
        raise ValueError("`n_best` counts tag sequences, and `entity_threshold` chooses none; leave one of them out.")


def word_decoder(model: PreTrainedModel) -> tuple[LinearChainCRF, bool]:
    """The CRF over the words of a model, and whether its decoding excludes what IOB2 forbids.

    Without a CRF it is one whose transitions are all zero: each word is decided independently, by the softmax.

    Raises:
        ValueError: for a model whose decoder runs over sub-words.
    """
    config = model.config
    if not config.tags_words:
        raise ValueError(
            'This model was trained with `label_scheme="subword_aux"`: its CRF runs over sub-words and has no '
            'probabilities of words. Train with `label_scheme="word"`, or use model and processor directly: '
            "`processor.post_process_entities(model(**batch).predictions, batch)`."
        )
    if config.use_crf:
        crf: Any = model.crf
        return crf, config.crf_constrained_decoding
    return _without_transitions(config.labels, model.device), False


def sentence_posteriors(model: PreTrainedModel, logits: Tensor, word_mask: Tensor) -> list[Tensor]:
    """The posteriors of each sentence of a batch, `(words, labels)`, float64: the CRF's marginals, or the softmax.

    They are those at the model's `crf_temperature`. The most likely tag of each word is not always Viterbi's, and can
    change with the temperature.

    Args:
        model: the model that the `logits` come from, with or without CRF.
        logits: `(batch, words, labels)`.
        word_mask: `(batch, words)` bool.
    """
    logits, word_mask, config = logits.cpu().double(), word_mask.cpu(), model.config
    if config.use_crf:
        crf: Any = model.crf
        found = crf.marginals(logits, word_mask, config.crf_constrained_decoding, config.crf_temperature)
    else:
        found = (logits / config.crf_temperature).softmax(-1)  # (batch, words, labels)
    return [row[:length] for row, length in zip(found, word_mask.sum(1).tolist(), strict=True)]


def average_posteriors(runs: Iterable[Sequence[Tensor]]) -> list[Tensor]:
    """The posteriors of each sentence, `(words, labels)`, averaged over runs."""
    return [torch.stack(found).mean(0) for found in zip(*runs, strict=True)]


def decode_averaged(posteriors: Sequence[Tensor], labels: list[str], batch_size: int = 32) -> list[list[str]]:
    """The tags of the valid IOB2 sequence with the highest product of averaged posteriors, for each sentence.

    Args:
        posteriors: `(words, labels)` for each sentence.
        labels: tag names in the order of the posteriors.
        batch_size: number of sentences that are decoded at once.
    """
    crf = _without_transitions(labels, torch.device("cpu"))
    tags: list[list[str]] = []
    for start in range(0, len(posteriors), batch_size):
        part = posteriors[start : start + batch_size]
        scores = pad_sequence([_log(sentence) for sentence in part], batch_first=True)
        mask = pad_sequence([torch.ones(len(sentence), dtype=torch.bool) for sentence in part], batch_first=True)
        paths = crf.viterbi(scores, mask, constrained=True).tolist()
        tags += [[labels[tag] for tag in path[: len(found)]] for path, found in zip(paths, part, strict=True)]
    return tags


def _log(posteriors: Tensor) -> Tensor:
    # If no valid sequence has a probability above zero, its possible words must still count.
    return posteriors.double().clamp(min=1e-300).log()


def _without_transitions(labels: list[str], device: torch.device) -> LinearChainCRF:
    crf = LinearChainCRF(len(labels), labels).to(device)
    for parameter in crf.parameters():
        torch.nn.init.zeros_(parameter)
    return crf


__all__ = [
    "LEAST",
    "Reading",
    "TagPosteriors",
    "average_posteriors",
    "check_alternatives",
    "decode_averaged",
    "sentence_posteriors",
    "word_decoder",
]
