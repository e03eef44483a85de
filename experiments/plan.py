"""The runs that make up each table of the paper."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import yaml

from configuration_2mner import available, load_preset
from dataset_scripts.schema import DEFAULT_CONFIG, available_configs, languages_of
from reports_2mner.command_line import read_part
from reports_2mner.language_table import CODE

if TYPE_CHECKING:
    from modeling_2mner.configuration_tagging import TaggingConfig

T = TypeVar("T")

RUN_FILES = Path(__file__).resolve().parents[1] / "configuration_2mner" / "runs"
MODELS_FOLDER = "models"  # in an output folder, for the models that are kept
FIRST_SEED = 19
OURS = "2m-ner"
MODELS = ("bilstm-crf", "hbilstm-crf", "bert", "bert-crf", "adacan", "umt", "umgf", "mkgformer", OURS)  # the paper's
SUMMED = "adacan-sum"  # AdaCAN with a change, in no table of the paper
# Beyond the paper, run only where `--only` names them: `SUMMED`, and each preset that is not a variant of another one.
EXTRA_MODELS = (
    SUMMED,
    *(name for name in available() if name not in MODELS and not name.endswith(("-demo", "-released"))),
)
TABLES = ("table5", "table6", "table7", "table8", "table9")
GRID_SEARCH = "grid"  # see `grid.py`
MATRIX = "languages"  # each model of `--only` on every configuration, for `python -m experiments.languages`
ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
LEARNING_RATES = (1e-5, 5e-5, 1e-4, 5e-4)
ENCODER_LEARNING_RATES = (5e-5, 1e-4)
BEYOND = "improvements"  # 2M-NER with one change each that the paper does not have
IMPROVEMENTS = ("infonce", "mask-duplicates", "crf-rate", "xlm-r")  # each has its run file, 2m-ner-NAME.yaml
# See the package `average`: several runs, one run decoded by its entities' posteriors, and several.
AVERAGED, ENTITIES, AVERAGED_ENTITIES = "averaged", "entities", "averaged-entities"
FOLDS = 5
SEEDS_A_FOLD = 2


@dataclass(frozen=True)
class Run:
    """One training: a model or a variant of it, the languages it learns from, and a seed.

    Args:
        model: one of `MODELS` or `EXTRA_MODELS`.
        variant: `""`, `"text"` (Table 7), `"no-resnet"` or `"no-vit"` (Table 9), one of `IMPROVEMENTS`, or an answer
            of finished runs: `AVERAGED`, `ENTITIES` or `AVERAGED_ENTITIES`.
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
        """The name of the run's files."""
        part = f"part-{self.part.replace('/', '-of-')}" if self.part else ""
        return ".".join(filter(None, (self.system, self.languages, part, f"seed-{self.seed}")))

    @property
    def reads_words(self) -> bool:
        """Whether the model reads word vectors rather than sub-words."""
        return _read_preset(self.model).reads_words

    @property
    def looks_at_pictures(self) -> bool:
        """Whether the network of this run has an image branch."""
        switches = _read_preset(self.model).image_switches.values()
        return any(self.changes.get(switch, True) for switch in switches)

    @property
    def changes(self) -> dict:
        """The fields of the model's configuration that differ from those of its run file."""
        changes = dict(self.improvement.get("config", {}))
        if self.variant == "text":
            changes |= dict.fromkeys(_read_preset(self.model).image_switches.values(), False)
        elif self.variant.startswith("no-"):
            changes[f"use_{self.variant.removeprefix('no-')}"] = False
        return changes | ({"attention_combine": "sum"} if self.model == SUMMED else {})

    @property
    def improvement(self) -> dict:
        """The settings in which an improvement's run file differs from that of the paper's model."""
        if self.variant not in IMPROVEMENTS:
            return {}
        plain, improved = (_read_run_file(name) for name in (self.model, self.system))
        return {name: value for name, value in improved.items() if plain.get(name) != value and name != "output_dir"}

    def command(self, settings: str, dataset: str, folder: Path) -> list[str]:
        """The arguments for `train_hf.py`.

        Args:
            settings: which run files to use: `"paper"`, or the prefix of their names, such as `"demo"` or `"english"`.
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
        ValueError: if it has none for these settings; the message lists the settings that exist.
    """
    stem = _preset(model)
    path = RUN_FILES / (f"{stem}.yaml" if settings == "paper" else f"{settings}-{stem}.yaml")
    if not path.is_file():
        known = sorted(other.name.removesuffix(f"-{stem}.yaml") for other in RUN_FILES.glob(f"*-{stem}.yaml"))
        raise ValueError(
            f"`settings` is {settings!r}, but there is no {path.name} in {path.parent.name}/; for {model} write "
            f"one of {', '.join(['paper', *known])}."
        )
    return path


def has_image_branch(model: str) -> bool:
    """Whether the model looks at pictures, and so has a text-only variant."""
    return bool(_read_preset(model).image_switches)


