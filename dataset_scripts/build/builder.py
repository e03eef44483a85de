"""Build a data set folder: plan, then shards, then their description; an interrupted build can be continued."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dataset_scripts.build.card import LICENCE, card_of_build
from dataset_scripts.build.engine import Engine
from dataset_scripts.build.own import OwnSettings
from dataset_scripts.build.plan import Plan, make_plan
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.build.shards import Problem, ShardResult, ShardTask, versions, write_shard
from dataset_scripts.card import fill_body
from dataset_scripts.example import write_example
from dataset_scripts.parquet import check_output_folder, fingerprint, move_folder, parquet_path
from dataset_scripts.rows import DatasetCounts, SplitCounts
from dataset_scripts.splits import Leak
from reports_2mner.files import file_sha256, write_file, write_json
from reports_2mner.locks import only_writer

logger = logging.getLogger(__name__)

SHARES_FIGURE = "figures/entity_shares.png"


@dataclass
class BuildReport:
    """What was written, what splits share, what was changed, the rows with unusable pictures, and widened entities."""

    counts: DatasetCounts
    leaks: list[Leak]
    changes: Counter[str]
    problems: list[Problem]
    types: tuple[str, ...]
    widened: list[dict[str, Any]] = field(default_factory=list)


def build_dataset(
    source: Path | str,
    images: Path | str | None,
    output: Path | str,
    overwrite: bool = False,
    settings: BuildSettings | None = None,
    engine: Engine = map,
    own: OwnSettings | None = None,
) -> BuildReport:
    """Write the data set of the files under `source` to the folder `output`.

    `images` holds `<image id>.jpg` files; with None no row has a picture. `engine` runs the shards: `map`, or the
    `map` of a process pool or a cluster. All text is checked before the first picture is read. An interrupted build
    continues where it stopped when it is started again. With `own` the source is annotated data of any form, and pictures
    may also stand beside the text. Raises ValueError for an unsuitable folder and for an invalid
    line.
    """
    output = Path(output).resolve()
    images = Path(images) if images is not None else None
    settings = settings or BuildSettings()
    check_output_folder(output, overwrite)
    if images and not images.is_dir():
        raise ValueError(
            f"`images` must be a folder with <image id>.jpg files, but {images} is not a folder; check the path."
        )
    with _workplace(output) as workplace:
        plan = make_plan(Path(source), workplace / "rows", settings, images, engine, own)
        settings, images = plan.settings, plan.images
        fresh = workplace / "fresh"
        results = _run(engine, _tasks(plan, fresh / "data", images, settings), plan)
        report = _finish(plan, results, fresh, output.name, settings, own)
        move_folder(fresh, output)
    if images and not any(count.statuses["ok"] for count in report.counts.values()):
        logger.warning("None of the data set's pictures was found in %s; check `images`.", images)
    return report


@contextmanager
def _workplace(output: Path) -> Iterator[Path]:
    """Lend a folder beside `output` to one build at a time; remove it when the build is complete, or fails without a shard."""
    workplace = output.parent / f".{output.name}.partial"
    with only_writer(output, "output"):
        (workplace / "rows").mkdir(parents=True, exist_ok=True)
        try:
            yield workplace
        except ValueError:
            if not any(workplace.rglob("*.parquet")):
                shutil.rmtree(workplace)
            raise
        shutil.rmtree(workplace)


def _tasks(
    plan: Plan, data: Path, images: Path | None, settings: BuildSettings
) -> dict[tuple[str, str], list[ShardTask]]:
    tasks = {
        key: [
            ShardTask(
                rows=rows,
                output=parquet_path(data, *key, index, len(paths)),
                images=images.resolve() if images else None,
                embed=settings.embed_images,
                use_default=settings.image_policy == "default",
                max_side=settings.max_side,
                schema=plan.schema,
            )
            for index, rows in enumerate(paths)
        ]
        for key, paths in plan.rows.items()
    }
    _remove_others(data.parent, {task.output for group in tasks.values() for task in group})
    return tasks


def _remove_others(fresh: Path, outputs: set[Path]) -> None:
    """Remove what an interrupted build left incomplete, or made with other settings."""
    for path in fresh.rglob("*"):
        if path.is_file() and path not in outputs:
            path.unlink()


def _run(
    engine: Engine, tasks: dict[tuple[str, str], list[ShardTask]], plan: Plan
) -> dict[tuple[str, str], list[tuple[ShardTask, ShardResult]]]:
    results: dict[tuple[str, str], list[tuple[ShardTask, ShardResult]]] = {key: [] for key in tasks}
    flat = [(key, task) for key, group in tasks.items() for task in group]
    with tqdm(total=plan.sizes.total(), unit=" sentences", desc="pictures", disable=None) as progress:
        for (key, task), result in zip(flat, engine(write_shard, [task for _, task in flat]), strict=True):
            results[key].append((task, result))
            progress.update(result.counts.sentences)
    return results


def _finish(
    plan: Plan,
    results: dict[tuple[str, str], list[tuple[ShardTask, ShardResult]]],
    folder: Path,
    name: str,
    settings: BuildSettings,
    own: OwnSettings | None,
) -> BuildReport:
    """Write everything except the shards: the card, the licence text, the record of the build and the figures."""
    counts = {key: sum((result.counts for _, result in group), SplitCounts()) for key, group in results.items()}
    problems = [problem for group in results.values() for _, result in group for problem in result.problems]
    widened = plan.own["widened"] if plan.own else []
    report = BuildReport(counts, plan.leaks, plan.changes, problems, plan.schema.types, widened)
    figure = _draw_figure(counts, folder)
    write_file(folder / "LICENSE.md", fill_body(LICENCE, collection=settings.collection, own=own))
    record = _record(plan, results, folder, settings)
    write_json(folder / "build.json", record, indent=1)
    files = fingerprint({path: entry["sha256"] for path, entry in record["files"].items()})
    example = write_example(folder)
    card = card_of_build(
        report.counts, files, name, settings, plan.leaks, plan.changes, figure, plan.schema, example=example, own=own
    )
    write_file(folder / "README.md", card)
    return report


def _draw_figure(counts: DatasetCounts, folder: Path) -> str | None:
    if find_spec("matplotlib") is None:
        logger.info("Without matplotlib the card gets no figure: pip install matplotlib.")
        return None
    from dataset_scripts.statistics.figure import draw_entity_shares

    draw_entity_shares(counts, folder / SHARES_FIGURE)
    return SHARES_FIGURE


def _record(
    plan: Plan,
    results: dict[tuple[str, str], list[tuple[ShardTask, ShardResult]]],
    folder: Path,
    settings: BuildSettings,
) -> dict[str, Any]:
    """Return what is needed to check the files and to rebuild them, without paths of this machine."""
    return {
        "settings": settings.to_dict(),
        "versions": versions(),
        "sources": {f"{path.parent.name}/{path.name}": file_sha256(path) for path in plan.files},
        "changes": dict(plan.changes),
        "leaks": [asdict(leak) for leak in plan.leaks],
        **({"layouts": plan.layouts} if plan.layouts else {}),
        **({"own": plan.own} if plan.own else {}),
        "files": {
            task.output.relative_to(folder).as_posix(): {
                "rows": result.counts.sentences,
                "bytes": result.bytes,
                "sha256": result.sha256,
            }
            for group in results.values()
            for task, result in group
        },
    }
