"""Which part of a network a weight belongs to, by its name."""

from __future__ import annotations

from modeling_2mner.encoders import ENCODERS


def part_of(name: str) -> str:
    """The part of the network a parameter belongs to, by its name: `"encoder"`, `"crf"`, `"head"` or `"new"`."""
    if any(f"{encoder.module}." in name for encoder in ENCODERS.values()):
        return "encoder"
    if any(module.endswith("crf") for module in name.split(".")):
        return "crf"
    return "head" if name.rpartition(".")[0].endswith("classifier") else "new"
