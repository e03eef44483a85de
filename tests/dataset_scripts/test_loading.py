"""A data set folder as a user reads it: `load_dataset` in processes of their own, and the snippets of docs/dataset.md."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import PIL.Image
import pytest

from dataset_scripts.card import dataset_card
from dataset_scripts.parquet import ROWS_PER_GROUP, write_dataset
from dataset_scripts.schema import CONFIGS, LABELS, LANGUAGES, SPLITS, features

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = (ROOT / "docs" / "dataset.md").read_text(encoding="utf-8").split("\n## ")
NEEDS_THE_HUB = "user/mmnerd"
SIZE = (12, 8)

LOAD = """
import json, os, sys
from datasets import get_dataset_config_names, load_dataset

def tell(rows, splits):
    return {split: [(row["id"], row["image"] and row["image"].size) for row in rows[split]] for split in splits}

path = os.path.abspath("mmnerd")
# The process must not end right after a stream, see docs/dataset.md; what follows takes long enough.
one = load_dataset(path, "en", columns=["tokens"], filters=[("id", "=", "en/O_test#2")], streaming=True)
report = {"one": {split: list(rows) for split, rows in one.items()}, "configs": {}}
for config in get_dataset_config_names("mmnerd"):
    mapped = load_dataset("mmnerd", config)
    streamed = load_dataset("mmnerd", config, streaming=True)
    report["configs"][config] = {
        "mapped": tell(mapped, mapped),
        "streamed": tell(streamed, mapped),
        "features": [rows.features.to_dict() for rows in [*mapped.values(), *streamed.values()]],
    }
os.chdir(sys.argv[1])
two = load_dataset(path, columns=["tokens", "lang"], filters=[("lang", "in", [0, 3])], split="train")
report["two"] = [two.column_names, sorted(set(two["lang"])), len(two)]
print(json.dumps(report))
"""


def make_rows(lang, split):
    """Rows of more than one row group in train: a tweet whose picture is that of all languages, captions, one without."""
    for number in range(ROWS_PER_GROUP + 5 if split == "train" else 3):
        tweet = number in (0, 2)
        image_id = f"O_{split}" if tweet else f"{number:08d}---{lang}{split}"
        drawn = io.BytesIO()
        PIL.Image.new("L", SIZE, 0 if tweet else number).save(drawn, "PNG")
        yield {
            "id": f"{lang}/{image_id}" + "#2" * (number == 2),
            "tokens": ["Anna", "saw", lang, str(number)],
            "ner_tags": ["B-PER", "O", "B-MISC", "I-MISC"],
            "image": None if number == 1 else {"bytes": drawn.getvalue(), "path": f"{number}.png"},
            "image_id": image_id,
            "image_status": "missing" if number == 1 else "ok",
            "lang": lang,
            "source": "twitter2017" if tweet else "cc12m",
        }


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, processor):
    """A working directory with the folder `mmnerd` in four languages, and a run folder with a processor."""
    folder = tmp_path_factory.mktemp("work")
    rows = {(lang, split): make_rows(lang, split) for lang in LANGUAGES for split in SPLITS}
    write_dataset(folder / "mmnerd", rows, partial(dataset_card, name="mmnerd", title="MMNERD", summary="Made up."))
    processor.save_pretrained(folder / "runs" / "2m-ner")
    return folder


@pytest.fixture(scope="module")
def run(workplace, tmp_path_factory):
    """Run Python code in a new process, offline and with fresh caches, and return what it prints."""

    def run_code(code, *arguments):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON", "PYTEST"))}
        home = tmp_path_factory.mktemp("home")
        settings = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(command, cwd=workplace, env=kept | settings, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"status {done.returncode}\n{done.stderr[-3000:]}"
        return done.stdout

    return run_code


@pytest.fixture(scope="module")
def loaded(run, tmp_path_factory):
    return json.loads(run(LOAD, tmp_path_factory.mktemp("elsewhere")))


def snippets(text):
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if NEEDS_THE_HUB not in block]


def test_every_configuration_is_the_files_of_its_languages(loaded):
    assert list(loaded["configs"]) == list(CONFIGS)
    for config, languages in CONFIGS.items():
        expected = {
            split: [[row["id"], row["image"] and list(SIZE)] for lang in languages for row in make_rows(lang, split)]
            for split in SPLITS
        }
        assert loaded["configs"][config]["mapped"] == expected, config
        assert loaded["configs"][config]["streamed"] == expected, config


def test_tags_have_names_and_pictures_are_pictures(loaded):
    for config in CONFIGS:
        for told in loaded["configs"][config]["features"]:
            assert told == features().to_dict()
            assert told["ner_tags"]["_type"] == "List"
            assert told["ner_tags"]["feature"] == {"_type": "ClassLabel", "names": list(LABELS)}
            assert told["image"] == {"_type": "Image"}


def test_columns_and_rows_are_chosen_from_any_path(loaded):
    assert loaded["two"] == [["tokens", "lang"], [0, 3], 2 * (ROWS_PER_GROUP + 5)]
    assert loaded["one"] == {"train": [], "validation": [], "test": [{"tokens": ["Anna", "saw", "en", "2"]}]}


def test_looking_at_a_few_rows_ends_python_well(run):
    (section,) = [section for section in SECTIONS if section.startswith("Look at a few rows")]
    by_slice, by_reading = snippets(section)
    assert run(f"from datasets import load_dataset\n{by_slice}").startswith("en/O_train [")
    assert run(by_reading).startswith("en/O_train ['Anna', 'saw', 'en', '0'] ['B-PER',")


def test_snippets_of_the_page_run_one_after_the_other(run):
    blocks = [block for section in SECTIONS for block in snippets(section)]
    printed = run("\n".join(blocks))
    assert "('Anna', 'B-PER')" in printed
    assert "torch.Size([3, 4])" in printed  # the labels of the test split
