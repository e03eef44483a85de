"""Sub-configs given as dicts: keys that no config of their kind has, which transformers would store and never read."""

import difflib
from collections.abc import Iterator
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig

_SAVED = "transformers_version"  # a config that was saved, also one with names that transformers has given up since


def check_part(field: str, part: Any, model_type: str, strict: bool = False) -> None:
    """Refuse misspelt keys of a sub-config, also those of configs inside it.

    Args:
        field: its name.
        part: what the caller gave for it; only a dict has keys to check.
        model_type: its kind, unless it says another.
        strict: refuse every unknown key, not only one that is nearly that of a field: for changes that a user writes
            down, not for whole configs, which may come from older versions of transformers.

    Raises:
        ValueError: with the key and, if there is one, the field that was meant.
    """
    for place, key, close in _unknown_keys(field, part, model_type):
        if close:
            raise ValueError(f"`{key}` is not a field of `{place}`; did you mean `{close}`?")
        if strict:
            raise ValueError(f"`{key}` is not a field of `{place}` and would have no effect; leave it out.")


def _unknown_keys(field: str, part: Any, model_type: str) -> Iterator[tuple[str, str, str | None]]:
    """Each unknown key: where it stands, and the field that is nearly spelt like it."""
    model_type = part.get("model_type", model_type) if isinstance(part, dict) else model_type
    if not isinstance(part, dict) or _SAVED in part or model_type not in CONFIG_MAPPING:
        return
    config_class = CONFIG_MAPPING[model_type]
    known = [*config_class().to_dict(), *config_class.attribute_map]  # some names are derived when it is made
    for key, value in part.items():
        inner = config_class.sub_configs_defaults.get(key)
        if inner is not None:
            yield from _unknown_keys(f"{field}.{key}", value, inner.model_type)
        elif key not in known and not key.startswith("_") and not _is_general(key):
            yield field, key, _closest(key, known)


def _is_general(key: str) -> bool:
    """Whether any config takes the key: `dtype`, `attn_implementation`, `output_attentions` and the like."""
    return hasattr(PreTrainedConfig, key) or key in ("attn_implementation", "torch_dtype", "num_labels", "auto_map")


def _closest(key: str, known: list[str]) -> str | None:
    # Longer names are other things: BERT's old `pooler_num_attention_heads` is no misspelt `num_attention_heads`.
    alike = [name for name in known if abs(len(name) - len(key)) <= 2]
    return next(iter(difflib.get_close_matches(key, alike, n=1, cutoff=0.8)), None)


__all__ = ["check_part"]
