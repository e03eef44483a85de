"""Tell what does not load and what to do, whichever library noticed it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def retell_loading_errors(problem: str) -> Iterator[None]:
    """Raise all errors of a model's loading as `ValueError("PROBLEM: what the library said")`.

    A folder or Hub id that is none is an OSError, a config of another kind a ValueError, weights of other shapes a
    RuntimeError, a missing package an ImportError; a file of weights that was cut short has an error of safetensors.

    Args:
        problem: begins the message and names the argument: "`model` 'x' does not load; name a run folder or a Hub id".
    """
    from safetensors import SafetensorError  # programs read their options without it

    try:
        yield
    except SafetensorError as error:
        raise ValueError(
            f"{problem}: its file of weights is damaged or incomplete; copy or download it again ({error})"
        ) from error
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise ValueError(f"{problem}: {error}") from error
