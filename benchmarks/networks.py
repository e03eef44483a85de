"""The networks of the paper's runs with random weights: built, counted on the meta device, and timed on a real one."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForTokenClassification, BertTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from benchmarks.full_size import jpeg
from configuration_2mner import load_preset
from experiments.plan import Run
from modeling_2mner import TwoMNERProcessor, WordTokenizer
from modeling_2mner.encoders import ENCODERS
from modeling_2mner.word_layers import PackedBiLSTM
from training_2mner.arguments import ModelArguments, TwoMNERTrainingArguments, read_command_line

GLOVE_WORDS = 400_000  # in glove.6B; the models on words load all of them
CHARACTERS = 200
WORD = "words"
COUNTED_BATCH = 2  # costs are per sentence, and the number of launched operations does not depend on the batch size
WARM_UP = 2
LOADING_ROWS = 8


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
        """Words that [`make_tokenizer`] splits into `pieces` sub-words."""
        extra = max(self.pieces - 2 - self.words, 0)
        each, rest = divmod(extra, self.words)
        return [WORD + "x" * (each + (place < rest)) for place in range(self.words)]


@dataclass(frozen=True)
class Count:
    """What a network costs.

    Args:
        train, evaluate: floating-point operations per sentence, a multiplication and an addition counting as two;
            training includes the backward pass.
        train_launches, evaluate_launches: tensor operations per batch, views not counted.
        trained: weights that the optimizer updates.
        pictures: whether the network looks at pictures.
    """

    train: float
    evaluate: float
    train_launches: int
    evaluate_launches: int
    trained: int
    pictures: bool


@dataclass(frozen=True)
class Measure:
    """Medians of one network.

    Args:
        train, evaluate: seconds per sentence, in batches of the run's sizes.
        load: seconds that one core needs to prepare a sentence and its picture.
        memory: peak memory in GiB, of the accelerator, or on a CPU of the process up to this point.
        where: device, precision and length of the sentences.
    """

    train: float
    evaluate: float
    load: float
    memory: float
    where: str


@cache
def run_arguments(run: Run, settings: str) -> tuple[ModelArguments, TwoMNERTrainingArguments]:
    """The arguments of a run, from its run file and its table."""
    model, _, training = read_command_line(run.command(settings, "mmnerd", Path("run")))
    return model, training


def make_model(run: Run, settings: str) -> PreTrainedModel:
    """The network of a run as it is trained: new weights, and encoders frozen as in the run file."""
    arguments, training = run_arguments(run, settings)
    config = load_preset(arguments.model, **arguments.config_changes)
    if config.reads_words:
        vocabulary = {"vocab_size": GLOVE_WORDS if settings == "paper" else 1000, "num_characters": CHARACTERS}
        config = load_preset(arguments.model, **arguments.config_changes, **vocabulary)
    model = AutoModelForTokenClassification.from_config(config)
    for name in training.freeze:
        if ENCODERS[name].module in model.base_model._modules:  # a text-only variant has no image encoder
            model.base_model.get_submodule(ENCODERS[name].module).requires_grad_(False)
    return model


def make_processor(run: Run, settings: str, model: PreTrainedModel, length: Length) -> TwoMNERProcessor:
    """The processor with the run's picture sizes, and a tokenizer that knows the sentences of `length`."""
    tokenizer: Any = make_tokenizer()
    if model.config.reads_words:
        tokenizer = WordTokenizer(words=sorted(set(length.sentence())), characters=sorted({*WORD, "x"}))
    arguments = run_arguments(run, settings)[0]
    processor_class = PROCESSOR_MAPPING[type(model.config)]
    return processor_class.for_model(model, tokenizer, arguments.max_length, arguments.resnet_image_size)


def make_tokenizer() -> PreTrainedTokenizerBase:
    """A tokenizer of one word and one ending."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", WORD, "##x"]
    return BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, do_lower_case=False)


def make_rows(uses_image: bool, count: int, length: Length) -> tuple[list, list | None, list]:
    """Words, pictures (500x375 JPEGs, all different, or `None`) and tags of `count` sentences."""
    words = [length.sentence()] * count
    return words, [jpeg(row) for row in range(count)] if uses_image else None, [["O"] * length.words] * count


def loss_and_embeddings(model: PreTrainedModel, batch: dict[str, Tensor]) -> tuple[Tensor, list[Tensor | None]]:
    """The loss of the tags, and the embeddings that Eq. 18 contrasts, for a model that has them."""
    outputs = model(**batch)
    return outputs.loss, [outputs.get(f"{name}_embeds") for name in ("text", "vit", "resnet")]


def objective(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    """What the Trainer minimises: Eq. 18 for 2M-NER, their own loss for the others."""
    loss, embeds = loss_and_embeddings(model, batch)
    return model.objective(loss, *embeds, batch.get("image_index"))["loss"]


@cache
def count(run: Run, settings: str, length: Length) -> Count:
    """Count the operations of a run's network on sentences of this length, each with a picture of its own.

    Nothing is computed and no memory is needed. All sentences of the batch have the same length, so that no masked
    position is counted. The backward pass covers everything that Eq. 18 covers except the cosines: they need values,
    and are less than a hundred-thousandth of the total.
    """
    with torch.device("meta"):
        model = make_model(run, settings)
    processor = make_processor(run, settings, model, length)
    rows = make_rows(model.config.uses_image, COUNTED_BATCH, length)
    batch = {name: tensor.to("meta") for name, tensor in processor(*rows).items()}
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, PackedBiLSTM):
                setattr(module, name, LSTMProducts(child.lstm))
    with FlopCounterMode(display=False) as training, LaunchCounter() as train_launches:
        loss, embeds = loss_and_embeddings(model.train(), batch)
        (loss + sum(embed.sum() for embed in embeds if embed is not None)).backward()
    with torch.no_grad(), FlopCounterMode(display=False) as evaluation, LaunchCounter() as evaluate_launches:
        model.eval()(**batch)
    return Count(
        training.get_total_flops() / COUNTED_BATCH,
        evaluation.get_total_flops() / COUNTED_BATCH,
        train_launches.launches,
        evaluate_launches.launches,
        sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        model.config.uses_image,
    )


class LaunchCounter(TorchDispatchMode):
    """Count the tensor operations that are not views.

    Where a network reads a value, it wants to know whether a mask is full. There is no padding, so the answer is yes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            return True
        self.launches += not func.is_view
        return func(*args, **(kwargs or {}))


