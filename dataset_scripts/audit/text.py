"""Check words and labels: remnants of placeholders, invisible words, repeated sentences, conflicting types."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dataset_scripts.audit.findings import Finding, FindingExample, first_examples, in_order
from dataset_scripts.audit.rows import AuditRow, AuditRows, entity_strings
from dataset_scripts.quality import PLACEHOLDER, is_invisible

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SENTENCES_PER_BATCH = 1000


def check_text(rows: AuditRows) -> list[Finding]:
    """Run every check of this file that needs no tokenizer."""
    return [
        find_placeholders(rows),
        find_invisible_words(rows),
        find_repeated_texts(rows),
        find_label_conflicts(rows),
    ]


def find_placeholders(rows: AuditRows) -> Finding:
    """Find rows with remnants of a placeholder of the authors' tokeniser."""
    words = {place: [word for word in row.tokens if PLACEHOLDER.search(word)] for place, row in enumerate(rows)}
    bad = [rows[place] for place, found in words.items() if found]
    details = {
        "words": sum(map(len, words.values())),
        "splits": in_order(Counter(row.split for row in bad)),
        "sources": in_order(Counter(row.source for row in bad)),
    }
    examples = first_examples(FindingExample((row.id,), row.text) for row in bad)
    return Finding("placeholders", len(bad), len(rows), examples, details)


def find_invisible_words(rows: AuditRows) -> Finding:
    """Find words that BERT's text cleaning deletes."""
    bad = [(row, place) for row in rows for place, word in enumerate(row.tokens) if word and is_invisible(word)]
    kinds = Counter(_code_points(row.tokens[place]) for row, place in bad)
    details = {"rows": _count_rows(bad), "words": in_order(kinds)}
    return Finding("invisible_words", len(bad), _count_words(rows), _word_examples(bad), details)


def find_words_without_pieces(rows: AuditRows, tokenizer: PreTrainedTokenizerBase, name: str) -> Finding:
    """Find words that get no piece from the tokenizer when words are passed to it as the model passes them.

    Raises ValueError for a tokenizer that cannot assign pieces to words.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"`tokenizer` {name} is a {type(tokenizer).__name__}, which cannot assign pieces to words; "
            "name one with a tokenizer.json."
        )
    bad: list[tuple[AuditRow, int]] = []
    for start in range(0, len(rows), SENTENCES_PER_BATCH):
        batch = rows[start : start + SENTENCES_PER_BATCH]
        encoded = tokenizer([list(row.tokens) for row in batch], is_split_into_words=True, verbose=False)
        for index, row in enumerate(batch):
            lost = set(range(len(row.tokens))) - set(encoded.word_ids(index))
            bad.extend((row, place) for place in sorted(lost))
    kinds = Counter(_code_points(row.tokens[place]) for row, place in bad)
    details = {"tokenizer": name, "rows": _count_rows(bad), "words": in_order(kinds)}
    return Finding("words_without_pieces", len(bad), _count_words(rows), _word_examples(bad), details)


def find_repeated_texts(rows: AuditRows) -> Finding:
    """Find rows with exactly the words of an earlier row of their language and split."""
    first: dict[tuple[str, str, tuple[str, ...]], AuditRow] = {}
    pairs = []
    for row in rows:
        earlier = first.setdefault((row.lang, row.split, row.tokens), row)
        if earlier is not row and row.tokens:
            pairs.append((row, earlier))
    details = {
        "splits": in_order(Counter(f"{row.lang} {row.split}" for row, _ in pairs)),
        "same_picture_id": sum(row.image_id == earlier.image_id for row, earlier in pairs),
    }
    examples = first_examples(FindingExample((row.id, earlier.id), row.text) for row, earlier in pairs)
    return Finding("repeated_texts", len(pairs), len(rows), examples, details)


@dataclass
class _Strings:
    """The entity strings of one language and source: types by string, and the first row of each string and type."""

    types: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    first: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, row: AuditRow) -> None:
        for string, kind in entity_strings(row):
            self.types[string][kind] += 1
            self.first.setdefault((string, kind), row.id)

    def conflicts(self) -> dict[str, Counter[str]]:
        """Return the strings with several types, those with the largest minority first."""
        found = {string: kinds for string, kinds in self.types.items() if len(kinds) > 1}
        return dict(sorted(found.items(), key=lambda item: (-_minority(item[1]), item[0])))


def find_label_conflicts(rows: AuditRows) -> Finding:
    """Find entity strings, in lower case, that have several types within a language and source.

    The minority of a string are its mentions without its most frequent type.
    """
    groups: defaultdict[str, _Strings] = defaultdict(_Strings)
    for row in rows:
        groups[f"{row.lang} {row.source}"].add(row)
    counts = {name: _count_conflicts(groups[name]) for name in sorted(groups)}
    found = [(group, string, kinds) for group in groups.values() for string, kinds in group.conflicts().items()]
    found.sort(key=lambda item: -_minority(item[2]))
    examples = first_examples(
        FindingExample(tuple(group.first[string, kind] for kind in in_order(kinds)), f"{string}: {_spell(kinds)}")
        for group, string, kinds in found
    )
    total = sum(len(group.types) for group in groups.values())
    return Finding("label_conflicts", len(found), total, examples, {"sources": counts})


def _count_conflicts(group: _Strings) -> dict[str, int]:
    conflicts = group.conflicts()
    return {
        "strings": len(group.types),
        "conflicting": len(conflicts),
        "mentions": sum(kinds.total() for kinds in group.types.values()),
        "mentions_of_conflicting": sum(kinds.total() for kinds in conflicts.values()),
        "in_minority": sum(map(_minority, conflicts.values())),
    }


def _minority(kinds: Counter[str]) -> int:
    return kinds.total() - max(kinds.values())


def _spell(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in in_order(kinds).items())


def _code_points(word: str) -> str:
    return " ".join(f"U+{ord(character):04X}" for character in word) or "(empty)"


def _count_words(rows: AuditRows) -> int:
    return sum(len(row.tokens) for row in rows)


def _count_rows(bad: Sequence[tuple[AuditRow, int]]) -> int:
    return len({id(row) for row, _ in bad})


def _word_examples(bad: Sequence[tuple[AuditRow, int]]) -> tuple[FindingExample, ...]:
    return first_examples(
        FindingExample((row.id,), f"word {place}: {_code_points(row.tokens[place])} in {row.text}")
        for row, place in bad
    )
