"""A tiny data set, its parquet folder, trainers on it, and one run in two processes; networks come from above."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value
from safetensors.torch import load_file

from modeling_2mner import LABELS
from training_2mner.arguments import TwoMNERTrainingArguments
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.trainer import TwoMNERTrainer

ROOT = Path(__file__).resolve().parents[2]
PHRASES = [
    {"Anna": "B-PER", "Meier": "I-PER"},
    {"Anna": "B-PER"},
    {"Paris": "B-LOC"},
    {"Köln": "B-LOC"},
    {"Louvre": "B-ORG"},
    {"est": "O", "in": "O"},
    {"the": "O"},
]
NO_DROPOUT = {
    "dropout": 0.0,
    "text_config": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
}
TEXT_ONLY = {"use_vit": False, "use_resnet": False}
QUIET = {
    "use_cpu": True,
    "disable_tqdm": True,
    "eval_strategy": "no",
    "save_strategy": "no",
    "load_best_model_at_end": False,
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 4,
    "num_train_epochs": 1,
    "learning_rate": 1e-2,
    "logging_strategy": "steps",
    "logging_steps": 1,
}


@pytest.fixture(scope="session")
def no_dropout() -> dict:
    """Changes of the tiny configuration after which a training step has no randomness."""
    return NO_DROPOUT


@pytest.fixture(scope="session")
def text_only() -> dict:
    """Changes of the tiny configuration that leave both image branches out."""
    return TEXT_ONLY


@pytest.fixture(scope="session")
def quiet() -> dict:
    """Training arguments for an epoch that logs each step, and neither evaluates nor saves."""
    return QUIET


@pytest.fixture(scope="session")
def features() -> Features:
    """The columns that training reads."""
    return Features(
        {
            "tokens": List(Value("string")),
            "ner_tags": List(ClassLabel(names=list(LABELS))),
            "image": Image(),
            "image_id": Value("string"),
            "lang": ClassLabel(names=["en", "fr", "es", "de"]),
            "source": ClassLabel(names=["twitter2017", "cc12m"]),
        }
    )


@pytest.fixture(scope="session")
def make_row(make_picture):
    """Build a row of so many words; a picture's number, `None` for no picture, or bytes as they are."""

    def build(tokens: list[str], tags: list[str], picture: int | bytes | None = None, number: int = 0) -> dict:
        if isinstance(picture, int):
            buffer = BytesIO()
            make_picture(picture, 24, 20).save(buffer, "PNG")
            picture = buffer.getvalue()
        image = None if picture is None else {"bytes": picture, "path": None}
        return {
            "tokens": tokens,
            "ner_tags": tags,
            "image": image,
            "image_id": f"picture {number}",
            "lang": ["en", "fr"][number % 2],
            "source": ["twitter2017", "cc12m"][number // 2 % 2],
        }

    return build


@pytest.fixture(scope="session")
def make_dataset(features, make_row):
    """Build a data set of rows, or of so many random sentences, with pictures as undecoded bytes."""

    def build(rows: list[dict] | int, seed: int = 0) -> Dataset:
        if isinstance(rows, int):
            generator = random.Random(seed)
            rows = [_random_row(generator, make_row, number) for number in range(rows)]
        return Dataset.from_list(rows, features=features).cast_column("image", Image(decode=False))

    return build


@pytest.fixture(scope="session")
def splits(make_dataset) -> DatasetDict:
    """24 training sentences, 7 for validation, 9 for test, in no order of length."""
    return DatasetDict(
        train=make_dataset(24, seed=1), validation=make_dataset(7, seed=2), test=make_dataset(9, seed=3)
    )


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory, splits):
    """The splits as the parquet folder that `load_dataset` opens, with the configurations `all` and `small`."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    write_folder(folder, splits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder.parent / "cache")
        yield folder


@pytest.fixture
def write_data_folder(tmp_path, monkeypatch):
    """Write splits as such a folder of a test's own."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def write(splits: DatasetDict) -> Path:
        write_folder(tmp_path / "own", splits)
        return tmp_path / "own"

    return write