class LSTMProducts(nn.Module):
    """The matrix products of a bidirectional LSTM, as two linear layers per direction, in place of [`PackedBiLSTM`].

    An LSTM multiplies each step's input and the previous state by its weights: 2 * 4h(i + h) operations per step and
    direction, and twice that in the backward pass. The meta device cannot pack sequences, and the counter does not
    know the LSTM's kernels. The values are not those of the LSTM.
    """

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        outputs = torch.cat([self._direction(states, suffix) for suffix in ("l0", "l0_reverse")], dim=-1)
        return outputs, outputs[:, -1]

    def _direction(self, states: Tensor, suffix: str) -> Tensor:
        from_input = states @ self.lstm.get_parameter(f"weight_ih_{suffix}").T  # (rows, steps, 4 * hidden)
        hidden = from_input[..., : self.lstm.hidden_size]
        gates = from_input + hidden @ self.lstm.get_parameter(f"weight_hh_{suffix}").T
        return gates.unflatten(-1, (4, -1)).sum(dim=-2).tanh()


def measure(run: Run, settings: str, length: Length, steps: int, device: torch.device, bf16: bool) -> Measure:
    """Time a run's network with random weights on generated sentences and pictures.

    Args:
        run: gives the network, the batch sizes and the frozen encoders.
        settings: which run files to use.
        length: of all sentences.
        steps: how many steps and predictions are timed, after two that are not.
        device: where to compute.
        bf16: compute in bfloat16 autocast.
    """
    torch.manual_seed(run.seed)
    if device.type == "cuda":  # forget the peak of the previous model
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    training = run_arguments(run, settings)[1]
    model = make_model(run, settings).to(device)
    processor = make_processor(run, settings, model, length)
    load = time_loading(processor, model.config.uses_image, length)
    sizes = training.per_device_train_batch_size, training.per_device_eval_batch_size
    batches = [dict(processor(*make_rows(model.config.uses_image, size, length))) for size in sizes]
    step = make_step(model.train(), batches[0], device, bf16, training.max_grad_norm)
    train = median_seconds(step, steps, device) / sizes[0]
    model.zero_grad()
    step = make_prediction(model.eval(), batches[1], device, bf16)
    evaluate = median_seconds(step, steps, device) / sizes[1]
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(device) / 2**30
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Measure(train, evaluate, load, memory, f"{describe_device(device, bf16)}, {length}")


def describe_device(device: torch.device, bf16: bool) -> str:
    """Device and precision in words."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{name}, {'bfloat16' if bf16 else 'float32'}, torch {torch.__version__}"


def make_step(model: nn.Module, batch: dict, device: torch.device, bf16: bool, max_norm: float) -> Callable[[], None]:
    """A training step like the Trainer's: transfer, objective, backward pass, clipping if the run clips, Adam."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=1e-5, fused=True)

    def step() -> None:
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = objective(model, inputs)
        loss.backward()
        if max_norm:
            nn.utils.clip_grad_norm_(weights, max_norm)
        optimizer.step()
        optimizer.zero_grad()

    return step


def make_prediction(model: nn.Module, batch: dict, device: torch.device, bf16: bool) -> Callable[[], None]:
    """The prediction of a batch, decoding included."""

    @torch.no_grad()
    def predict() -> None:
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            model(**inputs).predictions.cpu()

    return predict


def median_seconds(step: Callable[[], None], steps: int, device: torch.device) -> float:
    """The median time of `steps` steps."""
    seconds = []
    for _ in range(WARM_UP + steps):
        started = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[WARM_UP:])


def time_loading(processor: TwoMNERProcessor, uses_image: bool, length: Length) -> float:
    """Seconds that one core needs per sentence to decode and resize the picture and to number the words."""
    rows = make_rows(uses_image, LOADING_ROWS, length)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return median_seconds(lambda: processor(*rows), 3, torch.device("cpu")) / LOADING_ROWS
    finally:
        torch.set_num_threads(threads)
