"""Arguments of other processors and pipelines that users try here, and what to write instead."""

import operator
import reprlib
from collections.abc import Iterable
from numbers import Real
from typing import Any, cast

PIPELINE = {
    "aggregation_strategy": "leave it out: the answer is always whole entities; `return_word_tags=True` adds the words",
    "grouped_entities": "leave it out: the answer is always whole entities",
    "ignore_labels": "leave it out: words without an entity are never in the answer",
    "stride": "leave it out: a long text is read in overlapping windows by itself",
    "max_length": "leave it out: a long text is read in windows; the processor's `max_length` is their size",
    "truncation": "leave it out: a long text is read in windows and never cut",
    "offset_mapping": "leave it out: every entity has `start` and `end`",
    "top_k": "write `n_best`",
    "image": 'write `pipe(sentence, image)`, `images=` or {"text": ..., "image": ...}',
    "text": "write `pipe(text)`, or `pipe(text, image)`",
    "timeout": "leave it out: a picture from the web has 20 seconds",
}
PROCESSOR = {
    "text": "write `processor([text], [image])`: the argument is called `words` and takes strings and lists of words",
    "image": "write `images=[image]`, one a sentence",
    "is_split_into_words": "leave it out: a list of strings as a sentence is words, a string is raw text",
    "padding": "leave it out: a batch is padded to its longest sentence",
    "truncation": "leave it out: a long sentence is read in windows and never cut",
    "max_length": "construct the processor with it: `from_pretrained(..., max_length=128)`",
    "stride": "leave it out: windows overlap by themselves",
    "tags": "write `labels`",
    "boxes": "leave it out: only UMGF and MKGFormer take objects of pictures",
}


def refuse_unknown(given: Iterable[str], remedies: dict[str, str], known: Iterable[str], where: str) -> None:
    """Refuse arguments that do not exist.

    Raises:
        TypeError: as Python does, with what to write instead where that is known.
    """
    for name in given:
        remedy = remedies.get(name, f"known are {', '.join(known)}")
        raise TypeError(f"`{name}` is not an argument of {where}; {remedy}.")


def check_probability(name: str, value: Any, least: float = 0.0) -> float | None:
    """The number of an argument that is a probability, or `None` if it is left out.

    Raises:
        ValueError: for anything but a number from `least` to 1.
    """
    if value is None:
        return None
    # Compared before it is converted: a whole number may be too large for a float.
    if not isinstance(value, Real) or isinstance(value, bool) or not least <= cast(Any, value) <= 1:
        raise ValueError(f"`{name}` must be a probability from {least:g} to 1, got {reprlib.repr(value)}.")
    return float(value)


def whole_number(name: str, value: Any, most: int | None = None) -> int:
    """The number of an argument that counts something, of any type of whole numbers.

    Raises:
        ValueError: for what is no whole number, or not one from 1 to `most`.
    """
    try:
        number = operator.index(value)
    except TypeError as error:
        raise ValueError(f"`{name}` must be a whole number, got {value!r}.") from error
    if number < 1:
        raise ValueError(f"`{name}` must be at least 1, got {number}.")
    if most is not None and number > most:
        raise ValueError(f"`{name}` must be at most {most}, got {number}.")
    return number


__all__ = ["PIPELINE", "PROCESSOR", "check_probability", "refuse_unknown", "whole_number"]
