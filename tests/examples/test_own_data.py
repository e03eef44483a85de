"""The notebook on data of one's own: what it says, what its commands are, and that it runs."""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import shlex
import shutil
import sys
from hashlib import sha256
from pathlib import Path

import pytest

import train_hf
from examples.make_own_data import PICTURES_PER_TYPE, SILENT, TELLING, contact_sheet, write_own_data
from modeling_2mner.images import open_picture

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "own_data.ipynb"
MOST_PICTURE_BYTES = 300_000
MOST_SOURCE_BYTES = 1_000_000
# An absolute path, in what is printed: /home/..., C:\..., file:///...
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<])/(?!/)\w[\w.-]*/|\b[A-Z]:\\|file://")
# What a run needs of a checkout.
PACKAGES = (
    "configuration_2mner",
    "dataset_scripts",
    "examples",
    "experiments",
    "model_cards",
    "modeling_2mner",
    "reports_2mner",
    "training_2mner",
)


@pytest.fixture(scope="module")
def notebook():
    nbformat = pytest.importorskip("nbformat", reason="the notebook needs nbformat (pip install -e '.[dev]')")
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    write_own_data(folder)
    return folder


def commands(notebook) -> list[list[str]]:
    """The words of every command of ours, without redirections."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code" and cell.source.startswith("%%bash")]
    lines = [line for cell in cells for line in cell.replace("\\\n", " ").splitlines()[1:] if line.strip()]
    words = [shlex.split(re.sub(r"\s2>.*", "", line)) for line in lines]
    return [command for command in words if command[0] == "python"]


def outputs(notebook) -> list[dict]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def printed(notebook) -> str:
    texts = [output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs(notebook)]
    return "\n".join(texts)


def pictures(notebook) -> list[bytes]:
    found = [output.get("data", {}) for output in outputs(notebook)]
    return [base64.b64decode(data[kind]) for data in found for kind in ("image/jpeg", "image/png") if kind in data]


def test_the_notebook_is_valid(notebook):
    import nbformat

    nbformat.validate(notebook)
    assert notebook.cells[0].cell_type == "markdown"


def test_its_outputs_are_complete(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    text = printed(notebook)
    for part in ("Scheme of the tags: BIOES", "converted from BIOES to IOB2", "dev precision", "Calibration error"):
        assert part in text


def test_its_outputs_show_no_path_of_a_machine(notebook):
    assert ABSOLUTE_PATH.findall(printed(notebook)) == []


@pytest.mark.parametrize(
    ("text", "is_absolute"),
    [
        ("Written to runs/field_guide/set.", False),
        ("Written to /home/anna/runs/set.", True),
        ("(/tmp/x/y.png)", True),
        (r"C:\Users\anna", True),
        ("https://example.org/a/b and 3 it/s", False),
        ("file:///tmp/a", True),
    ],
)
def test_a_path_of_a_machine_is_found(text, is_absolute):
    assert bool(ABSOLUTE_PATH.search(text)) is is_absolute


def test_its_pictures_are_small(notebook):
    found = pictures(notebook)
    assert len(found) >= 3
    assert sum(map(len, found)) < MOST_PICTURE_BYTES


def test_its_commands_parse(notebook):
    programs = set()
    for _, *arguments in commands(notebook):
        if arguments[0] == "train_hf.py":
            train_hf.read_command_line(arguments[1:])
            programs.add("train_hf")
        else:
            assert arguments[0] == "-m"
            programs.add(arguments[1])
            name = arguments[1]
            spec = importlib.util.find_spec(f"{name}.__main__") if (ROOT / name.replace(".", "/")).is_dir() else None
            importlib.import_module(f"{name}.__main__" if spec else name).read_command_line(arguments[2:])
    assert programs == {
        "examples.make_own_data",
        "dataset_scripts.build",
        "dataset_scripts.audit",
        "train_hf",
        "training_2mner.calibrate",
        "experiments.errors",
    }


def test_its_links_lead_somewhere(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#]+)", text)
    assert links
    assert [link for link in links if not (NOTEBOOK.parent / link).is_file()] == []


def test_the_source_has_sixty_pictures_and_six_types(source):
    text = (source / "sentences.conll").read_text(encoding="utf-8")
    assert len(list((source / "photos").glob("*.jpg"))) == 60 == len(TELLING) * PICTURES_PER_TYPE
    assert set(re.findall(r"\t[BIES]-(\w+)\n", text)) == set(TELLING)
    assert set(re.findall(r"^IMGID:(.+)$", text, re.MULTILINE)) == {p.stem for p in (source / "photos").iterdir()}
    assert sum(path.stat().st_size for path in source.rglob("*") if path.is_file()) < MOST_SOURCE_BYTES


def test_the_source_is_the_same_each_time(source, tmp_path):
    def hashes(folder):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}

    write_own_data(tmp_path / "again")
    write_own_data(tmp_path / "other", seed=1)
    assert hashes(tmp_path / "again") == hashes(source) != hashes(tmp_path / "other")


def test_every_silent_sentence_has_several_types(source):
    kinds: dict[str, set[str]] = {}
    for block in (source / "sentences.conll").read_text(encoding="utf-8").split("\n\n"):
        words, tags = zip(*(line.split("\t") for line in block.split("\n")[1:] if line), strict=True)
        kinds.setdefault(" ".join(words), set()).update(tag[2:] for tag in tags if tag != "O")
    heads = [template.split("{}")[0] for template in SILENT if not template.startswith("{}")]
    silent = [found for words, found in kinds.items() if any(words.startswith(head) for head in heads)]
    assert silent and min(map(len, silent)) > 1


def test_a_contact_sheet_shows_the_named_pictures(source):
    sheet = open_picture(contact_sheet(source / "photos", names=("photo_01.jpg", "photo_02.jpg")))
    assert sheet.size == (256, 96)
    assert open_picture(contact_sheet(source / "photos", count=7)).size == (768, 192)


@pytest.mark.slow
def test_the_notebook_runs(notebook, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="running the notebook needs nbclient and ipykernel")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "results")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    for name in ("train_hf.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    # So that `python` in a cell is the one that runs this test.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    fresh = notebook.copy()
    client = nbclient.NotebookClient(
        fresh,
        timeout=1800,
        kernel_name="python3",
        coalesce_streams=True,  # otherwise a line that is printed in two parts is two outputs
        record_timing=False,
        resources={"metadata": {"path": str(tmp_path / "examples")}},
    )
    client.execute()  # a cell that fails raises
    assert len(outputs(fresh)) >= len(commands(notebook))
    assert str(tmp_path) not in printed(fresh)
    assert sum(map(len, pictures(fresh))) < MOST_PICTURE_BYTES
    assert (tmp_path / "runs/field_guide/errors/errors.html").is_file()
    if target := os.environ.get("WRITE_NOTEBOOK"):
        import nbformat

        nbformat.write(fresh, target)
