"""For which models, and in which state, the features of pictures can be stored."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from datasets import Dataset
from torch import nn

from modeling_2mner import TwoMNERProcessor
from modeling_2mner.encoders import ENCODERS
from modeling_2mner.tagging import WordTagger
from training_2mner.features.cache import ARGUMENT, PRECISIONS, FeatureCache

VERSION = 1  # of how features are computed
# Fields of configs that features depend on, beside the towers' own configs and weights.
_FIELDS = ("use_vit", "use_resnet", "resnet_features", "visual_nodes", "grid_size", "fusion_start_layer")
# What does not change a tower's answers and may differ after saving and loading.
_VOLATILE = (
    "transformers_version",
    "dtype",
    "torch_dtype",
    "architectures",
    "problem_type",
    "return_dict",
    "id2label",
)

_DROPOUTS = ("attention_dropout", "attention_probs_dropout_prob")  # those that are no modules


def towers_of(model: WordTagger) -> dict[str, nn.Module]:
    """The image encoders of a model, by their names in `ENCODERS`."""
    modules = dict(model.base_model.named_children())
    return {
        name: modules[entry.module] for name, entry in ENCODERS.items() if name != "text" and entry.module in modules
    }


def describe_towers(model: WordTagger, processor: TwoMNERProcessor, precision: str) -> dict[str, Any]:
    """What the features of a picture depend on: towers, processor and precision; plain values of JSON.

    Raises:
        ValueError: for another precision than `PRECISIONS`, and for a model or processor whose features cannot be stored.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"`image_features_precision` is {precision!r}; write one of {', '.join(PRECISIONS)}.")
    check_apart(model, processor)
    names = ("image_processor", "resnet_image_processor")
    processors = {name: getattr(processor, name) for name in names if hasattr(processor, name)}
    draft = (
        {"jpeg_draft": True} if processor.jpeg_draft else {}
    )  # without it, caches are found that were filled before
    return {
        "version": VERSION,
        **draft,
        "model_type": model.config.model_type,
        "precision": precision,
        "fields": {name: getattr(model.config, name) for name in _FIELDS if hasattr(model.config, name)},
        "towers": _describe_export(model)
        or {name: _describe_tower(model, name, tower) for name, tower in towers_of(model).items()},
        "processors": {name: _describe_processor(each) for name, each in processors.items()},
    }


def check_apart(model: WordTagger, processor: TwoMNERProcessor) -> None:
    """Raise `ValueError` for a model whose pictures are not read apart from the text, and for augmented pictures."""
    if not model.feature_names:
        raise ValueError(
            f"`{ARGUMENT}` is given, but the model ({model.config.model_type}) does not read whole pictures apart from its "
            "text; leave it out."
        )
    if processor.augments_pictures:
        raise ValueError(
            f"`{ARGUMENT}` is given, but {type(processor).__name__} shows another random part of a picture each time; leave "
            "it out, or use a processor without random views."
        )


def check_frozen(model: WordTagger) -> None:
    """Find out whether the image towers give the same features in every step of a training.

    Raises:
        ValueError: for a tower with weights or batch norm statistics that learn, or with dropout.
    """
    for name, tower in towers_of(model).items():
        if any(parameter.requires_grad for parameter in tower.parameters()):
            raise ValueError(
                f"`{ARGUMENT}` is given, but the image encoder {name!r} learns, so that its features change; write "
                f"`freeze: [{', '.join(towers_of(model))}]`, too, or leave it out."
            )
        if _changes_in_training(model, tower):
            raise ValueError(
                f"`{ARGUMENT}` is given, but the image encoder {name!r} has dropout or learns the statistics of its batch "
                "norms, so that its features differ from step to step; set its dropout to 0 and `resnet_batch_norm` to "
                "fixed in `config`, or leave it out."
            )


def check_same_towers(cache: FeatureCache, model: WordTagger, processor: TwoMNERProcessor) -> None:
    """Raise `ValueError` for a model, such as another one of a search, whose features are not those of the cache."""
    if describe_towers(model, processor, cache.precision) != cache.settings:
        raise ValueError(
            f"`{ARGUMENT}` holds the features of image encoders with other weights than those of this model; start from "
            "pretrained ones, which are the same for every model of a search, or leave it out."
        )


def check_rows(dataset: Dataset) -> None:
    """Raise `ValueError` for a data set whose rows are changed whenever they are read."""
    if dataset.format["type"] == "custom":
        raise ValueError(
            f"`{ARGUMENT}` is given, but the data set has a transform, which may augment its pictures; remove it with "
            "`dataset.reset_format()`, or leave the cache out."
        )


def _changes_in_training(model: WordTagger, tower: nn.Module) -> bool:
    training = model.training
    model.train()  # which leaves fixed batch norms alone
    try:
        return any(
            (isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0)
            or (isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training)
            for module in tower.modules()
        ) or any(getattr(getattr(tower, "config", None), name, 0) for name in _DROPOUTS)
    finally:
        model.train(training)


def _describe_export(model: WordTagger) -> dict[str, Any] | None:
    """The same of an exported model, whose towers are a graph: its files, and how they are run."""
    graph = getattr(model.config, "images_graph", None)
    if graph is None:
        return None
    return {"graph": graph["sha256"], "backend": getattr(model, "backend", ""), "precision": model.config.precision}


def _describe_tower(model: WordTagger, name: str, tower: nn.Module) -> dict[str, Any]:
    digest = hashlib.sha256()
    for key, weights in sorted(tower.state_dict().items()):
        digest.update(f"{key} {weights.dtype} {tuple(weights.shape)}\n".encode())
        digest.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    config = getattr(model.config, f"{name}_config", None)
    fields = {} if config is None else config.to_dict()
    kept = {key: value for key, value in fields.items() if key not in _VOLATILE and not key.startswith("_")}
    return {"weights": digest.hexdigest(), "config": {key: str(kept[key]) for key in sorted(kept)}}


def _describe_processor(processor: Any) -> dict[str, Any]:
    return {
        "size": dict(processor.size),
        "resample": int(processor.resample),
        "rescale_factor": float(processor.rescale_factor),
        "mean": [float(value) for value in processor.image_mean],
        "std": [float(value) for value in processor.image_std],
    }
