"""The settings for weights that are shared out, with two processes on CPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "configuration_2mner" / "accelerate" / "fsdp.yaml"


def test_the_settings_name_layers_of_the_encoders(model):
    wrapped = yaml.safe_load(SETTINGS.read_text("utf-8"))["fsdp_config"]["fsdp_transformer_layer_cls_to_wrap"]
    kinds = {type(module).__name__ for module in model.modules()}
    assert set(wrapped.split(",")) <= kinds


@pytest.mark.slow
def test_a_step_with_shared_weights_is_a_step_of_one_process(
    tmp_path, make_model, make_trainer, processor, splits, no_dropout, quiet
):
    """Without the contrastive losses, whose negatives are those of a process; plain SGD shows a gradient of the wrong size."""
    network = make_model(**no_dropout, alpha=1.0)
    rows = splits["train"].select(range(4))
    network.save_pretrained(tmp_path / "network")
    processor.save_pretrained(tmp_path / "processor")
    rows.save_to_disk(str(tmp_path / "data"))
    settings = {**quiet, "plain_adam": False, "optim": "sgd", "max_steps": 1, "report_to": "none"}
    (tmp_path / "settings.json").write_text(json.dumps({**settings, "per_device_train_batch_size": 2}))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(SETTINGS)]
    ended = subprocess.run(
        [*launch, "--main_process_port", "0", str(Path(__file__).with_name("fsdp_step.py")), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["kinds"] == ["DTensor"] and found["wrapped"].startswith("FSDP")
    alone = make_trainer(network, train=rows, folder="alone", **settings)
    alone.train()
    saved = load_file(tmp_path / "shared_out" / "model.safetensors")
    expected = alone.model.state_dict()
    assert saved.keys() == expected.keys()
    assert max((saved[name] - value).abs().max().item() for name, value in expected.items()) < 1e-5
    assert max((saved[name] - value).abs().max().item() for name, value in before.items()) > 1e-3
