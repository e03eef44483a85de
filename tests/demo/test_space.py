"""What a Space needs is in `demo/`, and says the same in all places; nothing of it is run here."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml
from PIL import Image

DEMO = Path(__file__).resolve().parents[2] / "demo"
PICTURES = sorted((DEMO / "examples").iterdir())
SOURCE = (DEMO / "app.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def header() -> dict:
    """The front matter that the Hub reads."""
    return yaml.safe_load((DEMO / "README.md").read_text(encoding="utf-8").split("---\n")[1])


def test_header_names_what_is_there(header):
    assert header["sdk"] == "gradio" and header["license"] == "apache-2.0"
    assert (DEMO / header["app_file"]).is_file()
    assert header["python_version"] == "3.11"
    assert all(header[field] for field in ("title", "emoji", "colorFrom", "colorTo", "models"))
    assert len(header["short_description"]) <= 60  # the Hub's limit


def test_gradio_is_of_one_version(header):
    pinned = re.findall(r"^gradio==(\S+)$", (DEMO / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned == [header["sdk_version"]]


def test_files_import_each_other_as_a_spaces_root_needs_it():
    imports = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.ImportFrom | ast.Import)]
    modules = {
        name for node in imports for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
    }
    assert {path.stem for path in DEMO.glob("*.py")} - {"app"} <= modules
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in imports)


def test_example_pictures_are_small_and_all_used():
    assert sum(path.stat().st_size for path in PICTURES) < 60_000
    assert {path.name for path in PICTURES} == set(re.findall(r'"(\w+\.jpg)"', SOURCE))
    for path in PICTURES:
        with Image.open(path) as picture:
            assert min(picture.size) >= 150
