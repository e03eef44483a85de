"""Measure which voices project entities rightly, against Apertium's word-bound blanks, which are sure.

    python benchmarks/projection.py --mmnerd MMNERD --to es

Each entity of the tweets is marked twice in one stream: by a word-bound blank, which moves with its words, and by tags,
which do not, as in networks that misplace them. The table says of every voice, and of two that agree, how much of what
they say is right (P), how many entities they find (R), and how many they are silent on.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_lowercase
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataclasses import replace

from dataset_scripts.construct.marks import MarkedText, Translation, from_blanks, from_tags, to_blanks
from dataset_scripts.construct.project import (
    KINDS,
    Settings,
    Words,
    align_words,
    find_votes,
    train_aligner,
    trim,
    words_at,
)
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.sources import released_records, source_files
from dataset_scripts.construct.stages import Counts
from dataset_scripts.construct.translate import Apertium
from dataset_scripts.construct.words import split_words
from reports_2mner.command_line import at_least, exit_on_error, make_parser
from reports_2mner.tables import Table

Case = tuple[Record, Record, list[Words]]  # a sentence, its translation, and the words of each entity


@exit_on_error()
def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    options = read_command_line(arguments)
    cases, extra = make_cases(options.mmnerd, options.to, options.captions)
    print(f"{len(cases):,} tweets into {options.to}, {sum(len(truth) for _, _, truth in cases):,} entities.\n")
    wrong, right, refused_wrong, refused_right = check_of_marks(cases)
    print(
        f"Marks on the wrong words: {wrong:,}; the check refuses {refused_wrong:,} of them "
        f"({refused_wrong / wrong:.1%}), and {refused_right:,} of {right:,} right ones ({refused_right / right:.1%}).\n"
    )
    print(Table(["voices", "P", "R", "silent"], list(voices(cases, extra, options.aligners))).markdown())


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python benchmarks/projection.py", __doc__)
    parser.add_argument("--mmnerd", type=Path, required=True, help="folder with the released English files")
    parser.add_argument("--to", default="es", help="language (default: %(default)s)")
    parser.add_argument("--aligners", nargs="+", choices=list(KINDS), default=list(KINDS), help="default: all")
    parser.add_argument(
        "--captions", type=at_least(0), default=0, help="captions from which the aligners learn, too (default: none)"
    )
    return parser.parse_args(arguments)


def make_cases(mmnerd: Path, lang: str, captions: int) -> tuple[list[Case], list[tuple[Sequence[str], Sequence[str]]]]:
    """Translate the tweets, and captions as pairs of words."""
    files, apertium = source_files(mmnerd, ("en",)), Apertium()
    tweets = list(released_records(files, Counts(), "mmnerd", "twitter2017"))
    marked = [_marked(record) for record in tweets]
    outputs = apertium.translate([_doubly_marked(each) for each in marked], "en", lang)
    names = sorted({record.words(span) for record in tweets for span in record.labels})
    alone = dict(zip(names, _plain(names, apertium, lang), strict=True))
    cases = [
        case
        for record, each, output in zip(tweets, marked, outputs, strict=True)
        if (case := _case(record, each, output.text, lang, alone))
    ]
    others = list(released_records(files, Counts(), "mmnerd", "cc12m"))[:captions]
    translated = _plain([record.text for record in others], apertium, lang)
    return cases, [(a.tokens, split_words(b, lang)[0]) for a, b in zip(others, translated, strict=True)]


def _marked(record: Record) -> MarkedText:
    return MarkedText(record.text, tuple(_place(record, span.start, span.end) for span in record.labels))


def _place(record: Record, start: int, end: int) -> Words:
    return record.offsets[start][0], record.offsets[end - 1][1]


def _doubly_marked(marked: MarkedText) -> str:
    """Return the stream with word-bound blanks, each between two ordinary blanks that hold a tag."""
    stream = to_blanks(marked)
    for number, letter in enumerate(ascii_lowercase[: len(marked.spans)]):
        blank = rf"(\[\[t:b:e{number}\]\](?:\\.|[^\\\[])*\[\[/\]\])"
        stream = re.sub(blank, rf"[\\<{letter}\\>]\1[\\<\\/{letter}\\>]", stream)
    return stream


def _plain(texts: Sequence[str], apertium: Apertium, lang: str) -> list[str]:
    marked = [MarkedText(text) for text in texts]
    outputs = apertium.translate([to_blanks(each) for each in marked], "en", lang)
    return [from_blanks(output.text, each).text for output, each in zip(outputs, marked, strict=True)]


def _case(record: Record, marked: MarkedText, output: str, lang: str, alone: dict[str, str]) -> Case | None:
    """Read the output twice: as word-bound blanks, for the truth, and as tags."""
    sure = from_blanks(output, marked)
    tags = re.sub(r"\[\[[^\]]*\]\]", "", output)
    tags = re.sub(r"\[(?:\\<(\\/)?([a-z])\\>)?\]", lambda m: f"<{'/' * bool(m[1])}{m[2]}>" if m[2] else "", tags)
    told: Translation = from_tags(re.sub(r"\\(.)", r"\1", tags), marked)
    tokens, offsets = split_words(sure.text, lang)
    if told.text != sure.text or not tokens or not record.labels:
        return None
    names = [alone[record.words(span)] for span in record.labels]
    more = {"translation": {"exact": False, "places": told.places, "alone": names}}
    child = replace(
        record, uid=f"{lang}/", lang=lang, text=sure.text, tokens=tokens, offsets=offsets, spans=(), more=more
    )
    truth = []
    for span, places in zip(record.labels, sure.places, strict=True):
        words = words_at(child, min(places)[0], max(end for _, end in places)) if places else None
        truth.append(trim(words, child, record, span) if words else (0, 0))
    return record, child, truth


def check_of_marks(cases: Sequence[Case]) -> tuple[int, int, int, int]:
    """Return the marks on wrong and right words, and how many of each the check refuses."""
    counts = [0, 0, 0, 0]
    for parent, child, truth in cases:
        for number, words in enumerate(truth):
            told = find_votes(parent, child, number, Settings(similarity=0.0)).get("marker")
            checked = find_votes(parent, child, number, Settings()).get("marker")
            if told is not None:
                counts[told == words] += 1
                counts[2 + (told == words)] += checked is None
    return counts[0], counts[1], counts[2], counts[3]


def voices(
    cases: Sequence[Case], extra: Sequence[tuple[Sequence[str], Sequence[str]]], aligners: Sequence[str]
) -> Iterator[list[object]]:
    """Yield a row for each voice, and for each two."""
    answers = {"marks, unchecked": _answers(cases, "marker", Settings(similarity=0.0))}
    answers |= {"marks, checked": _answers(cases, "marker"), "fuzzy": _answers(cases, "fuzzy")}
    for kind in aligners:
        answers[kind] = _aligned(cases, extra, kind)
    truth = [words for _, _, truth in cases for words in truth]
    for name, found in answers.items():
        yield _row(name, found, truth)
    for kind in aligners:
        three = [answers["marks, checked"], answers["fuzzy"], answers[kind]]
        for first, second in ((0, 1), (0, 2), (1, 2)):
            names = ("marks, checked", "fuzzy", kind)
            if kind == aligners[0] or second == 2:
                both = [a if a == b else None for a, b in zip(three[first], three[second], strict=True)]
                yield _row(f"{names[first]} and {names[second]}", both, truth)
        two = [next((a for a in said if a and said.count(a) > 1), None) for said in zip(*three, strict=True)]
        yield _row(f"any two of marks, fuzzy, {kind}", two, truth)


def _answers(cases: Sequence[Case], voice: str, settings: Settings | None = None) -> list[Words | None]:
    chosen = settings or Settings()
    return [
        find_votes(parent, child, number, chosen).get(voice)
        for parent, child, truth in cases
        for number in range(len(truth))
    ]


def _aligned(
    cases: Sequence[Case], extra: Sequence[tuple[Sequence[str], Sequence[str]]], kind: str
) -> list[Words | None]:
    found: list[Words | None] = []
    with TemporaryDirectory() as folder:
        pairs = [(parent.tokens, child.tokens) for parent, child, _ in cases]
        train_aligner(kind, [*pairs, *extra], Path(folder))
        for parent, child, truth in cases:
            pairs_of_words = align_words(kind, Path(folder), parent.tokens, child.tokens)
            for number in range(len(truth)):
                found.append(find_votes(parent, child, number, Settings(), pairs_of_words).get("align"))
    return found


def _row(name: str, found: Sequence[Words | None], truth: Sequence[Words]) -> list[object]:
    said = sum(words is not None for words in found)
    right = sum(words == sure for words, sure in zip(found, truth, strict=True))
    silent = len(truth) - said
    return [name, f"{right / said:.3f}", f"{right / len(truth):.3f}", f"{silent / len(truth):.3f}"]


if __name__ == "__main__":
    main()
