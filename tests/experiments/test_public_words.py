from __future__ import annotations

import pytest

from experiments.public_words import public_words


@pytest.mark.parametrize(
    ("words", "public"),
    [
        (["--hub_token", "hunter2", "--seed", "3"], ["--seed", "3"]),
        (["--hub_token=hunter2", "--seed=3"], ["--seed=3"]),
        (["--hub_tok", "hunter2", "--bf16"], ["--bf16"]),
        (["env", "HF_TOKEN=hunter2", "WANDB_API_KEY=hunter2", "torchrun"], ["env", "torchrun"]),
        (["--run_name", "hf_abcdefghij"], ["--run_name", "hf_..."]),
        (["--tokenizer", "new", "--hub_token"], ["--tokenizer", "new"]),
        (["--dataset", "/home/ann/mini", "--model", "user/name"], ["--dataset", "mini", "--model", "user/name"]),
        (
            ["--dataset=/home/ann/mini", "--word_vectors", "~/glove.txt"],
            ["--dataset=mini", "--word_vectors", "glove.txt"],
        ),
        (["--dataset", "/home/ann lee/my data"], ["--dataset", "my data"]),
        (["--config", '{"text_config": "/home/ann/x"}'], ["--config", '{"text_config": "x"}']),
        (["/opt/ann/bin/torchrun", "--rdzv_endpoint", "host:29500"], ["torchrun", "--rdzv_endpoint", "host:29500"]),
        (["--train_part", "1/2", "--url", "https://host/a/b"], ["--train_part", "1/2", "--url", "https://host/a/b"]),
    ],
)
def test_secrets_go_and_paths_become_names(words, public):
    assert public_words(words) == public


def test_a_relative_path_that_exists_becomes_its_name(tmp_path, monkeypatch):
    (tmp_path / "ann" / "mini").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert public_words(["--dataset", "ann/mini", "--text_encoder", "google/bert"]) == [
        "--dataset",
        "mini",
        "--text_encoder",
        "google/bert",
    ]
