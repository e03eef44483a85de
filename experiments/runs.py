"""Train and score the runs of tables, one after another."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import torch
from datasets import Dataset
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

import train_hf
from dataset_scripts.schema import types_in
from experiments import grid
from experiments.plan import (
    GRID_SEARCH,
    MODELS_FOLDER,
    Run,
    plan_runs,
    shard,
    switches_pictures_off,
)
from experiments.progress import Progress
from experiments.public_words import public_words
from experiments.records import (
    describe_data,
    describe_encoders,
    describe_machine,
    describe_scores,
    describe_sentences,
    describe_training,
    public_command,
    read_predictions,
    read_record,
    write_record,
)
from experiments.released import score_epochs
from reports_2mner.command_line import exit_on_error
from reports_2mner.locks import only_writer
from training_2mner.data import has_pictures, label_names, load_splits
from training_2mner.evaluation import PREDICTIONS
from training_2mner.metrics import entity_scores
from training_2mner.model_card import changed_settings

logger = logging.getLogger(__name__)

ALL_CHECKPOINTS = 1_000_000


def make_missing(options: argparse.Namespace, passed_on: list[str]) -> None:
    """Make all runs that are missing, and report at the end which failed."""
    logging.basicConfig(level=logging.WARNING)
    with exit_on_error():
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ValueError(
                "the runner is a single process; start it without torchrun and pass that as `--launcher`."
            )
        tables = [table for table in options.tables if table != GRID_SEARCH]
        runs = plan_runs(tables, options.seeds, options.only, options.languages, options.settings)
        runs = shard(leave_out_pictures(runs, options.settings), options.shard)
        points = grid.plan_grid(options) if GRID_SEARCH in options.tables else []
    if options.settings == "paper" and options.word_vectors is None and any(run.reads_words for run in runs):
        logger.warning("no `--word_vectors`: unlike the paper's, the models on words start from random vectors.")
    if options.dry_run:
        print_plan(runs, points, options)
        return
    failed = make_all(runs, options, passed_on) if runs else []
    failed += grid.search(points, options, passed_on) if points else []
    if failed:
        raise SystemExit(
            f"error: {len(failed)} runs failed: {', '.join(failed)}. Repeat the command to try them again."
        )


def leave_out_pictures(runs: list[Run], settings: str) -> list[Run]:
    """Leave out, and tell, the runs with pictures of models whose run files are of the network without them.

    Raises:
        ValueError: if no other run is left.
    """
    off = [run for run in runs if switches_pictures_off(run, settings)]
    left = [run for run in runs if run not in off]
    if off and not left:
        raise ValueError(
            f"`settings` is {settings!r}, whose run files of {', '.join(dict.fromkeys(run.model for run in off))} are "
            "without pictures; name `table7`, which has these variants, or other settings."
        )
    if off:
        print(f"Left out, as the run files {settings}-* are without pictures: {', '.join(run.name for run in off)}.")
    return left


def print_plan(runs: list[Run], points: list[grid.GridPoint], options: argparse.Namespace) -> None:
    """Print the names of all runs and points, and whether they are finished."""
    done = {run.name: is_done(run, options.output, options.protocol) for run in runs}
    done |= {point.name: grid.is_searched(point, options.output) for point in points}
    for name, is_finished in done.items():
        print(f"{'finished' if is_finished else 'missing'}  {name}")
    print(f"{len(done)} runs, of which {sum(done.values())} are finished.")


def make_all(runs: list[Run], options: argparse.Namespace, passed_on: list[str]) -> list[str]:
    """Make the runs that are not finished; return the names of those that failed."""
    left = [run for run in runs if not is_done(run, options.output, options.protocol)]
    print(f"{len(runs)} runs, of which {len(runs) - len(left)} are finished.", flush=True)
    failed, progress = [], Progress(len(left))
    for run in left:
        record = options.output / f"{run.name}.json"
        try:
            with only_writer(record, "output"):
                if is_done(run, options.output, options.protocol):  # by another runner, since this one looked
                    progress.skip()
                    continue
                progress.report(run.name, f"test F1 {100 * make(run, options, passed_on):.2f}")
        except Exception:  # a failed run must not stop the others
            logger.exception("%s failed", run.name)
            failed.append(run.name)
            progress.skip()
    return failed


def make(run: Run, options: argparse.Namespace, passed_on: list[str]) -> float:
    """Train and score one run, write its record, and return its test F1 by the `dev` protocol."""
    folder = options.output / MODELS_FOLDER / run.name
    command = [*run.command(options.settings, options.dataset, folder), *_text_source(run, options), *passed_on]
    by_test = options.protocol == "released"
    resuming = ["--resume_from_checkpoint", "True"] + ["--save_total_limit", str(ALL_CHECKPOINTS)] * by_test
    settings = train_hf.read_command_line([*command, *resuming])
    test = load_splits(settings[1])["test"]
    _check_pictures(run, test, options.dataset)
    # A run made by the `dev` protocol only has no checkpoints left for the other one.
    if not (folder / "all_results.json").is_file() or (by_test and not list(folder.glob("checkpoint-*"))):
        _train(settings, [*command, *resuming], options.launcher)
    epochs, best = score_epochs(folder, *settings[1:], test) if by_test else ([], None)
    tags = read_predictions(folder / PREDICTIONS)
    types = types_in(label_names(test))
    scored = {**describe_sentences(test), "dev": describe_scores(*tags, types)}
    if best is not None:
        scored["released"] = describe_scores(*best, types)
    write_record(
        options.output / f"{run.name}.json",
        run,
        command=public_command(command),
        changed=changed_settings(*settings) | {"config": run.changes},
        data=describe_data(settings[1], test),
        encoders=describe_encoders(settings[0]),
        machine=describe_machine(settings[2].device),
        launcher=None if options.launcher is None else shlex.join(public_words(shlex.split(options.launcher))),
        **describe_training(TrainerState.load_from_json(str(folder / TRAINER_STATE_NAME))),
        epochs=epochs,
        test=scored,
    )
    _tidy(folder, options.keep_models)
    gc.collect()
    torch.cuda.empty_cache()
    return entity_scores(tags[1], tags[0])["f1"]


def _check_pictures(run: Run, test: Dataset, name: str) -> None:
    """Refuse a record of a network with pictures that saw none.

    Raises:
        ValueError: if the data set has no pictures, but the network is to look at them.
    """
    if run.looks_at_pictures and not has_pictures(test):
        raise ValueError(
            f"{run.name} looks at pictures, but `dataset` {name!r} has none; `table7` has the variant without them."
        )


def _train(settings: tuple, command: list[str], launcher: str | None) -> None:
    """Train here, or in the processes that a launcher such as torchrun starts."""
    if launcher is None:
        train_hf.main(*settings)
    else:
        subprocess.run([*shlex.split(launcher), train_hf.__file__, *command], check=True)


def is_done(run: Run, output: Path, protocol: str) -> bool:
    """Whether the run has a record with scores by this protocol."""
    path = output / f"{run.name}.json"
    return path.is_file() and read_record(path).has(protocol)


def _text_source(run: Run, options: argparse.Namespace) -> list[str]:
    """The option for word vectors or text encoder, whichever the model reads."""
    name = "word_vectors" if run.reads_words else "text_encoder"
    value = getattr(options, name)
    return [] if value is None or name in run.improvement else [f"--{name}", value]


def _tidy(folder: Path, keep_models: bool) -> None:
    """Remove what no table needs: the checkpoints, and the complete model unless it is to be kept."""
    for path in [*folder.glob("checkpoint-*"), *([] if keep_models else [folder])]:
        shutil.rmtree(path, ignore_errors=True)
