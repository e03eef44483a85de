"""2M-NER: named entity recognition on a sentence and its picture.

This folder travels to the Hub: everything a checkpoint needs is here, flat, and nothing else. Importing it registers
the models with the Auto classes of transformers.
"""

from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification, AutoProcessor

from .configuration_2mner import LABELS, TwoMNERConfig
from .modeling_2mner import TwoMNERForTokenClassification, TwoMNERModel
from .processing_2mner import TwoMNERProcessor

AutoConfig.register(TwoMNERConfig.model_type, TwoMNERConfig)
AutoModel.register(TwoMNERConfig, TwoMNERModel)
AutoModelForTokenClassification.register(TwoMNERConfig, TwoMNERForTokenClassification)
AutoProcessor.register(TwoMNERConfig, TwoMNERProcessor)

# `save_pretrained` copies the code of registered classes into the checkpoint.
TwoMNERConfig.register_for_auto_class()
TwoMNERModel.register_for_auto_class("AutoModel")
TwoMNERForTokenClassification.register_for_auto_class("AutoModelForTokenClassification")
TwoMNERProcessor.register_for_auto_class()

__all__ = ["LABELS", "TwoMNERConfig", "TwoMNERForTokenClassification", "TwoMNERModel", "TwoMNERProcessor"]
