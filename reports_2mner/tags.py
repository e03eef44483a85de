"""Whether the tags of a data set can be learned from and scored: IOB2, one a word, with a label for each.

Whatever reads a data set asks this once, when it reads it: later a wrong tag would only show as a bad score.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

_IOB2 = "Tags must be IOB2: the first word of every entity has B-, the others have I-"
_BUILD = "`python -m dataset_scripts.build --source` makes a data set of it with IOB2 tags"
_IO = f"IOB1 and IO tags become IOB2 when the first I- of every entity becomes B-; {_BUILD}."
_BIOES = f"BIOES and BILOU tags become IOB2 when S- and U- become B-, and E-, L- and M- become I-; {_BUILD}."
_NO_LABEL = "A negative number means that the tag is not known: leave such sentences out, or give their tags."
_NUMBER = "Number the tags by the names of the column `ner_tags`, from 0 on."


def check_label_names(names: Sequence[str], place: str) -> None:
    """Find out whether the labels are those of IOB2.

    Args:
        names: `O`, `B-PER`, `I-PER` and so on, in any order.
        place: the data set, for the message.

    Raises:
        ValueError: for another scheme, with how to convert it.
    """
    for name in names:
        if re.fullmatch(r"O|[BI]-.+", name) is None:
            remedy = _BIOES if re.match(r"[ELMSU]-", name) else "Rename it, such as to B-PER, or to O for no entity."
            raise ValueError(f"{place}: `ner_tags` has the label {name!r}. {_IOB2}. {remedy}")
        if name.startswith("I-") and f"B-{name[2:]}" not in names:
            raise ValueError(f"{place}: `ner_tags` has the label {name!r} but no 'B-{name[2:]}'. {_IOB2}. {_IO}")
    if "O" not in names:
        raise ValueError(f"{place}: `ner_tags` has no label 'O', only {', '.join(names)}. Add it, for words outside.")


def check_sentences(sentences: Iterable[tuple[Any, Any]], names: Sequence[str], place: str) -> None:
    """Find out whether all sentences can be learned from; see [`check_label_names`] for the labels themselves.

    Args:
        sentences: words and tag numbers of each, as a data set holds them.
        names: the labels.
        place: the data set and its split, for the message.

    Raises:
        ValueError: for the first fault, with its row, counted from 0, and how to correct it.
    """
    for row, (words, tags) in enumerate(sentences):
        check_sentence(words, tags, names, f"{place}, row {row}")


def check_sentence(words: Any, tags: Any, names: Sequence[str], place: str) -> list[str]:
    """Return the tags by name; `ValueError` for words or tags that are missing, do not fit each other or are not IOB2."""
    check_words(words, place)
    if tags is None:
        raise ValueError(f"{place}: `ner_tags` is null. Give one tag a word, or leave the sentence out.")
    if len(words) != len(tags):
        raise ValueError(f"{place}: there are {len(words)} `tokens` but {len(tags)} `ner_tags`. Give one tag a word.")
    named = [tag_name(tag, names, f"{place}, word {index} ({words[index]!r})") for index, tag in enumerate(tags)]
    stray = find_iob2_violation(named)
    if stray is not None:
        raise ValueError(
            f"{place}, word {stray} ({words[stray]!r}): the tag {named[stray]!r} continues no entity. {_IOB2}. {_IO}"
        )
    return named


def check_words(words: Any, place: str, column: str = "tokens") -> None:
    """Raise `ValueError` unless the words, which stand in this column, are a list of strings."""
    if words is None or isinstance(words, str):
        raise ValueError(f"{place}: `{column}` is {reprlib.repr(words)}. Give a list of words, or leave the row out.")
    for index, word in enumerate(words):
        if not isinstance(word, str):
            raise ValueError(f"{place}, word {index}: {word!r} is not a string. Give the word, or leave the row out.")


def tag_name(tag: Any, names: Sequence[str], place: str) -> str:
    """The name of a tag's number; a name stays. `ValueError` for one that has none."""
    if isinstance(tag, str) and tag in names:
        return tag
    if isinstance(tag, int) and 0 <= tag < len(names):
        return names[tag]
    remedy = _NO_LABEL if tag is None or (isinstance(tag, int) and tag < 0) else _NUMBER
    shown = "null" if tag is None else repr(tag)
    raise ValueError(f"{place}: `ner_tags` holds {shown}, not one of the {len(names)} labels. {remedy}")


def find_iob2_violation(tags: Sequence[str]) -> int | None:
    """Return the position of the first I- tag that continues no entity of its type, or None when the tags are IOB2."""
    previous = "O"
    for position, tag in enumerate(tags):
        if tag.startswith("I-") and previous[2:] != tag[2:]:
            return position
        previous = tag
    return None
