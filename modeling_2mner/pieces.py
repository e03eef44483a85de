"""Words from pieces: what a tagger of words needs to answer programs that know nothing but a tokenizer's output.

transformers' own pipeline "token-classification" hands the model `input_ids` and takes an argmax over the `logits` of each
piece. Here such a batch becomes one of words, and each piece gets the log-posteriors of its word.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from .outputs import TaggerOutput
from .posteriors import sentence_posteriors

INNER, MARKS = (
    "##",
    ("\u2581", "\u0120"),
)  # WordPiece marks the pieces inside a word; SentencePiece and byte BPE the first ones
SPECIAL, FIRST, INSIDE = range(3)
_LEAST = 1e-30  # of a posterior, so that its logarithm stays a number


def piece_kinds(tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """For each id of a vocabulary whether its piece is special, begins a word, or continues one: `(vocabulary,)`.

    Words are parted as in the training data: at blanks, and before and after punctuation.
    """
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    marked = any(piece and piece.startswith(MARKS) for piece in pieces)
    kinds = [FIRST if _begins_word(piece or "", marked) else INSIDE for piece in pieces]
    for special in tokenizer.all_special_ids:
        # An unknown word is a word; it cannot be seen whether it begins one.
        kinds[special] = FIRST if special == tokenizer.unk_token_id else SPECIAL
    return torch.tensor(kinds)


def _begins_word(piece: str, marked: bool) -> bool:
    return _is_punctuation(piece) or (piece.startswith(MARKS) if marked else not piece.startswith(INNER))


def _is_punctuation(piece: str) -> bool:
    return bool(piece) and all(unicodedata.category(character)[0] in "PS" for character in piece.removeprefix(INNER))


def place_of(model: PreTrainedModel) -> dict[str, Any]:
    """How to load what was saved beside a loaded model: the same commit; its code is trusted where the model's came along."""
    came_along = type(model).__module__.startswith("transformers_modules.")
    return {
        "revision": getattr(model.config, "_commit_hash", None),
        "trust_remote_code": True if came_along else None,
    }


def _processor_of(model: PreTrainedModel) -> str:
    return "TwoMNERProcessor" if model.config.model_type.startswith("2m-ner") else "OneImageProcessor"


def load_piece_kinds(model: PreTrainedModel) -> Tensor:
    """The kinds of the pieces of the tokenizer that was saved beside the model.

    Raises:
        ValueError: if there is none.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(model.name_or_path, **place_of(model))
        return piece_kinds(tokenizer)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"`word_positions` is missing; make the inputs with `{_processor_of(model)}`, or call "
            '`model.read_pieces(tokenizer)` first to have each piece tagged, as the pipeline "token-classification" needs it.'
        ) from error


def tag_pieces(
    model: Any, kinds: Tensor, input_ids: Tensor, attention_mask: Tensor | None, **inputs: Any
) -> TaggerOutput:
    """Tag the words that the pieces make up, without pictures.

    Args:
        model: a tagger of words, in eval mode.
        kinds: `(vocabulary,)`, of `piece_kinds`.
        input_ids, attention_mask: `(batch, pieces)`, one window a sentence.
        inputs: passed on by the caller; all but `token_type_ids` of zeros are refused.

    Returns:
        [`TaggerOutput`] with `logits` alone, `(batch, pieces, labels)`: at a word's first piece the logarithms of its tag's
        posteriors, at its further pieces those of the same type's `I-` tag, at special ones `O`.

    Raises:
        ValueError: for inputs that this way of calling cannot use, and for a model that has no posteriors of words.
    """
    _check(model, inputs)
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    kind = kinds.to(input_ids.device)[input_ids.clamp(max=len(kinds) - 1)].masked_fill(mask == 0, SPECIAL)
    # A text that begins inside a word, as a further window does, begins one all the same.
    before = torch.nn.functional.pad(kind, (1, 0), value=SPECIAL)[:, :-1]
    kind = kind.masked_fill((kind == INSIDE) & (before == SPECIAL), FIRST)
    first = kind == FIRST
    word = first.cumsum(1) - 1  # (batch, pieces): each piece's word
    counts = first.sum(1)
    word_mask = torch.arange(int(counts.max()), device=input_ids.device) < counts[:, None]
    positions = torch.zeros_like(word_mask, dtype=torch.long)
    positions[word_mask] = first.flatten().nonzero()[:, 0]
    found = model(input_ids=input_ids, attention_mask=mask, word_positions=positions, word_mask=word_mask)
    labels = model.config.labels
    result = torch.zeros(*input_ids.shape, len(labels), dtype=torch.float64)
    result[..., labels.index("O")] = 1.0
    for row, posteriors in enumerate(sentence_posteriors(model, found.logits, word_mask)):
        row_kind, row_word = kind[row].cpu(), word[row].cpu()
        result[row, row_kind == FIRST] = posteriors
        result[row, row_kind == INSIDE] = _inside(posteriors, labels)[row_word[row_kind == INSIDE]]
    return TaggerOutput(logits=result.clamp(min=_LEAST).log().to(found.logits.dtype).to(found.logits.device))


def _check(model: Any, inputs: dict[str, Any]) -> None:
    types = inputs.pop("token_type_ids", None)
    if types is not None and types.any():
        raise ValueError("`token_type_ids` must be zeros: the model reads one sentence; leave the second one out.")
    if given := [name for name, value in inputs.items() if value is not None]:
        raise ValueError(
            f"`word_positions` is missing; make the inputs with `{_processor_of(model)}`: only text alone goes "
            f"without, and there is {', '.join(f'`{name}`' for name in given)}."
        )
    if not model.config.tags_words:
        raise ValueError(
            'This model was trained with `label_scheme="subword_aux"` and has no probabilities of words; make the inputs with '
            '`OneImageProcessor`, or train with `label_scheme="word"`.'
        )
    if model.training:
        raise ValueError(f"`word_positions` is missing; make the inputs with `{_processor_of(model)}` for training.")


def _inside(posteriors: Tensor, labels: Sequence[str]) -> Tensor:
    """The posteriors of words as those of their further pieces: what begins an entity at the first one goes on at these."""
    moved = posteriors.clone()
    for place, label in enumerate(labels):
        inside = f"I-{label[2:]}"
        if label.startswith("B-") and inside in labels:
            moved[:, labels.index(inside)] += posteriors[:, place]
            moved[:, place] = 0
    return moved


__all__ = ["load_piece_kinds", "piece_kinds", "place_of", "tag_pieces"]
