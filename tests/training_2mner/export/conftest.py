"""The tiny 2M-NER as an ONNX folder, exported once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def exported(tmp_path_factory, make_model, processor) -> Path:
    """An exported folder; tests leave it as it is."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install '2m-ner[onnx]'")
    from training_2mner.export.folder import export

    folder = tmp_path_factory.mktemp("exports") / "tiny"
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = export(model, processor, folder, "onnx")
    assert json.loads((folder / "parity.json").read_text(encoding="utf-8")) == report
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())  # folded in the export alone
    return folder