def switches_pictures_off(run: Run, settings: str) -> bool:
    """Whether the run file is of the network without pictures, so that this run, which is of the one with them, has
    none: the `"english"` ones are, because the public English sentences come without pictures."""
    switches = _read_preset(run.model).image_switches.values()
    path = run_file(run.model, settings)
    changed = _read_run_file(path.stem).get("config", {}) if run.looks_at_pictures else {}
    return bool(changed) and not any(changed.get(switch, True) for switch in switches)


def plan_runs(
    tables: Iterable[str],
    seeds: int = 1,
    only: Iterable[str] | None = None,
    languages: Iterable[str] | None = None,
    settings: str = "paper",
) -> list[Run]:
    """List the runs of some tables, each run once, in the order of the tables.

    Args:
        tables: any of `TABLES`, `MATRIX` and `BEYOND`.
        seeds: how many seeds, from 19 on; Table 8 has two for each part, as in the paper.
        only: models to run; the paper's nine by default. Tables 6, 8 and 9 are of 2M-NER, Table 8 also of the models that
            are named without it.
        languages: configurations to train on; all those of the table by default. Languages that the paper does not
            have fill the same tables.
        settings: which run files to use. All but `"paper"` build new encoders, so the improvement that names another
            encoder is left out.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    only = list(MODELS if only is None else only)
    _check("tables", tables, (*TABLES, MATRIX, BEYOND))
    _check("only", only, (*MODELS, *EXTRA_MODELS))
    known = available_configs(languages_of(_codes(languages or ())))
    _check("languages", languages or (), known)
    range_of_seeds = range(FIRST_SEED, FIRST_SEED + seeds)
    data = list(languages or (DEFAULT_CONFIG,))
    runs = [run for table in tables for run in _runs_of(table, range_of_seeds, only, known, data)]
    runs = [run for run in dict.fromkeys(runs) if languages is None or run.languages in languages]
    return [run for run in runs if settings == "paper" or "text_encoder" not in run.improvement]


def shard(runs: list[T], which: str) -> list[T]:
    """The share of one of several machines, `which` being "i/n".

    Raises:
        ValueError: if `which` has another form.
    """
    number, count = read_part(which, "shard")
    return runs[number - 1 :: count]


def _runs_of(
    table: str, seeds: range, only: list[str], configs: dict[str, tuple[str, ...]], named: list[str]
) -> list[Run]:
    pairs = [name for name, held in configs.items() if len(held) == 2 and name != DEFAULT_CONFIG]
    single = [name for name in configs if name not in pairs]
    if table == "table5":
        return [Run(model, "", data, seed) for data in single for model in only for seed in seeds]
    if table == "table7":  # `SUMMED` without pictures is AdaCAN without pictures
        known = [model for model in (*MODELS, *EXTRA_MODELS) if model != SUMMED]
        models = [model for model in known if model in only and has_image_branch(model)]
        return [Run(model, "text", data, seed) for data in single for model in models for seed in seeds]
    if table == MATRIX:
        return [
            Run(model, "", data, seed)
            for data in (*single[1:], *pairs, DEFAULT_CONFIG)
            for model in only
            for seed in seeds
        ]
    if table == "table8":
        # 2M-NER, or the models that are named without it.
        kinds = [(model, data) for model in ([OURS] if OURS in only else only) for data in named]
        return [run for kind in kinds for run in _folds(*kind, seeds)]
    if OURS not in only:
        return []
    if table == "table6":
        return [Run(OURS, "", data, seed) for data in configs if data != DEFAULT_CONFIG for seed in seeds]
    variants = IMPROVEMENTS if table == BEYOND else ("no-resnet", "no-vit")
    return [Run(OURS, variant, "all", seed) for variant in ("", *variants) for seed in seeds]


def _folds(model: str, data: str, seeds: range) -> list[Run]:
    """The runs on each part, with two seeds as in the paper, and on all of them."""
    parts = [f"{part}/{FOLDS}" for part in range(1, FOLDS + 1)]
    folds = [Run(model, "", data, FIRST_SEED + seed, part) for part in parts for seed in range(SEEDS_A_FOLD)]
    return [*folds, *(Run(model, "", data, seed) for seed in seeds)]


def _codes(configs: Iterable[str]) -> list[str]:
    """The languages in the names of configurations."""
    return [code for name in configs for code in name.split("_") if CODE.fullmatch(code)]


def _preset(model: str) -> str:
    """The name of a model's preset and run file."""
    return "adacan" if model == SUMMED else model


@cache
def _read_preset(model: str) -> TaggingConfig:
    return load_preset(_preset(model))


@cache
def _read_run_file(name: str) -> dict:
    return yaml.safe_load((RUN_FILES / f"{name}.yaml").read_text(encoding="utf-8"))


def _check(argument: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"`{argument}` names {name!r}; write any of {', '.join(known)}.")
