"""Hide a random share of the words from the network while it learns, so that it also reads the words around a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase


class WordDropout:
    """Replace all sub-words of randomly chosen words by the tokenizer's mask; their tags stay, and are learned.

    The network then has to tag some words by their context, and cannot rely on names that it knows by heart. Dropping whole
    words from the input is by Iyyer et al. (2015), "Deep Unordered Composition Rivals Syntactic Methods for Text
    Classification"; that their place shows a mask, which the encoder met in its pretraining, is our choice.

    Args:
        probability: that a word is hidden, each word independently of the others.
        tokenizer: gives the mask and the special sub-words, which are never hidden.

    Raises:
        ValueError: without a tokenizer that has a mask.

    Example:

    ```python
    >>> import torch
    >>> from transformers import BertTokenizer
    >>> from training_2mner.word_dropout import WordDropout

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "par", "##is"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> words = {"input_ids": torch.tensor([[2, 5, 6, 7, 3, 0]]), "word_positions": torch.tensor([[1, 2]])}
    >>> WordDropout(1.0, tokenizer)(words)["input_ids"].tolist()
    [[2, 4, 4, 4, 3, 0]]
    ```
    """

    def __init__(self, probability: float, tokenizer: PreTrainedTokenizerBase | None):
        mask = getattr(tokenizer, "mask_token_id", None)
        if tokenizer is None or mask is None:
            raise ValueError(
                "`word_dropout` hides words behind the tokenizer's mask, but there is "
                f"{'no tokenizer of sub-words' if tokenizer is None else 'none in this tokenizer'}; leave it out."
            )
        self.probability, self.mask = probability, mask
        self.special = torch.tensor(sorted({*tokenizer.all_special_ids} - {tokenizer.unk_token_id}))

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """The batch with some words hidden.

        Args:
            inputs: with `input_ids`, `(windows, pieces)`, `word_positions`, `(batch, words)`, and optionally `word_mask` of
                the same shape. Of a word that two windows show, that appearance is hidden from which its tag is read.
        """
        input_ids, positions = inputs["input_ids"], inputs["word_positions"]
        mask = inputs.get("word_mask")
        mask = torch.ones_like(positions, dtype=torch.bool) if mask is None else mask.bool()
        words = positions[mask]
        hidden = torch.rand(words.shape, device=words.device) < self.probability
        # 1 for the first piece of a hidden word and 0 for that of another; each further piece is as the one before.
        firsts = torch.full((input_ids.numel(),), -1, device=input_ids.device)
        firsts[words] = hidden.long()
        if len(input_ids) > len(positions):  # a sentence in several windows
            firsts[
                list(self._contexts(input_ids, [row[shown] for row, shown in zip(positions, mask, strict=True)]))
            ] = 0
        firsts = firsts.view_as(input_ids)
        places = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
        latest = torch.where(firsts >= 0, places, 0).cummax(dim=1).values
        drops = (firsts.gather(1, latest) == 1) & ~torch.isin(input_ids, self.special.to(input_ids.device))
        return {**inputs, "input_ids": input_ids.masked_fill(drops, self.mask)}

    def _contexts(self, input_ids: torch.Tensor, sentences: Sequence[torch.Tensor]) -> Iterator[int]:
        """Where, in the flattened pieces, the words begin that a window shows after its own: the first own ones of the next."""
        windows, width, special = input_ids.tolist(), input_ids.shape[1], set(self.special.tolist())
        for words in sentences:
            for last, following in pairwise(words.tolist()):
                (window, place), (next_window, start) = divmod(last, width), divmod(following, width)
                if window == next_window:
                    continue
                shown, own = windows[window], windows[next_window][start:]
                end = 1 + max(piece for piece in range(place, width) if shown[piece] not in special)
                starts = (piece for piece in range(place + 1, end) if shown[piece:end] == own[: end - piece])
                yield from (window * width + piece for piece in islice(starts, 1))


__all__ = ["WordDropout"]
