"""Train and score what the paper's tables are made of: `python -m experiments.run table5 --dataset mmnerd --seeds 3 --output DIR`.

Each run leaves one JSON file in the output folder and, below `models/`, its run folder. Runs that have their file are not
repeated; an interrupted one goes on at its last checkpoint. Several GPUs or machines share the runs with `--shard`; each run uses
one process. `python -m experiments.tables DIR` makes the tables.

    python -m experiments.run table5 table7 --dataset mmnerd --seeds 3 --output results
    python -m experiments.run table5 --dataset mmnerd --only 2m-ner,umt --languages en,de --output results
    python -m experiments.run table5 --dataset mmnerd --word_vectors glove.6B.300d.txt --output results
    CUDA_VISIBLE_DEVICES=1 python -m experiments.run table5 --dataset mmnerd --output results --shard 2/4
    python -m experiments.run table5 --dataset mmnerd --output results -- --bf16 True   # arguments of train_hf.py
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

import train_hf
from experiments.plan import EXTRA_MODELS, MODELS, MODELS_ON_WORDS, TABLES, Run, plan, run_file
from experiments.records import (
    describe_machine,
    describe_scores,
    describe_sentences,
    read_predictions,
    read_record,
    write_record,
)
from experiments.released import score_epochs
from training_2mner.arguments import parse_arguments
from training_2mner.data import load_splits
from training_2mner.data_record import read_data_record
from training_2mner.metrics import entity_scores
from training_2mner.model_card import changed_settings

logger = logging.getLogger(__name__)

MODELS_FOLDER = "models"
PROTOCOLS = ("dev", "released")
ALL_CHECKPOINTS = 1_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Make all runs that are missing, and tell at the end which failed."""
    options, passed_on = read_command_line(sys.argv[1:] if arguments is None else list(arguments))
    logging.basicConfig(level=logging.WARNING)
    try:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ValueError("each run uses one process; start one runner a GPU, with `--shard`, instead of torchrun.")
        runs = plan(options.tables, options.seeds, options.only, options.languages)
        for run in runs:
            run_file(run.model, options.settings)
        runs = shard(runs, options.shard)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    failed = []
    done = [run for run in runs if is_done(run, options.output, options.protocol)]
    print(f"{len(runs)} runs, of which {len(done)} are finished.", flush=True)
    left, spent = [run for run in runs if run not in done], []
    for number, run in enumerate(left, start=1):
        started = time.monotonic()
        try:
            f1 = make(run, options, passed_on)
        except Exception:  # one run must not cost those after it
            logger.exception("%s failed", run.name)
            failed.append(run.name)
            continue
        spent.append(time.monotonic() - started)
        estimate = sum(spent) / len(spent) * (len(left) - number)
        print(
            f"[{number}/{len(left)}] {run.name}: test F1 {100 * f1:.2f}, {spent[-1]:.0f} s; about {estimate / 60:.0f} "
            "minutes left",
            flush=True,
        )
    if failed:
        raise SystemExit(f"error: {len(failed)} runs failed: {', '.join(failed)}. The same command tries them again.")


def make(run: Run, options: argparse.Namespace, passed_on: list[str]) -> float:
    """Train and score one run, leave its record, and return its F1 on test by the `dev` protocol."""
    folder = options.output / MODELS_FOLDER / run.name
    command = [*run.command(options.settings, options.dataset, folder), *_text_source(run, options), *passed_on]
    by_test = options.protocol == "released"
    settings = parse_arguments(
        [*command, "--resume_from_checkpoint", "True"] + ["--save_total_limit", str(ALL_CHECKPOINTS)] * by_test
    )
    # A run that was made by the `dev` protocol alone has no checkpoints left for the other one.
    if not (folder / "all_results.json").is_file() or (by_test and not list(folder.glob("checkpoint-*"))):
        train_hf.main(*settings)
    test = load_splits(settings[1])["test"]
    epochs, best = score_epochs(folder, *settings[1:], test) if by_test else ([], None)
    tags = read_predictions(folder / "predictions_test.conll")
    scored = {**describe_sentences(test), "dev": describe_scores(*tags)}
    if best is not None:
        scored["released"] = describe_scores(*best)
    write_record(
        options.output / f"{run.name}.json",
        run,
        command=_public(command),
        changed=changed_settings(*settings) | {"config": run.changes},
        data=_describe_data(settings[1]),
        machine=describe_machine(settings[2].device),
        **_describe_training(folder),
        epochs=epochs,
        test=scored,
    )
    _tidy(folder, options.keep_models)
    gc.collect()
    torch.cuda.empty_cache()
    return entity_scores(tags[1], tags[0])["f1"]


