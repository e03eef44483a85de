"""The posteriors of the tags of a sentence, with one picture or averaged over several."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from .crf import LinearChainCRF
from .spans import Span


class TagPosteriors:
    """The tag posteriors of a sentence, averaged over its pictures.

    With one picture, the best reading is Viterbi's (Eq. 15), whatever the temperature. With several, it is the valid IOB2
    sequence with the highest product of the averaged posteriors; there a temperature also weighs the pictures against
    each other, since it changes how much a sure one counts, and so it can change the best reading.

    Args:
        logits (`torch.Tensor` of shape `(pictures, words, labels)`): emissions of the sentence with each picture.
        labels (`list[str]`): tag names in the order of the logits.
        crf ([`LinearChainCRF`], *optional*): the model's decoder; without it, each word is decided independently.
        constrained (`bool`, defaults to `False`): exclude what IOB2 forbids, as the model's decoding does.
        temperature (`float`, defaults to 1.0): divides all scores of a sequence.
    """

    def __init__(
        self,
        logits: Tensor,
        labels: list[str],
        crf: LinearChainCRF | None = None,
        constrained: bool = False,
        temperature: float = 1.0,
    ) -> None:
        self.labels = labels
        self._logits = logits
        self._crf = crf or _without_transitions(labels, logits.device)
        self._constrained = constrained
        self._temperature = temperature
        self._mask = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
        marginals = self._crf.marginals(logits, self._mask, constrained, temperature)
        self.marginals = marginals.mean(0)  # (words, labels)

    @classmethod
    def from_model(cls, model: PreTrainedModel, logits: Tensor, temperature: float | None = None) -> "TagPosteriors":
        """The posteriors of one sentence under a model's own decoder.

        Args:
            model: the model that the `logits` come from, with or without CRF.
            logits: `(pictures, words, labels)`.
            temperature: by default the model's own, `crf_temperature`.

        Raises:
            ValueError: for a model whose decoder runs over sub-words.
        """
        config = model.config
        crf, constrained = word_decoder(model)
        return cls(logits, config.labels, crf, constrained, temperature or config.crf_temperature)

    def best_readings(self, count: int) -> list[tuple[list[int], float]]:
        """The up to `count` most likely tag sequences with their posteriors, best first."""
        if len(self._logits) == 1:
            return self._crf.best_paths(self._logits[0], count, self._constrained, self._temperature)
        averaged = _log(self.marginals)
        return _without_transitions(self.labels, averaged.device).best_paths(averaged, count, constrained=True)

    def score_spans(self, spans: Sequence[Span]) -> list[float]:
        """The posterior of each entity: that of exactly this type and these words."""
        ids = {label: index for index, label in enumerate(self.labels)}
        numbered = [(start, end, ids[f"B-{kind}"], ids[f"I-{kind}"]) for kind, start, end in spans]
        posteriors = self._crf.span_posteriors(
            self._logits, self._mask, numbered, self._constrained, self._temperature
        )
        return posteriors.mean(0).tolist()


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


__all__ = ["TagPosteriors", "average_posteriors", "decode_averaged", "sentence_posteriors", "word_decoder"]
