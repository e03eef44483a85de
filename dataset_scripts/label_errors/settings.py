"""Which sentences of a data set are ranked, and by which model."""

from __future__ import annotations

from dataclasses import dataclass

from reports_2mner.command_line import at_least, option


@dataclass(frozen=True)
class RankingSettings:
    """Which model, and how much is shown."""

    models: tuple[str, ...] = option((), "runs of ours, one a fold; see above (default: a fast linear model)")
    folds: int = option(5, "parts of the pictures, each read by a model trained on the others", type=at_least(2))
    limit: int = option(10_000, "most sentences in the queue", type=at_least(1))
    seed: int = option(0, "seed of the folds and of the linear model")
    write_folds: bool = option(False, "also write the text files of every fold, to train runs of ours on")

    def __post_init__(self) -> None:
        if len(self.models) not in (0, 1, self.folds):
            raise ValueError(
                f"`models` must be one run, or as many as `folds`, {self.folds}, got {len(self.models)}; see --help."
            )
