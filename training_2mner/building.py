"""Build the model and the processor that a run asks for."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from math import inf
from pathlib import Path

from tokenizers import BertWordPieceTokenizer
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoProcessor,
    AutoTokenizer,
    BertTokenizer,
    CLIPImageProcessorPil,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from configuration_2mner import load
from modeling_2mner import TwoMNERConfig, TwoMNERProcessor
from training_2mner.arguments import ModelArguments

logger = logging.getLogger(__name__)

_SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def build(
    arguments: ModelArguments, sentences: Iterable[list[str]], labels: list[str]
) -> tuple[PreTrainedModel, TwoMNERProcessor]:
    """Build model and processor: from a checkpoint, from pretrained encoders, or with new weights.

    Args:
        arguments: the run's model.
        sentences: the training sentences, read only for a `new` tokenizer.
        labels: the data set's tags, which must be the model's.

    Raises:
        ValueError: for a data set with other tags than the checkpoint, a missing or unfit tokenizer, or arguments that
            contradict each other.
    """
    if is_checkpoint(arguments.model):
        return _load_checkpoint(arguments, labels)
    _check_encoders(arguments)
    changes = dict(arguments.config_changes)
    changes |= {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    tokenizer = build_tokenizer(arguments, sentences)
    if arguments.text_encoder is None:
        changes["text_config"] = {**changes.get("text_config", {}), "vocab_size": len(tokenizer)}
        config = load(arguments.model, **changes)
        model = AutoModelForTokenClassification.from_config(config)
    else:
        model = _assemble(arguments, load(arguments.model, **changes))
        _check_vocabulary(model.config, tokenizer)
    return model, build_processor(arguments, model, tokenizer)


def is_checkpoint(model: str) -> bool:
    """Whether `model` is a folder with a config or a Hub id, rather than a preset or a preset's file."""
    return (Path(model) / "config.json").is_file() or (model.count("/") == 1 and not Path(model).exists())


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
    vit_side, resnet_side = config.vision_config.image_size, arguments.resnet_image_size
    return TwoMNERProcessor(
        CLIPImageProcessorPil(size={"height": vit_side, "width": vit_side}),
        CLIPImageProcessorPil(
            size={"height": resnet_side, "width": resnet_side},
            image_mean=IMAGENET_DEFAULT_MEAN,
            image_std=IMAGENET_DEFAULT_STD,
        ),
        tokenizer,
        max_length=min(arguments.max_length, _count_positions(model)),
        labels=[config.id2label[index] for index in range(config.num_labels)],
    )


def _check_encoders(arguments: ModelArguments) -> None:
    """Refuse what a pretrained encoder brings along and the run would name anew."""
    for encoder, field in (("text", "text_config"), ("vision", "vision_config"), ("resnet", "resnet_config")):
        if getattr(arguments, f"{encoder}_encoder") is not None and field in arguments.config_changes:
            raise ValueError(
                f"`config` changes `{field}`, which comes with `{encoder}_encoder`; leave one of them out."
            )
    if arguments.text_encoder is not None and arguments.tokenizer == "new":
        raise ValueError(
            "`tokenizer` is 'new', but `text_encoder` knows its own vocabulary only; leave one of them out."
        )


def _check_vocabulary(config: TwoMNERConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    if len(tokenizer) > config.text_config.vocab_size:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} pieces, the text encoder only {config.text_config.vocab_size}; "
            "leave `tokenizer` out, or name the one that the encoder was trained with."
        )


def _count_positions(model: PreTrainedModel) -> int | float:
    """How many pieces the text encoder can take at once; RoBERTa's first positions stand for padding."""
    positions = getattr(model.config.text_config, "max_position_embeddings", inf)
    for module in model.base_model.text_model.modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings == positions and module.padding_idx is not None:
            return positions - module.padding_idx - 1
    return positions


def _load_checkpoint(arguments: ModelArguments, labels: list[str]) -> tuple[PreTrainedModel, TwoMNERProcessor]:
    for field in ("text_encoder", "vision_encoder", "resnet_encoder", "tokenizer"):
        if getattr(arguments, field) is not None:
            raise ValueError(
                f"`{field}` is given, but `model` is a checkpoint that has its own; leave one of them out."
            )
    config, unknown = AutoConfig.from_pretrained(
        arguments.model, return_unused_kwargs=True, **arguments.config_changes
    )
    if unknown:
        raise ValueError(f"`{next(iter(unknown))}` is not a field of {type(config).__name__} ({arguments.model!r}).")
    known = [config.id2label[index] for index in range(config.num_labels)]
    if known != labels:
        raise ValueError(
            f"the checkpoint {arguments.model!r} has the tags {', '.join(known)}, the data set {', '.join(labels)}; "
            "they must be the same, in the same order."
        )
    model = AutoModelForTokenClassification.from_pretrained(arguments.model, config=config)
    return model, AutoProcessor.from_pretrained(arguments.model)


def _assemble(arguments: ModelArguments, config: TwoMNERConfig) -> PreTrainedModel:
    """Pretrained encoders under the preset's scientific choices; a branch without an encoder is left out."""
    model_class = AutoModelForTokenClassification._model_mapping[type(config)]
    settings = {
        name: value
        for name, value in config.to_diff_dict().items()
        if name in TwoMNERConfig.__annotations__ and name not in ("text_config", "vision_config", "resnet_config")
    }
    settings |= {"id2label": config.id2label, "label2id": config.label2id}
    for encoder, branch in (("vision_encoder", "use_vit"), ("resnet_encoder", "use_resnet")):
        if getattr(arguments, encoder) is None and getattr(config, branch):
            logger.info("No `%s`: the model has no such image branch.", encoder)
    settings["use_vit"] = config.use_vit and arguments.vision_encoder is not None
    settings["use_resnet"] = config.use_resnet and arguments.resnet_encoder is not None
    return model_class.from_encoders(
        arguments.text_encoder, arguments.vision_encoder, arguments.resnet_encoder, **settings
    )
