"""Programs that die at any moment, or find the disk full: nothing is lost, and started again they end as if undisturbed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from datasets import Image, load_dataset

from dataset_scripts.mini.generator import write_mini
from dataset_scripts.to_conll import to_conll
from tests.adversary.programs import digest, finish, kill, moment, run_on_full_disk
from tests.adversary.promises import chance_for, promise

pytestmark = pytest.mark.slow

RUNNER = ["table5", "--settings", "demo", "--seeds", "1", "--only", "bilstm-crf", "--languages", "en"]
SHORT = ["--num_train_epochs", "3", "--use_cpu", "True", "--dataloader_num_workers", "0"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with a generated data set in `mini`, its text files in `text` and its pictures in `pictures`."""
    folder = tmp_path_factory.mktemp("programs")
    write_mini(folder / "mini", seed=3, sizes=(96, 16, 16))
    to_conll(folder / "mini", folder / "text")
    (folder / "pictures").mkdir()
    for split in load_dataset(str(folder / "mini"), "all", cache_dir=str(folder / "cache")).values():
        for row in split.cast_column("image", Image(decode=False)):
            if row["image"] is not None and row["image"]["bytes"] is not None:
                (folder / "pictures" / f"{row['image_id']}.jpg").write_bytes(row["image"]["bytes"])
    return folder


@pytest.fixture(scope="module")
def run_folder(workplace, model, processor) -> Path:
    """A model to predict with."""
    model.save_pretrained(workplace / "run")
    processor.save_pretrained(workplace / "run")
    return workplace / "run"


def build_arguments(workplace: Path, output: str) -> list[str]:
    source = ["--source", str(workplace / "text"), "--images", str(workplace / "pictures"), "--collection", "other"]
    return [*source, "--languages", "en", "--output", output, "--rows_per_shard", "8"]


def predict_arguments(workplace: Path, output: str) -> list[str]:
    source = ["--input", str(workplace / "mini" / "data" / "en"), "--output", output, "--batch_size", "2"]
    return [str(workplace / "run"), *source]


def test_killed_builds(workplace):
    chance = chance_for("killed builds")
    seconds = finish("dataset_scripts.build", build_arguments(workplace, "whole"), workplace)
    expected = digest(workplace / "whole")

    def die_and_go_on(number: int, kills: int) -> None:
        output = workplace / f"build-{number}" / "whole"
        arguments = build_arguments(workplace, str(output))
        for _ in range(kills):
            kill("dataset_scripts.build", arguments, workplace, moment(chance, seconds))
            if output.exists():  # it was complete before the signal came, or it is a fault
                break
        else:
            finish("dataset_scripts.build", arguments, workplace)
        assert digest(output) == expected

    with promise(
        "A build that was killed goes on and ends with the same bytes; no part of it has the final name"
    ) as held:
        for number in range(8):
            held.check(die_and_go_on, number, chance.randrange(1, 4))


def test_killed_predictions(workplace, run_folder):
    chance = chance_for("killed predictions")
    seconds = finish("training_2mner.predict", predict_arguments(workplace, "whole.jsonl"), workplace)
    expected = (workplace / "whole.jsonl").read_bytes()

    def die_and_go_on(number: int) -> None:
        arguments = predict_arguments(workplace, f"{number}.jsonl")
        for _ in range(2):
            kill("training_2mner.predict", arguments, workplace, moment(chance, seconds))
            if (workplace / f"{number}.jsonl").exists():
                break
        else:
            finish("training_2mner.predict", arguments, workplace)
        assert (workplace / f"{number}.jsonl").read_bytes() == expected

    with promise("A prediction that was killed goes on and ends with the same bytes") as held:
        for number in range(6):
            held.check(die_and_go_on, number)


def test_killed_trainings(workplace):
    chance = chance_for("killed trainings")
    run_file = Path(__file__).resolve().parents[2] / "configuration_2mner" / "runs" / "demo-bilstm-crf.yaml"
    common = [str(run_file), "--dataset", "mini", "--dataset_config", "en", *SHORT]
    common += ["--resume_from_checkpoint", "True", "--output_dir"]
    seconds = finish("train_hf", [*common, "whole-run"], workplace)
    expected = (workplace / "whole-run" / "model.safetensors").read_bytes()

    def die_and_go_on(number: int) -> None:
        folder = f"run-{number}"
        for _ in range(2):
            if not kill("train_hf", [*common, folder], workplace, moment(chance, seconds)):
                break
        else:
            finish("train_hf", [*common, folder], workplace)
        assert (workplace / folder / "model.safetensors").read_bytes() == expected

    with promise("A training that was killed goes on and ends with the same weights") as held:
        for number in range(3):
            held.check(die_and_go_on, number)


def test_killed_experiments(workplace):
    chance = chance_for("killed experiments")

    def arguments(output: str) -> list[str]:
        return [*RUNNER, "--dataset", "mini", "--output", output, "--", *SHORT]

    seconds = finish("experiments.run", arguments("whole-results"), workplace)
    name = "bilstm-crf.en.seed-19.json"
    expected = json.loads((workplace / "whole-results" / name).read_text())

    def die_and_go_on(number: int) -> None:
        output = f"results-{number}"
        for _ in range(2):
            kill("experiments.run", arguments(output), workplace, moment(chance, seconds))
        finish("experiments.run", arguments(output), workplace)
        found = json.loads((workplace / output / name).read_text())
        assert found["test"] == expected["test"] and found["dev"] == expected["dev"]

    with promise("A run of an experiment that was killed goes on and ends with the same scores") as held:
        for number in range(2):
            held.check(die_and_go_on, number)


def test_full_disk(workplace, run_folder):
    chance = chance_for("full disk")
    commands = {
        "dataset_scripts.build": build_arguments(workplace, "full/data"),
        "dataset_scripts.to_conll": [str(workplace / "mini"), "full/text"],
        "dataset_scripts.statistics": [str(workplace / "mini"), "--output", "full/statistics"],
        "training_2mner.predict": predict_arguments(workplace, "full/predictions.jsonl"),
    }

    def fill(module: str, limit: int) -> None:
        shutil.rmtree(workplace / "full", ignore_errors=True)
        (workplace / "full").mkdir()
        done = run_on_full_disk(module, commands[module], workplace, limit)
        if done.returncode == 0:
            return
        assert "Traceback" not in done.stderr and "error: " in done.stderr, done.stderr[-300:]
        assert not (workplace / "full" / "data").exists() and not (workplace / "full" / "predictions.jsonl").exists()

    with promise(
        "On a full disk a program ends with an error of one line, and no part of a file has its final name"
    ) as held:
        for module in commands:
            for _ in range(4):
                held.check(fill, module, int(10 ** chance.uniform(0, 5)))
