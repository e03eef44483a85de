"""A sentence of one's own data as a line of JSON, with tags as they were, until the scheme of all tags is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.schemes import OUTSIDE, Converted, to_iob2
from dataset_scripts.annotations.sentence import Sentence, tags_of_entities
from dataset_scripts.build.named_pictures import find_picture, plain_name
from dataset_scripts.build.own_sources import OwnFile, part_of
from dataset_scripts.splits import SPLIT_WORDS
from reports_2mner.language_table import CODE


@dataclass(frozen=True)
class Tagged:
    """The tags of a sentence as they are stored, how they were converted, and entities by old and new type."""

    tags: tuple[str, ...]
    converted: Converted
    renamed: Counter[tuple[str, str]]


def line_of(sentence: Sentence, file: OwnFile, source: Path, images: Path) -> dict[str, Any]:
    """Return a sentence as plain values.

    Args:
        sentence: as it was read.
        file: that holds it.
        source: of all files, for the names of sentences without a picture.
        images: the folder of the pictures, which may be missing.

    Raises:
        ValueError: for a language or split that is no code or no split.
    """
    picture = _picture(sentence.image, file, images)
    is_named = file.form == "conll"  # IMGID is a name without the ending, as in the authors' files
    image_id = (sentence.image if is_named else picture.removesuffix(".jpg")) if picture else _place(sentence, source)
    misfits = () if sentence.tags else sentence.misfits
    return {
        "image_id": image_id,
        "picture": picture,
        "words": sentence.words,
        "tags": sentence.tags,
        "entities": () if sentence.tags else sentence.entities,
        "widened": [_widened(sentence, mention.start, mention.end, mention.type) for mention in misfits],
        "lang": _language(sentence.lang),
        "part": _part(sentence.part) or file.part,
        "place": sentence.place,
        "lines": sentence.lines,
    }


def place_of(line: Mapping[str, Any], word: int | None = None) -> str:
    """Return file and line of a sentence, or of one of its words."""
    place, lines = line["place"], line["lines"]
    return f"{place.rpartition(':')[0]}:{lines[word]}" if lines and word is not None else place


def tagged(line: Mapping[str, Any], scheme: str, renamed: Mapping[str, str]) -> Tagged:
    """Return the IOB2 tags of a sentence.

    Args:
        line: the sentence.
        scheme: of its tags.
        renamed: new types by the old, "" for entities to leave out.
    """
    words = line["words"]
    is_tagged = bool(line["tags"])
    converted = (
        to_iob2(line["tags"], scheme) if is_tagged else Converted(tags_of_entities(len(words), line["entities"]))
    )
    tags, counts = _rename(converted.tags, renamed)
    return Tagged(tags, converted, counts)


def _rename(tags: Sequence[str], renamed: Mapping[str, str]) -> tuple[tuple[str, ...], Counter[tuple[str, str]]]:
    counts = Counter((tag[2:], renamed[tag[2:]]) for tag in tags if tag[0] == "B" and tag[2:] in renamed)
    new = ((tag, renamed.get(tag[2:], tag[2:]) if tag != OUTSIDE else "") for tag in tags)
    return tuple(f"{tag[:2]}{kind}" if kind else OUTSIDE for tag, kind in new), counts


def _picture(image: str, file: OwnFile, images: Path) -> str | None:
    if not image or image.startswith("data:"):
        return None
    return find_picture(images, image, file.path.parent) if images.is_dir() else plain_name(images, image)


def _place(sentence: Sentence, source: Path) -> str:
    """Return the place of a sentence below the source, which names it where no picture does."""
    return sentence.place.removeprefix(str(source if source.is_dir() else source.parent)).lstrip("/\\, ")


def _widened(sentence: Sentence, start: int, end: int, kind: str) -> dict[str, Any]:
    touched = [place for place, (first, last) in enumerate(sentence.offsets) if first < end and last > start]
    whole = sentence.text[sentence.offsets[touched[0]][0] : sentence.offsets[touched[-1]][1]]
    return {"start": start, "end": end, "type": kind, "text": sentence.text[start:end], "became": whole}


def _language(stated: str) -> str:
    """Return the code of a language: en for en-US."""
    code = stated.lower().replace("_", "-").split("-")[0]
    if code and not CODE.fullmatch(code):
        raise ValueError(f"`lang` must be a code such as en (ISO 639), got {stated!r}")
    return code


def _part(stated: str) -> str:
    part = part_of(Path(stated), Path(stated)) if stated else ""
    if stated and not part:
        raise ValueError(f"`split` must be one of {', '.join(SPLIT_WORDS)}, got {stated!r}")
    return part
