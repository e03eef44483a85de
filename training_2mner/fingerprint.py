"""What tells one model from another."""

from __future__ import annotations

import hashlib

import torch
from transformers import PreTrainedModel


def model_fingerprint(model: PreTrainedModel) -> str:
    """Identify a model by its settings and weights, wherever they come from; 64 hexadecimal digits."""
    digest = hashlib.sha256(model.config.to_json_string().encode())  # with the hashes of an exported model's graphs
    digest.update(getattr(model, "backend", "").encode())
    for weights in model.state_dict().values():
        digest.update(weights.cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
