"""Check that a folder is a complete data set as a builder of this package writes it, and nothing else."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from huggingface_hub import DatasetCard, DatasetCardData

from dataset_scripts.schema import SPLITS, Schema, features
from reports_2mner.files import file_sha256
from reports_2mner.language_table import CODE

SHARD = re.compile(
    rf"data/(?P<lang>{CODE.pattern})/(?P<split>{'|'.join(SPLITS)})"
    r"-(?P<index>\d{5})-of-(?P<total>\d{5})\.parquet"
)
OTHER_FILES = re.compile(r"README\.md|LICENSE\.md|build\.json|figures/\w+\.(png|jpg)")
FOLDERS = re.compile(rf"figures|data|data/({CODE.pattern})")


def check_folder(folder: Path | str) -> list[str]:
    """Check that the folder is a complete data set and nothing else, and return its files, relative to it.

    Raises ValueError that names the file: one that no builder writes, a link, a missing or damaged parquet file or one
    with other columns, a card whose `configs` do not match, a missing LICENSE.md, or files that differ from
    `build.json`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"`folder` must be a data set folder, but {folder} is not a folder; check the path.")
    files = _list_files(folder)
    shards = {name: match for name in files if (match := SHARD.fullmatch(name))}
    _check_complete(folder, shards)
    card = read_card(folder)
    if has_other_license(card) and "LICENSE.md" not in files:
        raise ValueError(
            f"The card of {folder} says `license: other`, but there is no LICENSE.md with its text; add one."
        )
    _check_configs(folder, card, shards)
    for name in shards:
        _check_schema(folder / name)
    if "build.json" in files:
        _check_against_build(folder, set(shards))
    return files


def _list_files(folder: Path) -> list[str]:
    files, foreign = [], []
    for place, folders, names in os.walk(folder):
        for name in sorted(names + folders):
            entry = Path(place, name)
            relative = entry.relative_to(folder).as_posix()
            kinds = (FOLDERS,) if name in folders else (SHARD, OTHER_FILES)
            if entry.is_symlink() or not any(kind.fullmatch(relative) for kind in kinds):
                foreign.append(relative)
            elif name in names:
                files.append(relative)
        folders[:] = [name for name in folders if Path(place, name).relative_to(folder).as_posix() not in foreign]
    if foreign:
        raise ValueError(
            f"{folder} holds files that no builder wrote, or links: {', '.join(foreign[:5])} ({len(foreign)} in all); "
            "move them away, since everything in the folder would be published."
        )
    return sorted(files)


def _check_complete(folder: Path, shards: dict[str, re.Match[str]]) -> None:
    if not shards:
        raise ValueError(f"{folder} holds no data/<language>/<split>-*.parquet; build the data set first.")
    numbers = defaultdict(list)
    for match in shards.values():
        numbers[match["lang"], match["split"], int(match["total"])].append(int(match["index"]))
    for (lang, split, total), present in numbers.items():
        if sorted(present) != list(range(total)):
            raise ValueError(
                f"{folder}/data/{lang} has the numbers {sorted(present)} of the {total} files of its {split} split; "
                "copy the missing ones, or build it again."
            )


def read_card(folder: Path) -> DatasetCardData:
    """Read the YAML of README.md; ValueError if it is missing or invalid."""
    path = folder / "README.md"
    if not path.is_file():
        raise ValueError(f"{folder} has no README.md; build the data set again, which writes one.")
    try:
        return cast(DatasetCardData, DatasetCard(path.read_text(encoding="utf-8")).data)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"The YAML at the top of {path} cannot be read: {error}") from error


def has_other_license(card: DatasetCardData) -> bool:
    """Return whether the card has a licence without a name on the Hub, so that LICENSE.md must hold its text."""
    return "other" in (card.get("license") or "")  # one name or a list of names


def _check_configs(folder: Path, card: DatasetCardData, shards: dict[str, re.Match[str]]) -> None:
    reached = set()
    for config, split, pattern in _data_files(folder, card):
        found = [name for name in shards if PurePosixPath(f"/{name}").match(f"/{pattern}")]
        if not found:
            raise ValueError(
                f"{folder}/README.md: no parquet file matches {pattern!r} of the configuration {config!r}; "
                "copy the missing files, or build the data set again."
            )
        if wrong := [name for name in found if shards[name]["split"] != split]:
            raise ValueError(
                f"{folder}/README.md: the configuration {config!r} has {wrong[0]} in its split {split!r}; "
                "correct the card."
            )
        reached |= set(found)
    if missed := [name for name in shards if name not in reached]:
        raise ValueError(
            f"{folder}/README.md: no configuration contains {missed[0]} ({len(missed)} such files); "
            "build the data set again."
        )


def _data_files(folder: Path, card: DatasetCardData) -> Iterator[tuple[str, str, str]]:
    """Yield every pattern of the card's `configs`, with its configuration and its split."""
    try:
        for config in card.get("configs"):
            for entry in config["data_files"]:
                patterns = [entry["path"]] if isinstance(entry["path"], str) else entry["path"]
                yield from ((config["config_name"], entry["split"], pattern) for pattern in patterns)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{folder}/README.md needs `configs`, each with `config_name` and a list `data_files` of `split` and "
            "`path`; build the data set again, or copy them from such a card."
        ) from error


def _check_schema(path: Path) -> None:
    from datasets import Features

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a valid parquet file ({error}); build it again.") from error
    found = Features.from_arrow_schema(schema)
    stored = Schema.stored(found)
    expected = features(Schema.of(stored.languages, stored.types))
    differing = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if differing or not schema.equals(expected.arrow_schema):
        raise ValueError(
            f"{path} does not have the columns of the data set: {', '.join(differing) or 'their order'} differs; "
            "build it again with this version."
        )


def _check_against_build(folder: Path, shards: set[str]) -> None:
    try:
        listed = json.loads((folder / "build.json").read_text(encoding="utf-8"))["files"]
        recorded = {name: {key: entry[key] for key in ("rows", "bytes", "sha256")} for name, entry in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{folder}/build.json lacks `rows`, `bytes` or `sha256` of its `files`; build the data set again."
        ) from error
    if differing := sorted(recorded.keys() ^ shards):
        there, not_there = (folder, "build.json") if differing[0] in shards else ("build.json", folder)
        raise ValueError(f"{differing[0]} is in {there}, but not in {not_there}; build the data set again.")
    for name, record in recorded.items():
        path = folder / name
        found = {"rows": pq.read_metadata(path).num_rows, "bytes": path.stat().st_size, "sha256": file_sha256(path)}
        if found != record:
            raise ValueError(
                f"{path} has changed since it was built: it has {found}, but build.json has {record}; "
                "build the data set again."
            )
