"""The handler for HuggingFace Inference Endpoints: a request with sentences and pictures in, their entities out.

Inference Endpoints import this file from the model's folder, outside any package, call `EndpointHandler(folder)` once,
and then the handler for every request.
"""

import base64
import binascii
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from transformers import pipeline

REQUEST_BATCH_SIZE, TEXT_BATCH_SIZE = 16, 32  # rows of a batch with pictures, and of one without
PORTION = 2_000  # sub-words of the longest sentence x rows of a batch, which are padded to it
CHARACTERS_PER_PIECE = 4
# A batch of so many rows ends at a sentence that is so much shorter than its longest one: the padding would cost more than
# another call. With pictures, three times as many: they cost more than padding, and equal ones are encoded once a call.
WORTH_A_CALL, SHORTER = 3, 0.8
PIECES = "pieces"  # what `read` adds to a sentence: its number of sub-words
LIMIT_VARIABLE = "NER_MAX_"
_WORD = re.compile(r"\w+|[^\w\s]")
PARAMETERS: dict[str, type | tuple[type, ...]] = {
    "threshold": (int, float),
    "entity_threshold": (int, float),
    "n_best": int,
    "return_word_tags": bool,
}


@dataclass(frozen=True)
class Limits:
    """What one request may hold. The environment raises or lowers a limit: `NER_MAX_WORDS=20000`.

    The defaults follow from a budget: with the full-size network, the worst request that they let pass stays below
    500 MB above the loaded model and below 30 seconds on two cores (`benchmarks/largest_request.py`).
    Measured on two idle cores, in seconds and MB: 7 and 311 for 4,000 words in one text; 4 and less than 1 in 64
    sentences; 5 and 387 for 24 pictures with 250 words; 1 and 335 for one picture of 24 million pixels; 1 and 4 for
    all readings; 11 and 363 for all words and pictures at once.

    Args:
        sentences: how many.
        characters: of all sentences together.
        words: of all sentences together; an empty word counts.
        pieces: sub-words of all sentences together, which are what the text encoder reads.
        pictures: of all sentences together, also those that turn out not to be pictures.
        picture_bytes: of one picture.
        pixels: of all pictures together; a small file can hold a picture that takes seconds to decode.
        work: words x pictures, added up over the sentences; each word attends to each picture.
        readings: words x `n_best`, added up over the sentences.
        n_best: readings of a sentence.

    Raises:
        ValueError: for a limit below 1.
    """

    sentences: int = 64
    characters: int = 50_000
    words: int = 4_000
    pieces: int = 4_000
    pictures: int = 24
    picture_bytes: int = 20_000_000
    pixels: int = 24_000_000
    work: int = 6_000
    readings: int = 10_000
    n_best: int = 100

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"the limit `{name}` is {value!r}; write a whole number from 1 on.")

    @classmethod
    def from_environment(cls, changes: Mapping[str, int] | None = None) -> "Limits":
        """The defaults, changed by variables such as `NER_MAX_WORDS`, and then by `changes`.

        Raises:
            ValueError: for a variable that is not a number, an unknown name, or a limit below 1.
        """
        names = [field.name for field in fields(cls)]
        if unknown := sorted(set(changes or {}) - set(names)):
            raise ValueError(f"`limits` has no {unknown[0]!r}; write one of {', '.join(names)}.")
        given = {name: os.environ.get(LIMIT_VARIABLE + name.upper()) for name in names}
        try:
            limits = {name: int(value) for name, value in given.items() if value}
        except ValueError as error:
            raise ValueError(f"a variable {LIMIT_VARIABLE}... is not a whole number: {error}.") from error
        return cls(**{**limits, **(changes or {})})

    def check(self, sizes: Mapping[str, int]) -> None:
        """Raise [`BadRequest`] for a size above its limit."""
        for name, size in sizes.items():
            limit = getattr(self, name)
            if size > limit:
                shown = MEANINGS.get(name, name)
                raise BadRequest(
                    f"the request has {size} {shown}; send it in parts of at most {limit}, or have the limit raised "
                    f"({LIMIT_VARIABLE}{name.upper()}, or `--max_{name}` of the server)."
                )


MEANINGS = {
    "pieces": "sub-words",
    "work": "pairs of a word and a picture",
    "readings": "words in all readings (words x `n_best`)",
}


class BadRequest(ValueError):
    """A request that the caller has to change; the message says how. Inference Endpoints answer with status 400."""


