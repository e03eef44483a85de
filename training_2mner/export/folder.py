"""Write an exported model: graphs, CRF, config, processor and code in one folder, complete or not at all."""

from __future__ import annotations

import logging
import platform
import shutil
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from modeling_2mner.configuration_tagging import TaggingConfig
from modeling_2mner.modeling_exported import SUFFIXES, ExportedConfig, ExportedTagger
from reports_2mner.files import file_sha256, short_name, write_json, write_lines
from reports_2mner.locks import only_writer
from training_2mner.export.card import write_card
from training_2mner.export.graphs import Graph, blanks_of, build_graphs, write_onnx
from training_2mner.export.parity import compare, made_up_batches
from training_2mner.export.quantise import record_inputs, write_openvino

logger = logging.getLogger(__name__)

RECORD, PARITY = "export.json", "parity.json"
PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
RUNNERS = {"onnx": "onnxruntime", "openvino": "openvino"}


def export(
    model: Any,
    processor: Any,
    output: Path | str,
    to: str = "onnx",
    precision: str = "fp32",
    calibration: Sequence[Any] = (),
    evaluation: Iterable[Any] = (),
    threads: int | None = None,
) -> dict[str, Any]:
    """Write an export of a model into a new folder, and compare both.

    The model itself stays as it is. `AutoModelForTokenClassification.from_pretrained(output)` loads the export, and
    `use_backend` sets its runner and threads.

    Args:
        model: a trained tagger.
        processor: the one that fits it.
        output: the folder, which must not exist.
        to: `"onnx"` or `"openvino"`.
        precision: `"fp32"`; for OpenVINO also `"bf16"` or `"int8"`.
        calibration: batches of the processor that show what activations are usual; for `"int8"` only.
        evaluation: batches with labels to score both models on.
        threads: of the comparison; by default those of PyTorch.

    Returns:
        The parity report, which is also in `parity.json`.

    Raises:
        ValueError: for a model that cannot be exported, options that contradict each other, and a missing package.
    """
    output = Path(output)
    check(output, to, precision, bool(calibration))
    _check_calibration(model, calibration)
    draft = output.with_name(f".{short_name(output.name)}.draft")
    with only_writer(output, "output"):
        shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed: only the lock's holder writes
        try:
            exported = _write_graphs(model, processor, draft, to, precision, calibration)
            exported.use_backend(threads=threads)
            exported.save_pretrained(draft)
            processor.save_pretrained(draft)
            report = _compare(model, exported, processor, evaluation)
            _write_records(draft, exported, report, len(calibration))
            write_card(
                draft, output.name, exported.config, report, Path(model.name_or_path) if model.name_or_path else None
            )
            draft.rename(output)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return report


def check(output: Path, to: str, precision: str, calibrated: bool) -> None:
    """Raise ValueError for options that contradict each other, and for a folder that exists."""
    if to not in SUFFIXES:
        raise ValueError(f"`to` is {to!r}; write one of {', '.join(SUFFIXES)}.")
    if to == "onnx" and precision != "fp32":
        raise ValueError(f"`precision` is {precision!r}, which needs OpenVINO; write `--to openvino`, or fp32.")
    if (precision == "int8") != calibrated:
        raise ValueError(
            "`precision` int8 needs sentences to measure activations on, and only int8 does; name a data set in "
            "`calibrate_on` for int8, and leave it out otherwise."
        )
    if output.exists():
        raise ValueError(f"`output` {output} exists already; name another folder, or remove it.")


def _check_calibration(model: Any, calibration: Sequence[Any]) -> None:
    """Raise ValueError if nothing would show what the activations of the image encoders are."""
    names = {name for batch in calibration for name in batch}
    if calibration and model.config.uses_image and not names & {"pixel_values", "resnet_pixel_values"}:
        raise ValueError(
            "`calibrate_on` has no picture that can be used, but the model reads pictures; name a data set with pictures, "
            "such as the one that the model was trained on."
        )


