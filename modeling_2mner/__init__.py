"""2M-NER: named entity recognition on a sentence and its picture.

This folder travels to the Hub: everything a checkpoint needs is here, flat, and nothing else. Importing it registers
the models with the Auto classes of transformers.
"""

from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_2mner import LABELS, TwoMNERConfig
from .modeling_2mner import TwoMNERForTokenClassification, TwoMNERModel
from .modeling_released import (
    TwoMNERReleasedConfig,
    TwoMNERReleasedForTokenClassification,
    TwoMNERReleasedModel,
    TwoMNERReleasedProcessor,
)
from .pipeline_2mner import TwoMNERPipeline
from .processing_2mner import TwoMNERProcessor

AutoConfig.register(TwoMNERConfig.model_type, TwoMNERConfig)
AutoModel.register(TwoMNERConfig, TwoMNERModel)
AutoModelForTokenClassification.register(TwoMNERConfig, TwoMNERForTokenClassification)
AutoProcessor.register(TwoMNERConfig, TwoMNERProcessor)

AutoConfig.register(TwoMNERReleasedConfig.model_type, TwoMNERReleasedConfig)
AutoModel.register(TwoMNERReleasedConfig, TwoMNERReleasedModel)
AutoModelForTokenClassification.register(TwoMNERReleasedConfig, TwoMNERReleasedForTokenClassification)
AutoProcessor.register(TwoMNERReleasedConfig, TwoMNERReleasedProcessor)

PIPELINE_REGISTRY.register_pipeline(
    "multimodal-ner", pipeline_class=TwoMNERPipeline, pt_model=AutoModelForTokenClassification, type="multimodal"
)

# `save_pretrained` copies the code of registered classes into the checkpoint.
TwoMNERConfig.register_for_auto_class()
TwoMNERModel.register_for_auto_class("AutoModel")
TwoMNERForTokenClassification.register_for_auto_class("AutoModelForTokenClassification")
TwoMNERProcessor.register_for_auto_class()
TwoMNERReleasedConfig.register_for_auto_class()
TwoMNERReleasedModel.register_for_auto_class("AutoModel")
TwoMNERReleasedForTokenClassification.register_for_auto_class("AutoModelForTokenClassification")
TwoMNERReleasedProcessor.register_for_auto_class()

__all__ = [
    "LABELS",
    "TwoMNERConfig",
    "TwoMNERForTokenClassification",
    "TwoMNERModel",
    "TwoMNERPipeline",
    "TwoMNERProcessor",
    "TwoMNERReleasedConfig",
    "TwoMNERReleasedForTokenClassification",
    "TwoMNERReleasedModel",
    "TwoMNERReleasedProcessor",
]
