"""Project the entities of a sentence onto its translations.

    python -m dataset_scripts.construct project WORK

A translator that is exact (Apertium) says where each entity is. For all others three voices are heard: the marks that
came back (if what is inside is like the entity), the most similar string, and a word aligner; an entity is projected where two
of them agree, and all others wait for people. No entity is lost: it is `projected`, `missing`, `ambiguous` (voices
that disagree, a single one, or parts that do not belong together) or `collided` (with a longer one on the same word).
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.records import Record, Span
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.tools import optional_module
from dataset_scripts.construct.translate import TO_VOTE
from dataset_scripts.construct.words import is_function_word
from reports_2mner.command_line import between, option
from reports_2mner.locks import only_writer

DOUBTS = ("missing", "collided", "ambiguous", "one voice")  # what people see first, in this order
VOICES = ("marker", "fuzzy", "align")
MOST_JOINED = 2  # words between the parts of an entity
COMPOUNDING = ("de",)  # languages that write "a trip to Berlin" as one word, Berlinreise
COMPOUND = "compound"  # the flag of a sentence with such a word
Words = tuple[int, int]  # the first word and the one behind the last
KINDS = {"fast_align": "FastAlignModel", "hmm": "HmmAlignmentModel", "eflomal": "EflomalAlignmentModel"}
ALIGNERS = (*KINDS, "none")
ROUNDS = 5
MOST_PAIRS = 200_000  # to learn from: more need more memory and change little
MODELS_AT_ONCE = 8


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
    manifest = work.manifest("translate")
    if manifest is None:
        raise ValueError(f"`project` needs translations, and {work.folder} holds none; run `translate` first.")
    notes = manifest["counts"]["notes"]
    voted = sorted(name.removesuffix(TO_VOTE) for name in notes if name.endswith(TO_VOTE))
    languages = [] if settings.aligner == "none" else voted
    folder = work.folder / ".aligner"
    with only_writer(folder, "WORK"):
        try:
            for lang in languages:
                pairs = (
                    (parent.tokens, child.tokens)
                    for parent, child in _pairs(work.records("project"))
                    if parent and child.lang == lang
                )
                train_aligner(settings.aligner, pairs, folder / lang)
            function = partial(project_part, settings=settings, aligners=folder if languages else None)
            return work.map_records("project", function, settings, settings.aligner if languages else "", engine)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def project_part(
    records: Iterator[Record], counts: Counts, settings: Settings, aligners: Path | None
) -> Iterator[Record]:
    """Yield all records; translations get their spans."""
    for parent, record in _pairs(records):
        if parent is None:
            yield record
            continue
        aligned: Sequence[Words] = ()
        if aligners and not record.more["translation"]["exact"]:
            aligned = align_words(settings.aligner, aligners / record.lang, parent.tokens, record.tokens)
        projected = project(parent, record, settings, aligned)
        counts.notes.update(f"{record.lang}: entities {span.status}" for span in projected.spans)
        yield projected


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


def project(parent: Record, record: Record, settings: Settings, aligned: Sequence[Words] = ()) -> Record:
    """Return a translation with the entities of its source.

    The translation has the key `translation` of the stage `translate`. `aligned` are pairs of words that belong together:
    of the source and of the translation.
    """
    exact = record.more["translation"]["exact"]
    votes = [find_votes(parent, record, n, settings, aligned) for n in range(len(parent.labels))]
    spans = [
        _decide(vote, source.type, n, exact) for n, (vote, source) in enumerate(zip(votes, parent.labels, strict=True))
    ]
    compounds = [n for n, span in enumerate(spans) if _is_compound(parent, record, span)]
    for n in compounds:
        spans[n] = replace(spans[n], status="ambiguous")
    record = replace(
        record,
        spans=tuple(_without_collisions(spans)),
        flags=(*record.flags, COMPOUND) if compounds else record.flags,
        more={**record.more, "votes": [{"entity": n, **vote} for n, vote in enumerate(votes)]},
    )
    kept = () if settings.translate_names else settings.keep
    # From the last name to the first, so that the words before it stay where they are.
    for span in sorted(record.spans, key=lambda span: -span.start):
        if span.is_label and span.type in kept:
            record = _with_name(record, span, parent)
    return record.step("project", method="exact" if exact else "votes")


def find_votes(
    parent: Record, record: Record, number: int, settings: Settings, aligned: Sequence[Words] = ()
) -> dict[str, Words]:
    """Return the words that each voice gives to an entity; `split` if its parts do not belong together."""
    source, translation = parent.labels[number], record.more["translation"]
    known = [parent.words(source), translation["alone"][number]]
    parts = sorted(words for place in translation["places"][number] if (words := words_at(record, *place)))
    whole = (parts[0][0], max(end for _, end in parts)) if parts else None
    votes: dict[str, Words] = {}
    if whole and _belong_together(parts, record, parent.tokens[source.start : source.end]):
        marked = trim(whole, record, parent, source)
        if translation["exact"] or _likeness(record, marked, known) >= settings.similarity:
            votes["marker"] = marked
    elif whole and translation["exact"]:
        votes["split"] = whole
    if translation["exact"]:
        return votes
    if similar := _most_similar(parent, record, source, known, settings.similarity):
        votes["fuzzy"] = trim(similar, record, parent, source)
    if targets := [target for word, target in aligned if source.start <= word < source.end]:
        votes["align"] = trim((min(targets), max(targets) + 1), record, parent, source)
    return votes


def _decide(votes: dict[str, Words], kind: str, number: int, exact: bool) -> Span:
    """Return the entity with its words, who set them, the share of voices and the status."""
    if not votes:
        return Span(0, 0, kind, "project:none", number, 0.0, "missing")
    if exact:
        [(name, words)] = votes.items()
        score, status = (1.0, "projected") if name == "marker" else (0.5, "ambiguous")
        return Span(*words, kind, "project:exact", number, score, status)
    (words, agreed), *_ = Counter(votes.values()).most_common(1)  # of equal numbers the earlier voice
    by = "+".join(name for name in votes if votes[name] == words)
    status = "projected" if agreed > 1 else "ambiguous"
    return Span(*words, kind, f"project:{by}", number, round(agreed / len(VOICES), 2), status)


def _is_compound(parent: Record, record: Record, span: Span) -> bool:
    """Return whether an entity was found as a part of a word: three letters more are no inflection."""
    if record.lang not in COMPOUNDING or span.start == span.end or span.parent is None:
        return False
    known = (parent.words(parent.labels[span.parent]), record.more["translation"]["alone"][span.parent])
    names = "|".join(re.escape(string) for string in known if string)
    return bool(re.fullmatch(rf"(?:{names})\S{{3,}}|\S{{3,}}(?:{names})", record.words(span), re.IGNORECASE))


def _without_collisions(spans: Sequence[Span]) -> list[Span]:
    """Let one entity keep each word: a projected one before others, a longer one before shorter ones."""
    taken: set[int] = set()
    status: dict[int, str | None] = {}
    for n, span in sorted(enumerate(spans), key=lambda pair: (not pair[1].is_label, pair[1].start - pair[1].end)):
        words = set(range(span.start, span.end))
        status[n] = "collided" if words & taken else span.status
        taken |= words
    return [replace(span, status=status[n]) for n, span in enumerate(spans)]


def _with_name(record: Record, span: Span, parent: Record) -> Record:
    """Put the source's string in the place of an entity; all spans and votes move along."""
    source = parent.labels[span.parent or 0]
    (start, _), (_, end) = record.offsets[span.start], record.offsets[span.end - 1]
    name, origin = parent.words(source), parent.offsets[source.start][0]
    pieces = [(start + a - origin, start + b - origin) for a, b in parent.offsets[source.start : source.end]]
    longer, more_words = len(name) - (end - start), len(pieces) - (span.end - span.start)
    behind = [(a + longer, b + longer) for a, b in record.offsets[span.end :]]

    def moved(first: int, last: int) -> Words:
        """Return where words are now; those inside the entity have become all of its words."""
        first = span.start if span.start < first < span.end else first
        last = span.end if span.start < last < span.end else last
        return first + more_words * (first >= span.end), last + more_words * (last >= span.end)

    spans = []
    for other in record.spans:
        first, last = moved(other.start, other.end)
        spans.append(replace(other, start=first, end=last))
    votes = [{name: v if name == "entity" else moved(*v) for name, v in vote.items()} for vote in record.more["votes"]]
    return replace(
        record,
        text=record.text[:start] + name + record.text[end:],
        tokens=(*record.tokens[: span.start], *parent.tokens[source.start : source.end], *record.tokens[span.end :]),
        offsets=(*record.offsets[: span.start], *pieces, *behind),
        spans=tuple(spans),
        more={**record.more, "votes": votes},
    )


