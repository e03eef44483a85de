"""Take captions from the multilingual file of Conceptual 12M, or from released files of MMNERD.

    python -m dataset_scripts.construct captions WORK --listing train_file_batch.tsv --quota en=30000 fr=5000

The listing is a path, or an address such as hf://datasets/OWNER/NAME/train_file_batch.tsv, which is read twice. It has
the columns image_file, caption, url and lang_id, separated by TAB and quoted as by Python's csv. A quota takes the
captions whose picture's name has the smallest keyed hashes: the same ones in any order of the file, and when a quota
grows, the same ones and others.
"""

from __future__ import annotations

import csv
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from dataset_scripts.build.engine import Engine
from dataset_scripts.build.sources import SourceFile
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.sources import (
    UNUSABLE_ID,
    Namer,
    hashes_of,
    is_usable_id,
    released_records,
    source_files,
)
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.words import PERSON, PERSON_REMNANT, split_words
from dataset_scripts.splits import stable_hash
from reports_2mner.command_line import option
from reports_2mner.files import file_sha256
from reports_2mner.language_table import CODE

COLUMNS = ("image_file", "caption", "url", "lang_id")
LONGEST = 10_000  # characters of a caption; those of Conceptual 12M are far shorter
LONGEST_FIELD = 1 << 20  # characters; one that is longer comes from a quote that was not closed


@dataclass(frozen=True)
class Settings:
    """Which captions."""

    listing: str | None = option(None, "the multilingual caption file: a path, or an address that fsspec opens")
    mmnerd: Path | None = option(None, "folder with released files of MMNERD, of which the captions are taken")
    quota: tuple[str, ...] = option(
        (), "captions of each language, such as en=30000 fr=5000 (default: all; of --mmnerd: all English ones)"
    )
    seed: int = option(0, "seed of the choice within a quota")
    persons: str = option(
        "drop", "captions with <PERSON>, which stands for a name: `drop` or `keep` them", choices=("drop", "keep")
    )
    keep_labels: bool = option(
        False, "with --mmnerd: start from the released entities; otherwise they are only kept beside, as `released`"
    )

    def __post_init__(self) -> None:
        if not all(CODE.fullmatch(lang) and number.isdecimal() for lang, _, number in self._quotas()):
            raise ValueError(f"`quota` must be given as en=30000 fr=5000, got {' '.join(self.quota)}.")

    def quotas(self) -> dict[str, int]:
        """Return the quota of each language."""
        return {lang: int(number) for lang, _, number in self._quotas()}

    def _quotas(self) -> list[tuple[str, str, str]]:
        return [entry.partition("=") for entry in self.quota]


class Caption(NamedTuple):
    """A caption before it is split into words; `released` holds those of a released one."""

    lang: str
    image_id: str
    url: str | None
    text: str
    released: Record | None = None


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write the records; raises ValueError unless exactly one source is given."""
    if (settings.listing is None) == (settings.mmnerd is None):
        raise ValueError("Give one of `--listing` and `--mmnerd`: where the captions come from.")
    read: Callable[[Counts], Iterator[Caption]]  # reads all captions from the start, and counts
    if settings.listing:
        inputs, read = {settings.listing: _contents(settings.listing)}, partial(_listed, settings.listing)
    else:
        folder = settings.mmnerd or Path()
        files = source_files(folder, tuple(settings.quotas()) or ("en",))
        inputs, read = hashes_of(files, folder), partial(_released, files)

    def records(counts: Counts) -> Iterator[Record]:
        largest, repeated = _survey(_usable(read(Counts()), Counts(), settings), settings)
        return _records(_usable(read(counts), counts, settings), counts, settings, largest, Namer(repeated))

    return work.write_records("captions", records, settings, inputs)


def _released(files: Sequence[SourceFile], counts: Counts) -> Iterator[Caption]:
    for record in released_records(files, counts, "mmnerd", "cc12m"):
        yield Caption(record.lang, record.image_id, None, record.text, record)


def _listed(listing: str, counts: Counts) -> Iterator[Caption]:
    import fsspec

    with fsspec.open(listing, "r", encoding="utf-8", newline="") as file:
        for row in _rows(file, listing):
            counts.read += 1
            yield Caption(row["lang_id"], row["image_file"].removesuffix(".jpg"), row["url"] or None, row["caption"])


def _contents(listing: str) -> str:
    """Return a sure name for the contents of a listing."""
    import fsspec

    try:
        system, path = fsspec.url_to_fs(listing)
        return file_sha256(Path(path)) if "file" in system.protocol else str(system.ukey(path))
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(f"`listing` {listing} cannot be opened ({error}); check the path or address.") from error


def _rows(file: IO[str], listing: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a listing; all values stay text, NA and null too."""
    csv.field_size_limit(LONGEST_FIELD)
    rows = csv.DictReader(file, delimiter="\t")
    if absent := set(COLUMNS) - set(rows.fieldnames or ()):
        raise ValueError(
            f"`listing` {listing} has no column {', '.join(sorted(absent))}, only {rows.fieldnames}; name a file with a "
            f"first line {' '.join(COLUMNS)}, separated by TAB."
        )
    try:
        for row in rows:
            if any(row[name] is None for name in COLUMNS) or None in row:
                raise csv.Error("another number of columns than in the first line")
            yield row
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{listing}, line {rows.line_num} or the next: {error}; repair or remove it.") from error


