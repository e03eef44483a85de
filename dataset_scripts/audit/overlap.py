"""Compare the data set with another one: what they share, and which held-out rows are in the other's train part.

The other one is a data set folder, a CoNLL file, or a folder of CoNLL files (`*.txt`, `*.conll`) whose names contain
the split, such as train.txt, valid_conll_format.txt or dev.conll.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dataset_scripts.audit.findings import Finding, FindingExample, first_examples, in_order
from dataset_scripts.audit.rows import AuditRow, AuditRows, read_audit_rows
from dataset_scripts.conll import read_conll
from dataset_scripts.schema import SPLITS

logger = logging.getLogger(__name__)

CONLL_SUFFIXES = (".txt", ".conll")
SPLIT_WORDS = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}


def normalise_text(tokens: Sequence[str]) -> str:
    """Return a sentence without case, Unicode form and blanks: word boundaries make no difference."""
    return "".join(unicodedata.normalize("NFKC", "".join(tokens)).casefold().split())


# What two rows can have in common.
KEYS: dict[str, Callable[[AuditRow], str | None]] = {
    "picture_id": lambda row: row.image_id,
    "sha256": lambda row: row.picture,
    "text": lambda row: normalise_text(row.tokens),
}


def read_other(other: Path | str) -> list[AuditRow]:
    """Read the rows of the other data set; ValueError for a folder or file without any, or for the first mistake."""
    other = Path(other)
    if (other / "data").is_dir():
        return read_audit_rows(other)
    files = sorted(filter(_is_conll, other.iterdir())) if other.is_dir() else [other]
    if not files or not all(path.is_file() for path in files):
        raise ValueError(
            f"`against` {other} is not a data set folder (data/<language>/<split>-*.parquet), a CoNLL file or a "
            f"folder of CoNLL files named after train, valid or test ({', '.join(CONLL_SUFFIXES)}); check the path."
        )
    return [row for path in files for row in _read_conll(path)]


def check_overlap(rows: AuditRows, others: AuditRows, name: str) -> list[Finding]:
    """Compare all rows with those of the other data set, which reports call `name`."""
    return [
        _contamination("held_out_in_their_train", rows, others, name),
        _contamination("their_held_out_in_train", others, rows, name),
        find_overlap(rows, others, name),
    ]


def find_overlap(rows: AuditRows, others: AuditRows, name: str) -> Finding:
    """Find rows that share an id, a picture or a text with a row of the other data set.

    The tables count distinct ids, pictures and texts, for each split of this data set and of the other.
    """
    theirs = {kind: _owners(others, key) for kind, key in KEYS.items()}
    shared = [(row, partner) for row in rows if (partner := _first_partner(row, theirs))]
    examples = first_examples(FindingExample((row.id, partner), row.text) for row, partner in shared)
    tables = {kind: _table(rows, others, key) for kind, key in KEYS.items()}
    details = {"other": name, **{f"same_{kind}": table for kind, table in tables.items() if table}}
    return Finding("overlap", len(shared), len(rows), examples, details)


def _is_conll(path: Path) -> bool:
    return path.suffix in CONLL_SUFFIXES and _split_in_name(path) is not None


def _read_conll(path: Path) -> list[AuditRow]:
    split = _split_in_name(path)
    if split is None:
        logger.warning("The name of %s contains no split: it is taken as train. Name it train, valid or test.", path)
    # The types do not matter here, so any are allowed.
    sentences = read_conll(path, rename={"OTHER": "MISC"}, repair_tags=True, types=None)
    return [
        AuditRow(
            f"{path.name}:{sentence.line}", sentence.image_id, "", split or "train", sentence.tokens, sentence.tags
        )
        for sentence in sentences
    ]


def _split_in_name(path: Path) -> str | None:
    words = re.findall("[a-z]+", path.stem.lower())
    return next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), None)


def _contamination(name: str, measured: AuditRows, trained: AuditRows, other: str) -> Finding:
    """Find held-out rows of one data set that are in the train part of the other."""
    train = [row for row in trained if not row.held_out]
    owners = {kind: _owners(train, key) for kind, key in KEYS.items()}
    held_out = [row for row in measured if row.held_out]
    found = [(row, partner) for row in held_out if (partner := _first_partner(row, owners))]
    kinds = Counter(kind for row, _ in found for kind, key in KEYS.items() if key(row) in owners[kind])
    details = {
        "other": other,
        "splits": in_order(Counter(row.split for row, _ in found)),
        "same": {kind: kinds[kind] for kind in KEYS},
    }
    examples = first_examples(FindingExample((row.id, partner), row.text) for row, partner in found)
    return Finding(name, len(found), len(held_out), examples, details)


def _owners(rows: AuditRows, key: Callable[[AuditRow], str | None]) -> dict[str | None, str]:
    """Return for each key the first row that has it."""
    owners: dict[str | None, str] = {}
    for row in rows:
        if value := key(row):
            owners.setdefault(value, row.id)
    return owners


def _first_partner(row: AuditRow, owners: Mapping[str, Mapping[str | None, str]]) -> str | None:
    found = (owners[kind].get(key(row)) for kind, key in KEYS.items())
    return next((partner for partner in found if partner is not None), None)


def _table(rows: AuditRows, others: AuditRows, key: Callable[[AuditRow], str | None]) -> dict[str, dict[str, int]]:
    ours, theirs = _values_by_split(rows, key), _values_by_split(others, key)
    if not any(ours.values()) or not any(theirs.values()):
        return {}
    return {split: {f"their_{other}": len(ours[split] & theirs[other]) for other in theirs} for split in ours}


def _values_by_split(rows: AuditRows, key: Callable[[AuditRow], str | None]) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if value := key(row):
            found[row.split].add(value)
    return {split: found[split] for split in SPLITS if split in found}
