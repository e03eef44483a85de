"""Check what held-out rows share with train, in every configuration that the data set offers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

from dataset_scripts.audit.findings import Finding, FindingExample, first_examples, in_order
from dataset_scripts.audit.looks import similar_looks
from dataset_scripts.audit.rows import AuditRow, AuditRows
from dataset_scripts.audit.similar import Match, find_similar
from dataset_scripts.schema import DEFAULT_CONFIG, SPLITS, available_configs, sort_languages

# For a held-out row, the first matching train row in each language; None if the row has nothing to compare.
Partners = Mapping[str, str] | None


def check_leakage(rows: AuditRows, similarity: float) -> list[Finding]:
    """Run every check of this file; texts count as similar from `similarity` on."""
    return [
        find_leaks("leaked_picture_ids", rows, lambda row: row.image_id),
        find_leaks("leaked_picture_bytes", rows, lambda row: row.picture),
        find_leaks("leaked_texts", rows, lambda row: row.tokens),
        find_similar_texts(rows, similarity),
        find_similar_pictures_in_train(rows),
        find_ids_in_several_splits(rows),
        find_translation_twins(rows),
    ]


def find_leaks(name: str, rows: AuditRows, key: Callable[[AuditRow], Hashable | None]) -> Finding:
    """Find held-out rows with the key of a train row of any language; rows with an empty key are left out."""
    train = _train_rows(rows, key)
    return _leaks(name, rows, lambda row: train.get(value, {}) if (value := key(row)) else None)


def find_similar_texts(rows: AuditRows, similarity: float) -> Finding:
    """Find held-out rows with words similar to those of a train row in the same language; see `similar.py`."""
    matches: dict[int, tuple[AuditRow, Match]] = {}
    for lang in sort_languages(row.lang for row in rows):
        train = [row for row in rows if row.lang == lang and not row.held_out]
        held_out = [row for row in rows if row.lang == lang and row.held_out]
        found = find_similar([row.tokens for row in train], [row.tokens for row in held_out], similarity)
        matches |= {
            id(row): (train[match.position], match) for row, match in zip(held_out, found, strict=True) if match
        }
    finding = _leaks("leaked_similar_texts", rows, lambda row: _partner(matches, row))
    identical = Counter(row.split for row in rows if id(row) in matches and matches[id(row)][1].similarity == 1)
    details = {"similarity": similarity, "identical": in_order(identical), **finding.details}
    return Finding(finding.name, finding.count, finding.total, _similar_examples(rows, matches), details)


def find_similar_pictures_in_train(rows: AuditRows) -> Finding:
    """Find held-out rows whose picture looks like one in train with other bytes."""
    near = similar_looks({row.look for row in rows if row.look is not None and row.picture})
    train: defaultdict[int, list[AuditRow]] = defaultdict(list)
    for row in rows:
        if not row.held_out and row.look is not None and row.picture:
            train[row.look].append(row)

    def partners(row: AuditRow) -> Partners:
        if row.look is None or not row.picture:
            return None
        looks = (row.look, *near.get(row.look, ()))
        return {other.lang: other.id for look in looks for other in train.get(look, ()) if other.sha256 != row.sha256}

    return _leaks("leaked_similar_pictures", rows, partners)


def find_ids_in_several_splits(rows: AuditRows) -> Finding:
    """Find picture ids that occur in two or three splits, in any language."""
    splits: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.image_id:
            splits.setdefault(row.image_id, {}).setdefault(row.split, row.id)
    found = {image_id: owners for image_id, owners in splits.items() if len(owners) > 1}
    places = Counter(" + ".join(split for split in SPLITS if split in owners) for owners in found.values())
    examples = first_examples(FindingExample(tuple(owners.values()), " + ".join(owners)) for owners in found.values())
    return Finding("ids_in_several_splits", len(found), len(splits), examples, {"splits": in_order(places)})


def find_translation_twins(rows: AuditRows) -> Finding:
    """Find held-out rows with a translation in train: the same picture id in another language."""
    languages: defaultdict[str, set[str]] = defaultdict(set)
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.image_id:
            languages[row.image_id].add(row.lang)
            splits[row.image_id].add(row.split)
    train = _train_rows(rows, lambda row: row.image_id)

    def partners(row: AuditRow) -> Partners:
        if len(languages.get(row.image_id, ())) < 2:
            return None
        return {lang: name for lang, name in train.get(row.image_id, {}).items() if lang != row.lang}

    finding = _leaks(
        "translation_twins", rows, partners, lambda row, group: len(languages[row.image_id] & set(group)) > 1
    )
    several = [image_id for image_id, found in languages.items() if len(found) > 1]
    together = sum(len(splits[image_id]) == 1 for image_id in several)
    details = {"ids_in_several_languages": len(several), "of_these_in_one_split": together, **finding.details}
    return Finding(finding.name, finding.count, finding.total, finding.examples, details)


def _train_rows(rows: AuditRows, key: Callable[[AuditRow], Hashable | None]) -> dict[Hashable, dict[str, str]]:
    """Return for each key the first train row of each language."""
    found: dict[Hashable, dict[str, str]] = {}
    for row in rows:
        if not row.held_out and (value := key(row)):
            found.setdefault(value, {}).setdefault(row.lang, row.id)
    return found


def _leaks(
    name: str,
    rows: AuditRows,
    partners: Callable[[AuditRow], Partners],
    counts_in: Callable[[AuditRow, Sequence[str]], bool] = lambda row, group: True,
) -> Finding:
    held_out = [(row, found) for row in rows if row.held_out and (found := partners(row)) is not None]
    leaked = [(row, found) for row, found in held_out if found]
    examples = first_examples(
        FindingExample((row.id, found.get(row.lang) or next(iter(found.values()))), row.text) for row, found in leaked
    )
    configs = available_configs(row.lang for row in rows)
    if len(configs[DEFAULT_CONFIG]) == 1:
        del configs[DEFAULT_CONFIG]  # the same rows as those of the only language
    table = {config: _by_split(held_out, group, counts_in) for config, group in configs.items()}
    details = {"configurations": {config: splits for config, splits in table.items() if splits}}
    return Finding(name, len(leaked), len(held_out), examples, details)


def _by_split(
    held_out: Sequence[tuple[AuditRow, Mapping[str, str]]],
    group: Sequence[str],
    counts_in: Callable[[AuditRow, Sequence[str]], bool],
) -> dict[str, dict[str, float]]:
    table = {}
    for split in SPLITS:
        mine = [
            (row, {lang for lang in found if lang in group})
            for row, found in held_out
            if row.split == split and row.lang in group and counts_in(row, group)
        ]
        if mine:
            leaked = sum(bool(found) for _, found in mine)
            table[split] = {"rows": len(mine), "leaked": leaked, "share": round(leaked / len(mine), 4)}
            if len(group) > 1:
                table[split]["only_in_another_language"] = sum(
                    bool(found - {row.lang}) and row.lang not in found for row, found in mine
                )
    return table


def _partner(matches: Mapping[int, tuple[AuditRow, Match]], row: AuditRow) -> Partners:
    if not row.tokens:
        return None
    return {row.lang: matches[id(row)][0].id} if id(row) in matches else {}


def _similar_examples(rows: AuditRows, matches: Mapping[int, tuple[AuditRow, Match]]) -> tuple[FindingExample, ...]:
    """Return similar but unequal ones first: equal ones need no explanation."""
    found = [(row, *matches[id(row)]) for row in rows if id(row) in matches]
    found.sort(key=lambda item: item[2].similarity)
    return first_examples(
        FindingExample((row.id, other.id), f"{match.similarity:.2f}: {row.text} | {other.text}")
        for row, other, match in found
    )