def is_done(run: Run, output: Path, protocol: str) -> bool:
    """Whether the run has its record, with scores by this protocol."""
    path = output / f"{run.name}.json"
    return path.is_file() and read_record(path).has(protocol)


def shard(runs: list[Run], which: str) -> list[Run]:
    """The runs of one of several machines, "i/n".

    Raises:
        ValueError: if `which` is something else.
    """
    number, _, count = which.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise ValueError(f"`shard` is {which!r}; write the number of this machine, a slash and their count: 2/4.")
    return runs[int(number) - 1 :: int(count)]


def _text_source(run: Run, options: argparse.Namespace) -> list[str]:
    """Word vectors or text encoder, whichever the model reads."""
    name = "word_vectors" if run.model in MODELS_ON_WORDS else "text_encoder"
    value = getattr(options, name)
    return [] if value is None else [f"--{name}", value]


def _describe_data(arguments) -> dict:
    record = read_data_record(arguments.dataset, arguments.dataset_config)
    name = Path(arguments.dataset).resolve().name if Path(arguments.dataset).exists() else arguments.dataset
    return {
        "name": name,
        "config": arguments.dataset_config,
        "revision": arguments.dataset_revision,
        "fingerprint": record.fingerprint,
        "split": record.split,
    }


def _describe_training(folder: Path) -> dict:
    state = TrainerState.load_from_json(str(folder / TRAINER_STATE_NAME))
    evaluations = [entry for entry in state.log_history if "eval_f1" in entry]
    best = next((entry for entry in evaluations if entry["step"] == state.best_global_step), evaluations[-1])
    return {
        "seconds": round(sum(entry.get("train_runtime", 0) for entry in state.log_history), 1),
        "dev": {"epoch": best["epoch"], "f1": best["eval_f1"], "lenient_f1": best["eval_lenient_f1"]},
    }


def _public(command: list[str]) -> str:
    """The command as another machine could give it: no folders of this one."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in command]
    return shlex.join(["python", "train_hf.py", *words])


def _tidy(folder: Path, keep_models: bool) -> None:
    """Remove what no table needs: the checkpoints, and all of the model unless it is to be kept."""
    for path in [*folder.glob("checkpoint-*"), *([] if keep_models else [folder])]:
        shutil.rmtree(path, ignore_errors=True)


def read_command_line(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and behind `--` what `train_hf.py` is to be told besides."""
    passed_on = arguments[arguments.index("--") + 1 :] if "--" in arguments else []
    parser = argparse.ArgumentParser(
        prog="python -m experiments.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tables", nargs="+", metavar="TABLE", help=f"any of {', '.join(TABLES)}")
    parser.add_argument("--dataset", default="mmnerd", help="folder or Hub id of the data set (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="folder for the records and the models")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each run, from 19 on (default: %(default)s)")
    parser.add_argument("--only", type=_names, help=f"some models: {', '.join((*MODELS, *EXTRA_MODELS))}")
    parser.add_argument("--languages", type=_names, help="some languages to learn from: all, en, fr, es, de, or pairs")
    parser.add_argument(
        "--settings",
        default="paper",
        help="run files of configuration_2mner/runs: `paper`, or `demo` and `english`, which their names begin with "
        "(default: %(default)s)",
    )
    parser.add_argument("--word_vectors", metavar="FILE", help="for the models on words: a file of GloVe or fastText")
    parser.add_argument("--text_encoder", metavar="NAME", help="for the other models, in the place of the run files'")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="dev",
        help="`released` also scores every epoch on test, as the authors' code does (default: %(default)s)",
    )
    parser.add_argument("--shard", default="1/1", help="this machine's share of the runs, such as 2/4")
    parser.add_argument(
        "--keep_models",
        action="store_true",
        help="keep the trained models, for the image audit and the error analysis",
    )
    return parser.parse_args(arguments[: len(arguments) - len(passed_on) - ("--" in arguments)]), passed_on


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


if __name__ == "__main__":
    main()
