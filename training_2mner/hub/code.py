"""The code of a release: the files it needs and the code its configs may refer to."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers.dynamic_module_utils import get_relative_import_files

import modeling_2mner
from reports_2mner.files import read_json, write_json

logger = logging.getLogger(__name__)

PROJECT_CODE = Path(modeling_2mner.__file__).parent
CONFIG_FILES = ("config.json", "processor_config.json", "tokenizer_config.json")  # these can refer to code
HANDLER = "handler"
SAVE_JSON = "save the model again"
SAVE_AGAIN = (
    "To save this version's code there: `import modeling_2mner`, load model and processor with "
    "`AutoModelForTokenClassification` and `AutoProcessor`, and call `save_pretrained` on both."
)


def travelling_code(folder: Path) -> list[str]:
    """The names of all `.py` files that the model, its processor, its pipeline and its handler need.

    Logs a warning for files that differ from this version of the project.

    Raises:
        ValueError: if one is missing.
    """
    named = {HANDLER, *(module for name in CONFIG_FILES for module in _modules(read_json(folder / name, SAVE_JSON)))}
    entries = [f"{module}.py" for module in sorted(named) if (PROJECT_CODE / f"{module}.py").is_file()]
    needed = _with_imports(PROJECT_CODE, entries)
    missing = sorted(name for name in needed if not (folder / name).is_file())
    if missing:
        raise ValueError(
            f"{folder} lacks {', '.join(missing)}, which the model needs where this project is not installed. "
            f"{SAVE_AGAIN}"
        )
    needed |= _with_imports(folder, entries)
    other = [name for name in sorted(needed) if _differs(folder / name, PROJECT_CODE / name)]
    if other:
        logger.warning(
            "%s: %s not as in this version of the project and will be published as in the folder. %s",
            folder,
            f"{', '.join(other)} {'is' if len(other) == 1 else 'are'}",
            SAVE_AGAIN,
        )
    return sorted(needed)


def drop_foreign_code(path: Path, code: list[str]) -> None:
    """Remove from a JSON file, with a warning, all references to code outside the files `code` and requests for trust.

    Such entries come from encoders and tokenizers that were published with their own code. This model never runs that
    code, and without the references nothing else will run it by mistake either.
    """
    content = read_json(path, SAVE_JSON)
    dropped = []
    for parent, place, key, targets in list(_references(content, path.name)):
        if not all(target is None or _is_own(target, code) for target in targets):
            del parent[key]
            dropped.append(f"{place}: {key}")
    for place in dropped:
        logger.warning("%s refers to code of others, which this model never runs; it is left out.", place)
    if dropped:
        write_json(path, content, indent=2, ensure_ascii=False)


def _with_imports(folder: Path, entries: list[str]) -> set[str]:
    """These files and all that they import, directly or indirectly."""
    found = set(entries)
    for name in entries:
        try:
            found |= {Path(path).name for path in get_relative_import_files(folder / name)}
        except FileNotFoundError as error:
            raise ValueError(
                f"{folder / name} imports {Path(error.filename).name}, which is missing. {SAVE_AGAIN}"
            ) from error
    return found


def _differs(path: Path, original: Path) -> bool:
    return not original.is_file() or path.read_bytes() != original.read_bytes()


def _modules(content: Any) -> Iterator[str]:
    """The modules that the JSON of a config refers to."""
    for *_, targets in _references(content, ""):
        yield from (target.split(".")[0] for target in targets if isinstance(target, str))


def _references(content: Any, place: str) -> Iterator[tuple[dict, str, str, list]]:
    """All entries that refer to code or request trust: the object that holds it, its place, key and targets."""
    if isinstance(content, list):
        for item in content:
            yield from _references(item, place)
    for key, value in content.items() if isinstance(content, dict) else ():
        if key in ("auto_map", "trust_remote_code"):
            yield content, place, key, list(_leaves(value))
        elif key == "custom_pipelines":
            yield content, place, key, [task.get("impl") for task in value.values()]
        else:
            yield from _references(value, f"{place}: {key}")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def _is_own(target: Any, code: list[str]) -> bool:
    """Whether `target` is `module.Class` with a module of the release; `user/name--module.Class` is not."""
    match = re.fullmatch(r"(\w+)\.\w+", target) if isinstance(target, str) else None
    return match is not None and f"{match[1]}.py" in code
