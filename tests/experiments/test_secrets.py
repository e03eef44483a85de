"""No secret and no path of the user gets into what is meant to be kept or published."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from transformers import BertConfig, BertModel, BertTokenizer

import train_hf
from dataset_scripts.mini.generator import write_mini
from experiments import run as runner
from training_2mner.arguments import read_command_line

SECRET = "hf_PlantedSecretOfTheUser"
HOME = "planted_home_of_the_user"
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
SETTINGS = ["--num_train_epochs", "2", "--use_cpu", "True", "--hub_token", SECRET, "--max_train_samples", "32"]
SETTINGS += ["--max_eval_samples", "16", "--disable_tqdm", "True", "--dataloader_num_workers", "0"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with data, an encoder and word vectors, whose name must not get out."""
    folder = tmp_path_factory.mktemp("somewhere") / HOME
    write_mini(folder / "mini", seed=3, sizes=(64, 16, 16))
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(PIECES), **sizes)).save_pretrained(folder / "my-bert")
    BertTokenizer(vocab={piece: index for index, piece in enumerate(PIECES)}).save_pretrained(folder / "my-bert")
    (folder / "vectors.txt").write_text("in 0.1 0.2\nwith 0.3 0.4\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder.parent / "cache")
        yield folder


def telling(folder: Path) -> list[str]:
    """The files below a folder that hold something planted."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    planted = [text.encode() for text in (SECRET, HOME)]
    return sorted(
        str(path.relative_to(folder)) for path in files if any(text in path.read_bytes() for text in planted)
    )


def test_a_run_folder_and_its_checkpoints_tell_nothing(home):
    output = home / "runs" / "mine"
    model = ["--model", "bert-crf", "--text_encoder", str(home / "my-bert"), "--run_name", f"{HOME} run"]
    command = [*model, "--dataset", str(home / "mini"), "--output_dir", str(output), *SETTINGS]
    train_hf.main(*read_command_line(command))

    assert {path.name for path in output.glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-4"}
    assert telling(output) == []


def test_a_moved_run_folder_goes_on_with_its_best_checkpoint(home, tmp_path, caplog):
    output = home / "runs" / "moved"
    command = [
        "--model",
        "bert-crf",
        "--text_encoder",
        str(home / "my-bert"),
        "--dataset",
        str(home / "mini"),
        *SETTINGS,
    ]
    first = train_hf.main(*read_command_line([*command, "--output_dir", str(output)]))
    for name in ("model.safetensors", "all_results.json"):
        (output / name).unlink()
    output.rename(tmp_path / "elsewhere")

    resume = ["--output_dir", str(tmp_path / "elsewhere"), "--resume_from_checkpoint", "True"]
    again = train_hf.main(*read_command_line([*command, *resume]))
    assert again["test_f1"] == first["test_f1"] and "does not exist" not in caplog.text


def test_a_record_of_the_experiments_tells_nothing(home, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(home.parent / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(train_hf.__file__).parent), *sys.path]))
    launcher = f"env HF_TOKEN={SECRET} PLACE={home}/x {sys.executable}"
    runner.main(
        [
            *("table5", "--dataset", str(home / "mini"), "--output", str(home / "results"), "--settings", "demo"),
            *("--seeds", "1", "--only", "bilstm-crf", "--languages", "en", "--launcher", launcher, "--keep_models"),
            *("--word_vectors", str(home / "vectors.txt"), "--", *SETTINGS),
        ]
    )

    assert (home / "results" / "bilstm-crf.en.seed-19.json").is_file()
    assert telling(home / "results") == []
