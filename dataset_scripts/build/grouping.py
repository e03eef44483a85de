"""Put rows into groups that a split must not separate: rows that share something that would leak from held-out to train.

Groups are closed: if A shares its picture with B, and B its words with C, all three are one group. What counts as
shared is what `dataset_scripts.audit` looks for, decided by the same functions on the same bytes, so an audit finds
nothing that the rows were grouped by.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dataset_scripts.audit.looks import alike_looks, difference_hash
from dataset_scripts.audit.similar import similar_pairs
from dataset_scripts.build.engine import Engine
from dataset_scripts.build.pictures import read_picture_of
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.splits import DEFAULT_GROUP_KEYS, GROUP_KEYS, PICTURE_KEYS, stable_hash

logger = logging.getLogger(__name__)

PICTURES_PER_TASK = 64
LARGE_SHARE = 0.1  # a larger group does not fit into validation or test, a tenth of the rows each


class GroupRow(NamedTuple):
    """What a row is grouped by; `picture` is that of `NamedSentence`."""

    name: str
    image_id: str
    lang: str
    tokens: Sequence[str]
    picture: str | None = ""


class PictureTask(NamedTuple):
    """Pictures, by id and file, of the folder `images` to examine in the form in which they will be embedded."""

    images: Path
    pictures: tuple[tuple[str, str | None], ...]
    max_side: int | None


class PictureTraits(NamedTuple):
    """The hash of a picture's embedded bytes, and its perceptual hash unless it is flat."""

    sha256: str
    look: int | None


def resolve_keys(group_by: Sequence[str] | None, images: Path | None) -> tuple[str, ...]:
    """Return the keys to group by, by default all that can be determined; ValueError for keys that need missing pictures."""
    if group_by is None:
        return tuple(key for key in DEFAULT_GROUP_KEYS if images or key not in PICTURE_KEYS)
    if images is None and (needed := [key for key in group_by if key in PICTURE_KEYS]):
        raise ValueError(
            f"`group_by` {' '.join(needed)} needs pictures, but there are none; give the folder `images` (with "
            f"`no_images` it is read and not stored), or group by {' '.join(key for key in GROUP_KEYS if key not in PICTURE_KEYS)}."
        )
    return tuple(key for key in GROUP_KEYS if key in group_by)


def group_names(
    rows: Iterable[GroupRow], keys: Sequence[str], settings: BuildSettings, images: Path | None, engine: Engine = map
) -> list[str]:
    """Return for each row the name of its group, which depends only on the rows of the group.

    With `picture_id` among the `keys` (of `GROUP_KEYS`) it is the alphabetically first picture id of the group, otherwise its
    first row name.
    """
    rows = list(rows)
    groups = _Groups(len(rows))
    for pair in _pairs(rows, keys, settings, images, engine):
        groups.join(*pair)
    names = [row.image_id if "picture_id" in keys else row.name for row in rows]
    roots = [groups.find(place) for place in range(len(rows))]
    first: dict[int, str] = {}
    for root, name in zip(roots, names, strict=True):
        first[root] = min(name, first.get(root, name))
    _warn_of_large_group(Counter(roots), keys)
    return [first[root] for root in roots]


class _Groups:
    """Disjoint sets of numbers."""

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def find(self, place: int) -> int:
        """Return the number that represents the set."""
        while self._parents[place] != place:
            self._parents[place] = self._parents[self._parents[place]]
            place = self._parents[place]
        return place

    def join(self, first: int, second: int) -> None:
        """Merge the sets of both."""
        self._parents[self.find(first)] = self.find(second)


def _pairs(
    rows: Sequence[GroupRow], keys: Sequence[str], settings: BuildSettings, images: Path | None, engine: Engine
) -> Iterator[tuple[int, int]]:
    """Yield places of rows that belong together."""
    if "picture_id" in keys:
        yield from _equal(row.image_id for row in rows)
    if "translation" in keys:
        yield from _equal(_translated(rows))
    if "text" in keys:
        yield from _equal(stable_hash("\t".join(row.tokens)) for row in rows)
    if "similar_text" in keys:
        yield from _similar_texts(rows, settings.similarity)
    if images and set(keys) & set(PICTURE_KEYS):
        traits = _picture_traits(rows, images, settings.max_side, engine)
        if "picture_bytes" in keys:
            yield from _equal(found and found.sha256 for found in traits)
        if "similar_picture" in keys:
            yield from _similar_looks([found.look if found else None for found in traits])


def _equal(values: Iterable[Hashable | None]) -> Iterator[tuple[int, int]]:
    first: dict[Hashable, int] = {}
    for place, value in enumerate(values):
        if value is not None:
            yield place, first.setdefault(value, place)


def _translated(rows: Sequence[GroupRow]) -> Iterator[str | None]:
    """Yield the picture ids of rows whose picture has sentences in several languages."""
    languages: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        languages[row.image_id].add(row.lang)
    for row in rows:
        yield row.image_id if len(languages[row.image_id]) > 1 else None


def _similar_texts(rows: Sequence[GroupRow], similarity: float) -> Iterator[tuple[int, int]]:
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        places[row.lang].append(place)
    for group in places.values():
        for first, second in similar_pairs([rows[place].tokens for place in group], similarity):
            yield group[first], group[second]


def _similar_looks(looks: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    yield from _equal(looks)
    first = {look: place for place, look in reversed(list(enumerate(looks))) if look is not None}
    for look, smallest in alike_looks(first).items():
        yield first[look], first[smallest]


def _picture_traits(
    rows: Sequence[GroupRow], images: Path, max_side: int | None, engine: Engine
) -> list[PictureTraits | None]:
    pictures = list(dict.fromkeys((row.image_id, row.picture) for row in rows))
    parts = [pictures[start : start + PICTURES_PER_TASK] for start in range(0, len(pictures), PICTURES_PER_TASK)]
    tasks = [PictureTask(images.resolve(), tuple(part), max_side) for part in parts]
    found = [traits for part in engine(examine_pictures_of, tasks) for traits in part]
    known = dict(zip(pictures, found, strict=True))
    return [known[row.image_id, row.picture] for row in rows]


def examine_pictures_of(task: PictureTask) -> list[PictureTraits | None]:
    """Return the traits of each picture of a task; None for one that the data set will not contain."""
    return [_examine(task, *picture) for picture in task.pictures]


def _examine(task: PictureTask, image_id: str, picture: str | None) -> PictureTraits | None:
    from modeling_2mner.images import load_image  # loads torch, as all of its package

    cell = read_picture_of(task.images, image_id, picture, task.max_side).image
    if cell is None:
        return None
    decoded = load_image(cell["bytes"]).image
    return PictureTraits(hashlib.sha256(cell["bytes"]).hexdigest(), difference_hash(decoded) if decoded else None)


def _warn_of_large_group(sizes: Counter[int], keys: Sequence[str]) -> None:
    total, largest = sizes.total(), max(sizes.values(), default=0)
    if largest > max(1, LARGE_SHARE * total):
        logger.warning(
            "The largest group of rows that must stay together has %d of %d rows, so the splits are not 8:1:1. The rows "
            "are grouped by %s; `group_by` with fewer of these makes smaller groups, and an audit then reports what the "
            "splits share.",
            largest,
            total,
            ", ".join(keys),
        )
