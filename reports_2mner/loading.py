"""Tell what does not load and what to do, whichever library noticed it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError


@contextmanager
def retell_loading_errors(problem: str, values: bool = True) -> Iterator[None]:
    """Raise the usual errors of a model's loading as `ValueError("PROBLEM: what the library said")`.

    A folder or Hub id that is none is an OSError, a config of another kind a ValueError or an error of its checked
    fields, weights of other shapes a RuntimeError, a missing package an ImportError; a file of weights that was cut short
    has an error of safetensors or pickle.

    Args:
        problem: begins the message and names the argument: "`model` 'x' does not load; name a run folder or a Hub id".
        values: also those that are a ValueError before; not where this project's own checks of settings raise them.
    """
    from huggingface_hub.errors import StrictDataclassError  # programs read their options without these
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, UnpicklingError, EOFError) as error:
        raise ValueError(
            f"{problem}: its file of weights is damaged or incomplete; copy or download it again ({error})"
        ) from error
    except (OSError, ValueError, RuntimeError, ImportError, StrictDataclassError) as error:
        if isinstance(error, ValueError) and not values:
            raise
        raise ValueError(f"{problem}: {error}") from error
