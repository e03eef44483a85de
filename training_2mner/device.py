"""Where a network runs."""

from __future__ import annotations

import torch


def choose_device(name: str | None) -> torch.device:
    """The device of the option `--device`; without it, a GPU if there is one.

    Raises:
        ValueError: for a name that is no device, and for one that this machine does not have.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # an unknown name; torch without this kind of device
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"`device` is {name!r}, which cannot be used ({reason}); write cpu, cuda or cuda:1."
        ) from error
    return device


__all__ = ["choose_device"]
