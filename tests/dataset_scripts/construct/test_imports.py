"""What is slow to load is loaded only by stages that use a model or decode pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dataset_scripts.construct import picture_store
from dataset_scripts.construct.stages import ORDER
from modeling_2mner import images

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from contextlib import suppress
from dataset_scripts.construct.__main__ import main
for arguments in {commands}:
    with suppress(SystemExit):
        main(arguments)
print(sorted({{"torch", "transformers", "spacy", "sklearn"}} & set(sys.modules)))
"""
CONLL = "IMGID:O_1\nAna\tB-PER\n\n"


def loaded(commands: list[list[str]]) -> str:
    """Run some commands in one process; return which of the large packages it has loaded."""
    program = [sys.executable, "-c", PROGRAM.format(commands=commands)]
    return subprocess.run(program, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()[-1]


def test_help_loads_no_model():
    assert loaded([["--help"], *([stage, "--help"] for stage in ORDER), ["all", "--help"]]) == "[]"


def test_stages_without_models_load_none(tmp_path):
    folder = tmp_path / "mmnerd" / "train_valid_test_en"
    folder.mkdir(parents=True)
    for name in ("train", "valid", "test"):
        (folder / f"{name}_conll_format.txt").write_text(CONLL.replace("O_1", f"O_{name}"), "utf-8")
    (tmp_path / "words.tsv").write_text("Ana\tPERSON\n", "utf-8")
    work, new = str(tmp_path / "work"), tmp_path / "new"
    commands = [
        ["tweets", work, f"--mmnerd={folder.parent}"],
        ["recognise", work, f"--recogniser=dictionary:{tmp_path / 'words.tsv'}", "--least_mentions=0"],
        ["tasks", work, "--annotators", "ana", "ben"],
        ["release", work, f"--output={new}"],
    ]
    assert loaded(commands) == "[]"
    assert (new / "README.md").is_file()


def test_the_limit_of_pixels_is_that_of_the_models():
    assert picture_store.MAX_PIXELS == images.MAX_PIXELS