def _likeness(record: Record, words: Words, known: Sequence[str]) -> float:
    """Return the normalised similarity of Levenshtein to the most similar string, without regard to case."""
    levenshtein = optional_module("rapidfuzz.distance", "rapidfuzz", "Projecting").Levenshtein
    found = record.text[record.offsets[words[0]][0] : record.offsets[words[1] - 1][1]].lower()
    return max(levenshtein.normalized_similarity(found, string.lower()) for string in known)


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


def _belong_together(parts: Sequence[Words], record: Record, names: Sequence[str]) -> bool:
    """Return whether only a few function words, or words of the entity itself, stand between its parts.

    Apertium's blanks do not hold a hyphen or an apostrophe that is a word of its own, as in "Jay - Z".
    """
    own = {word.lower().replace("’", "'") for word in names}
    gaps = [record.tokens[end:start] for (_, end), (start, _) in pairwise(parts)]
    return all(
        len(gap) <= MOST_JOINED and all(is_function_word(word, record.lang) or word.lower() in own for word in gap)
        for gap in gaps
    )


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
    scored = [(_likeness(record, words, known), words) for words in windows]
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


def train_aligner(kind: str, pairs: Iterable[tuple[Sequence[str], Sequence[str]]], folder: Path) -> None:
    """Learn from pairs of sentences, in both directions, and write two models into a folder.

    `kind` is one of `KINDS`; of the pairs, words of a sentence and of its translation, the first `MOST_PAIRS` are used.
    """
    forth, back = _new(kind), _new(kind)
    for source, target in islice(pairs, MOST_PAIRS):
        forth.add_sentence_pair(_lower(source), _lower(target))
        back.add_sentence_pair(_lower(target), _lower(source))
    folder.mkdir(parents=True, exist_ok=True)
    for model, name in ((forth, "forth"), (back, "back")):
        model.start_training()
        for _ in range(ROUNDS):
            model.train()
        model.end_training()
        model.print(str(folder / name))


def align_words(kind: str, folder: Path, source: Sequence[str], target: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs of positions, in the source and in the target, of words that belong together."""
    _, matrix = _load(kind, folder).get_best_alignment(_lower(source), _lower(target))
    rows, columns = matrix.to_numpy().nonzero()
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


@lru_cache(MODELS_AT_ONCE)
def _load(kind: str, folder: Path) -> Any:
    forth, back = _new(kind), _new(kind)
    if not (forth.load(str(folder / "forth")) and back.load(str(folder / "back"))):
        raise RuntimeError(f"The aligner's models in {folder} cannot be read")
    aligner = _thot().SymmetrizedAligner(forth, back)
    aligner.heuristic = _thot().SymmetrizationHeuristic.GROW_DIAG_FINAL_AND
    return aligner


def _new(kind: str) -> Any:
    return getattr(_thot(), KINDS[kind])()


def _thot() -> Any:
    return optional_module("thot.alignment", "sil-thot", "`aligner` (all but `none`)")


def _lower(words: Sequence[str]) -> list[str]:
    return [word.lower() for word in words]
