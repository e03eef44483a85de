"""Collect the files of a release in a folder of their own, leaving out all others of the run."""

from __future__ import annotations

import logging
import re
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import cast

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml

from reports_2mner.files import read_json, write_lines
from reports_2mner.markdown import plain, quoted
from reports_2mner.push import HUB_ID
from training_2mner.hub.code import CONFIG_FILES, SAVE_JSON, drop_foreign_code, travelling_code

logger = logging.getLogger(__name__)

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
CARD = "README.md"
CALIBRATION = ("calibration.json", "calibration.png")  # its record and its diagram, to which the card refers
NEEDED = (*CONFIG_FILES, CARD)
OPTIONAL = (
    *("tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt"),
    *("tokenizer.model", "sentencepiece.bpe.model", "spiece.model"),
    *("model.safetensors.index.json", "all_results.json", "other_data.json", *CALIBRATION),
    *("export.json", "parity.json"),  # of an exported model
)
LARGEST = 100 * 2**20  # bytes of a file without weights; the largest vocabularies have a third of that
STRICT = "F1 (strict)"  # the card's name for the main score
WIDGET_NOTE = "The widget on a Hub page does not run custom code, so the model cannot be tried there."


@dataclass(frozen=True)
class Names:
    """What a run does not know: the Hub ids of the model, of a Space that shows it, and of its data set."""

    model: str
    space: str | None = None
    dataset: str | None = None


def stage(folder: Path, target: Path, names: Names) -> list[str]:
    """Fill the empty folder `target` with the release of a run folder or an export, with links to weights and graphs.

    Returns:
        The names in the run folder that are left out, those of folders with a slash.

    Raises:
        ValueError: for a folder that lacks a file, and for a file that is far too large.
    """
    weights = _find_weights(folder)
    code = travelling_code(folder)
    copied = [name for name in (*NEEDED, *OPTIONAL) if (folder / name).is_file()] + code
    for name in copied:
        if (folder / name).stat().st_size > LARGEST:
            raise ValueError(f"{folder / name} has more than {LARGEST:,} bytes; replace it by one of a usual size.")
        shutil.copyfile(folder / name, target / name)
    for name in weights:
        (target / name).symlink_to((folder / name).resolve())
    for name in CONFIG_FILES:
        drop_foreign_code(target / name, code)
    card = adapt_card(_read_card(folder), folder.resolve().name, names)
    write_lines(target / CARD, str(card).splitlines())
    exported = (folder / "export.json").is_file()
    own = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines() if exported else requirements()
    write_lines(target / "requirements.txt", own)
    _write_eval_results(cast(ModelCardData, card.data), target)
    taken = {*copied, *weights, *(["requirements.txt"] if exported else [])}
    left = [path for path in folder.iterdir() if path.name not in taken]
    return sorted(f"{path.name}/" if path.is_dir() else path.name for path in left)


def requirements() -> list[str]:
    """What a user of the model has to install, as this project declares it.

    Raises:
        ValueError: if this project is not installed and Python is too old to read pyproject.toml.
    """
    try:
        declared = metadata.requires("2m-ner") or []
    except metadata.PackageNotFoundError:
        declared = _declared_in_checkout()
    return [requirement for requirement in declared if "extra ==" not in requirement]


def adapt_card(card: ModelCard, folder: str, names: Names) -> ModelCard:
    """Replace the name of a run's `folder` in its card by the Hub id, and add the Space to the note on widgets."""
    data = cast(ModelCardData, card.data)  # the annotations of ModelCard say CardData
    old, short = data.model_name or folder, names.model.split("/")[1]  # the folder may have been renamed
    parts = re.split(r"(^```.*?^```)", card.text, flags=re.MULTILINE | re.DOTALL)  # code blocks and text between
    parts[1::2] = [block.replace(f'"{quoted(old)}"', f'"{names.model}"') for block in parts[1::2]]
    card.text = re.sub(f"^# {re.escape(plain(old))}$", f"# {short}", "".join(parts), count=1, flags=re.MULTILINE)
    data.model_name = short if data.eval_results else None
    if names.space:
        link = f"[{names.space}](https://huggingface.co/spaces/{names.space})"
        card.text = card.text.replace(WIDGET_NOTE, f"{WIDGET_NOTE} Try it in the Space {link}.")
        if link not in card.text:
            logger.warning("The card has lost its note on widgets; add the Space yourself: %s.", link)
    if names.dataset:
        data.datasets = [names.dataset]
        for result in data.eval_results or []:
            result.dataset_type = names.dataset
    return card


def _find_weights(folder: Path) -> list[str]:
    for name in NEEDED:
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}; name a run folder written by train_hf.py.")
    weights = sorted(path.name for path in folder.iterdir() if WEIGHTS.fullmatch(path.name))
    if not weights:
        raise ValueError(f"{folder} has no weights as safetensors; pickles (`.bin`, `.pt`) are never published.")
    return [*weights, *_find_graphs(folder)]


def _find_graphs(folder: Path) -> list[str]:
    """The files of an exported model's graphs."""
    graphs = read_json(folder / "config.json", SAVE_JSON).get("graphs") or []
    names = [name for graph in graphs for name in graph["files"]]
    if missing := [name for name in names if Path(name).name != name or not (folder / name).is_file()]:
        raise ValueError(f"{folder} has no {missing[0]!r}, which its config.json names; export the model again.")
    return names


def _declared_in_checkout() -> list[str]:
    try:
        import tomllib
    except ImportError as error:  # Python 3.10
        raise ValueError("this project is not installed, so its needs are unknown; run `pip install -e .`") from error
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]


def _read_card(folder: Path) -> ModelCard:
    try:
        return ModelCard.load(folder / CARD)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"the YAML at the top of {folder / CARD} is invalid; correct it: {error}") from error


def _write_eval_results(data: ModelCardData, target: Path) -> None:
    """Write the card's strict test F1 in the Hub's newer format, which knows data sets only by their Hub id."""
    results = [result for result in data.eval_results or [] if result.metric_name == STRICT]
    entries = [_entry(result) for result in results if HUB_ID.fullmatch(result.dataset_type)]
    if entries:
        path = target / ".eval_results" / f"{entries[0].dataset_id.split('/')[1]}.yaml"
        text = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
        write_lines(path, text.splitlines())
    elif results:
        logger.info(
            "No .eval_results: the run read %r, which is not a Hub id; pass it as `dataset` (--dataset user/name).",
            results[0].dataset_type,
        )


def _entry(result: EvalResult) -> EvalResultEntry:
    return EvalResultEntry(
        dataset_id=result.dataset_type,
        task_id=result.dataset_config or "default",
        value=result.metric_value,
        dataset_revision=result.dataset_revision,
        notes=f"entity-level F1 in percent, strict IOB2, {result.dataset_split} split",
    )
