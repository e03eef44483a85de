"""What tells one model, or one processor, from another."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from transformers import PreTrainedModel

_WHERE_FROM = ("auto_map", "processor_class")  # of a processor's settings: these change no answer
_LAST_CALL = ("padding", "truncation")  # of a tokenizer: set whenever it is called


def model_fingerprint(model: PreTrainedModel) -> str:
    """Identify a model by its settings and weights, wherever they come from; 64 hexadecimal digits."""
    digest = hashlib.sha256(model.config.to_json_string().encode())  # with the hashes of an exported model's graphs
    digest.update(getattr(model, "backend", "").encode())
    for weights in model.state_dict().values():
        digest.update(weights.cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def processor_fingerprint(processor: Any) -> str:
    """Identify a processor by what it does with words and pictures, wherever it comes from; 64 hexadecimal digits."""
    tokenizer = processor.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    words = tokenizer.get_vocab() if backend is None else _without(json.loads(backend.to_str()), _LAST_CALL)
    settings = [_without(processor.to_dict(), _WHERE_FROM), words, tokenizer.model_max_length]
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def _without(value: Any, names: tuple[str, ...]) -> Any:
    """The value without the keys `names` of its dicts."""
    if isinstance(value, dict):
        return {key: _without(each, names) for key, each in value.items() if key not in names}
    return value
