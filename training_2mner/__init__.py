"""Training and evaluation of the models: everything that does not travel with a checkpoint."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training_2mner.arguments import TwoMNERTrainingArguments
    from training_2mner.collator import TwoMNERDataCollator
    from training_2mner.trainer import TwoMNERTrainer

__all__ = ["TwoMNERDataCollator", "TwoMNERTrainer", "TwoMNERTrainingArguments"]

_MODULES = {"TwoMNERTrainingArguments": "arguments", "TwoMNERDataCollator": "collator", "TwoMNERTrainer": "trainer"}


def __getattr__(name: str) -> Any:
    """Import a class when it is used, so that the help of a program does not wait for torch."""
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
