"""Lines of JSON, one sentence each; the form to which all others can be converted.

    {"tokens": ["Ana", "en", "Bruma"], "ner_tags": ["B-PER", "O", "B-LOC"], "image": "O_1.jpg"}
    {"text": "Ana en Bruma", "entities": [{"start": 0, "end": 3, "label": "PER"}], "lang": "es"}

`entities` count code points of `text`. A task for an annotator has `spans`, counted in words, and a `status`: the
annotator corrects the spans and sets the status to done.

    {"uid": "es/O_1", "lang": "es", "text": "Ana en Bruma", "tokens": ["Ana", "en", "Bruma"], "image": "O_1.jpg",
     "note": "", "annotator": "ana", "status": "open", "flags": [], "spans": [{"start": 0, "end": 1, "type": "PER"}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.sentence import (
    DONE,
    OPEN,
    Entity,
    Faults,
    Mention,
    Offsets,
    Sentence,
    Splitter,
    Task,
    UnusableError,
    entities_of_tags,
    joined,
    known_status,
    located,
    mentions_of,
)
from reports_2mner.files import write_lines


def read_jsonl(
    path: Path, faults: Faults, split: Splitter | None = None, columns: KeyNames | None = None
) -> Iterator[Sentence]:
    """Yield the sentence of each line.

    Args:
        path: the file, UTF-8.
        faults: takes the lines that hold no sentence.
        split: splits the `text` of lines without `tokens` into words; without it these are faults.
        columns: names of keys by those above, where they differ.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                place = f"{path}:{number}"
                try:
                    values = renamed_keys(json.loads(line.decode("utf-8-sig")), columns)
                    sentence = sentence_of(values, split, path.parent.name, place)
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    faults.add(place, error)
                else:
                    yield sentence


def write_jsonl_tasks(folder: Path, name: str, tasks: Iterable[Task]) -> None:
    """Write tasks as one file, `NAME.jsonl`."""
    write_lines(folder / f"{name}.jsonl", (_dumped(_task(task)) for task in tasks))


def write_jsonl(path: Path, sentences: Iterable[Sentence]) -> None:
    """Write sentences as they are, with `entities` in code points."""
    write_lines(path, (_dumped(_plain(sentence)) for sentence in sentences))


def _dumped(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)


def _task(task: Task) -> dict[str, Any]:
    told = task.sentence
    values: dict[str, Any] = {"uid": told.uid, "lang": told.lang, "text": told.text, "tokens": told.words}
    values |= {"image": told.image, "note": task.note, "annotator": told.annotator, "status": OPEN, "flags": []}
    values |= {"others": {name: _spans(found) for name, found in task.others.items()}} if task.others else {}
    return values | {"spans": _spans(told.entities)}


def _spans(entities: Iterable[Entity]) -> list[dict[str, Any]]:
    return [{"start": start, "end": end, "type": kind} for start, end, kind in entities]


def _plain(told: Sentence) -> dict[str, Any]:
    names = ("uid", "lang", "image", "annotator", "status", "flags", "round", "fault")
    entities = [{"start": place.start, "end": place.end, "label": place.type} for place in told.mentions]
    values = {"text": told.text, "tokens": told.words, "entities": entities}
    return values | {name: value for name in names if (value := getattr(told, name))}


