"""The grid search of the paper's section 5.1: 2M-NER for each pair of loss weight and learning rate, compared on dev.

    python -m experiments.run grid --dataset mmnerd --seeds 1 --output results
    python -m experiments.run grid --dataset mmnerd --alphas 0.5,0.8 --learning_rates 1e-5,5e-5 --output results
    python -m experiments.run grid --dataset mmnerd --grid_model bert-crf --settings english --languages en \\
        --learning_rates 5e-5,1e-3 --encoder_learning_rates 5e-5,1e-4 --text_encoder NAME --seeds 1 --output results

The paper gives the ranges, [0.1, 0.9] and [1e-5, 5e-4], but not the steps, and reports that 0.8 and 5e-5 are best. The
search is the Trainer's own, with optuna; the test split is never used. Each point leaves one JSON file in
`OUTPUT/grid`, so that an interrupted search can be continued and several machines can share it (`--shard`).

A model without the loss weight (`--grid_model`) is searched over two learning rates: that of its encoder, and that of all
above it, the CRF included. Another schedule is an argument after `--`, with an output folder of its own.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from itertools import product
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from experiments.plan import FIRST_SEED, MODELS, OURS, Run, run_file, shard
from experiments.progress import Progress
from experiments.records import (
    describe_data,
    describe_encoders,
    describe_machine,
    describe_training,
    public_command,
    write_line,
)
from modeling_2mner.tagging import WordTagger
from reports_2mner.locks import only_writer
from training_2mner.arguments import DataArguments, ModelArguments, TwoMNERTrainingArguments, read_command_line
from training_2mner.building import build_tagger
from training_2mner.data import label_names, load_splits
from training_2mner.features.fill import use_cache
from training_2mner.trainer import TwoMNERTrainer, make_trainer

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger(__name__)

FOLDER = "grid"


@dataclass(frozen=True)
class GridPoint:
    """One training run of the grid.

    Args:
        alpha: weight of the CRF loss in Eq. 18; `None` for models that do not have it.
        learning_rate: peak learning rate.
        languages: a configuration of the data set.
        seed: of weights, order and dropout.
        model: one of `plan.MODELS`.
        encoder_learning_rate: that of the encoder, with `learning_rate` for all above it; `None` for 2M-NER, whose run file
            says it.
    """

    alpha: float | None
    learning_rate: float
    languages: str = "all"
    seed: int = FIRST_SEED
    model: str = OURS
    encoder_learning_rate: float | None = None

    @property
    def name(self) -> str:
        """The name of its file."""
        head = f"alpha-{self.alpha:g}" if self.encoder_learning_rate is None else self.model
        encoder = "" if self.encoder_learning_rate is None else f"encoder-{self.encoder_learning_rate:g}"
        parts = (head, f"rate-{self.learning_rate:g}", encoder, self.languages, f"seed-{self.seed}")
        return ".".join(filter(None, parts))

    @property
    def values(self) -> dict[str, float]:
        """What is searched, by the names of the arguments."""
        if self.encoder_learning_rate is None:
            return {"alpha": self.alpha or 0.0, "learning_rate": self.learning_rate}
        return {"learning_rate": self.learning_rate, "encoder_learning_rate": self.encoder_learning_rate}


def plan_grid(options: argparse.Namespace) -> list[GridPoint]:
    """The points of this machine's share.

    Raises:
        ValueError: for a launcher, a missing run file or package, and values that cannot be trained with.
    """
    if options.launcher is not None:
        raise ValueError(
            "`launcher` is given, but each point of the grid uses one process; share the points with `--shard`."
        )
    if not all(0 <= alpha <= 1 for alpha in options.alphas):
        raise ValueError(f"`alphas` are {options.alphas}; write weights from 0 to 1.")
    if not all(0 < rate < inf for rate in options.learning_rates):
        raise ValueError(f"`learning_rates` are {options.learning_rates}; write numbers above 0, such as 5e-5.")
    model = options.grid_model
    if not all(0 < rate < inf for rate in options.encoder_learning_rates):
        raise ValueError(
            f"`encoder_learning_rates` are {options.encoder_learning_rates}; write numbers above 0, such as 1e-4."
        )
    if model not in MODELS or Run(model).reads_words:
        known = ", ".join(name for name in MODELS if not Run(name).reads_words)
        raise ValueError(f"`grid_model` is {model!r}; write a model with an encoder, any of {known}.")
    run_file(model, options.settings)
    _import_optuna()
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    others = options.alphas if model == OURS else options.encoder_learning_rates
    points = [
        GridPoint(other, rate, languages, seed)
        if model == OURS
        else GridPoint(None, rate, languages, seed, model, other)
        for languages, seed, rate, other in product(
            options.languages or ("all",), seeds, options.learning_rates, others
        )
    ]
    return shard(points, options.shard)


def search(points: list[GridPoint], options: argparse.Namespace, passed_on: list[str]) -> list[str]:
    """Train at all points that have no file yet and write one for each; return the names of those that failed."""
    left = [point for point in points if not is_searched(point, options.output)]
    print(f"{len(points)} points of the grid, of which {len(points) - len(left)} are finished.", flush=True)
    progress = Progress(len(left))
    # One search for each seed, because the Trainer sets the seed before it requests the point.
    for languages, seed in dict.fromkeys((point.languages, point.seed) for point in left):
        some = [point for point in left if (point.languages, point.seed) == (languages, seed)]
        try:
            with ExitStack() as locks:
                for point in some:
                    locks.enter_context(only_writer(options.output / FOLDER / f"{point.name}.json", "output"))
                _search(some, options.output / FOLDER, _command(some[0], options, passed_on), progress)
        except Exception:  # a failed search must not stop the others
            logger.exception("the search on %s with seed %d failed", languages, seed)
    return [point.name for point in left if not is_searched(point, options.output)]


def is_searched(point: GridPoint, output: Path) -> bool:
    """Whether the point has its file."""
    return (output / FOLDER / f"{point.name}.json").is_file()


def read_points(folder: Path) -> list[tuple[GridPoint, dict[str, Any]]]:
    """The finished points of an output folder with their files, by name."""
    paths = sorted((folder / FOLDER).glob("*.json"))
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return [(GridPoint(**content["point"]), content) for content in contents]


def _command(point: GridPoint, options: argparse.Namespace, passed_on: list[str]) -> list[str]:
    run = Run(point.model, languages=point.languages, seed=point.seed)
    command = run.command(options.settings, options.dataset, Path(FOLDER))
    command += [] if options.text_encoder is None else ["--text_encoder", options.text_encoder]
    return [*command, *passed_on]


def _search(points: list[GridPoint], folder: Path, command: list[str], progress: Progress) -> None:
    optuna = _import_optuna()
    with TemporaryDirectory() as workplace:
        # No point is resumed half-way, and no model is kept.
        unsaved = ["--save_strategy", "no", "--load_best_model_at_end", "False", "--output_dir", workplace]
        settings = read_command_line([*command, *unsaved])
        trainer = _build_trainer(*settings, has_alpha="alpha" in points[0].values)
        facts = {
            "command": public_command(command),
            "data": describe_data(settings[1], trainer.eval_dataset),
            "encoders": describe_encoders(settings[0]),
        }
        trainer.add_callback(_Recorder(folder, points, facts, progress))
        # The Trainer opens the study by name and takes the points that are queued in it.
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(storage=storage, study_name=FOLDER, direction="maximize")
        for point in points:
            study.enqueue_trial(point.values)
        with suppress(ValueError):  # raised if no point succeeded, which `search` reports
            trainer.hyperparameter_search(
                hp_space=lambda trial: _arguments(trial, points[0].values),
                compute_objective=lambda metrics: max(
                    metrics["eval_f1"], *_dev_scores(trainer.state.log_history), 0.0
                ),
                n_trials=len(points),
                direction="maximize",
                backend="optuna",
                storage=storage,
                study_name=FOLDER,
                load_if_exists=True,
                catch=(Exception,),  # a failed point must not stop the others
            )


def _arguments(trial: optuna.Trial, names: Iterable[str]) -> dict[str, float]:
    """The arguments of the training at a point; where the encoder has its own rate, the CRF has that of all above it."""
    found = {name: _suggest(trial, name) for name in names if name != "alpha"}
    return found | ({"crf_learning_rate": found["learning_rate"]} if "encoder_learning_rate" in found else {})


def _build_trainer(
    model_arguments: ModelArguments,
    data_arguments: DataArguments,
    training_arguments: TwoMNERTrainingArguments,
    has_alpha: bool,
) -> TwoMNERTrainer:
    splits = load_splits(data_arguments)
    sentences, labels = splits["train"]["tokens"], label_names(splits["train"])
    processor = build_tagger(model_arguments, sentences, labels)[1]
    changes = dict(model_arguments.config_changes)

    def build_model(trial: optuna.Trial | None) -> WordTagger:
        alpha = {} if trial is None or not has_alpha else {"alpha": _suggest(trial, "alpha")}
        model_arguments.config_changes = changes | alpha
        return build_tagger(model_arguments, sentences, labels)[0]

    parts = (build_model, processor, data_arguments, training_arguments)
    trainer = make_trainer(*parts, splits["train"], splits["validation"])
    use_cache(trainer, splits)
    return trainer


class _Recorder(TrainerCallback):
    """Write the file of a point as soon as it is trained."""

    def __init__(self, folder: Path, points: list[GridPoint], facts: dict[str, Any], progress: Progress) -> None:
        self._folder, self._points, self._facts, self._progress = folder, points, facts, progress

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Called by the Trainer."""
        point = next(point for point in self._points if point.values == _values(point, model.config, args))
        found = describe_training(state)
        write_line(
            self._folder / f"{point.name}.json",
            point=asdict(point),
            **self._facts,
            machine=describe_machine(args.device),
            **found,
            epochs=_dev_scores(state.log_history),
        )
        self._progress.report(point.name, f"dev F1 {100 * found['dev']['f1']:.2f}")


def _values(point: GridPoint, config: Any, args: Any) -> dict[str, float]:
    """What the network and the optimizer got of what the point says."""
    return {name: getattr(config if name == "alpha" else args, name) for name in point.values}


def _dev_scores(history: list[dict[str, float]]) -> list[float]:
    """The strict F1 on dev after each epoch."""
    return [entry["eval_f1"] for entry in history if "eval_f1" in entry]


def _suggest(trial: optuna.Trial, name: str) -> float:
    """The value queued in the trial; the Trainer builds the model before it requests the space, so both call this."""
    return trial.suggest_float(name, 0.0, 1.0)


def _import_optuna() -> ModuleType:
    try:
        import optuna
    except ImportError as error:
        raise ValueError("the grid search needs optuna; install it with `pip install '2m-ner[search]'`.") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
