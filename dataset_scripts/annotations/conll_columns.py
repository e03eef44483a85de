"""One word a line, and one column of IOB2 tags for each annotator.

Columns in brackets are only to be looked at. A line without TAB is no word; the annotator sets `# status` to done there:

    # uid = es/O_1
    # status = open
    # columns = word (proposed) ana
    Liam	B-PER	B-PER
    en	O	O
    Bruma	O	B-LOC

Blanks inside words are written as `_`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from dataset_scripts.annotations.sentence import (
    DONE,
    OPEN,
    Faults,
    Sentence,
    Task,
    UnusableError,
    entities_of_tags,
    joined,
    known_status,
    mentions_of,
    one_word,
    tags_of_entities,
)
from reports_2mner.files import write_lines


def read_conll_columns(path: Path, faults: Faults) -> Iterator[Sentence]:
    """Yield a sentence for each sentence and annotator of a file.

    Args:
        path: the file, UTF-8.
        faults: takes the sentences that cannot be read, each with its first wrong line.
    """
    for lines in _blocks(path):
        head: dict[str, str] = {}
        rows: list[list[str]] = []
        first = place = f"{path}:{lines[0][0]}"
        try:
            for number, line in lines:
                place = f"{path}:{number}"
                # A mark of the byte order stands at the start of a file; elsewhere it may be a word.
                _read_line(line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n"), head, rows)
            place = first
            sentences = list(_sentences(head, rows, path.parent.name, place))
        except ValueError as error:
            faults.add(place, error)
        else:
            yield from sentences


def write_conll_tasks(folder: Path, name: str, tasks: Iterable[Task]) -> None:
    """Write tasks as one file, `NAME.conll`."""
    write_lines(folder / f"{name}.conll", (line for task in tasks for line in _lines(task)))


def _blocks(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    """Yield the numbered lines of each sentence; empty lines stand between these."""
    with open(path, "rb") as file:
        for is_sentence, lines in groupby(enumerate(file, start=1), lambda line: bool(line[1].strip())):
            if is_sentence:
                yield list(lines)


def _read_line(line: str, head: dict[str, str], rows: list[list[str]]) -> None:
    """Add a line to the head or the rows of its sentence."""
    if "\t" in line:
        rows.append(line.split("\t"))
        return
    if not line.startswith("# "):
        raise ValueError("neither a comment nor words and tags separated by TAB")
    name, _, value = line[2:].partition("=")
    head[name.strip()] = value.strip()


def _sentences(head: Mapping[str, str], rows: Sequence[Sequence[str]], folder: str, place: str) -> Iterator[Sentence]:
    columns = head.get("columns", "").split()
    if rows and ("uid" not in head or len(columns) < 2 or any(len(row) != len(columns) for row in rows)):
        raise ValueError("the sentence needs `# uid`, `# columns`, and as many columns in each line")
    status = known_status(head.get("status", DONE))
    words, *tags = zip(*rows, strict=True) if rows else ((),)
    text, offsets = joined(words)
    told = Sentence(words, text, offsets, uid=head.get("uid", ""), lang=head.get("lang", ""), status=status)
    flags = tuple(flag.strip() for flag in head.get("flags", "").split(",") if flag.strip())
    told = replace(told, image=head.get("image", ""), flags=flags, round=folder, place=place)
    for annotator, column in zip(columns[1:], tags, strict=False):
        if not annotator.startswith("("):
            yield _tagged(replace(told, annotator=annotator), column)


def _tagged(told: Sentence, tags: tuple[str, ...]) -> Sentence:
    """Return a sentence with the entities of its tags, if it is done."""
    try:
        mentions = mentions_of(entities_of_tags(tags), told.offsets) if told.status == DONE else ()
    except UnusableError as error:
        return replace(told, tags=tags, fault=str(error))
    return replace(told, tags=tags, mentions=mentions)


def _lines(task: Task) -> Iterator[str]:
    told = task.sentence
    columns = {"(proposed)": told.entities, **{f"({name})": found for name, found in task.others.items()}}
    tags = [tags_of_entities(len(told.words), found) for found in (*columns.values(), told.entities)]
    yield f"# uid = {told.uid}"
    for name, value in (("lang", told.lang), ("note", task.note), ("image", told.image)):
        if value:
            yield f"# {name} = {' '.join(value.split())}"
    yield from (f"# status = {OPEN}", "# flags =")
    yield " ".join(["# columns = word", *map(one_word, columns), told.annotator])
    yield from ("\t".join([one_word(word), *row]) for word, *row in zip(told.words, *tags, strict=True))
    yield ""
