"""Training and evaluation of the models: what stays at home when a checkpoint travels."""

from training_2mner.arguments import TwoMNERTrainingArguments
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.trainer import TwoMNERTrainer

__all__ = ["TwoMNERDataCollator", "TwoMNERTrainer", "TwoMNERTrainingArguments"]
