"""Low-rank adapters (LoRA, Hu et al., 2021, arXiv:2106.09685) in the encoders of a model, made by PEFT.

While a model is trained, PEFT's layers stand in the places of those they adapt, and the model is otherwise what it was:
losses, learning rates and checkpoints need no other code. What is published has no trace of them.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from modeling_2mner.encoders import ENCODERS
from modeling_2mner.tagging import WordTagger
from reports_2mner.files import whole_file
from training_2mner.parts import part_of

ATTENTION = ("query", "value", "q_proj", "v_proj")  # in BERT and ViT, and in CLIP
LORA_SETTINGS = ("lora", "lora_rank", "lora_alpha", "lora_dropout", "lora_targets")
ADAPTER = "adapter"  # folder in a run folder
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_NAME, _WEIGHT, _BASE = "default", ".lora_", ".base_layer"  # PEFT's


class LoraSettings(Protocol):
    """The fields of the training arguments that are about adapters."""

    lora: bool
    lora_rank: int
    lora_alpha: int
    lora_dropout: float
    lora_targets: list[str]
    lora_keep_adapter: bool


@dataclass(frozen=True)
class TrainedShare:
    """How many of a model's parameters are trained, of all including those of the adapters; `published` are without."""

    trained: int
    total: int
    published: int

    @classmethod
    def of(cls, model: nn.Module) -> TrainedShare:
        """Count them."""
        sizes = [(name, weight.numel(), weight.requires_grad) for name, weight in model.named_parameters()]
        total = sum(size for _, size, _ in sizes)
        adapters = sum(size for name, size, _ in sizes if _WEIGHT in name)
        return cls(sum(size for _, size, trains in sizes if trains), total, total - adapters)

    def __str__(self) -> str:
        share = 100 * self.trained / max(self.total, 1)
        return (
            f"{self.trained:,} of {self.total:,} parameters are trained ({share:.2f} %), "
            f"{self.total - self.published:,} of them in adapters"
        )


def check_lora(settings: LoraSettings) -> None:
    """Check settings that need no model.

    Raises:
        ValueError: for adapters without PEFT, without targets, and for settings of adapters without `lora`.
    """
    if not settings.lora:
        if settings.lora_keep_adapter:
            raise ValueError("`lora_keep_adapter` is true, but there are no adapters; write `lora: true`, too.")
        return
    if not settings.lora_targets:
        raise ValueError("`lora_targets` is empty; name layers such as query and value, or leave it out.")
    if importlib.util.find_spec("peft") is None:
        raise ValueError("`lora` is true, but PEFT is not installed; run `pip install '2m-ner[lora]'`.")


def add_adapters(model: WordTagger, settings: LoraSettings, frozen: Iterable[str] = ()) -> None:
    """Put adapters into the encoders of a model, in place; apart from them, the encoders are no longer trained.

    Args:
        model: trained or new.
        settings: rank, scale, dropout and targets.
        frozen: encoders, as in `ENCODERS`, that get none.

    Raises:
        ValueError: if a target is in no encoder, for a ResNet whose batch norm would go on learning, and for a model of
            which no adapter can be kept.
    """
    from peft import LoraConfig, inject_adapter_in_model

    towers = {name: encoder.module for name, encoder in ENCODERS.items() if name not in set(frozen)}
    if hasattr(model.base_model, ENCODERS["resnet"].module) and model.config.resnet_batch_norm != "fixed":
        raise ValueError(
            "`lora` trains nothing else in the encoders, but the running statistics of the ResNet would go on learning; "
            'write `resnet_batch_norm="fixed"`.'
        )
    pattern = rf"(.*\.)?({'|'.join(towers.values())})\.(.*\.)?({'|'.join(map(re.escape, _targets(model, settings, towers)))})"
    others = [weight for name, weight in model.named_parameters() if weight.requires_grad and not _is_encoder(name)]
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=pattern,
    )
    if settings.lora_keep_adapter:
        _other_parts(model)
    inject_adapter_in_model(config, model, adapter_name=_NAME)
    for weight in others:  # PEFT has frozen them
        weight.requires_grad_(True)


def merged_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a model as if it had never had adapters, with W + (alpha / rank) B A in the places of W.

    The model itself stays as it is.
    """
    weights = {name.replace(_BASE, ""): value for name, value in model.state_dict().items() if _WEIGHT not in name}
    with torch.no_grad():
        for name, layer in _adapted_layers(model):
            weights[f"{name}.weight"] = weights[f"{name}.weight"] + layer.get_delta_weight(_NAME)
    return weights


def write_adapter(model: Any, folder: Path) -> None:
    """Write what was trained in PEFT's form: the adapters, and the parts outside the encoders (`modules_to_save`).

    Raises:
        ValueError: for a model that has two parts of the same name, which PEFT could not tell apart.
    """
    parts = _other_parts(model)
    state = model.state_dict()
    adapters = {name.replace(f".{_NAME}.", "."): value for name, value in state.items() if _WEIGHT in name}
    whole = {name: value for name, value in state.items() if name.startswith(tuple(f"{part}." for part in parts))}
    config = copy(model.peft_config[_NAME])
    config.task_type, config.modules_to_save = "TOKEN_CLS", parts
    config.base_model_name_or_path = None  # a path of this machine; the card names what the run started from
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    with whole_file(folder / ADAPTER_WEIGHTS) as draft:
        save_file(
            {f"base_model.model.{name}": value.contiguous() for name, value in {**adapters, **whole}.items()}, draft
        )


def forget_adapter(folder: Path) -> None:
    """Remove the adapter that an earlier training left there, which does not belong to the weights of this one."""
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _targets(model: WordTagger, settings: LoraSettings, towers: dict[str, str]) -> list[str]:
    """The targets that the encoders have; all of them unless they are the default ones."""
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding)
        and any(f".{tower}." in name for tower in towers.values())
    ]
    found = [target for target in settings.lora_targets if any(f".{name}".endswith(f".{target}") for name in names)]
    missing = [target for target in settings.lora_targets if target not in found]
    if not found or (missing and settings.lora_targets != list(ATTENTION)):
        known = sorted({name.rpartition(".")[2] for name in names if not name[-1].isdigit()})
        raise ValueError(
            f"`lora_targets` names {missing[0]!r}, but no trained encoder has such a layer; write any of "
            f"{', '.join(known) or 'the layers of an encoder, of which this model has none, or leave `lora` out'}."
        )
    return found


def _is_encoder(name: str) -> bool:
    return part_of(name) == "encoder"


def _adapted_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module


def _other_parts(model: Any) -> list[str]:
    """The modules outside the encoders that have weights, by their names from the model on."""
    below = model.base_model_prefix
    names = [name for name, _ in model.named_children() if name != below]
    names += [f"{below}.{name}" for name, _ in model.base_model.named_children() if not _is_encoder(f"{name}.")]
    names = [name for name in names if any(True for _ in model.get_submodule(name).parameters())]
    modules = [name for name, _ in model.named_modules()]
    for part in names:
        if sum(name.endswith(part) for name in modules) > 1:  # as PEFT finds them
            raise ValueError(
                f"`lora_keep_adapter` is true, but several layers of the model are called {part!r}, which PEFT cannot tell "
                "apart; leave it out."
            )
    return names