def _write_graphs(
    model: Any, processor: Any, folder: Path, to: str, precision: str, calibration: Sequence[Any]
) -> ExportedTagger:
    """Write the graphs, as ONNX first, and put them together with the model's CRF."""
    graphs = build_graphs(model, processor)
    folder.mkdir()
    for graph in graphs:
        logger.info("Writing the graph %r.", graph.name)
        write_onnx(graph, folder / f"{graph.name}.onnx")
    exported = _assemble(model, graphs, folder, "onnx", "fp32")
    if to == "onnx":
        return exported
    samples = record_inputs(exported, calibration)
    for graph in graphs:
        logger.info("Converting the graph %r.", graph.name)
        source = folder / f"{graph.name}.onnx"
        write_openvino(source, source.with_suffix(".xml"), samples.get(graph.name) if calibration else None)
    for path in folder.glob("*.onnx*"):
        path.unlink()
    return _assemble(model, graphs, folder, "openvino", precision)


def _assemble(model: Any, graphs: list[Graph], folder: Path, backend: str, precision: str) -> ExportedTagger:
    """The exported model of a folder that has its graphs."""
    found = {graph.name: _files_of(folder, graph.name, SUFFIXES[backend]) for graph in graphs}
    source = model.config
    fields = ("id2label", "label2id", *TaggingConfig.own_fields())  # labels, decoder and temperature
    config = ExportedConfig(
        source_model_type=source.model_type,
        backend=backend,
        precision=precision,
        graphs=[
            {
                "name": graph.name,
                "files": [path.name for path in found[graph.name]],
                "sha256": file_sha256(*found[graph.name]),
                "inputs": list(graph.inputs),
                "outputs": list(graph.outputs),
            }
            for graph in graphs
        ],
        blanks=blanks_of(graphs),
        shares_windows=model.reads_text_apart,
        max_position_embeddings=getattr(source.get_text_config(), "max_position_embeddings", None),
        **{name: getattr(source, name) for name in fields},
    )
    exported = ExportedTagger(config).eval()
    if source.use_crf:
        exported.crf.load_state_dict(model.crf.state_dict())
    exported._paths = {path.name: path for paths in found.values() for path in paths}
    return exported


def _files_of(folder: Path, name: str, suffix: str) -> list[Path]:
    """The files of a graph, the graph itself first."""
    graph = folder / f"{name}{suffix}"
    return [graph, *sorted(path for path in folder.glob(f"{name}.*") if path != graph and path.suffix != ".onnx")]


def _compare(model: Any, exported: ExportedTagger, processor: Any, evaluation: Iterable[Any]) -> dict[str, Any]:
    report = {"made_up": compare(model, exported, made_up_batches(processor)).report()}
    found = compare(model, exported, evaluation)
    return report | ({"data_set": found.report()} if found.sentences else {})


def _write_records(folder: Path, exported: ExportedTagger, report: dict[str, Any], calibration: int) -> None:
    config = exported.config
    versions = {name: _version(name) for name in PACKAGES}
    record = {
        "source_model_type": config.source_model_type,
        "backend": config.backend,
        "precision": config.precision,
        "graphs": {graph["name"]: {key: graph[key] for key in ("inputs", "outputs")} for graph in config.graphs or []},
        "calibration_batches": calibration,
        "parity_threads": exported.threads,
        "machine": platform.machine(),
        "versions": {name: version for name, version in versions.items() if version},
    }
    write_json(folder / RECORD, record, indent=2)
    write_json(folder / PARITY, report, indent=2)
    runner = RUNNERS[config.backend]
    needs = ("torch", "transformers", "huggingface_hub", "pytorch-crf", "pillow", "numpy", runner)
    write_lines(folder / "requirements.txt", [f"{name}>={_version(name)}" for name in needs if _version(name)])


def _version(package: str) -> str | None:
    try:
        return metadata.version(package).split("+")[0]
    except metadata.PackageNotFoundError:
        return None
