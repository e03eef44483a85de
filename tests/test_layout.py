"""The rules of the layout, read from the source text; nothing is imported."""

from __future__ import annotations

import ast
import re
import tokenize
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRAVELLING = sorted((ROOT / "modeling_2mner").glob("*.py"))
# The floors of the house, lowest first. A file imports from its own package and from lower floors; packages that share
# a floor know nothing of each other.
FLOORS = (
    {"reports_2mner"},
    {"modeling_2mner"},
    {"configuration_2mner"},
    {"dataset_scripts", "training_2mner", "integrations_2mner"},
    {"train_hf"},
    {"experiments"},
    {"benchmarks", "demo", "examples"},
    {"tests"},
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
HOME = {*FLOOR, "model_cards"}
# The pattern by which transformers finds what to copy beside a model's file. It reads docstrings and comments, too.
LOADERS_PATTERN = re.compile(r"^\s*from\s+(\.\S+)\s+import", re.MULTILINE)

# An HTML tag that opens or closes. `<image id>` and the like in messages are none; Markdown has no other way to fold a part
# away than details.
TAGS = "a|article|b|bdi|body|br|button|code|dd|div|dl|dt|em|form|h[1-6]|head|html|i|img|input|label|li|link|main|mark|meta|nav|ol"
TAGS += "|option|p|pre|script|section|select|small|span|strong|style|sub|sup|svg|table|tbody|td|th|thead|title|tr|ul"
HTML_TAG = re.compile(rf"</?({TAGS})(\s*/?>|\s+[\w-]+=|\s*$)")

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


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_modules(source: str) -> list[str]:
    """Every absolute import, also those inside functions, with `from a import b` as both `a` and `a.b`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.split(".")[0] in HOME and not name.split(".")[-1][0].isupper()]


def may_import(package: str, imported: str) -> bool:
    return imported not in FLOOR or imported == package or FLOOR[imported] < FLOOR[package]


def import_graph() -> dict[str, set[str]]:
    """For each file of the house, by its dotted name, the files that it imports."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sources()}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph = {}
    for name, path in modules.items():
        source = path.read_text(encoding="utf-8")
        siblings = [f"{name.rpartition('.')[0]}{match}" for match in LOADERS_PATTERN.findall(source)]
        siblings = siblings if name.startswith("modeling_2mner.") else []
        graph[name] = {other for other in (*imported_modules(source), *siblings) if other in modules} - {name}
    return graph


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """The names along one circle, the first of them again at the end; an empty list if there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        circle = next((found for other in sorted(graph[name]) if (found := walk(other, [*way, name]))), [])
        done.add(name)
        return circle

    return next((circle for name in sorted(graph) if (circle := walk(name, []))), [])


def html_in_strings(source: str) -> list[str]:
    """The string constants with an HTML tag; the parts of an f-string are constants, docstrings are left out."""
    tree = ast.parse(source)
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in texts]
    return [node.value for node in constants if isinstance(node.value, str) and HTML_TAG.search(node.value)]


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


def test_imports_point_only_down():
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in sources()
        for module in imported_modules(path.read_text(encoding="utf-8"))
        if not may_import(package_of(path), module.split(".")[0])
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("package", "imported", "allowed"),
    [
        ("experiments", "training_2mner", True),
        ("training_2mner", "training_2mner", True),
        ("training_2mner", "experiments", False),
        ("training_2mner", "dataset_scripts", False),
        ("dataset_scripts", "training_2mner", False),
        ("reports_2mner", "modeling_2mner", False),
        ("dataset_scripts", "torch", True),
    ],
)
def test_who_may_import_whom(package, imported, allowed):
    assert may_import(package, imported) is allowed


def test_no_files_import_each_other_in_a_circle():
    assert find_circle(import_graph()) == []


def test_a_circle_is_found():
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c", "b"]


def test_imports_inside_functions_and_of_modules_count():
    source = (
        "def f():\n    from dataset_scripts import schema\nimport training_2mner.trainer as t\nfrom .crf import A\n"
    )
    assert set(imported_modules(source)) == {"dataset_scripts.schema", "dataset_scripts", "training_2mner.trainer"}


def test_the_folder_that_travels_is_flat():
    folders = [
        path.name for path in (ROOT / "modeling_2mner").iterdir() if path.is_dir() and path.name != "__pycache__"
    ]
    assert folders == []


def test_no_folder_of_tests_is_left_out(pytestconfig):
    left_out = pytestconfig.getini("norecursedirs")  # by default also "build", whatever is in it
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")}
    assert [
        folder for folder in folders for name in folder.parts if any(fnmatch(name, each) for each in left_out)
    ] == []


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


def test_pages_are_templates():
    found = {
        name_of(path): texts
        for path in sources()
        if package_of(path) not in ("reports_2mner", "tests") and (texts := html_in_strings(path.read_text("utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "is_html"),
    [
        ("x = '<p>text</p>'", True),
        ("x = f'<td class=\"number\">{count}'", True),
        ("x = f'<mark{style}>' + '</mark>'", True),
        ("def f():\n    'Returns <b>bold</b>.'", False),
        ("x = 'a folder with <image id>.jpg files, IMGID:<id>'", False),
        ("x = '<details><summary>Strict</summary>'", False),
        ("x = {'<p>': 1}", True),
    ],
)
def test_html_in_a_string_is_found(source, is_html):
    assert bool(html_in_strings(source)) is is_html


def test_nothing_is_left_to_do_later():
    later = []
    for path in sources():
        with tokenize.open(path) as file:
            comments = [token for token in tokenize.generate_tokens(file.readline) if token.type == tokenize.COMMENT]
        later += [
            f"{name_of(path)}: {token.string}" for token in comments if re.search("TODO|FIXME|XXX", token.string)
        ]
    assert later == []
