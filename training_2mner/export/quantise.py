"""ONNX graphs to OpenVINO's format, in full precision or in integers of 8 bits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from modeling_2mner.modeling_exported import ExportedTagger, keep_signal_stack
from training_2mner.export.graphs import require

Inputs = dict[str, np.ndarray]


class Recorder(ExportedTagger):
    """An exported model that keeps what its graphs were given, by their names, in `recorded`."""

    recorded: dict[str, list[Inputs]]

    def _call(self, graph: Mapping[str, Any], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        inputs = {name: values[name].detach().cpu().numpy() for name in graph["inputs"]}
        self.recorded.setdefault(graph["name"], []).append(inputs)
        return super()._call(graph, values)


def record_inputs(tagger: ExportedTagger, batches: Iterable[Any]) -> dict[str, list[Inputs]]:
    """What each graph of a model is given for these batches."""
    recorder = Recorder(tagger.config)
    recorder.load_state_dict(tagger.state_dict())
    recorder._paths, recorder.recorded = tagger._paths, {}
    for batch in batches:
        recorder(**{name: value for name, value in batch.items() if name != "labels"})
    return recorder.recorded


@keep_signal_stack()
def write_openvino(source: Path, target: Path, samples: list[Inputs] | None = None) -> None:
    """Convert an ONNX graph; with `samples` of its inputs, weights and activations become integers of 8 bits.

    Raises:
        ValueError: if a package is missing.
    """
    require("openvino", extra="openvino")
    import openvino

    # Not `openvino.convert_model`, which reports its use over the network.
    model = openvino.Core().read_model(str(source))
    if samples is not None:
        model = _quantise(model, samples)
    openvino.save_model(model, str(target), compress_to_fp16=False)


def _quantise(model: Any, samples: list[Inputs]) -> Any:
    """Quantise all but the last matrix product, whose results are the emissions themselves."""
    nncf = _import_nncf()
    last = _last_product(model)
    return nncf.quantize(
        model,
        nncf.Dataset(samples),
        subset_size=len(samples),
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=nncf.IgnoredScope(names=[last]) if last else None,
    )


def _last_product(model: Any) -> str | None:
    """The name of the product that computes the emissions; `None` for a graph with other outputs."""
    if "logits" not in model.outputs[0].get_names():
        return None
    node = model.outputs[0].get_node().input_value(0).get_node()
    while node.get_type_name() != "MatMul":
        node = node.input_value(0).get_node()
    return node.get_friendly_name()


def _import_nncf() -> Any:
    """Import NNCF, which would otherwise report its use over the network."""
    given = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        require("nncf", extra="openvino")
        import nncf
    finally:
        if given is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = given
    return nncf