class EndpointHandler:
    """Answer requests with the model in a folder.

    A request is `{"inputs": ..., "parameters": {...}}`. `inputs` is one sentence or a list of them; a sentence is a
    string, or `{"text": "..."}` or `{"words": ["..."]}` with an optional `"image"`: a picture in base64 or as a data
    URI, or a list of them. `parameters` are those of the pipeline: `threshold`,
    `entity_threshold`, `n_best`, `return_word_tags`.

    The answer to a sentence is `{"entities": [...], "image_status": "..."}`, with `"words"` for `return_word_tags`, or
    `{"readings": [...], "image_status": "..."}` for `n_best`. The answer to a list is a list. A picture that cannot be
    decoded is reported in `image_status`, not as an error; nothing is ever fetched or read from disk.

    Args:
        path (`str`): the folder, or a Hub id.
        device (`int` or `str`, *optional*): where the model runs; a GPU if there is one.
        limits (`dict`, *optional*): fields of [`Limits`] to change; they go before the environment.
        backend, threads (*optional*): for an exported model, see [`TwoMNERPipeline`].

    Raises:
        ValueError: for a limit that does not exist or is below 1.
        BadRequest: for an invalid request; the message names the sentence.
    """

    def __init__(
        self,
        path: str = "",
        device: int | str | None = None,
        limits: Mapping[str, int] | None = None,
        backend: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.limits = Limits.from_environment(limits)
        # Only what is given: the code of a checkpoint may be older.
        chosen = {name: value for name, value in (("backend", backend), ("threads", threads)) if value is not None}
        # The endpoint's owner chose this folder, including its code. The task is this project's own, unknown to the
        # types of transformers.
        self.pipeline = pipeline(  # type: ignore[call-overload]
            "multimodal-ner", model=path, device=device, trust_remote_code=True, **chosen
        )

    def __call__(self, data: dict) -> dict | list[dict]:
        sentences, parameters = self.read(data)
        answers = self.answer(sentences, parameters)
        return answers if isinstance(data["inputs"], list) else answers[0]

    def read(self, data: dict, count_pixels: Callable[[bytes], int] | None = None) -> tuple[list[dict], dict]:
        """Check a request as `read_request` does, and what only the model's own code can measure.

        Args:
            data: the request.
            count_pixels: measures a picture without decoding it; that of the pipeline.
        """
        sentences, parameters = read_request(data, self.limits)
        count = count_pixels or getattr(self.pipeline, "count_pixels", None)  # a checkpoint's code may be older
        if count is not None:
            pictures = [picture for sentence in sentences for picture in _as_list(sentence["image"]) if picture]
            self.limits.check({"pixels": sum(map(count, pictures))})
        processor: Any = getattr(self.pipeline, "processor", None)
        if hasattr(processor, "piece_lengths"):
            lengths = processor.piece_lengths([sentence.get("words", sentence.get("text")) for sentence in sentences])
            self.limits.check({"pieces": sum(lengths)})
            sentences = [{**sentence, PIECES: own} for sentence, own in zip(sentences, lengths, strict=True)]
        return sentences, parameters

    def answer(self, sentences: list[dict], parameters: dict) -> list[dict]:
        """Answer sentences from `read`, possibly of several requests with the same parameters."""
        results: dict[int, Any] = {}
        pictures = [len(_as_list(sentence["image"])) for sentence in sentences]
        for places in portions(list(map(sentence_length, sentences)), pictures):
            portion = [sentences[place] for place in places]
            try:
                found = self._run(portion, parameters)
            except ValueError as error:  # the pipeline refuses a parameter's value
                raise BadRequest(str(error)) from error
            results.update(zip(places, found, strict=True))
        return [_to_answer(results[place], parameters) for place in range(len(sentences))]

    def _run(self, portion: list[dict], parameters: dict) -> list[Any]:
        if hasattr(self.pipeline, "answer_batch"):
            return self.pipeline.answer_batch(portion, **parameters)
        return self.pipeline(portion, batch_size=len(portion), **parameters)  # with the code of an older checkpoint


def sentence_length(sentence: Mapping[str, Any]) -> int:
    """The sub-words of a sentence from `read`; an estimate if the checkpoint's code is older than their count."""
    return sentence.get(PIECES, _count_characters(sentence) // CHARACTERS_PER_PIECE)


def read_request(data: dict, limits: Limits | None = None) -> tuple[list[dict], dict]:
    """Check a request; return its sentences, with pictures as bytes, and the pipeline's parameters."""
    limits = limits or Limits()
    if not isinstance(data, dict) or "inputs" not in data:
        raise BadRequest('a request must be an object with "inputs": a sentence or a list of sentences.')
    inputs = data["inputs"] if isinstance(data["inputs"], list) else [data["inputs"]]
    if len(inputs) > limits.sentences:
        raise BadRequest(f'"inputs" holds {len(inputs)} sentences; send at most {limits.sentences} at once.')
    sentences = [_read_sentence(sentence, f"inputs[{place}]", limits) for place, sentence in enumerate(inputs)]
    parameters = _read_parameters(data.get("parameters") or {}, limits)
    _check_size(sentences, parameters.get("n_best", 1), limits)
    return sentences, parameters


def _check_size(sentences: list[dict], n_best: int, limits: Limits) -> None:
    """Refuse a request that would keep all others waiting."""
    limits.check({"characters": sum(map(_count_characters, sentences))})
    words = list(map(_count_words, sentences))
    pictures = [len(_as_list(sentence["image"])) for sentence in sentences]
    work = sum(count * number for count, number in zip(words, pictures, strict=True))
    limits.check(
        {"words": sum(words), "pictures": sum(pictures), "work": work, "readings": sum(words) * max(n_best, 1)}
    )


def _count_characters(sentence: Mapping[str, Any]) -> int:
    return len(sentence["text"]) if "text" in sentence else sum(map(len, sentence["words"]))


def _count_words(sentence: dict) -> int:
    if "words" in sentence:
        return len(sentence["words"])
    # Marks belong to the letter before them, as they do when the text is split.
    text = "".join(character for character in sentence["text"] if unicodedata.category(character)[0] != "M")
    return sum(1 for _ in _WORD.finditer(text))


def portions(lengths: Sequence[int], pictures: Sequence[int]) -> Iterator[list[int]]:
    """Group sentences of like length, by their places, so that a batch is not padded to much more than it holds.

    Args:
        lengths: the sub-words of each sentence.
        pictures: the number of its pictures; each of them makes a row of the batch.
    """
    portion: list[int] = []
    rows = longest = 0
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        own = max(1, pictures[place])
        looks = any(pictures[each] for each in (*portion, place))
        full = rows + own > (REQUEST_BATCH_SIZE if looks else TEXT_BATCH_SIZE) or (rows + own) * longest > PORTION
        least = 3 * WORTH_A_CALL if looks else WORTH_A_CALL
        if portion and (full or (rows >= least and lengths[place] < SHORTER * longest)):
            yield portion
            portion, rows = [], 0
        longest = longest if portion else max(lengths[place], 1)
        portion.append(place)
        rows += own
    if portion:
        yield portion


def _as_list(image: bytes | list[bytes | None] | None) -> list[bytes | None]:
    return image if isinstance(image, list) else [] if image is None else [image]


def _read_parameters(parameters: dict, limits: Limits) -> dict:
    if not isinstance(parameters, dict):
        raise BadRequest('"parameters" must be an object.')
    for name, value in parameters.items():
        if name not in PARAMETERS:
            raise BadRequest(f"unknown parameter {name!r}; write one of {', '.join(PARAMETERS)}.")
        if not isinstance(value, PARAMETERS[name]) or isinstance(value, bool) != (PARAMETERS[name] is bool):
            raise BadRequest(f"the parameter {name!r} has the value {value!r}, which has the wrong type.")
    if parameters.get("n_best", 1) > limits.n_best:
        raise BadRequest(f'"n_best" is {parameters["n_best"]}; request at most {limits.n_best} readings.')
    return parameters


def _read_sentence(sentence: object, name: str, limits: Limits) -> dict:
    if isinstance(sentence, str):
        sentence = {"text": sentence}
    if not isinstance(sentence, dict) or ("text" in sentence) == ("words" in sentence):
        raise BadRequest(f'{name} must be a string, or an object with either "text" or "words".')
    if unknown := set(sentence) - {"text", "words", "image"}:
        raise BadRequest(f'{name} has unknown fields {sorted(unknown)}; write only "text", "words" and "image".')
    words = sentence.get("words", [sentence.get("text")])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BadRequest(f'{name}: "text" must be a string, "words" a list of strings.')
    if any("\ud800" <= character <= "\udfff" for word in words for character in word):
        raise BadRequest(f"{name} holds half a surrogate pair, which is not a character; send well-formed text.")
    return {**sentence, "image": _read_pictures(sentence.get("image"), name, limits)}


def _read_pictures(image: object, name: str, limits: Limits) -> bytes | list[bytes | None] | None:
    if not isinstance(image, list):
        return None if image is None else _read_picture(image, name, limits)
    limits.check({"pictures": len(image)})  # before any of them is decoded
    return [_read_picture(picture, name, limits) for picture in image]


def _read_picture(image: object, name: str, limits: Limits) -> bytes | None:
    """The bytes of a picture; `None` for an empty one."""
    if not isinstance(image, str):
        raise BadRequest(f'{name}: "image" must be a picture in base64, or a list of such pictures.')
    if "://" in image[:16]:
        raise BadRequest(f"{name}: pictures are not fetched from addresses; send the picture in base64.")
    content = image.partition(",")[2] if image[:5].lower() == "data:" else image
    if len(content) > limits.picture_bytes * 4 // 3 + 4:
        raise BadRequest(f"{name}: a picture has more than {limits.picture_bytes} bytes; send a smaller one.")
    try:
        return base64.b64decode(content, validate=True) or None
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f'{name}: "image" is not base64 ({error}).') from error


def _to_answer(result: Any, parameters: dict) -> dict:
    if parameters.get("n_best"):
        return {
            "readings": result,
            "image_status": result[0]["entities"].image_status,
            **_error_of(result[0]["entities"]),
        }
    if parameters.get("return_word_tags"):
        return result
    return {"entities": result, "image_status": result.image_status, **_error_of(result)}


def _error_of(entities: Any) -> dict[str, str]:
    """Why a sentence could not be read, only if it could not; a checkpoint's code may be older than this field."""
    error = getattr(entities, "error", "")
    return {"error": error} if error else {}


__all__ = ["BadRequest", "EndpointHandler", "Limits", "read_request"]
