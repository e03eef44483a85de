"""The containers that sentences come in, turned into the few kinds that the pipeline reads: always by position."""

import os
import re
import reprlib
from collections.abc import ItemsView, KeysView, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from PIL import Image

from .images import PictureSource, is_absent

WORD_KEYS = ("text", "words", "tokens")
PICTURE_KEYS = ("image", "images")
_TEXT_DTYPES = "OUT"  # of numpy: objects and both kinds of strings; an array of numbers may be a picture
_PICTURE_NAME = re.compile(r"data:image/|.*\.(jpe?g|png|gif|webp|bmp|tiff?)$", re.IGNORECASE | re.DOTALL)


def listed(value: Any) -> Any:
    """A list of what an ordered container holds, in its order; anything else as it is.

    Ordered containers are sequences, numpy arrays of strings or objects, what pandas and Arrow have for columns, and
    the views of a dict. Strings, bytes and arrays of numbers are none.

    Raises:
        ValueError: for a set, which has no order.
    """
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        return value
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.kind in _TEXT_DTYPES else value
    if _is_of(value, "pandas") and hasattr(value, "tolist"):
        return value.tolist()
    if _is_of(value, "pyarrow") and hasattr(value, "to_pylist"):
        return value.to_pylist()
    if isinstance(value, (KeysView, ValuesView, ItemsView, Sequence)):
        return list(value)
    if isinstance(value, AbstractSet):
        raise ValueError(f"a set has no order; pass a list, got {reprlib.repr(value)}.")
    return value


def plain_inputs(inputs: Any, is_split_into_words: bool | None) -> Any:
    """What a caller gave, as one sentence (a string, a dict), a list or tuple, or something to iterate over lazily."""
    if isinstance(inputs, tuple) and not hasattr(inputs, "_fields"):
        if is_split_into_words is None:
            _refuse_ambiguous(inputs)
        return _pair_to_dict(inputs) if _is_pair(inputs) and not _is_two_sentences(inputs) else inputs
    if _is_of(inputs, "pandas") and hasattr(inputs, "columns"):
        return inputs.to_dict("records")
    if _is_of(inputs, "pyarrow") and hasattr(inputs, "column_names"):
        return inputs.to_pylist()
    if isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes, list, Mapping)):
        return inputs  # such as the column of a data set, which is read row by row
    return plain_sentence(inputs, is_split_into_words)


def plain_sentence(item: Any, is_split_into_words: bool | None = None) -> Any:
    """One sentence as a string, a dict or a list of words.

    A mapping, a row of a data frame and a named tuple become dicts; so does a tuple of a sentence and its picture.

    Raises:
        ValueError: for a tuple of two strings that can be words as well as a sentence and its picture.
    """
    if isinstance(item, Mapping):
        return dict(item)
    if hasattr(item, "_asdict") and set(WORD_KEYS) & set(item._fields):
        return item._asdict()
    if _is_of(item, "pandas") and set(WORD_KEYS) & set(map(str, getattr(item, "index", ()))):
        return item.to_dict()
    if isinstance(item, tuple) and not is_split_into_words:
        if is_split_into_words is None:
            _refuse_ambiguous(item)
        if _is_pair(item):
            return _pair_to_dict(item)
    return listed(item)


def take_apart(inputs: object) -> tuple[str | list[str], list[PictureSource]]:
    """Return the sentence of one input and the sources of its pictures, of which there is at least one."""
    if isinstance(inputs, dict):
        given: dict[str, Any] = inputs
    else:
        given = {"words" if isinstance(inputs, (list, tuple)) else "text": inputs}
    texts = [key for key in WORD_KEYS if key in given]
    if len(texts) != 1:
        raise ValueError(
            f'an input must have one of "text" and "words" (or "tokens"), and may have an "image", got '
            f"{reprlib.repr(given)}."
        )
    words = listed(given[texts[0]])
    as_text = isinstance(words, str) and texts[0] == "text"
    as_words = isinstance(words, (list, tuple)) and all(isinstance(word, str) for word in words) and texts[0] != "text"
    if not as_text and not as_words:
        remedy = ""
        if isinstance(words, (list, tuple)) and all(isinstance(listed(item), (str, list, tuple)) for item in words):
            remedy = f" For the columns of several rows, pass one of them: `pipe(batch[{texts[0]!r}])`."
        raise ValueError(f'"text" must be a string and "words" a list of strings, got {reprlib.repr(given)}.{remedy}')
    return words if as_text else list(words), _picture_sources(given)


def _picture_sources(inputs: dict) -> list[PictureSource]:
    given = [listed(inputs[key]) for key in PICTURE_KEYS if not is_absent(inputs.get(key))]
    if len(given) > 1:
        raise ValueError(f'an input must have either "image" or "images", got {reprlib.repr(inputs)}.')
    if given and isinstance(given[0], (list, tuple)):
        return list(given[0]) or [None]
    return given or [None]


def _is_of(value: object, package: str) -> bool:
    """Whether a value comes from a package, which may not be installed."""
    return type(value).__module__.partition(".")[0] == package


def _is_pair(item: tuple) -> bool:
    """Whether a tuple can be a sentence and its picture."""
    if len(item) != 2 or not _is_picture(item[1]):
        return False
    if isinstance(item[0], str):
        return not isinstance(item[1], str) or _looks_like_picture(item[1])
    words = item[0] if isinstance(item[0], AbstractSet) else listed(item[0])
    return isinstance(words, list) and all(isinstance(word, str) for word in words)


def _is_two_sentences(item: tuple) -> bool:
    """Whether the second of two can be a sentence, too: the words of one, for example."""
    second = item[1] if isinstance(item[1], AbstractSet) else listed(item[1])
    if isinstance(second, list):
        return all(isinstance(each, str) and not _looks_like_picture(each) for each in second)
    return isinstance(second, str) and not _looks_like_picture(second)


def _is_picture(value: object) -> bool:
    if isinstance(value, Mapping):
        return bool({"bytes", "path"} & set(value)) and not set(WORD_KEYS) & set(value)
    if isinstance(value, (list, tuple)):
        return all(map(_is_picture, value))
    return is_absent(value) or isinstance(value, (str, Image.Image, bytes, bytearray, os.PathLike))


def _looks_like_picture(text: str) -> bool:
    return _PICTURE_NAME.match(text) is not None


def _pair_to_dict(pair: tuple) -> dict[str, Any]:
    sentence, picture = pair
    return {"text" if isinstance(sentence, str) else "words": sentence, "image": picture}


def _refuse_ambiguous(item: tuple) -> None:
    """Refuse a word with the name of a picture, which can be a sentence with its picture and two words."""
    if len(item) != 2 or not all(isinstance(part, str) for part in item) or not _looks_like_picture(item[1]):
        return
    if not any(character.isspace() for character in item[0]):
        raise ValueError(
            f"{reprlib.repr(item)} can be two words as well as a sentence and its picture; write "
            '{"text": ..., "image": ...} for a sentence, or a list for words.'
        )


__all__ = ["WORD_KEYS", "listed", "plain_inputs", "plain_sentence", "take_apart"]
