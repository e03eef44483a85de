"""Records of runs that never were, for the tables."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from dataset_scripts.mini.generator import write_mini
from dataset_scripts.schema import CONFIGS, ENTITY_TYPES
from experiments.plan import MODELS, TABLES, Run, plan_runs
from experiments.records import describe_scores, write_record

SENTENCE = 8


def gold_tags(language: str, picture: int) -> list[str]:
    """Two entities of two words each, of types that the picture decides; the place depends on the language."""
    chance = random.Random(f"{language} {picture}")
    tags = ["O"] * SENTENCE
    for start in (chance.choice((0, 1)), chance.choice((4, 5))):
        kind = ENTITY_TYPES[(picture * 3 + start) % len(ENTITY_TYPES)]
        tags[start : start + 2] = [f"B-{kind}", f"I-{kind}"]
    return tags


def predicted_tags(gold: list[str], skill: float, chance: random.Random) -> list[str]:
    """Gold with some entities missed, of another type, or opened by a stray `I-`."""
    tags = list(gold)
    for place, tag in enumerate(gold):
        if tag.startswith("B-") and chance.random() > skill:
            error = chance.choice(("O", "O", "stray", "type"))
            kind = tag[2:] if error == "stray" else chance.choice(ENTITY_TYPES)
            tags[place : place + 2] = ["O", "O"] if error == "O" else [f"{'IB'[error == 'type']}-{kind}", f"I-{kind}"]
    return tags


def write_synthetic(folder: Path, runs: Iterable[Run], pictures: int, name: str, released: bool) -> None:
    """A record of each run, on `pictures` pictures with a sentence in each language of the run."""
    for run in runs:
        chance = random.Random(run.name)
        rows = [(language, picture) for language in CONFIGS[run.languages] for picture in range(pictures)]
        gold = [gold_tags(*row) for row in rows]
        skill = 0.55 + 0.03 * MODELS.index(run.model) - 0.05 * bool(run.variant or run.part) + chance.gauss(0, 0.01)
        tags = {"dev": skill, **({"released": skill + 0.02} if released else {})}
        scored = {
            protocol: describe_scores(gold, [predicted_tags(sentence, value, chance) for sentence in gold])
            for protocol, value in tags.items()
        }
        test = {
            "lang": [language for language, _ in rows],
            "source": [("twitter2017", "cc12m")[picture % 2] for _, picture in rows],
            "picture": [picture for _, picture in rows],
        }
        data = {"name": name, "config": run.languages, "revision": None, "fingerprint": run.languages, "split": None}
        write_record(folder / f"{run.name}.json", run, data=data, test=test | scored)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Iterator[str]:
    """The folder of a small generated data set, cached beside it."""
    folder = tmp_path_factory.mktemp("data") / "mini"
    write_mini(folder, seed=3, sizes=(64, 16, 48))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder.parent / "cache")
        yield str(folder)


@pytest.fixture(scope="session")
def make_records() -> Callable[..., Path]:
    """Write synthetic records: `make_records(folder, runs=..., name=..., released=...)`."""

    def make(folder: Path, runs=None, pictures: int = 12, name: str = "mmnerd", released: bool = True) -> Path:
        write_synthetic(folder, plan_runs(TABLES, seeds=2) if runs is None else runs, pictures, name, released)
        return folder

    return make


@pytest.fixture(scope="session")
def paper_folder(make_records, tmp_path_factory) -> Path:
    """All runs of all tables, two seeds, both protocols, on data of the paper's name."""
    return make_records(tmp_path_factory.mktemp("paper"))
