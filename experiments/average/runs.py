"""Which runs can be averaged, and how their average is named."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transformers import AutoConfig

import modeling_2mner  # noqa: F401  registers the models
from experiments.plan import (
    AVERAGED,
    AVERAGED_ENTITIES,
    ENTITIES,
    EXTRA_MODELS,
    FIRST_SEED,
    MODELS,
    MODELS_FOLDER,
    Run,
)
from modeling_2mner.configuration_tagging import TaggingConfig
from reports_2mner.files import read_json
from reports_2mner.loading import retell_loading_errors
from training_2mner.model_names import model_name


def read_configs(folders: Sequence[Path], least: int = 2) -> list[TaggingConfig]:
    """The configuration of each run.

    Raises:
        ValueError: for fewer than `least` runs, a run named twice, or a folder without a model that tags words.
    """
    if len(folders) < least:
        raise ValueError(
            f"`runs` names {len(folders)} run; an average needs at least two, with different seeds, or `--entities`."
        )
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ValueError(f"`runs` names a folder twice: {', '.join(map(str, folders))}; name each once.")
    for folder in folders:
        if not (folder / "config.json").is_file():
            raise ValueError(
                f"`runs` names {folder}, which has no config.json; name run folders of train_hf.py. "
                "`python -m experiments.run` keeps its run folders in models/ with `--keep_models`."
            )
    configs = []
    for folder in folders:
        with retell_loading_errors(f"`runs` names {folder}, which does not load"):
            configs.append(AutoConfig.from_pretrained(folder))
    for folder, config in zip(folders, configs, strict=True):
        if not isinstance(config, TaggingConfig):
            raise ValueError(f"`runs` names {folder}, a {config.model_type}, which is not a model of this project.")
        if not config.tags_words:
            raise ValueError(
                f'`runs` names {folder}, which was trained with `label_scheme="subword_aux"`: its CRF runs over '
                'sub-words and has no posteriors for words. Train with `label_scheme="word"`.'
            )
    return configs


def check_labels(folders: Sequence[Path], configs: Sequence[TaggingConfig]) -> list[str]:
    """The tags of all runs.

    Raises:
        ValueError: if the runs differ in their tags.
    """
    for folder, config in zip(folders, configs, strict=True):
        if config.labels != configs[0].labels:
            raise ValueError(
                f"`runs` must have the same tags in the same order, but {folder} has {', '.join(config.labels)} and "
                f"{folders[0]} has {', '.join(configs[0].labels)}; average runs trained on the same data."
            )
    return configs[0].labels


def describe_run(
    folders: Sequence[Path], configs: Sequence[TaggingConfig], languages: str | None = None, by_entities: bool = False
) -> Run:
    """The run to which the average's record refers: the runs' model and languages, and the smallest of their seeds.

    Args:
        languages: the languages of runs whose names do not state them; `"all"` by default.
        by_entities: whether entities are averaged and chosen, not tags.

    Raises:
        ValueError: for runs of several kinds, for a variant that lacks part of its model, and for languages that
            contradict the runs' names.
    """
    runs = [
        read_name(name_of(folder)) or Run(model_name(config).lower(), languages=languages or "all")
        for folder, config in zip(folders, configs, strict=True)
    ]
    kinds = {(replace(run, seed=FIRST_SEED), model_name(config)) for run, config in zip(runs, configs, strict=True)}
    if len(kinds) > 1:
        found = ", ".join(f"{name_of(folder)} ({_kind(run)})" for folder, run in zip(folders, runs, strict=True))
        raise ValueError(f"`runs` must be of one model in one setting: {found}. Average each kind separately.")
    run = min(runs, key=lambda run: run.seed)
    if run.variant or any(config.image_switches and not config.uses_image for config in configs):
        raise ValueError(
            f"`runs` are of a variant of {run.model} ({_kind(run)}), for which the tables have no row; average "
            "complete models."
        )
    if languages not in (None, run.languages):
        raise ValueError(
            f"`dataset_config` is {languages!r}, but the runs were trained on {run.languages!r}, as their names "
            "state; omit it."
        )
    if by_entities:
        return replace(run, variant=AVERAGED_ENTITIES if len(folders) > 1 else ENTITIES)
    return replace(run, variant=AVERAGED)


def read_name(name: str) -> Run | None:
    """The run with this name, such as `2m-ner.all.seed-19`; `None` if the runner uses no such name."""
    match = re.fullmatch(r"([^.]+)\.([^.]+)(?:\.part-(\d+)-of-(\d+))?\.seed-(\d+)", name)
    if match is None:
        return None
    system, languages, part, count, seed = match.groups()
    for model in sorted((*MODELS, *EXTRA_MODELS), key=len, reverse=True):  # bert-crf is not a variant of bert
        if system == model or system.startswith(f"{model}-"):
            variant = system.removeprefix(model).removeprefix("-")
            return Run(model, variant, languages, int(seed), f"{part}/{count}" if part else "")
    return None


def check_average_name(output: Path, name: str, folders: Sequence[Path], by_entities: bool = False) -> None:
    """Check that the average does not overwrite anything else, nor one of tags one of entities.

    Raises:
        ValueError: if it would, or if the name is not a file name.
    """
    if name != Path(name).name:
        raise ValueError(f"`name` is {name!r}; write a file name without folders.")
    path = output / f"{name}.json"
    names = [name_of(folder) for folder in folders]
    content = read_json(path) if path.is_file() else {"averaged": names}
    other = content.get("averaged") != names or (path.is_file() and ("threshold" in content) != by_entities)
    if other or (output / MODELS_FOLDER / name / "config.json").exists():
        raise ValueError(
            f"`output` {output} already has another run named {name!r}; give this average another `--name`."
        )


def name_of(folder: Path) -> str:
    """The name of a folder, even if it is given as `.`; a link keeps its own name."""
    return Path(os.path.abspath(folder)).name


def _kind(run: Run) -> str:
    part = f", part {run.part}" if run.part else ""
    return f"{run.system}, languages {run.languages}{part}"
