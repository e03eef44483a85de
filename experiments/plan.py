"""Which runs a table of the paper consists of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import yaml

from dataset_scripts.language_table import CODE
from dataset_scripts.schema import DEFAULT_CONFIG, available_configs, languages_of
from training_2mner.data import read_part

T = TypeVar("T")

RUN_FILES = Path(__file__).resolve().parents[1] / "configuration_2mner" / "runs"
MODELS_FOLDER = "models"  # in an output folder, those that are kept
FIRST_SEED = 19
OURS = "2m-ner"
TEXT_MODELS = ("bilstm-crf", "hbilstm-crf", "bert", "bert-crf")
IMAGE_MODELS = ("adacan", "umt", "umgf", "mkgformer", OURS)
MODELS = (*TEXT_MODELS, *IMAGE_MODELS)
MODELS_ON_WORDS = ("bilstm-crf", "hbilstm-crf", "adacan", "adacan-sum")
EXTRA_MODELS = ("adacan-sum",)  # not in the paper; run where `--only` names them
TABLES = ("table5", "table6", "table7", "table8", "table9")
GRID = "grid"  # see `grid.py`
BEYOND = "improvements"  # 2M-NER with one change each that the paper does not have
IMPROVEMENTS = ("infonce", "mask-duplicates", "crf-rate", "xlm-r")  # each has its run file, 2m-ner-NAME.yaml
AVERAGED = "averaged"  # see `average.py`
FOLDS = 5
SEEDS_A_FOLD = 2

NO_IMAGE = {"use_image": False}
CHANGES = {
    (OURS, "text"): {"use_vit": False, "use_resnet": False},
    (OURS, "no-resnet"): {"use_resnet": False},
    (OURS, "no-vit"): {"use_vit": False},
    **{(model, "text"): NO_IMAGE for model in ("adacan", "umt", "umgf", "mkgformer", "adacan-sum")},
}


@dataclass(frozen=True)
class Run:
    """One training: a model or a variant of it, the languages it learns from, and a seed.

    Args:
        model: one of `MODELS` or `EXTRA_MODELS`.
        variant: `""`, `"text"` (Table 7), `"no-resnet"` or `"no-vit"` (Table 9), one of `IMPROVEMENTS`, or `AVERAGED`
            (of several runs).
        languages: a configuration of the data set.
        part: the part of the training split, such as `"2/5"` (Table 8); all of it by default.
    """

    model: str
    variant: str = ""
    languages: str = "all"
    seed: int = FIRST_SEED
    part: str = ""

    @property
    def system(self) -> str:
        """Model and variant."""
        return "-".join(filter(None, (self.model, self.variant)))

    @property
    def name(self) -> str:
        """What the run's files are called."""
        part = f"part-{self.part.replace('/', '-of-')}" if self.part else ""
        return ".".join(filter(None, (self.system, self.languages, part, f"seed-{self.seed}")))

    @property
    def reads_words(self) -> bool:
        """Whether the model reads word vectors, and not sub-words."""
        return self.model in MODELS_ON_WORDS

    @property
    def changes(self) -> dict:
        """The fields of the model's configuration that differ from its run file's."""
        changes = CHANGES.get((self.model, self.variant), {}) | self.improvement.get("config", {})
        return changes | ({"attention_combine": "sum"} if self.model == "adacan-sum" else {})

    @property
    def improvement(self) -> dict:
        """The fields in which the run file of an improvement differs from that of the paper's model."""
        if self.variant not in IMPROVEMENTS:
            return {}
        plain, improved = (_read_run_file(name) for name in (self.model, self.system))
        return {name: value for name, value in improved.items() if plain.get(name) != value and name != "output_dir"}

    def command(self, settings: str, dataset: str, folder: Path) -> list[str]:
        """What `train_hf.py` is called with.

        Args:
            settings: which run files: `"paper"`, or what their names begin with, such as `"demo"` or `"english"`.
            dataset: the data set.
            folder: the run folder.
        """
        command = [str(run_file(self.model, settings)), "--dataset", dataset, "--dataset_config", self.languages]
        command += ["--seed", str(self.seed), "--output_dir", str(folder)]
        command += ["--train_part", self.part] if self.part else []
        for name, value in self.improvement.items():
            command += [] if name == "config" else [f"--{name}", str(value)]
        return command + (["--config", json.dumps(self.changes)] if self.changes else [])