def _usable(captions: Iterable[Caption], counts: Counts, settings: Settings) -> Iterator[Caption]:
    """Leave out what can never be taken."""
    quotas = settings.quotas()
    for caption in captions:
        if not CODE.fullmatch(caption.lang):
            counts.removed["with an unknown language"] += 1
        elif quotas and caption.lang not in quotas:
            counts.removed["in a language without a quota"] += 1
        elif not is_usable_id(caption.image_id):
            counts.removed[UNUSABLE_ID] += 1
        elif not caption.text.strip():
            counts.removed["empty"] += 1
        elif len(caption.text) > LONGEST:
            counts.removed[f"longer than {LONGEST:,} characters"] += 1
        elif settings.persons == "drop" and PERSON_REMNANT.search(PERSON.sub(" ", caption.text)):
            counts.removed["with a remnant of <PERSON>"] += 1
        elif settings.persons == "drop" and PERSON.search(caption.text):
            counts.removed["with <PERSON>"] += 1
        else:
            yield caption


def _survey(captions: Iterable[Caption], settings: Settings) -> tuple[dict[str, int], frozenset[int]]:
    """Return the largest hash that each quota takes, and the hashes of names that occur more than once.

    All captions are read, and no more than two numbers of each kept.
    """
    import numpy as np

    hashes: defaultdict[str, array[int]] = defaultdict(lambda: array("Q"))
    names: array[int] = array("Q")
    for caption in captions:
        hashes[caption.lang].append(_hash(caption, settings.seed))
        names.append(stable_hash(_uid(caption)))
    smallest = {lang: np.sort(np.array(hashes[lang]))[:quota] for lang, quota in settings.quotas().items()}
    largest = {lang: int(found[-1]) if len(found) else -1 for lang, found in smallest.items()}
    different, times = np.unique(np.array(names), return_counts=True)
    return largest, frozenset(different[times > 1].tolist())


def _records(
    captions: Iterable[Caption], counts: Counts, settings: Settings, largest: dict[str, int], namer: Namer
) -> Iterator[Record]:
    left = settings.quotas()
    for caption in captions:
        lang = caption.lang
        if left and (_hash(caption, settings.seed) > largest[lang] or not left[lang]):
            counts.removed["over the quota"] += 1
            continue
        if left:
            left[lang] -= 1
        yield _record(caption, namer.name(_uid(caption)), settings).step("captions")
    counts.notes.update({f"missing from the quota of {lang}": number for lang, number in left.items() if number})


def _record(caption: Caption, uid: str, settings: Settings) -> Record:
    if caption.released is None:
        tokens, offsets = split_words(caption.text, caption.lang)
        return Record(uid, caption.image_id, caption.lang, "cc12m", caption.text, tokens, offsets, url=caption.url)
    record = replace(caption.released, uid=uid)
    if settings.keep_labels:
        return record
    return replace(record, spans=(), more={**record.more, "released": [span.to_json() for span in record.spans]})


def _uid(caption: Caption) -> str:
    return f"{caption.lang}/{caption.image_id}"


def _hash(caption: Caption, seed: int) -> int:
    return stable_hash(f"{seed}/{caption.image_id}")
