"""Sentences with pictures: the released order of work beside ours, eager and exported."""

from __future__ import annotations

import argparse
import contextlib
import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.speed.material import BATCH, Material, Networks
from benchmarks.speed.measuring import CLOCKS, Answer, Goal, Watch, Way, Work, attempt
from modeling_2mner import TwoMNERPipeline
from modeling_2mner.modeling_exported import ExportedTagger
from training_2mner.export.folder import export

NETWORK = ("forward", "encode_images")
FP32, BF16, INT8 = Goal(1.4, 1.3), Goal(2.8, 2.5, equal_tags=0.985), Goal(5.0, 4.0)
EAGER = "eager, fp32"
CALIBRATION = 64  # sentences, of those that are not measured if there are enough


def forward(options: argparse.Namespace, material: Material) -> Iterator[Work]:
    """Network and decoder, and the whole way from picture files to entities; then eight sentences a picture."""
    networks = Networks.of(material)
    with TemporaryDirectory() as folder:
        exports = Exports(networks, material, options.exports or Path(folder), options.calibration)
        rows = material.rows(options.batches * BATCH)
        ways = [
            _released(networks, rows, options.clock),
            _ours(EAGER, networks.model, networks.processor, rows, options.clock),
        ]
        for name, goal, make in (
            ("ONNX Runtime, fp32", FP32, lambda: exports.onnx("onnx")),
            ("OpenVINO, fp32", FP32, lambda: exports.onnx("openvino")),
            ("eager, bf16", Goal(), lambda: copy.deepcopy(networks.model).to(torch.bfloat16)),
            ("OpenVINO, bf16", BF16, lambda: exports.openvino("bf16")),
            ("OpenVINO, int8", INT8, lambda: exports.openvino("int8")),
        ):
            goal = goal if material.full else Goal()  # small networks have little to gain
            ways.append(_attempt(name, goal, make, networks, rows, options.clock))
        yield Work(
            *("forward", ways, "sentence", len(rows), options.repeats, options.clock),
            around="picture files to entities",
        )
        eight = material.rows(min(options.batches, 4) * BATCH, 8)
        ways = [
            _released(networks, eight, options.clock),
            _ours(EAGER, networks.model, networks.processor, eight, options.clock),
        ]
        yield Work(
            *("eight sentences a picture: forward", ways, "sentence", len(eight), options.repeats, options.clock),
            around="eight sentences a picture: files to entities",
        )


class Exports:
    """The exports of a network, each made when it is asked for; those in `folder` are used again.

    Args:
        networks: ours is exported.
        material: the sentences to calibrate on.
        folder: where they are kept.
        calibration: how many sentences.
    """

    def __init__(self, networks: Networks, material: Material, folder: Path, calibration: int) -> None:
        self._networks, self._material, self._folder, self._calibration = networks, material, folder, calibration

    def onnx(self, backend: str) -> Any:
        """The export in float32, run by either runner."""
        return self._open("onnx", "fp32").use_backend(backend)

    def openvino(self, precision: str) -> Any:
        """An export for OpenVINO."""
        return self._open("openvino", precision)

    def _open(self, to: str, precision: str) -> Any:
        networks, output = self._networks, self._folder / f"{to}-{precision}"
        if not output.exists():
            calibration = list(self._batches()) if precision == "int8" else ()
            with contextlib.redirect_stdout(sys.stderr):  # of progress, which is no part of the table
                export(networks.model, networks.processor, output, to, precision, calibration=calibration)
        tagger = ExportedTagger.from_pretrained(output).eval()
        if networks.model.config.use_crf:  # those of an earlier run are random, too
            tagger.crf.load_state_dict(networks.model.crf.state_dict())
        return tagger

    def _batches(self) -> Iterator[Any]:
        rows = self._material.rows(len(self._material.sentences))[-self._calibration :]
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            yield self._networks.processor([row["words"] for row in part], [row["image"] for row in part])


def _released(networks: Networks, rows: Sequence[dict[str, Any]], clock: str) -> Way:
    """The release: sentences as they come, a picture decoded and encoded for each, the best tags."""
    watch = Watch(CLOCKS[clock])
    network = copy.copy(networks.released)
    watch.follow(network, "forward")

    @torch.inference_mode()
    def run(given: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(given), BATCH):
            batch = given[start : start + BATCH]
            pictures = [row["image"] for row in batch]
            network(**networks.released_processor([row["words"] for row in batch], pictures)).predictions.tolist()

    return Way("released", [lambda: run(rows)], warm_up=lambda: run(rows[:BATCH]), watch=watch)


def _attempt(
    name: str, goal: Goal, make: Callable[[], Any], networks: Networks, rows: Sequence[dict[str, Any]], clock: str
) -> Way:
    return attempt(name, goal, lambda: _ours(name, make(), networks.processor, rows, clock, goal))


def _ours(
    name: str, model: Any, processor: Any, rows: Sequence[dict[str, Any]], clock: str, goal: Goal | None = None
) -> Way:
    """The pipeline, with the tags of all words and their posteriors."""
    watch = Watch(CLOCKS[clock])
    network = copy.copy(model)
    watch.follow(network, *NETWORK)
    pipe = TwoMNERPipeline(model=network, processor=processor, device="cpu")

    def run(given: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return pipe(list(given), batch_size=BATCH, return_word_tags=True)

    return Way(
        name,
        [lambda: run(rows)],
        goal or Goal(),
        warm_up=lambda: run(rows[:BATCH]),
        watch=watch,
        answers=_answers,
        compared_with="" if name == EAGER else EAGER,
        exact=name.endswith("fp32") and name != EAGER,
    )


def _answers(found: Sequence[dict[str, Any]]) -> list[Answer]:
    return [([word["tag"] for word in one["words"]], [word["score"] for word in one["words"]]) for one in found]