class KeyNames(dict[str, str]):
    """Names of keys by ours, which remembers the keys of all objects that it was used for.

    Attributes:
        seen: the keys, in the order of their first object.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(names)
        self.seen: dict[str, None] = {}

    def check(self, source: Path) -> None:
        """Raise ValueError for a name that no object had; it would be as if it had not been given."""
        if unknown := [theirs for theirs in self.values() if self.seen and theirs not in self.seen]:
            raise ValueError(
                f"`columns` names {unknown[0]!r}, which no sentence of `source` {source} has; they have "
                f"{', '.join(self.seen)}."
            )


def renamed_keys(values: Any, columns: KeyNames | None) -> Any:
    """Return an object with our names of keys; `columns` has those of the object by ours."""
    if not columns or not isinstance(values, dict):
        return values
    columns.seen |= dict.fromkeys(values)
    others = {name: value for name, value in values.items() if name not in columns}
    return others | {ours: values[theirs] for ours, theirs in columns.items() if theirs in values}


def sentence_of(values: Any, split: Splitter | None, folder: str, place: str) -> Sentence:
    """Return the sentence of one line; ValueError, KeyError or TypeError for one that holds none."""
    if not isinstance(values, dict):
        raise ValueError(f"a sentence is an object in braces, got {type(values).__name__}")
    lang, fault = _text(values, "lang"), _text(values, "fault")
    words, text, offsets = _words(values, lang, split)
    status, tags = known_status(values.get("status", DONE)), _tags(values, len(words))
    mentions: tuple[Mention, ...] = ()
    try:
        mentions = _mentions(values, tags, offsets) if status == DONE and not fault else ()
    except UnusableError as error:
        fault = str(error)
    return Sentence(
        words,
        text,
        offsets,
        mentions,
        tags,
        uid=_text(values, "uid"),
        lang=lang,
        image=_text(values, "image") or _text(values, "file_name"),
        annotator=_text(values, "annotator").strip(),
        status=status,
        flags=tuple(values.get("flags") or ()),
        round=_text(values, "round") or folder,
        fault=fault,
        place=place,
        part=_text(values, "split"),
    ).checked()


def _text(values: Mapping[str, Any], name: str) -> str:
    """Return a text, "" if there is none."""
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"`{name}` must be text, got {value!r}")
    return value or ""


def _words(values: Mapping[str, Any], lang: str, split: Splitter | None) -> tuple[tuple[str, ...], str, Offsets]:
    """Return the words, the text and the place of each word in it."""
    words, text = values.get("tokens"), _text(values, "text")
    text.encode()  # raises UnicodeEncodeError, a ValueError, for half of a surrogate pair
    if words is None and split and "text" in values:
        found, places = split(text, lang)
        if not found:
            raise ValueError("the `text` has no words")
        return tuple(found), text, tuple((start, end) for start, end in places)
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
        raise ValueError(
            "`tokens` must be a list of words, none of them empty" + (", or give `text`" if split else "")
        )
    offsets = located(words, text) if text else None
    if offsets is None and text and "entities" in values:
        raise ValueError("`tokens` are not the words of `text`, in which `entities` are counted")
    text, offsets = (text, offsets) if offsets else joined(words)
    text.encode()
    return tuple(words), text, offsets


def _tags(values: Mapping[str, Any], length: int) -> tuple[str, ...]:
    tags = values.get("ner_tags")
    if tags is None:
        return ()
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError("`ner_tags` must be a list of names such as B-PER")
    if len(tags) != length:
        raise ValueError(f"there are {length} `tokens` and {len(tags)} `ner_tags`")
    return tuple(tags)


def _mentions(values: Mapping[str, Any], tags: tuple[str, ...], offsets: Offsets) -> tuple[Mention, ...]:
    if "entities" in values:
        return tuple(Mention(*_borders(found), _type(found, "label")) for found in _objects(values, "entities"))
    if "spans" in values:
        spans = _objects(values, "spans")
        return mentions_of(((*_borders(found), _type(found, "type")) for found in spans), offsets)
    if "ner_tags" in values:
        return mentions_of(entities_of_tags(tags), offsets)
    raise ValueError("there are no `entities`, `spans` or `ner_tags`")


def _objects(values: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return a list of objects; ValueError for anything else."""
    found = values[name]
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        kind = "label" if name == "entities" else "type"
        raise ValueError(f"`{name}` must be a list of objects with `start`, `end` and `{kind}` ([] for none)")
    return found


def _borders(found: Mapping[str, Any]) -> tuple[int, int]:
    start, end = found["start"], found["end"]
    if type(start) is not int or type(end) is not int:
        raise ValueError(f"`start` and `end` must be whole numbers, got {start!r} and {end!r}")
    return start, end


def _type(found: Mapping[str, Any], name: str) -> str:
    if not isinstance(found[name], str) or not found[name]:
        raise ValueError(f"`{name}` must be the type of the entity, got {found[name]!r}")
    return found[name]
