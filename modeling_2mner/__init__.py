"""2M-NER: named entity recognition on a sentence and its picture.

This folder travels to the Hub: everything a checkpoint needs is here, flat, and nothing else. Importing it registers
the models with the Auto classes of transformers.
"""

from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_2mner import TwoMNERConfig
from .configuration_baselines import BertCRFConfig
from .configuration_tagging import LABELS
from .modeling_2mner import TwoMNERForTokenClassification, TwoMNERModel
from .modeling_bert import BertCRFForTokenClassification, BertCRFModel
from .modeling_released import (
    TwoMNERReleasedConfig,
    TwoMNERReleasedForTokenClassification,
    TwoMNERReleasedModel,
    TwoMNERReleasedProcessor,
)
from .pipeline_2mner import TwoMNERPipeline
from .processing_2mner import TwoMNERProcessor
from .processing_baselines import OneImageProcessor

_MODELS = (
    (TwoMNERConfig, TwoMNERModel, TwoMNERForTokenClassification, TwoMNERProcessor),
    (
        TwoMNERReleasedConfig,
        TwoMNERReleasedModel,
        TwoMNERReleasedForTokenClassification,
        TwoMNERReleasedProcessor,
    ),
    (BertCRFConfig, BertCRFModel, BertCRFForTokenClassification, OneImageProcessor),
)
for _config, _model, _tagger, _processor in _MODELS:
    AutoConfig.register(_config.model_type, _config)
    AutoModel.register(_config, _model)
    AutoModelForTokenClassification.register(_config, _tagger)
    AutoProcessor.register(_config, _processor)
    # `save_pretrained` copies the code of registered classes into the checkpoint.
    _config.register_for_auto_class()
    _model.register_for_auto_class("AutoModel")
    _tagger.register_for_auto_class("AutoModelForTokenClassification")
    _processor.register_for_auto_class()

PIPELINE_REGISTRY.register_pipeline(
    "multimodal-ner", pipeline_class=TwoMNERPipeline, pt_model=AutoModelForTokenClassification, type="multimodal"
)

__all__ = [
    "LABELS",
    "BertCRFConfig",
    "BertCRFForTokenClassification",
    "BertCRFModel",
    "OneImageProcessor",
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