@pytest.fixture(scope="session")
def preset(tmp_path_factory, make_config) -> Path:
    """The tiny configuration as a preset's file, without labels and vocabulary."""
    config = make_config().to_dict()
    settings = {"model_type": "2m-ner", "dropout": config["dropout"]}
    for field in ("text_config", "vision_config", "resnet_config"):
        settings[field] = config[field]
    path = tmp_path_factory.mktemp("preset") / "tiny.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


@pytest.fixture
def make_trainer(tmp_path, make_model, processor, splits):
    """Build a trainer on the tiny splits that logs each step, and evaluates and saves only if asked to."""

    def build(
        model=None, train=None, evaluation=None, compute_metrics=None, collator=None, folder="run", **settings
    ) -> TwoMNERTrainer:
        return TwoMNERTrainer(
            model=make_model() if model is None else model,
            args=TwoMNERTrainingArguments(output_dir=str(tmp_path / folder), **{**QUIET, **settings}),
            train_dataset=splits["train"] if train is None else train,
            eval_dataset=splits["validation"] if evaluation is None else evaluation,
            data_collator=collator or TwoMNERDataCollator(processor),
            processing_class=processor,
            compute_metrics=compute_metrics,
        )

    return build


@pytest.fixture(scope="session")
def weights_of():
    """Copy every parameter and buffer of a network."""

    def copy(network) -> dict:
        return {name: value.detach().clone() for name, value in network.state_dict().items()}

    return copy


@pytest.fixture(scope="session")
def picture_gaps(make_dataset, make_row) -> Dataset:
    """Twelve sentences of which, sorted by length and dealt to two processes in pairs, one process's share of two
    batches has no picture at all; in the third batch both processes have the same picture.
    """
    pictures = [None, None, 0, 1, None, None, 2, 3, 4, 5, 4, 6]
    rows = []
    for number, picture in enumerate(pictures):
        tokens = [next(iter(PHRASES[(number + place) % 7].items())) for place in range(number + 1)]
        rows.append(make_row([word for word, _ in tokens], [tag for _, tag in tokens], picture, number))
    random.Random(0).shuffle(rows)
    return make_dataset(rows)


@pytest.fixture(scope="session")
def two_processes(tmp_path_factory, make_model, processor, splits, picture_gaps, data_folder, preset):
    """What `two_processes.py` leaves: losses, weights and predictions of its cases."""
    folder = tmp_path_factory.mktemp("two_processes")
    make_model(**NO_DROPOUT, **TEXT_ONLY).save_pretrained(folder / "text")
    make_model(**NO_DROPOUT, mask_duplicate_images=True).save_pretrained(folder / "multimodal")
    processor.save_pretrained(folder / "processor")
    DatasetDict(train=picture_gaps, test=splits["validation"]).save_to_disk(str(folder / "data"))
    plan = {"settings": QUIET, "data_folder": str(data_folder), "preset": str(preset)}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    _run_in_two_processes(folder)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    weights = {path.stem: load_file(path) for path in folder.glob("*.safetensors")}
    return {"results": results, "weights": weights, "folder": folder}


def write_folder(folder: Path, splits: DatasetDict) -> None:
    """Write parquet files with embedded pictures and a card that names the configurations."""
    folder.mkdir()
    for name, split in splits.items():
        split.to_parquet(str(folder / f"{name}.parquet"))
    files = [{"split": name, "path": f"{name}.parquet"} for name in splits]
    card = {"configs": [{"config_name": name, "data_files": files} for name in ("all", "small")]}
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n", encoding="utf-8")


def _random_row(generator: random.Random, make_row, number: int) -> dict:
    phrases = generator.choices(PHRASES, k=generator.randint(1, 5))
    tokens = [word for phrase in phrases for word in phrase]
    tags = [tag for phrase in phrases for tag in phrase.values()]
    return make_row(tokens, tags, None if number % 5 == 4 else number % 9, number)


def _run_in_two_processes(folder: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
    process = subprocess.Popen(
        [*command, str(Path(__file__).with_name("two_processes.py")), str(folder)],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "HF_DATASETS_CACHE": str(folder / "cache"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=150)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"the two processes hang:\n{process.communicate()[0][-4000:]}")
    assert process.returncode == 0, output[-4000:]
