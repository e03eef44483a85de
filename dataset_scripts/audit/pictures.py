"""Check pictures: their status, whether they decode, which are the same and which look the same."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tqdm import tqdm

from dataset_scripts.audit.findings import Finding, FindingExample, first_examples, in_order
from dataset_scripts.audit.looks import MAX_DIFFERENT_BITS, difference_hash, similar_looks
from dataset_scripts.audit.rows import AuditRow, AuditRows
from dataset_scripts.build.engine import process_engine
from dataset_scripts.reading import ROWS_PER_BATCH, find_parquet_files
from dataset_scripts.schema import IMAGE_STATUSES, STATUSES_WITH_IMAGE
from modeling_2mner.images import load_image


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What the bytes of a picture show: their hash, why they do not decode, and the perceptual hash unless flat."""

    sha256: str | None = None
    problem: str = ""
    look: int | None = None
    flat: bool = False


def examine_pictures(folder: Path | str, num_proc: int = 1) -> list[PictureFacts]:
    """Decode every picture of a data set folder, in the order of its rows, with `num_proc` processes.

    Raises ValueError for an `image` column without bytes.
    """
    paths = [path for paths in find_parquet_files(folder).values() for path in paths]
    groups = [(path, group) for path in paths for group in range(pq.read_metadata(path).num_row_groups)]
    with process_engine(num_proc, __name__) as engine:
        parts = tqdm(engine(_examine_group, groups), "pictures", len(groups), unit=" row groups", disable=None)
        return [fact for part in parts for fact in part]


def examine_picture(data: bytes) -> PictureFacts:
    """Return what the bytes of one picture show."""
    sha256 = hashlib.sha256(data).hexdigest()
    loaded = load_image(data)
    if loaded.image is None:
        return PictureFacts(sha256, f"{loaded.status}, {loaded.reason}")
    look = difference_hash(loaded.image)
    return PictureFacts(sha256, "", look, look is None)


def with_facts(rows: AuditRows, facts: Sequence[PictureFacts]) -> list[AuditRow]:
    """Return the rows with the hashes of their pictures' bytes; one without bytes keeps that of its column."""
    return [
        replace(row, sha256=fact.sha256 or row.sha256, look=fact.look, flat=fact.flat)
        for row, fact in zip(rows, facts, strict=True)
    ]


