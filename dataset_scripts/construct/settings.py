"""Presets and construct.yaml: both are options of the stages, which the command line overrides.

    preset: clean
    tweets: {mmnerd: MMNERD, only_persons: true}
    translate: {engine: apertium, to: [es, fr]}
    project:
    release: {output: MMNERD-new}

Every stage that has a section, if only an empty one, is run by `all`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset_scripts.construct.stages import ORDER

CONFIG = "construct.yaml"
DEFAULT_PRESET = "clean"
# `paper`: section 3 as written. `released`: the rules that can be read off the released files. `clean`: what we advise.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "recognise": {"label_map": "paper"},
        "release": {"rules": "paper", "build_split": "paper", "build_picture": "default"},
    },
    "released": {
        "recognise": {"label_map": "released", "most_mentions": 2, "propagate": True},
        "release": {"rules": "released", "build_split": "paper", "build_picture": "default"},
    },
    "clean": {"recognise": {"label_map": "clean"}, "release": {"rules": "clean", "build_split": "grouped"}},
}


def read_config(path: Path | None) -> dict[str, Any]:
    """Read construct.yaml; without a path, an empty one. Raises ValueError for keys that no stage has."""
    import yaml

    if path is None:
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"`config` {path} cannot be read ({error}); correct it or name another.") from error
    if not isinstance(values, dict) or (unknown := set(values) - {"preset", *ORDER}):
        shown = sorted(map(str, unknown)) if isinstance(values, dict) else values
        raise ValueError(f"`config` {path} has {shown}; its keys are preset, {', '.join(ORDER)}.")
    if values.get("preset", DEFAULT_PRESET) not in [*PRESETS]:
        raise ValueError(f"`preset` in {path} must be one of {list(PRESETS)}, got {values['preset']!r}.")
    for stage in ORDER:
        if not isinstance(values.get(stage) or {}, dict):
            raise ValueError(f"`{stage}` in {path} must hold options, such as `to: [fr, es]`, got {values[stage]!r}.")
    return values


def options_of(stage: str, preset: str | None, config: Mapping[str, Any]) -> list[str]:
    """Return the options of a stage from preset and configuration, as they would stand on its command line."""
    chosen = PRESETS[preset or config.get("preset", DEFAULT_PRESET)].get(stage, {})
    values = {**chosen, **(config.get(stage) or {})}
    return [word for name, value in values.items() for word in _words(name, value)]


def _words(name: str, value: Any) -> list[str]:
    if value is None or value is False:
        return []
    if value is True:
        return [f"--{name}"]
    if isinstance(value, Mapping):
        value = [f"{key}={entry}" for key, entry in value.items()]
    return [f"--{name}", *map(str, value)] if isinstance(value, list) else [f"--{name}={value}"]
