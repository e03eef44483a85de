"""The names of the models in the literature."""

from __future__ import annotations

from modeling_2mner.configuration_tagging import TaggingConfig

TWO_MNER = "2M-NER"
MODEL_PAPERS = {
    TWO_MNER: "Wang et al., 2024",
    "BiLSTM-CRF": "Huang et al., 2015",
    "HBiLSTM-CRF": "Lample et al., 2016",
    "BERT": "Devlin et al., 2019",
    "BERT-CRF": "Devlin et al., 2019",
    "AdaCAN": "Zhang et al., 2018",
    "UMT": "Yu et al., 2020",
    "UMGF": "Zhang et al., 2021",
    "MKGFormer": "Chen et al., 2022",
}


def model_name(config: TaggingConfig) -> str:
    """The name of the model that `config` describes: one of `MODEL_PAPERS`, or for any other its `model_type`."""
    if config.model_type == "bilstm-crf":
        return "BiLSTM-CRF" if config.character_embedding_size is None else "HBiLSTM-CRF"
    if config.model_type == "bert-crf":
        return "BERT-CRF" if config.use_crf else "BERT"
    if config.model_type == "2m-ner-released":
        return TWO_MNER
    return next((name for name in MODEL_PAPERS if name.lower() == config.model_type), config.model_type)
