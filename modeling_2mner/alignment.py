"""Contrastive alignment of sentences and pictures (Eq. 7-10), on plain tensors."""

import torch
from torch import nn


class ProjectionHead(nn.Sequential):
    """Map a pooled vector into the shared space: Linear, ReLU, Linear (Eq. 7-8).

    Shapes: `(batch, in_features)` to `(batch, out_features)`.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(nn.Linear(in_features, out_features), nn.ReLU(), nn.Linear(out_features, out_features))


def contrastive_loss(
    text_embeds: torch.Tensor,
    image_embeds: torch.Tensor,
    image_ids: torch.Tensor,
    form: str = "ntxent",
    temperature: float = 0.5,
    mask_duplicates: bool = False,
) -> torch.Tensor:
    """Contrast each sentence with the pictures of the other sentences of the batch (Eq. 9-10).

    Eq. 9 as printed has no logarithm and omits the positive pair; read together with its text ("2N - 2 negatives"),
    it is NT-Xent: minus the log-softmax of the positive among the 2N - 1 other embeddings, averaged over 2N.

    Args:
        text_embeds, image_embeds: `(batch, projection)`, one pair a row.
        image_ids: `(batch,)`, equal for equal pictures, negative for a sentence without one; such rows are skipped.
        form: `"ntxent"`, or `"infonce"` for the symmetric cross-modal loss without text-text and image-image pairs.
        temperature: tau of Eq. 9.
        mask_duplicates: exclude pairs that share a picture from each other's negatives.

    Returns:
        A float32 scalar; zero, with a gradient, when fewer than two pairs remain.
    """
    paired = image_ids >= 0
    text = nn.functional.normalize(text_embeds[paired].float(), dim=-1)  # (pairs, projection)
    image = nn.functional.normalize(image_embeds[paired].float(), dim=-1)
    if not len(text):
        return (text_embeds.float().sum() + image_embeds.float().sum()) * 0.0
    duplicate = _same_picture(image_ids[paired]) if mask_duplicates else None
    loss = _nt_xent if form == "ntxent" else _info_nce
    with torch.autocast(text.device.type, enabled=False):  # autocast would multiply in half precision
        return loss(text, image, temperature, duplicate)


def _same_picture(image_ids: torch.Tensor) -> torch.Tensor:
    """True where two different rows share a picture, `(pairs, pairs)`."""
    same = image_ids[:, None] == image_ids[None, :]
    return same & ~torch.eye(len(image_ids), dtype=torch.bool, device=image_ids.device)


def _nt_xent(
    text: torch.Tensor, image: torch.Tensor, temperature: float, duplicate: torch.Tensor | None
) -> torch.Tensor:
    pairs = len(text)
    embeds = torch.cat([text, image])  # (2 * pairs, projection)
    similarity = embeds @ embeds.T / temperature  # cosine, since the rows have length one
    excluded = torch.eye(2 * pairs, dtype=torch.bool, device=embeds.device)
    if duplicate is not None:
        excluded = excluded | duplicate.repeat(2, 2)
    positive = torch.arange(2 * pairs, device=embeds.device).roll(pairs)
    return nn.functional.cross_entropy(similarity.masked_fill(excluded, float("-inf")), positive)


def _info_nce(
    text: torch.Tensor, image: torch.Tensor, temperature: float, duplicate: torch.Tensor | None
) -> torch.Tensor:
    similarity = text @ image.T / temperature  # (pairs, pairs)
    if duplicate is not None:
        similarity = similarity.masked_fill(duplicate, float("-inf"))
    positive = torch.arange(len(text), device=text.device)
    text_to_image = nn.functional.cross_entropy(similarity, positive)
    image_to_text = nn.functional.cross_entropy(similarity.T, positive)
    return (text_to_image + image_to_text) / 2


__all__ = ["ProjectionHead", "contrastive_loss"]
