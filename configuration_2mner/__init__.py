"""Named settings: model presets (`models/*.json`) and training runs (`runs/*.yaml`).

The config classes live in `modeling_2mner`, because they are part of every checkpoint and the Hub's loader copies a
single flat folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from modeling_2mner import TwoMNERConfig
    from modeling_2mner.configuration_tagging import TaggingConfig

_FOLDER = Path(__file__).parent


def available(kind: str = "models") -> list[str]:
    """Names of the model presets, or with `"runs"` of the run files."""
    return sorted(path.stem for path in (_FOLDER / kind).iterdir() if path.suffix in (".json", ".yaml"))


def load_preset(name: str, **changes: Any) -> TaggingConfig:
    """Load a preset of `models/`, or a JSON file of the same form, with some fields changed.

    A dict changes single fields of a sub-config: `load_preset("2m-ner", text_config={"vocab_size": 100})`.

    Raises:
        ValueError: for an unknown name, with a list of the presets, or for an unknown field.
    """
    from transformers import AutoConfig  # these take seconds, and the help of programs only needs the names

    import modeling_2mner  # noqa: F401  registers the models
    from modeling_2mner.configuration_parts import check_part

    path = Path(name) if name.endswith(".json") else _FOLDER / "models" / f"{name}.json"
    if not path.is_file():
        raise ValueError(f"there is no model preset {name!r}; write one of {', '.join(available())} or a JSON file.")
    settings = json.loads(path.read_text(encoding="utf-8"))
    for field, value in changes.items():
        merges = field.endswith("_config") and isinstance(value, dict)  # but labels are replaced
        settings[field] = {**settings.get(field, {}), **value} if merges else value
    if "model_type" not in settings:
        raise ValueError(f'{path} has no `model_type`; write the kind of model, such as "2m-ner".')
    config_class = cast("type[TaggingConfig]", type(AutoConfig.for_model(settings.pop("model_type"))))
    unknown = sorted(set(settings) - set(config_class.__dataclass_fields__))
    if unknown:
        raise ValueError(f"`{unknown[0]}` is not a field of {config_class.__name__} ({name!r}).")
    for field, spec in config_class.sub_configs_defaults.items():
        check_part(field, settings.get(field), spec.model_type, strict=True)
    return config_class(**settings)


def __getattr__(name: str) -> Any:
    if name == "TwoMNERConfig":
        from modeling_2mner import TwoMNERConfig

        return TwoMNERConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["TwoMNERConfig", "available", "load_preset"]
