"""Checkpoints carry all the code they need: they load where this project does not exist."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

CHILD = Path(__file__).with_name("load_remote_code.py")
OURS = {"full": {}, "text-only": {"use_vit": False, "use_resnet": False}}
BASELINES = {
    "hbilstm-crf": ("bilstm-crf", {"character_embedding_size": 6, "hidden_layer_size": 7}),
    "bert": ("bert-crf", {"use_crf": False}),
    "adacan": ("adacan", {"attention_combine": "sum"}),
    "umt": ("umt", {}),
    "umgf": ("umgf", {}),
    "mkgformer": ("mkgformer", {}),
}
# What every checkpoint of a comparison model carries, and what is only its own.
SHARED = (
    "configuration_tagging",
    "configuration_parts",
    "tagging",
    "encoders",
    "torchvision_resnet",
    "crf",
    "outputs",
)
SHARED += (
    "processing_one_image",
    "processing_2mner",
    "windows",
    "spans",
    "images",
    "pixels",
    "image_sources",
    "pipeline_2mner",
    "pipeline_inputs",
    "stock_arguments",
    "picture_rows",
    "posteriors",
    "pieces",
    "foreign_inputs",
)
SHARED += ("handler", "kept_features", "length_windows", "lattice")
WORDS = ("configuration_words", "word_layers", "tokenization_words", "processing_words")
OWN = {
    "hbilstm-crf": ("modeling_bilstm_crf", *WORDS),
    "bert": ("modeling_bert", "configuration_subwords"),
    "adacan": ("modeling_adacan", "vgg", *WORDS),
    "umt": ("modeling_umt", "tagging_subwords", "configuration_subwords", "fusion"),
    "umgf": ("modeling_umgf", "tagging_subwords", "configuration_subwords", "fusion"),
    "mkgformer": ("modeling_mkgformer", "tagging_subwords", "configuration_subwords"),
}


@pytest.fixture
def save(
    make_model, make_baseline, processor, one_image_processor, word_processor, sentences, tags, make_picture, predict
):
    """Save a model with its processor, pictures, and what it makes of them."""

    def write(folder: Path, name: str) -> Path:
        folder.mkdir()
        if name in OURS:
            model, reader = make_model(**OURS[name]), processor
        else:
            kind, changes = BASELINES[name]
            model = make_baseline(kind, **changes)
            reader = copy.deepcopy(word_processor if model.config.reads_words else one_image_processor)
            reader.use_image = model.config.uses_image
        for part in (model, reader):
            part.save_pretrained(folder)
        model = type(model).from_pretrained(folder)  # where weights lie in memory decides how products are rounded
        for number in (0, 1):
            make_picture(number).save(folder / f"{number}.png")
        images = [folder / "0.png", None, folder / "1.png", folder / "0.png"]
        batch = reader(sentences, images, tags)
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        expected = {
            "classes": [type(part).__name__ for part in (model.config, model.model, model, reader)],
            "sentences": sentences,
            "tags": tags,
            "batch": dict(batch),
            "outputs": dict(predict(model, batch)),
            "states": predict(model.model, inputs).last_hidden_state,
        }
        torch.save(expected, folder / "expected.pt")
        return folder

    return write


def test_checkpoints_load_without_this_project(save, tmp_path):
    folders = [save(tmp_path / name, name) for name in (*OURS, *BASELINES)]
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
    folder = save(tmp_path / "full", "full")
    assert Image.open(folder / "0.png").size == (48, 40)
    written = {path.name for path in folder.iterdir()} - {"0.png", "1.png", "expected.pt"}
    code = {f"{name}.py" for name in ("configuration_2mner", "modeling_2mner", "processing_2mner", "crf", "encoders")}
    code |= {
        f"{name}.py"
        for name in ("alignment", "fusion", "images", "outputs", "pixels", "torchvision_resnet", "windows")
    }
    code |= {
        f"{name}.py"
        for name in ("spans", "pipeline_2mner", "posteriors", "pieces", "foreign_inputs", "image_sources", "handler")
    }
    code |= {"pipeline_inputs.py", "picture_rows.py", "stock_arguments.py"}
    code |= {"kept_features.py", "length_windows.py", "lattice.py"}
    code |= {"configuration_tagging.py", "configuration_parts.py", "tagging.py"}
    assert {name for name in written if name.endswith(".py")} == code
    assert {name for name in written if not name.endswith((".py", ".json"))} == {"model.safetensors"}


@pytest.mark.parametrize("name", BASELINES)
def test_a_comparison_model_carries_only_the_code_it_needs(save, tmp_path, name):
    folder = save(tmp_path / name, name)
    assert {path.stem for path in folder.glob("*.py")} == {*SHARED, *OWN[name]}
