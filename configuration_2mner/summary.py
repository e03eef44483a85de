"""Count the parameters of a model, component by component.

    python -m configuration_2mner.summary --config umt

The network is built without allocating its weights, so that even the full size takes only seconds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from configuration_2mner import available
from reports_2mner.command_line import exit_on_error, make_parser

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_PRESETS = Path(__file__).with_name("models")


def count_parameters(config: PreTrainedConfig) -> dict[str, int]:
    """Count the weights of each component of the model that `config` describes, and their `"total"`.

    Buffers, such as the running statistics of batch norms, are not included.
    """
    import torch  # takes seconds, and the help does not need it
    from transformers import AutoModelForTokenClassification

    with torch.device("meta"):
        model = AutoModelForTokenClassification.from_config(config)
    decoder = [(name, part) for name, part in model.named_children() if part is not model.base_model]
    parts = [*model.base_model.named_children(), *decoder]
    counts = {name: sum(weight.numel() for weight in part.parameters()) for name, part in parts}
    counts = {name: count for name, count in counts.items() if count}
    return {**counts, "total": sum(counts.values())}


def load_config(name: str) -> PreTrainedConfig:
    """Read a config from a JSON file, a checkpoint's folder or the name of a preset.

    Raises:
        ValueError: for an unknown name; the message lists the presets.
    """
    places = (Path(name), Path(name) / "config.json", _PRESETS / f"{name}.json")
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise ValueError(
            f"`config` is {name!r}; write a JSON file, a checkpoint's folder or a preset: {', '.join(available())}."
        )
    from transformers import AutoConfig

    import modeling_2mner  # noqa: F401  registers the models

    settings = json.loads(path.read_text(encoding="utf-8"))
    return AutoConfig.for_model(settings.pop("model_type"), **settings)


def format_table(counts: dict[str, int]) -> str:
    """Format the counts in two columns."""
    width = max(len(name) for name in counts)
    return "\n".join(f"{name:<{width}}  {count:>13,}" for name, count in counts.items())


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m configuration_2mner.summary", __doc__)
    parser.add_argument(
        "--config",
        metavar="FILE_OR_PRESET",
        default="2m-ner",
        help="a JSON file, a checkpoint's folder or a preset (default: %(default)s, the paper's network)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    with exit_on_error():
        config = load_config(read_command_line(arguments).config)
    print(format_table(count_parameters(config)))


if __name__ == "__main__":
    main()