def find_picture_status(rows: AuditRows) -> Finding:
    """Count the values of `image_status` by language and split."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[f"{row.lang} {row.split}"][row.status] += 1
    known = [*IMAGE_STATUSES, *sorted({row.status for row in rows}.difference(IMAGE_STATUSES))]
    table = {place: {status: count[status] for status in known} for place, count in counts.items()}
    absent = [row for row in rows if row.status != "ok"]
    return Finding("picture_status", len(absent), len(rows), (), {"splits": table})


def check_facts(rows: AuditRows, facts: Sequence[PictureFacts]) -> list[Finding]:
    """Run the checks that compare the rows, as they were read, with the bytes."""
    pairs = list(zip(rows, facts, strict=True))
    return [find_contradictions(pairs), find_undecodable(pairs), find_mismatches(pairs)]


def find_contradictions(pairs: Sequence[tuple[AuditRow, PictureFacts]]) -> Finding:
    """Find rows with a picture and a status for rows without one, or the reverse, or an unknown status.

    A hash without bytes identifies a picture that was left out of the build.
    """
    reasons = [(row, _contradiction(row, fact)) for row, fact in pairs]
    bad = [(row, reason) for row, reason in reasons if reason]
    examples = first_examples(FindingExample((row.id,), f"{row.status!r}, {reason}") for row, reason in bad)
    kinds = in_order(Counter(f"{row.status}, {reason}" for row, reason in bad))
    return Finding("status_contradictions", len(bad), len(pairs), examples, {"kinds": kinds})


def find_undecodable(pairs: Sequence[tuple[AuditRow, PictureFacts]]) -> Finding:
    """Find pictures that a model could not use, whatever their status."""
    present = [(row, fact) for row, fact in pairs if fact.sha256]
    bad = [(row, fact) for row, fact in present if fact.problem]
    examples = first_examples(FindingExample((row.id,), fact.problem) for row, fact in bad)
    return Finding("undecodable_pictures", len(bad), len(present), examples)


def find_mismatches(pairs: Sequence[tuple[AuditRow, PictureFacts]]) -> Finding:
    """Find pictures whose bytes do not have the hash of the column `sha256`."""
    known = [(row, row.sha256, fact.sha256) for row, fact in pairs if row.sha256 and fact.sha256]
    bad = [(row, stated, found) for row, stated, found in known if stated != found]
    examples = first_examples(
        FindingExample((row.id,), f"column {stated[:12]}, bytes {found[:12]}") for row, stated, found in bad
    )
    return Finding("sha256_mismatches", len(bad), len(known), examples)


def check_identity(rows: AuditRows) -> list[Finding]:
    """Run the checks that compare pictures with each other by their hashes."""
    return [find_same_bytes(rows), find_same_ids(rows), find_similar_pictures(rows)]


def find_same_bytes(rows: AuditRows) -> Finding:
    """Find pictures with one content and several picture ids; stand-ins ("default") are left out."""
    groups, total = _groups(rows, lambda row: row.picture, lambda row: row.image_id)
    examples = first_examples(FindingExample(tuple(owners.values()), ", ".join(owners)) for owners in groups)
    details = {"ids": sum(map(len, groups)), "most_ids_of_one": max(map(len, groups), default=0)}
    return Finding("same_bytes_other_id", len(groups), total, examples, details)


def find_same_ids(rows: AuditRows) -> Finding:
    """Find picture ids with several contents; stand-ins ("default") are left out."""
    groups, total = _groups(rows, lambda row: row.image_id, lambda row: row.picture)
    examples = first_examples(
        FindingExample(tuple(owners.values()), ", ".join(sha256[:12] for sha256 in owners)) for owners in groups
    )
    return Finding("same_id_other_bytes", len(groups), total, examples)


def find_similar_pictures(rows: AuditRows) -> Finding:
    """Find pictures with different bytes that look alike, without stand-ins and flat pictures; count the flat ones."""
    pictures: defaultdict[int, dict[str, str]] = defaultdict(dict)
    flat = {row.picture for row in rows if row.flat and row.picture}
    for row in rows:
        if row.look is not None and row.picture:
            pictures[row.look].setdefault(row.picture, row.id)
    near = similar_looks(pictures)
    found = [look for look in pictures if len(pictures[look]) > 1 or look in near]
    equal = sum(len(pictures[look]) * (len(pictures[look]) - 1) // 2 for look in found)
    close = sum(len(pictures[look]) * len(pictures[other]) for look in near for other in near[look]) // 2
    details = {"different_bits": MAX_DIFFERENT_BITS, "pairs": equal + close, "flat_left_out": len(flat)}
    examples = first_examples(_look_example(look, pictures, near) for look in found)
    total = sum(map(len, pictures.values()))
    return Finding("similar_pictures", sum(len(pictures[look]) for look in found), total, examples, details)


def _examine_group(place: tuple[Path, int]) -> list[PictureFacts]:
    path, group = place
    with pq.ParquetFile(path) as file:
        if "image" not in file.schema_arrow.names:
            return [PictureFacts()] * file.metadata.row_group(group).num_rows
        batches = file.iter_batches(ROWS_PER_BATCH, row_groups=[group], columns=["image"])
        return [_examine_cell(path, cells["image"]) for batch in batches for cells in batch.to_pylist()]


def _examine_cell(path: Path, cell: Any) -> PictureFacts:
    if cell is not None and not (isinstance(cell, dict) and "bytes" in cell):
        raise ValueError(
            f"{path}: the column `image` holds no embedded pictures; skip the pictures with `--no_pictures`."
        )
    return examine_picture(cell["bytes"]) if cell and cell["bytes"] else PictureFacts()


def _contradiction(row: AuditRow, fact: PictureFacts) -> str:
    if row.status not in IMAGE_STATUSES:
        return "unknown"
    if row.status in STATUSES_WITH_IMAGE and not (fact.sha256 or row.sha256):
        return "no picture"
    return "a picture" if row.status not in STATUSES_WITH_IMAGE and fact.sha256 else ""


def _groups(
    rows: AuditRows, key: Callable[[AuditRow], str | None], member: Callable[[AuditRow], str | None]
) -> tuple[list[dict[str, str]], int]:
    """Return, for each key with several members, each member with its first row; and the number of all keys."""
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if (name := key(row)) and (other := member(row)):
            found.setdefault(name, {}).setdefault(other, row.id)
    return [owners for owners in found.values() if len(owners) > 1], len(found)


def _look_example(look: int, pictures: dict[int, dict[str, str]], near: dict[int, list[int]]) -> FindingExample:
    owners = list(pictures[look].values())
    if len(owners) > 1:
        return FindingExample(tuple(owners[:3]), "0 bits differ")
    other = near[look][0]
    return FindingExample(
        (owners[0], next(iter(pictures[other].values()))), f"{(look ^ other).bit_count()} bits differ"
    )
