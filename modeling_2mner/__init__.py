"""2M-NER: named entity recognition on a sentence and its picture.

This folder is uploaded to the Hub: it holds exactly what a checkpoint needs, without subfolders. Importing it
registers the models with the Auto classes of transformers.
"""

from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification, AutoProcessor, AutoTokenizer
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_2mner import TwoMNERConfig
from .configuration_subwords import BertCRFConfig, MKGFormerConfig, UMGFConfig, UMTConfig
from .configuration_tagging import LABELS
from .configuration_words import AdaCANConfig, BiLSTMCRFConfig
from .modeling_2mner import TwoMNERForTokenClassification, TwoMNERModel
from .modeling_adacan import AdaCANForTokenClassification, AdaCANModel
from .modeling_bert import BertCRFForTokenClassification, BertCRFModel
from .modeling_bilstm_crf import BiLSTMCRFForTokenClassification, BiLSTMCRFModel
from .modeling_exported import ExportedConfig, ExportedTagger
from .modeling_mkgformer import MKGFormerForTokenClassification, MKGFormerModel
from .modeling_released import (
    TwoMNERReleasedConfig,
    TwoMNERReleasedForTokenClassification,
    TwoMNERReleasedModel,
    TwoMNERReleasedProcessor,
)
from .modeling_umgf import UMGFForTokenClassification, UMGFModel
from .modeling_umt import UMTForTokenClassification, UMTModel
from .pipeline_2mner import TwoMNERPipeline
from .processing_2mner import TwoMNERProcessor
from .processing_one_image import OneImageProcessor
from .processing_words import WordProcessor
from .tokenization_words import WordTokenizer

_MODELS = (
    (TwoMNERConfig, TwoMNERModel, TwoMNERForTokenClassification, TwoMNERProcessor),
    (
        TwoMNERReleasedConfig,
        TwoMNERReleasedModel,
        TwoMNERReleasedForTokenClassification,
        TwoMNERReleasedProcessor,
    ),
    (AdaCANConfig, AdaCANModel, AdaCANForTokenClassification, WordProcessor),
    (BertCRFConfig, BertCRFModel, BertCRFForTokenClassification, OneImageProcessor),
    (BiLSTMCRFConfig, BiLSTMCRFModel, BiLSTMCRFForTokenClassification, WordProcessor),
    (UMGFConfig, UMGFModel, UMGFForTokenClassification, OneImageProcessor),
    (UMTConfig, UMTModel, UMTForTokenClassification, OneImageProcessor),
    (MKGFormerConfig, MKGFormerModel, MKGFormerForTokenClassification, OneImageProcessor),
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
AutoConfig.register(ExportedConfig.model_type, ExportedConfig)
AutoModelForTokenClassification.register(ExportedConfig, ExportedTagger)
ExportedConfig.register_for_auto_class()
ExportedTagger.register_for_auto_class("AutoModelForTokenClassification")
for _config in (AdaCANConfig, BiLSTMCRFConfig):
    AutoTokenizer.register(_config, WordTokenizer)
WordTokenizer.register_for_auto_class()

# The code of a checkpoint may have registered its own pipeline before this package was imported.
if PIPELINE_REGISTRY.check_task("multimodal-ner")[1]["impl"] is not TwoMNERPipeline:
    PIPELINE_REGISTRY.register_pipeline(
        "multimodal-ner", pipeline_class=TwoMNERPipeline, pt_model=AutoModelForTokenClassification, type="multimodal"
    )

__all__ = [
    "LABELS",
    "AdaCANConfig",
    "AdaCANForTokenClassification",
    "AdaCANModel",
    "BertCRFConfig",
    "BertCRFForTokenClassification",
    "BertCRFModel",
    "BiLSTMCRFConfig",
    "BiLSTMCRFForTokenClassification",
    "BiLSTMCRFModel",
    "ExportedConfig",
    "ExportedTagger",
    "MKGFormerConfig",
    "MKGFormerForTokenClassification",
    "MKGFormerModel",
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
    "UMGFConfig",
    "UMGFForTokenClassification",
    "UMGFModel",
    "UMTConfig",
    "UMTForTokenClassification",
    "UMTModel",
    "WordProcessor",
    "WordTokenizer",
]
