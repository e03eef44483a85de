"""Train only the rows of the text encoder's embedding matrix that the training sentences use.

A multilingual encoder has a row for each of up to 250,000 sub-words, and most of its weights are in them; a data set uses a
tenth. The gradient of all other rows is zero in every step, and without weight decay Adam and plain gradient descent leave
such rows as they are. To make that gradient, measure its norm and run the optimizer over it takes much of a step of a small
encoder on a CPU, and three more copies of the matrix in memory. Here these rows have no gradient and no optimizer state;
the weights that are learned, saved and loaded are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import TrainingArguments
from transformers.training_args import OptimizerNames

from modeling_2mner.encoders import ENCODERS
from modeling_2mner.tagging import WordTagger

if TYPE_CHECKING:  # the arguments of a run need `check_used_rows` alone
    from datasets import Dataset

logger = logging.getLogger(__name__)

SENTENCES_AT_ONCE = 256

# Optimizers of transformers that leave a weight alone whose gradient has always been zero.
OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd")


class UsedRows(nn.Module):
    """An embedding of which some rows are trained; the others are constant.

    Its `state_dict` is that of the embedding that it stands for, with all rows.

    Args:
        embedding (`nn.Embedding`): `(vocabulary, size)`; its weight is shared, not copied.
        rows (`torch.LongTensor` of shape `(used,)`): the rows to train, each once.

    Example:

    ```python
    >>> import torch
    >>> from training_2mner.used_rows import UsedRows

    >>> embedding = torch.nn.Embedding(1000, 8)
    >>> used = UsedRows(embedding, torch.tensor([0, 7, 500]))
    >>> used.weight.shape, used.state_dict()["weight"].shape
    (torch.Size([3, 8]), torch.Size([1000, 8]))
    >>> torch.equal(used(torch.tensor([[7, 500]])), embedding(torch.tensor([[7, 500]])))
    True
    ```
    """

    rows: torch.Tensor
    places: torch.Tensor  # of all rows among those that are trained, -1 for others
    all_rows: torch.Tensor

    def __init__(self, embedding: nn.Embedding, rows: torch.Tensor):
        super().__init__()
        self.num_embeddings, self.embedding_dim = embedding.num_embeddings, embedding.embedding_dim
        # No buffers: several processes would send them to each other in each step.
        self.rows, self.all_rows = rows, embedding.weight.detach()
        self.places = torch.full((self.num_embeddings,), -1, device=rows.device)
        self.places[rows] = torch.arange(len(rows), device=rows.device)
        padding = -1 if embedding.padding_idx is None else int(self.places[embedding.padding_idx])
        self.padding_idx = None if padding < 0 else padding
        self.weight = nn.Parameter(self.all_rows[rows])

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Look up `(..., size)`.

        Raises:
            ValueError: in training, for a sub-word whose row is constant: it would have to learn.
        """
        places = self.places[input_ids]
        constant = places < 0
        used = F.embedding(places.clamp(min=0), self.weight, self.padding_idx)
        if not constant.any():
            return used
        if self.training and torch.is_grad_enabled():
            raise ValueError(
                "`train_used_rows` trains the sub-words of the training data, but a batch has others; leave the option out."
            )
        return torch.where(constant.unsqueeze(-1), F.embedding(input_ids, self.all_rows), used)

    def write(self, embedding: nn.Embedding) -> None:
        """Give the rows to an embedding of the same size, whose weight is this one's from then on."""
        embedding.weight.data = self._updated()

    @torch.no_grad()
    def read(self, embedding: nn.Embedding) -> None:
        """Take the rows of an embedding of the same size, whose weight is this one's from then on."""
        self.all_rows = embedding.weight.detach()
        self.weight.copy_(self.all_rows[self.rows])

    def _updated(self) -> torch.Tensor:
        self.all_rows[self.rows] = self.weight.detach()
        return self.all_rows

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> UsedRows:
        self.rows, self.places, self.all_rows = (fn(part) for part in (self.rows, self.places, self.all_rows))
        return super()._apply(fn, recurse)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self._updated()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        weight = state_dict.get(f"{prefix}weight")
        if weight is None:
            args[2].append(f"{prefix}weight")  # the missing keys
        else:
            self.all_rows.copy_(weight)
            self.weight.data.copy_(self.all_rows[self.rows])


class UsedRowsOfEncoder:
    """The rows of the text encoder that a Trainer trains; it keeps them, since its optimizer does."""

    def __init__(self) -> None:
        self.embedding: nn.Embedding | None = None
        self.used: UsedRows | None = None

    @contextmanager
    def trained(self, model: WordTagger, dataset: Dataset, collator: Any, also: Iterable[int] = ()) -> Iterator[None]:
        """Train only the used rows for a while; at the end the encoder has its own embedding again, with what was learned.

        Args:
            model: without a text encoder, or with a frozen one, nothing is done.
            dataset: the sentences, as `tokens`.
            collator: makes the batches.
            also: further rows to train, that of the mask if words are hidden.
        """
        encoder = getattr(model.base_model, ENCODERS["text"].module, None)
        embedding = None if encoder is None else encoder.get_input_embeddings()
        if encoder is None or not isinstance(embedding, nn.Embedding) or not embedding.weight.requires_grad:
            yield
            return
        if self.used is None or self.embedding is not embedding:
            batches = chain(_batches(dataset, collator), [torch.tensor([*also], dtype=torch.long)])
            rows = rows_of(batches).to(embedding.weight.device)
            logger.info("`train_used_rows`: %d of the %d rows.", len(rows), embedding.num_embeddings)
            self.embedding, self.used = embedding, UsedRows(embedding, rows)
        self.used.read(embedding)
        encoder.set_input_embeddings(self.used)
        try:
            yield
        finally:
            self.used.write(embedding)
            encoder.set_input_embeddings(embedding)


def _batches(dataset: Dataset, collator: Any) -> Iterator[torch.Tensor]:
    for rows in dataset.select_columns("tokens").iter(SENTENCES_AT_ONCE):
        yield collator([{"tokens": tokens} for tokens in rows["tokens"]])["input_ids"]


def rows_of(batches: Iterable[torch.Tensor]) -> torch.Tensor:
    """The different numbers in some `input_ids`, sorted."""
    used = torch.zeros(0, dtype=torch.long)
    for input_ids in batches:
        used = torch.cat([used, input_ids.flatten()]).unique()
    return used


def check_used_rows(arguments: TrainingArguments, plain_adam: bool) -> None:
    """Check that the rows that have no gradient would stay as they are without the option, too.

    Raises:
        ValueError: for weight decay, an optimizer that changes such rows, sharded weights, and adapters.
    """
    optimizer = OptimizerNames(arguments.optim).value
    refused = {
        f"`weight_decay` is {arguments.weight_decay}": arguments.weight_decay != 0,
        f"`optim` is {optimizer!r}": not plain_adam and optimizer not in OPTIMIZERS,
        "`fsdp` or `deepspeed` shards the weights": bool(arguments.fsdp or arguments.deepspeed),
        "`lora` trains adapters": bool(getattr(arguments, "lora", False)),
    }
    for reason, holds in refused.items():
        if holds:
            raise ValueError(f"`train_used_rows` is true, but {reason}; leave out one of the two.")


__all__ = ["OPTIMIZERS", "UsedRows", "UsedRowsOfEncoder", "check_used_rows", "rows_of"]
