"""Check picture ids as names: what they would do to paths, other systems, and programs that parse them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable

from dataset_scripts.audit.findings import Finding, FindingExample, first_examples
from dataset_scripts.audit.rows import AuditRows
from dataset_scripts.build.pictures import find_unsafe_part

# Unusual parts of ids, as patterns to search for. An empty stem has no letter or digit after the number of a caption.
ODD = {
    "outside_plain_ascii": re.compile(r"[^A-Za-z0-9._-]"),
    "illegal_on_windows": re.compile(
        r"[<>:\"|?*/\\\x00-\x1f]|^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE
    ),
    "glob_characters": re.compile(r"[*?\[\]]"),
    "percent_escapes": re.compile(r"%[0-9A-Fa-f]{2}"),
    "dots": re.compile(r"\."),
    "dot_at_end": re.compile(r"\.\Z"),
    "empty_stem": re.compile(r"^[0-9]{8}---[^A-Za-z0-9]*\Z"),
}


def check_ids(rows: AuditRows) -> list[Finding]:
    """Run every check of this file."""
    owners: dict[str, str] = {}
    for row in rows:
        if row.image_id:
            owners.setdefault(row.image_id, row.id)
    return [
        find_unsafe_ids(owners),
        find_odd_ids(owners),
        find_equal_ids("ids_equal_but_for_case", owners, str.casefold),
        find_equal_ids("ids_equal_but_for_form", owners, lambda name: unicodedata.normalize("NFC", name)),
    ]


def find_unsafe_ids(owners: dict[str, str]) -> Finding:
    """Find ids that cannot be appended to a folder; `owners` maps each id to the first row that has it."""
    parts = {name: part for name in owners if (part := find_unsafe_part(name))}
    examples = first_examples(FindingExample((owners[name],), f"{name}: {part}") for name, part in parts.items())
    kinds = {part: list(parts.values()).count(part) for part in sorted(set(parts.values()))}
    return Finding("unsafe_ids", len(parts), len(owners), examples, {"kinds": kinds})


def find_odd_ids(owners: dict[str, str]) -> Finding:
    """Find ids that match a pattern of `ODD`, and count each kind."""
    kinds = {kind: [name for name in owners if pattern.search(name)] for kind, pattern in ODD.items()}
    names = {name for found in kinds.values() for name in found}
    examples = tuple(
        FindingExample((owners[found[0]],), f"{kind}: {found[0]}") for kind, found in kinds.items() if found
    )
    details = {"kinds": {kind: len(found) for kind, found in kinds.items()}}
    return Finding("odd_ids", len(names), len(owners), examples, details)


def find_equal_ids(name: str, owners: dict[str, str], normalise: Callable[[str], str]) -> Finding:
    """Find different ids that are equal once normalised."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for image_id in owners:
        groups[normalise(image_id)].append(image_id)
    found = [group for group in groups.values() if len(group) > 1]
    examples = first_examples(FindingExample(tuple(owners[one] for one in group), ", ".join(group)) for group in found)
    return Finding(name, sum(map(len, found)), len(owners), examples, {"groups": len(found)})
