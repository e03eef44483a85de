"""The networks that `hours.py` counts and times: models of the paper's runs with random weights, and batches for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from transformers import AutoModelForTokenClassification, BertTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from benchmarks.full_size import jpeg
from configuration_2mner import load_preset
from experiments.plan import Run
from modeling_2mner import TwoMNERProcessor, WordTokenizer
from modeling_2mner.encoders import ENCODERS
from training_2mner.arguments import ModelArguments, TwoMNERTrainingArguments, read_command_line

GLOVE_WORDS = 400_000  # of glove.6B, all of which the models on words take in
CHARACTERS = 200
WORD = "words"


@dataclass(frozen=True)
class Length:
    """A typical sentence: its words, and its sub-words with `[CLS]` and `[SEP]`.

    Args:
        words: 16.4 is the mean of the English training sentences.
        pieces: of multilingual BERT.
    """

    words: int = 17
    pieces: int = 30

    def __str__(self) -> str:
        return f"{self.words} words, {self.pieces} sub-words"

    def sentence(self) -> list[str]:
        """Words that [`make_tokenizer`] takes apart into so many pieces."""
        extra = max(self.pieces - 2 - self.words, 0)
        each, rest = divmod(extra, self.words)
        return [WORD + "x" * (each + (place < rest)) for place in range(self.words)]


@cache
def run_arguments(run: Run, settings: str) -> tuple[ModelArguments, TwoMNERTrainingArguments]:
    """What the run file and the table say of a run."""
    model, _, training = read_command_line(run.command(settings, "mmnerd", Path("run")))
    return model, training


def make_model(run: Run, settings: str) -> PreTrainedModel:
    """The network of a run as it is trained: new weights, and encoders frozen as the run file says."""
    arguments, training = run_arguments(run, settings)
    config = load_preset(arguments.model, **arguments.config_changes)
    if config.reads_words:
        vocabulary = {"vocab_size": GLOVE_WORDS if settings == "paper" else 1000, "num_characters": CHARACTERS}
        config = load_preset(arguments.model, **arguments.config_changes, **vocabulary)
    model = AutoModelForTokenClassification.from_config(config)
    for name in training.freeze:
        if ENCODERS[name].module in model.base_model._modules:  # a text-only variant has none
            model.base_model.get_submodule(ENCODERS[name].module).requires_grad_(False)
    return model


def make_processor(run: Run, settings: str, model: PreTrainedModel, length: Length) -> TwoMNERProcessor:
    """The processor with the run's picture sizes, and a tokenizer that knows the sentences of `length`."""
    tokenizer = make_word_tokenizer(length) if model.config.reads_words else make_tokenizer()
    arguments = run_arguments(run, settings)[0]
    processor_class = PROCESSOR_MAPPING[type(model.config)]
    return processor_class.for_model(model, tokenizer, arguments.max_length, arguments.resnet_image_size)


def make_tokenizer() -> PreTrainedTokenizerBase:
    """A tokenizer of one word and one ending."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", WORD, "##x"]
    return BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, do_lower_case=False)


def make_word_tokenizer(length: Length) -> WordTokenizer:
    """A tokenizer of the words of [`Length.sentence`]."""
    return WordTokenizer(words=sorted(set(length.sentence())), characters=sorted({*WORD, "x"}))


def make_rows(uses_image: bool, count: int, length: Length) -> tuple[list, list | None, list]:
    """Words, pictures (500x375 JPEGs, all different, or `None`) and tags of so many sentences."""
    words = [length.sentence()] * count
    return words, [jpeg(row) for row in range(count)] if uses_image else None, [["O"] * length.words] * count


def objective(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the Trainer minimises: for 2M-NER Eq. 18, for the others their own loss."""
    outputs = model(**batch)
    embeds = (outputs.get(f"{name}_embeds") for name in ("text", "vit", "resnet"))
    return model.objective(outputs.loss, *embeds, batch.get("image_index"))["loss"]
