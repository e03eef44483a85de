"""Build the model and the processor of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from tokenizers import BertWordPieceTokenizer
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoProcessor,
    AutoTokenizer,
    BertTokenizer,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from configuration_2mner import load_preset
from modeling_2mner import TwoMNERProcessor
from modeling_2mner.configuration_tagging import TaggingConfig
from modeling_2mner.encoders import ENCODERS
from modeling_2mner.tagging import WordTagger
from reports_2mner.loading import retell_loading_errors
from training_2mner.arguments import ModelArguments
from training_2mner.new_labels import load_with_new_labels
from training_2mner.word_vectors import build_vocabulary, fill_embeddings, read_word_vectors

logger = logging.getLogger(__name__)

_SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def build_tagger(
    arguments: ModelArguments, sentences: Sequence[list[str]], labels: list[str]
) -> tuple[WordTagger, TwoMNERProcessor]:
    """Build model and processor: from a checkpoint, from pretrained encoders or word vectors, or with new weights.

    Args:
        arguments: describe the model.
        sentences: the training sentences, for a `new` tokenizer and for the vocabulary of word-based models.
        labels: the data set's tags; a checkpoint must have the same, unless `new_labels` replaces its own.

    Raises:
        ValueError: if the data set's tags are not the checkpoint's, the tokenizer is missing or does not fit, or
            arguments contradict each other.
    """
    if is_checkpoint(arguments.model):
        return _load_checkpoint(arguments, labels)
    if arguments.new_labels:
        raise ValueError(
            f"`new_labels` is true, but `model` {arguments.model!r} is not a trained model; name a run folder or a Hub id, "
            "or leave it out: a preset always takes the tags of the data set."
        )
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    config = load_preset(arguments.model, **{**arguments.config_changes, **names})
    _check_arguments(arguments, config)
    vectors = None
    if arguments.word_vectors is not None:
        vectors = read_word_vectors(arguments.word_vectors, arguments.max_word_vectors)
        config.word_embedding_size = vectors.rows.shape[1]
    vocabulary = build_vocabulary(sentences, vectors) if config.reads_words else None
    tokenizer = build_tokenizer(arguments, sentences) if vocabulary is None else vocabulary
    if arguments.text_encoder is None:
        config.fit_vocabulary(tokenizer)
    model = _assemble(arguments, config)
    if vocabulary is None:
        _check_vocabulary(model.config, tokenizer)
    else:
        logger.info("Word vectors: %s", fill_embeddings(model, vocabulary, sentences, vectors))
    processor_class = cast(type[TwoMNERProcessor], PROCESSOR_MAPPING[type(config)])
    return model, processor_class.for_model(model, tokenizer, arguments.max_length, arguments.resnet_image_size)


def is_checkpoint(model: str) -> bool:
    """Whether `model` is a folder with a config or a Hub id rather than a preset or a preset file."""
    return (Path(model) / "config.json").is_file() or (model.count("/") == 1 and not Path(model).exists())


def build_tokenizer(arguments: ModelArguments, sentences: Iterable[list[str]]) -> PreTrainedTokenizerBase:
    """The tokenizer named by the run, that of the text encoder, or a `new` one learned from the sentences."""
    name = arguments.tokenizer or arguments.text_encoder
    if name is None:
        raise ValueError(
            "`tokenizer` is missing; name one, pass `text_encoder`, or write `new` to learn a vocabulary from the "
            "training sentences."
        )
    if name != "new":
        argument = "text_encoder" if arguments.tokenizer is None else "tokenizer"
        with retell_loading_errors(f"the tokenizer of `{argument}` {name!r} does not load; name a folder or a Hub id"):
            return AutoTokenizer.from_pretrained(name, add_prefix_space=True)
    vocabulary = learn_vocabulary([" ".join(words) for words in sentences], arguments.vocabulary_size)
    return BertTokenizer(vocab=vocabulary, do_lower_case=False, model_max_length=arguments.max_length)


def learn_vocabulary(texts: list[str], size: int) -> dict[str, int]:
    """Learn a cased WordPiece vocabulary; the same texts always give the same one.

    The trainer of `tokenizers` numbers word-internal pieces in hash-table order, so ties between them would be broken
    differently in each process (tokenizers#1794). Numbering them beforehand prevents that and keeps rare characters.
    """
    if size < 1:
        raise ValueError(f"`vocabulary_size` must be 1 or more, got {size}; 4000 is usual.")
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


def _check_arguments(arguments: ModelArguments, config: TaggingConfig) -> None:
    """Refuse settings that a pretrained encoder already determines, and those that the model cannot use."""
    known = _tagger_class(config).base_model_class.encoders
    for encoder in ENCODERS:
        field = f"{encoder}_config"
        if getattr(arguments, f"{encoder}_encoder") is not None and encoder not in known:
            names = ", ".join(f"`{name}_encoder`" for name in known) or "none"
            raise ValueError(
                f"`{encoder}_encoder` is given, but {arguments.model!r} has no such encoder; it takes {names}."
            )
        if getattr(arguments, f"{encoder}_encoder") is not None and field in arguments.config_changes:
            raise ValueError(
                f"`config` changes `{field}`, which comes with `{encoder}_encoder`; leave one of them out."
            )
    if arguments.text_encoder is not None and arguments.tokenizer == "new":
        raise ValueError(
            "`tokenizer` is 'new', but `text_encoder` only knows its own vocabulary; leave one of them out."
        )
    unused = ("text_encoder", "tokenizer") if config.reads_words else ("word_vectors", "max_word_vectors")
    for field in unused:
        if getattr(arguments, field) is not None:
            reads = "words" if config.reads_words else "sub-words"
            raise ValueError(f"`{field}` is given, but {arguments.model!r} reads {reads}; leave it out.")


def _check_vocabulary(config: TaggingConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    if len(tokenizer) > config.text_config.vocab_size:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} pieces, but the text encoder only {config.text_config.vocab_size}; "
            "leave `tokenizer` out, or name the one the encoder was trained with."
        )


def _load_checkpoint(arguments: ModelArguments, labels: list[str]) -> tuple[WordTagger, TwoMNERProcessor]:
    for field in (*(f"{name}_encoder" for name in ENCODERS), "tokenizer", "word_vectors"):
        if getattr(arguments, field) is not None:
            raise ValueError(f"`{field}` is given, but the checkpoint `model` has its own; leave one of them out.")
    problem = f"`model` {arguments.model!r} does not load; name a preset, a run folder or a Hub id"
    with retell_loading_errors(problem, values=False):
        config, unknown = AutoConfig.from_pretrained(
            arguments.model, return_unused_kwargs=True, **arguments.config_changes
        )
    if unknown:
        raise ValueError(f"`{next(iter(unknown))}` is not a field of {type(config).__name__} ({arguments.model!r}).")
    if config.crf_temperature != 1 and "crf_temperature" not in arguments.config_changes:
        logger.info(
            "`crf_temperature` %g was fitted to the weights before this training and is 1.0 again; fit it anew with "
            "`calibrate: true`.",
            config.crf_temperature,
        )
        config.crf_temperature = 1.0
    if arguments.new_labels:
        with retell_loading_errors(problem, values=False):
            return _load_with_new_labels(arguments.model, config, labels)
    if config.labels != labels:
        raise ValueError(
            f"the checkpoint {arguments.model!r} has the tags {', '.join(config.labels)}, "
            f"the data set {', '.join(labels)}; use a data set with the checkpoint's tags, in the same order, or write "
            "`new_labels: true` (--new_labels true) to keep its encoders, alignment and fusion and learn the new tags."
        )
    with retell_loading_errors(problem, values=False):
        model = AutoModelForTokenClassification.from_pretrained(arguments.model, config=config)
        return model, AutoProcessor.from_pretrained(arguments.model)


def _load_with_new_labels(name: str, config: TaggingConfig, labels: list[str]) -> tuple[WordTagger, TwoMNERProcessor]:
    if config.labels == labels:
        logger.warning(
            "`new_labels` is true, but %s already has the tags of the data set; leave it out to keep its linear layer "
            "and CRF.",
            name,
        )
    numbered = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    renamed = type(config).from_dict(config.to_dict(), **numbered)
    return load_with_new_labels(name, renamed), AutoProcessor.from_pretrained(name, labels=labels)


def _assemble(arguments: ModelArguments, config: TaggingConfig) -> WordTagger:
    """New weights, or pretrained encoders under the preset's choices, with only the image branches that are named."""
    sources = {name: getattr(arguments, f"{name}_encoder") for name in ENCODERS}
    sources = {name: source for name, source in sources.items() if source is not None}
    if not sources:
        return AutoModelForTokenClassification.from_config(config)
    changeable = set(config.own_fields()) - set(config.sub_configs)
    settings = {name: value for name, value in config.to_diff_dict().items() if name in changeable}
    settings |= {"id2label": config.id2label, "label2id": config.label2id}
    for encoder, switch in config.image_switches.items():
        settings[switch] = getattr(config, switch) and encoder in sources
    named = " or ".join(f"`{name}_encoder` {source!r}" for name, source in sources.items())
    with retell_loading_errors(f"{named} does not load; name a folder or a Hub id", values=False):
        model = _tagger_class(config).from_encoders(**sources, **settings)
    if config.uses_image and not model.config.uses_image:
        logger.warning("No image encoder is named, so the model is text only; name one, such as `resnet_encoder`.")
    return model


def _tagger_class(config: TaggingConfig) -> type[WordTagger]:
    return cast(type[WordTagger], AutoModelForTokenClassification._model_mapping[type(config)])
