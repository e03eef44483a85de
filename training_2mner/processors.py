"""Build the tokenizer and the processor that fit a model."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from tokenizers import BertWordPieceTokenizer
from torch import nn
from transformers import AutoTokenizer, BertTokenizer, CLIPImageProcessorPil, PreTrainedModel, PreTrainedTokenizerBase

from modeling_2mner import (
    AdaCANConfig,
    MKGFormerConfig,
    OneImageProcessor,
    TwoMNERConfig,
    TwoMNERProcessor,
    UMGFConfig,
    WordProcessor,
)
from modeling_2mner.configuration_tagging import TaggingConfig
from modeling_2mner.processing_2mner import imagenet_processor
from training_2mner.arguments import ModelArguments

_SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def build_tokenizer(arguments: ModelArguments, sentences: Iterable[list[str]]) -> PreTrainedTokenizerBase:
    """The tokenizer that the run names, the text encoder's, or a `new` one learned from the sentences."""
    name = arguments.tokenizer or arguments.text_encoder
    if name is None:
        raise ValueError(
            "`tokenizer` is missing; name one, or pass `text_encoder`, or write `new` to learn a vocabulary from the "
            "training sentences."
        )
    if name != "new":
        return AutoTokenizer.from_pretrained(name, add_prefix_space=True)
    vocabulary = learn_vocabulary([" ".join(words) for words in sentences], arguments.vocabulary_size)
    return BertTokenizer(vocab=vocabulary, do_lower_case=False, model_max_length=arguments.max_length)


def learn_vocabulary(texts: list[str], size: int) -> dict[str, int]:
    """Learn a cased WordPiece vocabulary; the same texts always give the same one.

    The trainer numbers the pieces inside words in the order of a hash table, so that ties between them would be broken
    anew in each process (tokenizers#1794). Here they get their numbers beforehand, and no rare character is left out.
    """
    learner = BertWordPieceTokenizer(lowercase=False, strip_accents=False, clean_text=True)
    words = [word for text in texts for word, _ in learner.pre_tokenizer.pre_tokenize_str(learner.normalize(text))]
    inner = sorted({f"##{character}" for word in words for character in word[1:]})
    learner.train_from_iterator(
        texts,
        vocab_size=size,
        limit_alphabet=len(set().union(*words)),
        special_tokens=[*_SPECIAL_TOKENS, *inner],
        show_progress=False,
    )
    return learner.get_vocab()


def build_processor(
    arguments: ModelArguments, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> TwoMNERProcessor:
    """The processor that fits the model: its picture sizes, its longest window, its tags."""
    config = model.config
    if isinstance(config, TwoMNERConfig):
        return TwoMNERProcessor(
            _squares(config.vision_config.image_size),
            imagenet_processor(arguments.resnet_image_size),
            tokenizer,
            max_length=min(arguments.max_length, _count_positions(model)),
            labels=config.labels,
        )
    if config.reads_words:
        images = imagenet_processor(config.image_size if config.uses_image else arguments.resnet_image_size)
        return WordProcessor(images, tokenizer, labels=config.labels, use_image=config.uses_image)
    return OneImageProcessor(
        _pictures(arguments, config),
        tokenizer,
        max_length=min(arguments.max_length, _count_positions(model)),
        labels=config.labels,
        use_image=config.uses_image,
        **_objects(arguments, config),
    )


def _pictures(arguments: ModelArguments, config: TaggingConfig) -> CLIPImageProcessorPil:
    if isinstance(config, MKGFormerConfig):
        return _squares(config.vision_config.image_size)
    return imagenet_processor(config.image_size if isinstance(config, AdaCANConfig) else arguments.resnet_image_size)


def _objects(arguments: ModelArguments, config: TaggingConfig) -> dict[str, int]:
    """The sizes and numbers of object crops, for the models that take some."""
    if isinstance(config, UMGFConfig) and config.visual_nodes == "objects":
        return {"object_size": arguments.resnet_image_size}
    if isinstance(config, MKGFormerConfig):
        return {
            "object_size": config.aux_crop_size,
            "max_objects": config.num_aux_crops,
            "small_object_size": config.rcnn_crop_size,
            "max_small_objects": config.num_rcnn_crops,
        }
    return {}


def _squares(side: int) -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"height": side, "width": side})


def _count_positions(model: PreTrainedModel) -> int | float:
    """How many pieces the text encoder can take at once; RoBERTa's first positions stand for padding."""
    positions = getattr(model.config.text_config, "max_position_embeddings", inf)
    for module in model.base_model.text_model.modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings == positions and module.padding_idx is not None:
            return positions - module.padding_idx - 1
    return positions
