"""Words from pieces, so that a tagger of words can serve programs that know only a tokenizer's output.

transformers' own pipeline "token-classification" passes `input_ids` to the model and takes an argmax over the `logits`
of each piece. Here such a batch is converted to words, and each piece gets the log-posteriors of its word.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from .outputs import TaggerOutput
from .posteriors import sentence_posteriors

# WordPiece marks the pieces inside a word, SentencePiece and byte BPE the first ones.
INNER, MARKS = "##", ("\u2581", "\u0120")
SPECIAL, FIRST, INSIDE = range(3)
_LEAST = 1e-30  # of a posterior, so that its logarithm stays a number


def piece_kinds(tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """For each id of a vocabulary whether its piece is special, begins a word, or continues one: `(vocabulary,)`.

    Words are separated as in the training data: at blanks, and before and after punctuation.
    """
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    marked = any(piece and piece.startswith(MARKS) for piece in pieces)
    kinds = [FIRST if _begins_word(piece or "", marked) else INSIDE for piece in pieces]
    for special in tokenizer.all_special_ids:
        # An unknown piece counts as a word, since it does not show whether it begins one.
        kinds[special] = FIRST if special == tokenizer.unk_token_id else SPECIAL
    return torch.tensor(kinds)


def _begins_word(piece: str, marked: bool) -> bool:
    return _is_punctuation(piece) or (piece.startswith(MARKS) if marked else not piece.startswith(INNER))


def _is_punctuation(piece: str) -> bool:
    return bool(piece) and all(unicodedata.category(character)[0] in "PS" for character in piece.removeprefix(INNER))


def place_of(model: PreTrainedModel) -> dict[str, Any]:
    """How to load files saved with a loaded model: from the same commit, and with trust in their code if the model's came with them."""
    came_along = type(model).__module__.startswith("transformers_modules.")
    return {
        "revision": getattr(model.config, "_commit_hash", None),
        "trust_remote_code": True if came_along else None,
    }


def _processor_of(model: PreTrainedModel) -> str:
    return "TwoMNERProcessor" if model.config.model_type.startswith("2m-ner") else "OneImageProcessor"


def load_piece_kinds(model: PreTrainedModel) -> Tensor:
    """The kinds of the pieces of the tokenizer that was saved with the model.

    Raises:
        ValueError: if there is none.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(model.name_or_path, **place_of(model))
        return piece_kinds(tokenizer)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"`word_positions` is missing; make the inputs with `{_processor_of(model)}`, or call "
            '`model.read_pieces(tokenizer)` first to tag each piece, as the pipeline "token-classification" does.'
        ) from error


def tag_pieces(
    model: Any, kinds: Tensor, input_ids: Tensor, attention_mask: Tensor | None, **inputs: Any
) -> TaggerOutput:
    """Tag the words that the pieces make up, without pictures.

    Args:
        model: a tagger of words, in eval mode.
        kinds: `(vocabulary,)`, of `piece_kinds`.
        input_ids, attention_mask: `(batch, pieces)`, one window a sentence.
        inputs: other arguments of the caller; all except `token_type_ids` of zeros are refused.

    Returns:
        [`TaggerOutput`] with only `logits`, `(batch, pieces, labels)`: the log-posteriors of a word's tags at its first
        piece, the same with `B-` moved to `I-` at its other pieces, and `O` at special ones.

    Raises:
        ValueError: for inputs that pieces cannot be combined with, and for a model without posteriors of words.
    """
    _check(model, inputs)
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if longest is not None and input_ids.shape[1] > longest:
        raise ValueError(
            f"the text has {input_ids.shape[1]} sub-words and the text encoder reads {longest} at once; use the pipeline "
            '"multimodal-ner", which reads long texts in windows, or shorter texts.'
        )
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    kind = kinds.to(input_ids.device)[input_ids.clamp(max=len(kinds) - 1)].masked_fill(mask == 0, SPECIAL)
    # A text that begins inside a word, as a later window may, begins a word nevertheless.
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
            f"`word_positions` is missing; make the inputs with `{_processor_of(model)}`: only text without "
            f"pictures and labels can do without it, but there is {', '.join(f'`{name}`' for name in given)}."
        )
    if not model.config.tags_words:
        raise ValueError(
            'This model was trained with `label_scheme="subword_aux"` and has no probabilities of words; make the inputs with '
            '`OneImageProcessor`, or train with `label_scheme="word"`.'
        )
    if model.training:
        raise ValueError(f"`word_positions` is missing; make the inputs with `{_processor_of(model)}` for training.")


def _inside(posteriors: Tensor, labels: Sequence[str]) -> Tensor:
    """The posteriors for the other pieces of words: an entity that begins at the first piece continues at them."""
    moved = posteriors.clone()
    for place, label in enumerate(labels):
        inside = f"I-{label[2:]}"
        if label.startswith("B-") and inside in labels:
            moved[:, labels.index(inside)] += posteriors[:, place]
            moved[:, place] = 0
    return moved


__all__ = ["load_piece_kinds", "piece_kinds", "place_of", "tag_pieces"]
