"""Every program introduces itself in the same way."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("benchmarks", "configuration_2mner", "dataset_scripts", "examples", "experiments", "training_2mner")
PROGRAMS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "make_parser(" in path.read_text(encoding="utf-8")
)
QUICK = [program for program in PROGRAMS if not program.startswith(("benchmarks.", "examples."))]
INTRODUCTION = re.compile(r"\n\n(?P<sentence>[A-Z][^\n]*(\n[^\n]+)?\.)\n\n    (?P<example>[^\n]*python [^\n]+)\n")


def test_all_programs_are_known():
    assert len(PROGRAMS) >= 15


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_help_begins_with_one_sentence_and_an_example(program, capsys):
    module = importlib.import_module(program)
    with pytest.raises(SystemExit, match="0"):
        module.read_command_line(["--help"])
    introduction = INTRODUCTION.search(capsys.readouterr().out)
    assert introduction is not None
    sentence, example = introduction["sentence"], introduction["example"]
    assert not re.search(r"[.!?] [A-Z]", sentence), "more than one sentence"
    assert program.removesuffix(".__main__") in example.replace("/", ".")


def modules_after(code: str) -> set[str]:
    """The modules that a new process has imported after some code."""
    code = f"import sys\n{code}\nprint('\\n', *sorted(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(ended.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("program", QUICK)
def test_the_help_does_not_wait_for_networks(program):
    loaded = modules_after(
        f"import {program} as program\ntry:\n    program.read_command_line(['--help'])\nexcept SystemExit:\n    pass"
    )
    assert "argparse" in loaded
    assert not loaded & {"torch", "transformers", "datasets", "sklearn", "pandas", "scipy", "matplotlib"}
    if program.startswith("training_2mner."):
        assert "pyarrow" not in loaded


def test_the_help_of_a_run_needs_neither_data_nor_trainer():
    loaded = modules_after(
        "import train_hf\ntry:\n    train_hf.read_command_line(['--help'])\nexcept SystemExit:\n    pass"
    )
    assert "transformers.training_args" in loaded  # whose fields are the options
    assert not loaded & {"datasets", "sklearn", "transformers.trainer", "training_2mner.trainer"}


@pytest.mark.parametrize("module", ["training_2mner.predict.prediction", "training_2mner.serve.service"])
def test_prediction_and_server_need_no_library_of_training(module):
    assert not modules_after(f"import {module}") & {"datasets", "sklearn", "peft"}


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_imports_from_a_program(package):
    programs = re.compile(r"from [\w.]+\.__main__ import|import __main__")
    assert [str(path) for path in (ROOT / package).rglob("*.py") if programs.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("former", "now"),
    [
        ("modeling_2mner.summary", "configuration_2mner.summary"),
        ("dataset_scripts.export", "dataset_scripts.to_conll"),
    ],
)
def test_a_former_name_still_works_and_says_so(former, now):
    ended = subprocess.run([sys.executable, "-m", former, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0
    assert f"python -m {now}" in ended.stdout
    assert f"`{former}` is now called `{now}`." in ended.stderr
