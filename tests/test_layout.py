"""The rules of the layout, read off the source text; nothing is imported."""

from __future__ import annotations

import ast
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRAVELLING = sorted((ROOT / "modeling_2mner").glob("*.py"))
HOME = {"configuration_2mner", "dataset_scripts", "experiments", "model_cards", "modeling_2mner", "tests", "train_hf"}
HOME |= {"benchmarks", "demo", "training_2mner"}
# The pattern by which transformers finds what to copy beside a model's file. It reads docstrings and comments, too.
LOADERS_PATTERN = re.compile(r"^\s*from\s+(\.\S+)\s+import", re.MULTILINE)

MOST_LINES_OF_A_FILE = 500
MOST_LINES_OF_A_FUNCTION = 60


def sources() -> list[Path]:
    """The Python files of the repository, without what git ignores: environments, caches and builds."""
    found = [*ROOT.glob("*.py")]
    for folder in ROOT.iterdir():
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in ("build", "dist", "runs"):
            found += folder.rglob("*.py")
    return sorted(found)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def faulty_imports(source: str, siblings: set[str]) -> list[str]:
    """What the Hub's loader would not copy, or could not find."""
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.level > 1 or node.module not in siblings or any(alias.name == "*" for alias in node.names):
                faults.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom | ast.Import):
            modules = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            faults += [ast.unparse(node) for module in modules if module.split(".")[0] in HOME]
    faults += [match for match in LOADERS_PATTERN.findall(source) if match.removeprefix(".") not in siblings]
    return faults


@pytest.mark.parametrize("path", TRAVELLING, ids=name_of)
def test_files_that_travel_import_only_their_siblings(path):
    assert faulty_imports(path.read_text(encoding="utf-8"), {sibling.stem for sibling in TRAVELLING}) == []


@pytest.mark.parametrize(
    "source",
    [
        "from . import crf",
        "from .sub.deep import X",
        "from ..modeling_2mner.crf import X",
        "from .nowhere import X",
        "from .crf import *",
        "from modeling_2mner.crf import X",
        "import modeling_2mner.crf as crf",
        "from training_2mner.trainer import X",
        "if TYPE_CHECKING:\n    from .trainer import X",
        "def load():\n    from dataset_scripts import schema",
        '"""Use it so:\n\n    from .nowhere import Z\n"""',
    ],
)
def test_a_faulty_import_is_found(source):
    assert faulty_imports(source, {"crf"})


def test_a_sound_import_is_none():
    assert not faulty_imports("import torch\nfrom .crf import (\n    A,\n    B,\n)\n", {"crf"})


def test_the_folder_that_travels_is_flat():
    folders = [
        path.name for path in (ROOT / "modeling_2mner").iterdir() if path.is_dir() and path.name != "__pycache__"
    ]
    assert folders == []


def test_files_stay_small():
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES_OF_A_FILE} == {}


def test_functions_stay_small():
    long = {
        f"{name_of(path)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    }
    assert long == {}


def test_nothing_is_left_to_do_later():
    later = []
    for path in sources():
        with tokenize.open(path) as file:
            comments = [token for token in tokenize.generate_tokens(file.readline) if token.type == tokenize.COMMENT]
        later += [
            f"{name_of(path)}: {token.string}" for token in comments if re.search("TODO|FIXME|XXX", token.string)
        ]
    assert later == []
