"""Tag the test sentences of all languages with finished runs."""

from __future__ import annotations

import argparse
import gc
import shlex
from pathlib import Path

from dataset_scripts.schema import DEFAULT_CONFIG, types_in
from experiments.average.runs import name_of, read_name
from experiments.plan import Run
from experiments.progress import Progress
from experiments.records import (
    describe_data,
    describe_machine,
    describe_scores,
    describe_sentences,
    public_name,
    read_record,
    write_record,
)
from experiments.tables.languages import FOLDER
from reports_2mner.locks import only_writer
from training_2mner.arguments import DataArguments
from training_2mner.data import label_names, load_split, tag_names
from training_2mner.device import choose_device
from training_2mner.evaluate.finished import tag_split
from training_2mner.metrics import entity_scores


def score(options: argparse.Namespace) -> None:
    """Tag the test split of all languages with each run and write its record.

    Raises:
        ValueError: for a folder whose name does not state a run, and for runs or data that do not load.
    """
    runs = {folder: _run_of(folder) for folder in options.runs}
    data = DataArguments(options.dataset, DEFAULT_CONFIG, options.dataset_revision)
    if len(set(runs.values())) < len(runs):
        raise ValueError(f"`runs` names a run twice: {', '.join(map(str, runs))}; name each once.")
    left = {folder: run for folder, run in runs.items() if not _is_done(options.output, run, data)}
    progress = Progress(len(left))
    for folder, run in left.items():
        with only_writer(_record(options.output, run), "output"):
            progress.report(run.name, f"F1 on all languages {100 * _score(folder, run, data, options):.2f}")
        gc.collect()  # one model at a time


def _score(folder: Path, run: Run, data: DataArguments, options: argparse.Namespace) -> float:
    test = load_split(data, "test")
    gold = tag_names(test)
    tags = tag_split(str(folder), test, data, options.batch_size, options.device)
    words = [name_of(folder), "--dataset", public_name(data.dataset)]
    write_record(
        _record(options.output, run),
        run,
        command=f"python -m experiments.languages {shlex.join(words)}",
        data=describe_data(data, test),
        machine=describe_machine(choose_device(options.device)),
        test={**describe_sentences(test), "dev": describe_scores(gold, tags, types_in(label_names(test)))},
    )
    return entity_scores(tags, gold)["f1"]


def _is_done(output: Path, run: Run, data: DataArguments) -> bool:
    """Whether the run has its record on these data."""
    path = _record(output, run)
    if not path.is_file():
        return False
    scored, now = read_record(path).content["data"], describe_data(data, load_split(data, "test"))
    if scored != now:
        raise ValueError(
            f"`output` has {path}, of {scored['name']} ({scored['fingerprint'] or scored['revision']}), but `dataset` is "
            f"{now['name']} ({now['fingerprint'] or now['revision']}); give other data another `output`."
        )
    return True


def _run_of(folder: Path) -> Run:
    run = read_name(name_of(folder))
    if run is None or not (folder / "config.json").is_file():
        raise ValueError(
            f"`runs` names {folder}, which is no run folder with a name such as bert-crf.en_es.seed-19; keep those of "
            "`python -m experiments.run` with `--keep_models`."
        )
    return run


def _record(output: Path, run: Run) -> Path:
    return output / FOLDER / f"{run.name}.json"
