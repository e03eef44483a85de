"""Start from a trained model with another label set."""

from __future__ import annotations

import logging
from typing import cast

from transformers import AutoModelForTokenClassification

from modeling_2mner.configuration_tagging import TaggingConfig
from modeling_2mner.tagging import WordTagger
from training_2mner.parts import part_of

logger = logging.getLogger(__name__)


def load_with_new_labels(model: str, config: TaggingConfig) -> WordTagger:
    """Load a trained model under a config with other labels, in eval mode.

    Kept bit by bit are the encoders, the alignment and the fusion: the complete base model, and in 2M-NER the projection
    after it. New are the linear layer before the tags and the CRF; in UMT those of its spans as well.

    Args:
        model: run folder or Hub id.
        config: the model's own, but with the new labels.

    Raises:
        ValueError: for weights that do not fit the config.
    """
    trained = AutoModelForTokenClassification.from_pretrained(model)
    fresh = cast(WordTagger, AutoModelForTokenClassification.from_config(config, dtype=trained.dtype))
    kept = {name: value for name, value in trained.state_dict().items() if _is_kept(name, fresh)}
    unfit = [name for name, value in kept.items() if value.shape != fresh.state_dict()[name].shape]
    if unfit:
        raise ValueError(
            f"`config` changes the size of {unfit[0]} in `model` {model!r}, whose weights are kept; leave that out."
        )
    fresh.load_state_dict(kept, strict=False)
    new = sorted({name.rpartition(".")[0] for name, _ in fresh.named_parameters() if name not in kept})
    logger.info(
        "`new_labels`: kept from %s are its encoders, alignment and fusion (%d tensors); new are %s, for the tags %s.",
        model,
        len(kept),
        ", ".join(new),
        ", ".join(config.labels),
    )
    return fresh.eval()


def _is_kept(name: str, fresh: WordTagger) -> bool:
    """Whether a weight does not depend on the labels; the decoder's buffers are computed from them."""
    if name.startswith(f"{fresh.base_model_prefix}."):
        return name in fresh.state_dict()
    return name in dict(fresh.named_parameters()) and part_of(name) == "new"
