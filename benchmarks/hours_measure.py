"""Seconds of real training steps, predictions and picture loading, on whatever accelerator there is."""

from __future__ import annotations

import json
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from benchmarks.hours_networks import Length, make_model, make_processor, make_rows, objective, run_arguments
from experiments.plan import Run
from modeling_2mner import TwoMNERProcessor
from reports_2mner.files import write_json

WARM_UP = 2
LOADING_ROWS = 8


@dataclass(frozen=True)
class Measure:
    """Medians of one network.

    Args:
        train, evaluate: seconds a sentence, in batches of the run's sizes.
        load: seconds of one core to make a sentence and its picture ready.
        memory: peak memory in GiB, of the accelerator, or of the whole process so far on a CPU.
        where: device, precision and length of the sentences.
    """

    train: float
    evaluate: float
    load: float
    memory: float
    where: str


def measure(run: Run, settings: str, length: Length, steps: int, device: torch.device, bf16: bool) -> Measure:
    """Time a run's network with random weights on generated sentences and pictures.

    Args:
        run: whose network, batch sizes and frozen encoders are taken.
        settings: which run files.
        length: of all sentences.
        steps: how many steps and predictions are timed, after two that are not.
        device: where.
        bf16: compute in bfloat16 where autocast does.
    """
    torch.manual_seed(run.seed)
    start_counting_memory(device)
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
    return Measure(train, evaluate, load, peak_memory(device), f"{describe(device, bf16)}, {length}")


def describe(device: torch.device, bf16: bool) -> str:
    """Device and precision in words."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{name}, {'bfloat16' if bf16 else 'float32'}, torch {torch.__version__}"


def make_step(model: nn.Module, batch: dict, device: torch.device, bf16: bool, max_norm: float) -> Callable[[], None]:
    """A step as the Trainer makes it: transfer, objective, backward pass, clipping where the run clips, Adam."""
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
    """The median of so many timed steps."""
    seconds = []
    for _ in range(WARM_UP + steps):
        started = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[WARM_UP:])


def time_loading(processor: TwoMNERProcessor, uses_image: bool, length: Length) -> float:
    """Seconds a sentence that one core needs to decode and resize its picture and number its words."""
    rows = make_rows(uses_image, LOADING_ROWS, length)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return median_seconds(lambda: processor(*rows), 3, torch.device("cpu")) / LOADING_ROWS
    finally:
        torch.set_num_threads(threads)


def start_counting_memory(device: torch.device) -> None:
    """Forget the peak of the model before."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> float:
    """Peak memory in GiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def read_measures(path: Path | None) -> dict[str, Measure]:
    """What earlier calls measured, by system."""
    if path is None or not path.is_file():
        return {}
    return {name: Measure(**values) for name, values in json.loads(path.read_text(encoding="utf-8")).items()}


def write_measures(path: Path | None, measures: dict[str, Measure]) -> None:
    """Write all that is measured so far."""
    if path is not None:
        write_json(path, {name: asdict(measured) for name, measured in measures.items()}, indent=2)
