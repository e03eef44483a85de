"""Checkpoints carry all the code they need: they load where this project does not exist."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

CHILD = Path(__file__).with_name("load_remote_code.py")
MODELS = {"full": {}, "text-only": {"use_vit": False, "use_resnet": False}}


@pytest.fixture
def save(make_model, processor, sentences, tags, make_picture, predict):
    """Save a model with its processor, pictures, and what it makes of them."""

    def write(folder: Path, changes: dict) -> Path:
        folder.mkdir()
        model = make_model(**changes)
        for number in (0, 1):
            make_picture(number).save(folder / f"{number}.png")
        images = [folder / "0.png", None, folder / "1.png", folder / "0.png"]
        batch = processor(sentences, images, tags)
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        expected = {
            "classes": [type(part).__name__ for part in (model.config, model.model, model, processor)],
            "sentences": sentences,
            "tags": tags,
            "batch": dict(batch),
            "outputs": dict(predict(model, batch)),
            "states": predict(model.model, inputs).last_hidden_state,
        }
        for part in (model, processor):
            part.save_pretrained(folder)
        torch.save(expected, folder / "expected.pt")
        return folder

    return write


def test_checkpoints_load_without_this_project(save, tmp_path):
    folders = [save(tmp_path / name, changes) for name, changes in MODELS.items()]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    environment |= {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", str(CHILD), *map(str, folders)]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "torchvision" not in done.stderr
    for folder in folders:
        assert sorted(path.name for path in (folder / "again").glob("*.py")) == sorted(
            path.name for path in folder.glob("*.py")
        )


def test_a_checkpoint_holds_all_its_code_and_no_pickle(save, tmp_path):
    folder = save(tmp_path / "full", {})
    assert Image.open(folder / "0.png").size == (48, 40)
    written = {path.name for path in folder.iterdir()} - {"0.png", "1.png", "expected.pt"}
    code = {f"{name}.py" for name in ("configuration_2mner", "modeling_2mner", "processing_2mner", "crf", "encoders")}
    code |= {f"{name}.py" for name in ("alignment", "fusion", "images", "outputs", "torchvision_resnet", "words")}
    code |= {f"{name}.py" for name in ("pipeline_2mner", "posteriors", "image_sources", "handler")}
    code |= {"configuration_tagging.py", "tagging.py"}
    assert {name for name in written if name.endswith(".py")} == code
    assert {name for name in written if not name.endswith((".py", ".json"))} == {"model.safetensors"}
