"""Project the entities of a sentence onto its translations.

    python -m dataset_scripts.construct project WORK

A translator that is exact (Apertium) says where each entity is. For all others three voices are heard: the marks that
came back (if what is inside is like the entity), the most similar string, and a word aligner; an entity is projected where two
of them agree, and all others wait for people. No entity is lost: it is `projected`, `missing`, `ambiguous` (voices
that disagree, a single one, or parts that do not belong together) or `collided` (with a longer one on the same word).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.aligner import ALIGNERS, align_words, train_aligner
from dataset_scripts.construct.records import Record, Span
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.translate import TO_VOTE
from dataset_scripts.construct.words import is_function_word
from reports_2mner.command_line import between, option

DOUBTS = ("missing", "collided", "ambiguous", "one voice")  # what people see first, in this order
VOICES = ("marker", "fuzzy", "align")
MOST_JOINED = 2  # function words between the parts of an entity
Words = tuple[int, int]  # the first word and the one behind the last


@dataclass(frozen=True)
class Settings:
    """How to project."""

    similarity: float = option(
        0.75, "how similar an entity must be to its source, or to its translation alone", type=between(0.0, 1.0)
    )
    keep: tuple[str, ...] = option(("PER",), "types whose entities keep their string of the source", metavar="TYPE")
    translate_names: bool = option(False, "keep the string of no type")
    aligner: str = option("fast_align", "the third voice, where the translator is not exact", choices=ALIGNERS)


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write all records, translations with their entities."""
    folder = work.folder / ".aligner"
    manifest = work.manifest("translate")
    if manifest is None:
        raise ValueError(f"`project` needs translations, and {work.folder} holds none; run `translate` first.")
    notes = manifest["counts"]["notes"]
    voted = sorted(name.removesuffix(TO_VOTE) for name in notes if name.endswith(TO_VOTE))
    languages = [] if settings.aligner == "none" else voted
    for lang in languages:
        pairs = ((parent.tokens, child.tokens) for parent, child in _inexact(work, lang))
        train_aligner(settings.aligner, pairs, folder / lang)
    try:
        function = partial(project_part, settings=settings, aligners=folder if languages else None)
        return work.map_records(
            "project", function, settings, " ".join([settings.aligner] if languages else []), engine
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _inexact(work: Work, lang: str) -> Iterator[tuple[Record, Record]]:
    """Yield pairs of sentence and translation whose translator is not exact."""
    for parent, child in _pairs(work.records("project")):
        if parent and child.lang == lang and not child.more["translation"]["exact"]:
            yield parent, child


def _pairs(records: Iterator[Record]) -> Iterator[tuple[Record | None, Record]]:
    """Yield each record behind its parent; None for one that is no translation."""
    parent: Record | None = None
    for record in records:
        if "translation" not in record.more:
            parent = record
            yield None, record
        elif parent is None or record.parent is None or record.parent["uid"] != parent.uid:
            raise ValueError(f"The translation {record.uid} does not stand behind its source; run `translate` again.")
        else:
            yield parent, record


def project_part(
    records: Iterator[Record], counts: Counts, settings: Settings, aligners: Path | None
) -> Iterator[Record]:
    """Yield all records; translations get their spans."""
    for parent, record in _pairs(records):
        if parent is None:
            yield record
            continue
        aligned = _aligned(parent, record, settings, aligners)
        projected = project(parent, record, settings, aligned)
        for span in projected.spans:
            counts.notes[f"{record.lang}: entities {span.status}"] += 1
        yield projected


def _aligned(parent: Record, record: Record, settings: Settings, aligners: Path | None) -> Sequence[Words] | None:
    if aligners is None or record.more["translation"]["exact"]:
        return None
    return align_words(settings.aligner, aligners / record.lang, parent.tokens, record.tokens)


def project(
    parent: Record, record: Record, settings: Settings, aligned: Sequence[tuple[int, int]] | None = None
) -> Record:
    """Return a translation with the entities of its source.

    Args:
        parent: the source.
        record: the translation, with the key `translation` of the stage `translate`.
        settings: see there.
        aligned: pairs of words, of the source and of the translation, that belong together; None without an aligner.
    """
    exact = record.more["translation"]["exact"]
    votes = [find_votes(parent, record, n, settings, aligned) for n in range(len(parent.labels))]
    decided = [_decide(vote, exact) for vote in votes]
    spans = [
        Span(*(words or (0, 0)), source.type, f"project:{by}", n, score, status)
        for n, (source, (words, by, score, status)) in enumerate(zip(parent.labels, decided, strict=True))
    ]
    spans = _without_collisions(spans)
    written = [{"entity": n, **vote} for n, vote in enumerate(votes)]
    record = replace(record, spans=tuple(spans), more={**record.more, "votes": written})
    kept = () if settings.translate_names else settings.keep
    return _with_names(parent, record, kept).step("project", method="exact" if exact else "votes")


def find_votes(
    parent: Record, record: Record, number: int, settings: Settings, aligned: Sequence[tuple[int, int]] | None
) -> dict[str, Words]:
    """Return the words that each voice gives to an entity; `split` if its parts do not belong together."""
    source, translation = parent.labels[number], record.more["translation"]
    known = [parent.words(source), translation["alone"][number]]
    votes: dict[str, Words] = {}
    parts = [words_at(record, *place) for place in translation["places"][number]]
    if marked := _joined([part for part in parts if part], record):
        marked = trim(marked, record, parent, source)
        alike = max(similarity(_string(record, marked), string) for string in known)
        if translation["exact"] or alike >= settings.similarity:
            votes["marker"] = marked
    elif translation["exact"] and any(parts):
        found = [part for part in parts if part]
        votes["split"] = min(found)[0], max(part[1] for part in found)
    if not translation["exact"]:
        if found_words := _most_similar(parent, record, source, known, settings.similarity):
            votes["fuzzy"] = trim(found_words, record, parent, source)
        targets = [target for word, target in aligned or () if source.start <= word < source.end]
        if targets:
            votes["align"] = trim((min(targets), max(targets) + 1), record, parent, source)
    return votes


def _decide(votes: dict[str, Words], exact: bool) -> tuple[Words | None, str, float, str]:
    """Return the words, who set them, the share of voices and the status."""
    if not votes:
        return None, "none", 0.0, "missing"
    if exact:
        [(name, words)] = votes.items()
        return (words, "exact", 1.0, "projected") if name == "marker" else (words, "exact", 0.5, "ambiguous")
    (words, number), *_ = Counter(votes.values()).most_common(1)  # of equal numbers the earlier voice
    by = "+".join(name for name in votes if votes[name] == words)
    return words, by, round(number / len(VOICES), 2), "projected" if number > 1 else "ambiguous"


def _without_collisions(spans: Sequence[Span]) -> list[Span]:
    """Let one entity keep each word: a projected one before others, a longer one before shorter ones."""
    taken: set[int] = set()
    status: dict[int, str | None] = {}
    for n, span in sorted(enumerate(spans), key=lambda pair: (not pair[1].is_label, pair[1].start - pair[1].end)):
        words = set(range(span.start, span.end))
        status[n] = "collided" if words & taken else span.status
        taken |= words
    return [replace(span, status=status[n]) for n, span in enumerate(spans)]


def _with_names(parent: Record, record: Record, kept: Sequence[str]) -> Record:
    """Put the source's strings in the places of projected entities of some types; spans and votes move along."""
    names = {span.start: span for span in record.spans if span.is_label and span.type in kept}
    text, word = "", 0
    tokens: list[str] = []
    offsets: list[Words] = []
    place: dict[int, Words] = {}  # of each old word, the first and the last of the words that stand there now
    while word < len(record.tokens):
        start, end = record.offsets[word]
        text += record.text[record.offsets[word - 1][1] if word else 0 : start]
        pieces, name, old = [(0, end - start)], record.tokens[word], range(word, word + 1)
        if (span := names.get(word)) and span.parent is not None:
            source = parent.labels[span.parent]
            origin = parent.offsets[source.start][0]
            pieces = [(a - origin, b - origin) for a, b in parent.offsets[source.start : source.end]]
            name, old = parent.words(source), range(word, span.end)
        place |= dict.fromkeys(old, (len(tokens), len(tokens) + len(pieces)))
        offsets += [(len(text) + a, len(text) + b) for a, b in pieces]
        tokens += [name[a:b] for a, b in pieces]
        text += name
        word = old.stop
    text += record.text[record.offsets[-1][1] :]

    def now(start: int, end: int) -> Words:
        return (place[start][0], place[end - 1][1]) if start < end else (0, 0)

    moved = [(span, now(span.start, span.end)) for span in record.spans]
    spans = tuple(replace(span, start=start, end=end) for span, (start, end) in moved)
    votes = [{name: now(*v) if name != "entity" else v for name, v in vote.items()} for vote in record.more["votes"]]
    more = {**record.more, "votes": votes}
    return replace(record, text=text, tokens=tuple(tokens), offsets=tuple(offsets), spans=spans, more=more)


def similarity(first: str, second: str) -> float:
    """Return the normalised similarity of Levenshtein of two strings, without regard to case."""
    distance = _library().distance.Levenshtein
    return float(distance.normalized_similarity(first.lower(), second.lower()))


def doubt(record: Record) -> int | None:
    """Return the place in `DOUBTS` of the gravest doubt about a record's entities; None if there is none."""
    votes = record.more.get("votes", [])
    found = []
    for span in record.spans:
        if span.status == "ambiguous" and votes and span.parent is not None:
            voices = set(votes[span.parent]) & set(VOICES)
            found.append(DOUBTS.index("one voice" if len(voices) == 1 else "ambiguous"))
        elif span.status in DOUBTS:
            found.append(DOUBTS.index(span.status))
    return min(found, default=None)


def words_at(record: Record, start: int, end: int) -> Words | None:
    """Return the words that a place touches."""
    touched = [n for n, (a, b) in enumerate(record.offsets) if a < end and start < b]
    return (touched[0], touched[-1] + 1) if touched else None


def _joined(parts: Sequence[Words], record: Record) -> Words | None:
    """Join the parts of an entity if only a few function words stand between them."""
    ordered = sorted(parts)
    for (_, end), (start, _) in pairwise(ordered):
        between_them = record.tokens[end:start]
        if len(between_them) > MOST_JOINED or not all(is_function_word(word, record.lang) for word in between_them):
            return None
    return (ordered[0][0], max(end for _, end in ordered)) if ordered else None


def trim(words: Words, record: Record, parent: Record, source: Span) -> Words:
    """Cut function words off the edges, unless the entity has such words there itself."""
    start, end = words
    if not is_function_word(parent.tokens[source.start], parent.lang):
        while start < end and is_function_word(record.tokens[start], record.lang):
            start += 1
    if not is_function_word(parent.tokens[source.end - 1], parent.lang):
        while start < end and is_function_word(record.tokens[end - 1], record.lang):
            end -= 1
    return (start, end) if start < end else words


def _most_similar(parent: Record, record: Record, source: Span, known: Sequence[str], least: float) -> Words | None:
    """Return the words most like an entity, or None if none are, or a string occurs another number of times."""
    lengths = {len(string.split()) for string in known if string}
    sizes = {size for length in lengths for size in (length - 1, length, length + 1) if size > 0}
    windows = [(n, n + size) for size in sizes for n in range(len(record.tokens) - size + 1)]
    scored = [(max(similarity(_string(record, words), string) for string in known), words) for words in windows]
    best = max((score for score, _ in scored), default=0.0)
    if best < least:
        return None
    longest = max(end - start for score, (start, end) in scored if score == best)
    found = sorted(words for score, words in scored if score == best and words[1] - words[0] == longest)
    same = [span for span in parent.labels if parent.words(span).lower() == parent.words(source).lower()]
    if len(found) == len(same):
        return found[same.index(source)]
    if len(same) > 1:
        return None
    share = source.start / len(parent.tokens)
    return min(found, key=lambda words: abs(words[0] / len(record.tokens) - share))


def _string(record: Record, words: Words) -> str:
    return record.text[record.offsets[words[0]][0] : record.offsets[words[1] - 1][1]]


@lru_cache
def _library() -> Any:
    try:
        import rapidfuzz
        import rapidfuzz.distance
    except ImportError as error:
        raise ValueError("Projecting needs rapidfuzz; install it with pip install -e '.[construct]'.") from error
    return rapidfuzz
