"""Training and evaluation of the models: everything that does not travel with a checkpoint."""

from training_2mner.arguments import TwoMNERTrainingArguments
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.trainer import TwoMNERTrainer

__all__ = ["TwoMNERDataCollator", "TwoMNERTrainer", "TwoMNERTrainingArguments"]
