"""Check what every row must have: names, words, and one IOB2 tag for each word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from dataset_scripts.audit.findings import Finding, FindingExample, first_examples, in_order
from dataset_scripts.audit.rows import AuditRow, AuditRows
from dataset_scripts.conll import is_tag
from dataset_scripts.schema import find_iob2_violation


def check_structure(rows: AuditRows, max_words: int) -> list[Finding]:
    """Run every check of this file; rows with more than `max_words` words are long."""
    return [
        find_missing_ids(rows),
        find_repeated_row_ids(rows),
        find_rows_without_words(rows),
        find_wrong_tag_counts(rows),
        find_unknown_tags(rows),
        find_iob2_faults(rows),
        find_empty_words(rows),
        find_blank_words(rows),
        find_long_rows(rows, max_words),
    ]


def find_missing_ids(rows: AuditRows) -> Finding:
    """Find rows without a name for themselves or for their picture."""
    bad = [row for row in rows if not (row.id and row.image_id)]
    return _finding("missing_ids", rows, bad, lambda row: f"{row.lang} {row.split}: {row.text}")


def find_repeated_row_ids(rows: AuditRows) -> Finding:
    """Find rows with the name of an earlier one."""
    first = {row.id: place for place, row in reversed(list(enumerate(rows)))}
    bad = [row for place, row in enumerate(rows) if row.id and first[row.id] != place]
    return _finding("repeated_row_ids", rows, bad, lambda row: row.text)


def find_rows_without_words(rows: AuditRows) -> Finding:
    """Find rows without any words."""
    return _finding("rows_without_words", rows, [row for row in rows if not row.tokens], lambda row: row.image_id)


def find_wrong_tag_counts(rows: AuditRows) -> Finding:
    """Find rows with different numbers of words and tags."""
    bad = [row for row in rows if len(row.tokens) != len(row.tags)]
    return _finding("tag_counts", rows, bad, lambda row: f"{len(row.tokens)} words, {len(row.tags)} tags")


def find_unknown_tags(rows: AuditRows) -> Finding:
    """Find rows with a tag that is not a label, or a number without a label."""
    bad = {index: [tag for tag in row.tags if not is_tag(tag, None)] for index, row in enumerate(rows)}
    examples = (FindingExample((rows[index].id,), ", ".join(tags)) for index, tags in bad.items() if tags)
    kinds = Counter(tag for tags in bad.values() for tag in tags)
    count = sum(map(bool, bad.values()))
    return Finding("unknown_tags", count, len(rows), first_examples(examples), {"tags": in_order(kinds)})


def find_iob2_faults(rows: AuditRows) -> Finding:
    """Find rows in which an I- tag follows neither B- nor I- of its type."""
    places = [(row, find_iob2_violation(row.tags)) for row in rows]
    bad = [(row, place) for row, place in places if place is not None]
    examples = (
        FindingExample((row.id,), f"tag {place}: {row.tags[place]} of {_word(row, place)!r}") for row, place in bad
    )
    return Finding("iob2_faults", len(bad), len(rows), first_examples(examples))


def find_empty_words(rows: AuditRows) -> Finding:
    """Find words without characters."""
    return _find_words("empty_words", rows, lambda word: not word)


def find_blank_words(rows: AuditRows) -> Finding:
    """Find words with white space of any kind, including U+00A0, at which `str.split` would cut them."""
    return _find_words("blank_words", rows, lambda word: any(map(str.isspace, word)))


def find_long_rows(rows: AuditRows, max_words: int) -> Finding:
    """Find rows with more than `max_words` words."""
    bad = [row for row in rows if len(row.tokens) > max_words]
    details = {"more_than": max_words, "longest": max((len(row.tokens) for row in rows), default=0)}
    return _finding("long_rows", rows, bad, lambda row: f"{len(row.tokens)} words", details)


def _finding(
    name: str,
    rows: AuditRows,
    bad: AuditRows,
    describe: Callable[[AuditRow], str],
    details: dict[str, int] | None = None,
) -> Finding:
    examples = first_examples(FindingExample((row.id,), describe(row)) for row in bad)
    return Finding(name, len(bad), len(rows), examples, details or {})


def _find_words(name: str, rows: AuditRows, is_bad: Callable[[str], bool]) -> Finding:
    bad = [(row, place) for row in rows for place, word in enumerate(row.tokens) if is_bad(word)]
    examples = first_examples(FindingExample((row.id,), f"word {place}: {row.tokens[place]!r}") for row, place in bad)
    details = {"rows": sum(any(map(is_bad, row.tokens)) for row in rows)}
    return Finding(name, len(bad), sum(len(row.tokens) for row in rows), examples, details)


def _word(row: AuditRow, place: int) -> str:
    return row.tokens[place] if place < len(row.tokens) else ""
