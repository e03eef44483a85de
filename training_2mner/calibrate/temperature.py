"""The temperature at which a finished model gives the gold tags their highest likelihood."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from datasets import Dataset
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PreTrainedModel

from modeling_2mner import TwoMNERProcessor
from modeling_2mner.posteriors import word_decoder
from training_2mner.arguments import DataArguments
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.data import tag_names

logger = logging.getLogger(__name__)

LEAST, MOST = 0.1, 10.0
STEPS = 40  # halvings: far below what is stored
DIGITS = 6  # significant ones, of what is stored
AT_ONCE = 256  # sentences
SEED = 19  # for a processor that draws a part of each picture


@dataclass(frozen=True)
class ReadSentences:
    """What a model read: of each sentence the emissions `(words, labels)` on the CPU, and the gold tags by name."""

    emissions: list[Tensor]
    gold: list[list[str]]


@torch.no_grad()
def read_sentences(
    model: PreTrainedModel,
    processor: TwoMNERProcessor,
    dataset: Dataset,
    arguments: DataArguments,
    batch_size: int,
) -> ReadSentences:
    """Run a model on a split as the pipeline would, each sentence with its own picture.

    Raises:
        ValueError: if the data set has tags that the model does not know, or the model's scores are not finite.
    """
    gold = tag_names(dataset)
    unknown = sorted({tag for tags in gold for tag in tags} - set(model.config.labels))
    if unknown:
        raise ValueError(
            f"`dataset` {arguments.dataset!r} has the tag {unknown[0]!r}, which the model does not know; it knows "
            f"{', '.join(model.config.labels)}. Name the data set that the model was trained on."
        )
    unread = {"ner_tags"} if model.config.uses_image else {"ner_tags", "image"}
    rows = dataset.remove_columns(sorted(unread & set(dataset.column_names)))
    collator = TwoMNERDataCollator(processor, arguments.boxes_column, arguments.small_boxes_column)
    emissions: list[Tensor] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        for batch in tqdm(DataLoader(rows, batch_size, collate_fn=collator), unit=" batches", disable=None):
            logits = model(**batch.to(model.device)).logits.float().cpu()
            emissions += [row[:length] for row, length in zip(logits, batch["word_mask"].sum(1).tolist(), strict=True)]
    if not all(row.isfinite().all() for row in emissions):
        raise ValueError("the model's scores are not finite numbers; check its weights, and train it again.")
    return ReadSentences(emissions, gold)


class GoldLikelihood:
    """The conditional log-likelihood of the gold tags under a model's decoder (Eq. 16-17), by temperature, in float64.

    It is normalised as the model's posteriors are: over valid IOB2 with `crf_constrained_decoding`. Without a CRF it is
    the cross-entropy of the words.

    Args:
        model: whose decoder.
        sentences: what it read.

    Raises:
        ValueError: if there are no sentences, for a decoder over sub-words, and for gold tags that it excludes.
    """

    def __init__(self, model: PreTrainedModel, sentences: ReadSentences) -> None:
        if not any(sentences.gold):
            raise ValueError("there are no words to calibrate on; name a split with sentences.")
        self._crf, self._constrained = word_decoder(model)
        self._count = len(sentences.gold)
        self._batches = list(_batches(sentences, model.config.labels))
        if not math.isfinite(self.loss(1.0)):
            raise ValueError("some gold tags are no valid IOB2, which the model's decoder excludes; correct them.")

    @torch.no_grad()
    def loss(self, temperature: float) -> float:
        """The negative log-likelihood, the mean over sentences."""
        return self._sum(torch.tensor(temperature, dtype=torch.float64)).item() / self._count

    def slope(self, temperature: float) -> float:
        """The derivative of the loss by the temperature, times the number of sentences."""
        at = torch.tensor(temperature, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(self._sum(at), at)[0].item()

    def _sum(self, temperature: Tensor) -> Tensor:
        losses = [
            self._crf.neg_log_likelihood(emissions, tags, mask, self._constrained, temperature).sum()
            for emissions, tags, mask in self._batches
        ]
        return torch.stack(losses).sum()


def fit_temperature(likelihood: GoldLikelihood) -> float:
    """The temperature with the highest likelihood, from 0.1 to 10, to six digits.

    The loss is convex in the inverse temperature, as the logarithm of a partition function minus a linear term, so its
    slope changes sign once; halving the interval on a logarithmic scale finds where.
    """
    low, high = math.log(LEAST), math.log(MOST)
    if likelihood.slope(LEAST) >= 0 or likelihood.slope(MOST) <= 0:
        found = LEAST if likelihood.slope(LEAST) >= 0 else MOST
        logger.warning(
            "The likelihood is highest at a temperature beyond %g, which is taken instead; calibrate on more sentences.",
            found,
        )
        return found
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if likelihood.slope(math.exp(middle)) < 0 else (low, middle)
    return float(f"{math.exp((low + high) / 2):.{DIGITS}g}")


def _batches(sentences: ReadSentences, labels: Sequence[str]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Emissions, tag ids and mask of sentences of similar length."""
    numbers = {label: number for number, label in enumerate(labels)}
    order = sorted(range(len(sentences.gold)), key=lambda row: len(sentences.gold[row]))
    for start in range(0, len(order), AT_ONCE):
        rows = order[start : start + AT_ONCE]
        tags = [torch.tensor([numbers[tag] for tag in sentences.gold[row]], dtype=torch.long) for row in rows]
        emissions = pad_sequence([sentences.emissions[row].double() for row in rows], batch_first=True)
        mask = pad_sequence([torch.ones(len(row), dtype=torch.bool) for row in tags], batch_first=True)
        yield emissions, pad_sequence(tags, batch_first=True), mask