def run_file(model: str, settings: str) -> Path:
    """The run file of a model.

    Raises:
        ValueError: if there is none, with the settings that there are.
    """
    stem = model.removesuffix("-sum")
    path = RUN_FILES / (f"{stem}.yaml" if settings == "paper" else f"{settings}-{stem}.yaml")
    if not path.is_file():
        known = sorted(other.name.removesuffix(f"-{stem}.yaml") for other in RUN_FILES.glob(f"*-{stem}.yaml"))
        raise ValueError(
            f"`settings` is {settings!r}, but there is no {path.name} in {path.parent.name}/; for {model} write one of "
            f"{', '.join(['paper', *known])}."
        )
    return path


def plan(
    tables: Iterable[str],
    seeds: int = 1,
    only: Iterable[str] | None = None,
    languages: Iterable[str] | None = None,
    settings: str = "paper",
) -> list[Run]:
    """The runs of some tables, each once, in the order in which they are wanted.

    Args:
        tables: of `TABLES`, or `BEYOND`.
        seeds: how many seeds, from 19 on; Table 8 has two for each part, as in the paper.
        only: models to run; all nine by default.
        languages: configurations to learn from; all of the table by default. Other languages than the paper's have the
            same tables.
        settings: which run files; other than `"paper"` they have new encoders, so that no improvement can name another one.

    Raises:
        ValueError: for a name that does not exist, with those that do.
    """
    only = list(MODELS if only is None else only)
    _check("tables", tables, (*TABLES, BEYOND))
    _check("only", only, (*MODELS, *EXTRA_MODELS))
    known = available_configs(languages_of(_codes(languages or ())))
    _check("languages", languages or (), known)
    range_of_seeds = range(FIRST_SEED, FIRST_SEED + seeds)
    runs = [run for table in tables for run in _runs_of(table, range_of_seeds, only, known)]
    runs = [run for run in dict.fromkeys(runs) if languages is None or run.languages in languages]
    return [run for run in runs if settings == "paper" or "text_encoder" not in run.improvement]


def shard(runs: list[T], which: str) -> list[T]:
    """The runs of one of several machines, "i/n".

    Raises:
        ValueError: if `which` is something else.
    """
    number, count = read_part(which, "shard")
    return runs[number - 1 :: count]


def _runs_of(table: str, seeds: range, only: list[str], configs: dict[str, tuple[str, ...]]) -> list[Run]:
    pairs = [name for name, held in configs.items() if len(held) == 2 and name != DEFAULT_CONFIG]
    single = [name for name in configs if name not in pairs]
    if table == "table5":
        return [Run(model, "", data, seed) for data in single for model in only for seed in seeds]
    if table == "table7":
        models = [model for model in IMAGE_MODELS if model in only]
        return [Run(model, "text", data, seed) for data in single for model in models for seed in seeds]
    if OURS not in only:
        return []
    if table == "table6":
        return [Run(OURS, "", data, seed) for data in configs if data != DEFAULT_CONFIG for seed in seeds]
    if table == "table8":
        parts = [f"{part}/{FOLDS}" for part in range(1, FOLDS + 1)]
        folds = [Run(OURS, "", "all", FIRST_SEED + seed, part) for part in parts for seed in range(SEEDS_A_FOLD)]
        return [*folds, *(Run(OURS, "", "all", seed) for seed in seeds)]
    variants = IMPROVEMENTS if table == BEYOND else ("no-resnet", "no-vit")
    return [Run(OURS, variant, "all", seed) for variant in ("", *variants) for seed in seeds]


def _codes(configs: Iterable[str]) -> list[str]:
    """The languages that configurations are named after."""
    return [code for name in configs for code in name.split("_") if CODE.fullmatch(code)]


@cache
def _read_run_file(name: str) -> dict:
    return yaml.safe_load((RUN_FILES / f"{name}.yaml").read_text(encoding="utf-8"))


def _check(argument: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"`{argument}` names {name!r}; write any of {', '.join(known)}.")
