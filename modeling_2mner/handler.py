"""The handler for HuggingFace Inference Endpoints: a request with sentences and pictures in, their entities out.

Inference Endpoints import this file from the model's folder, outside any package, call `EndpointHandler(folder)` once,
and then the handler for every request.
"""

import base64
import binascii
from io import BytesIO
from typing import Any

from PIL import Image
from transformers import pipeline

# Per request. Pixels count too, because a small file can hold a picture that takes seconds to decode.
MAX_SENTENCES = 64
MAX_REQUEST_CHARACTERS = 100_000
MAX_PICTURES = 64
MAX_REQUEST_PIXELS = 100_000_000
MAX_PICTURE_BYTES = 20_000_000
MAX_READINGS = 100
REQUEST_BATCH_SIZE = 16
PARAMETERS: dict[str, type | tuple[type, ...]] = {"threshold": (int, float), "n_best": int, "return_word_tags": bool}


class BadRequest(ValueError):
    """A request that the caller has to change; the message says how. Inference Endpoints answer with status 400."""


class EndpointHandler:
    """Answer requests with the model in a folder.

    A request is `{"inputs": ..., "parameters": {...}}`. `inputs` is one sentence or a list of them; a sentence is a
    string, or `{"text": "..."}` or `{"words": ["..."]}` with an optional `"image"`: a picture in base64 or as a data
    URI, or a list of them. `parameters` are those of the pipeline: `threshold`, `n_best`, `return_word_tags`.

    The answer to a sentence is `{"entities": [...], "image_status": "..."}`, with `"words"` for `return_word_tags`, or
    `{"readings": [...], "image_status": "..."}` for `n_best`. The answer to a list is a list. A picture that cannot be
    decoded is reported in `image_status`, not as an error; nothing is ever fetched or read from disk.

    Args:
        path (`str`): the folder, or a Hub id.
        device (`int` or `str`, *optional*): where the model runs; a GPU if there is one.

    Raises:
        BadRequest: for an invalid request; the message names the sentence.
    """

    def __init__(self, path: str = "", device: int | str | None = None) -> None:
        # The endpoint's owner chose this folder, including its code. The task is this project's own, unknown to the
        # types of transformers.
        self.pipeline = pipeline("multimodal-ner", model=path, device=device, trust_remote_code=True)  # type: ignore[call-overload]

    def __call__(self, data: dict) -> dict | list[dict]:
        sentences, parameters = read_request(data)
        answers = self.answer(sentences, parameters)
        return answers if isinstance(data["inputs"], list) else answers[0]

    def answer(self, sentences: list[dict], parameters: dict) -> list[dict]:
        """Answer sentences from `read_request`, possibly of several requests with the same parameters."""
        try:
            results = self.pipeline(sentences, batch_size=min(len(sentences), REQUEST_BATCH_SIZE) or 1, **parameters)
        except ValueError as error:  # the pipeline refuses a parameter's value
            raise BadRequest(str(error)) from error
        return [_to_answer(result, parameters) for result in results]


def read_request(data: dict) -> tuple[list[dict], dict]:
    """Check a request; return its sentences, with pictures as bytes, and the pipeline's parameters."""
    if not isinstance(data, dict) or "inputs" not in data:
        raise BadRequest('a request must be an object with "inputs": a sentence or a list of sentences.')
    inputs = data["inputs"] if isinstance(data["inputs"], list) else [data["inputs"]]
    if len(inputs) > MAX_SENTENCES:
        raise BadRequest(f'"inputs" holds {len(inputs)} sentences; send at most {MAX_SENTENCES} at once.')
    sentences = [_read_sentence(sentence, f"inputs[{place}]") for place, sentence in enumerate(inputs)]
    _check_size(sentences)
    return sentences, _read_parameters(data.get("parameters") or {})


def _check_size(sentences: list[dict]) -> None:
    """Refuse a request that would keep all others waiting."""
    characters = sum(len(word) for sentence in sentences for word in sentence.get("words", [sentence.get("text")]))
    pictures = [picture for sentence in sentences for picture in _as_list(sentence["image"])]
    pixels = sum(map(_count_pixels, pictures)) if len(pictures) <= MAX_PICTURES else 0
    sizes = {"characters": characters, "pictures": len(pictures), "pixels": pixels}
    limits = {"characters": MAX_REQUEST_CHARACTERS, "pictures": MAX_PICTURES, "pixels": MAX_REQUEST_PIXELS}
    for name, size in sizes.items():
        if size > limits[name]:
            raise BadRequest(f"the request has {size} {name}; send it in parts of at most {limits[name]}.")


def _as_list(image: bytes | list[bytes] | None) -> list[bytes]:
    return image if isinstance(image, list) else [] if image is None else [image]


def _count_pixels(picture: bytes) -> int:
    try:
        with Image.open(BytesIO(picture)) as header:
            return header.width * header.height
    except Exception:  # not a picture: the pipeline reports it in the answer
        return 0


def _read_parameters(parameters: dict) -> dict:
    if not isinstance(parameters, dict):
        raise BadRequest('"parameters" must be an object.')
    for name, value in parameters.items():
        if name not in PARAMETERS:
            raise BadRequest(f"unknown parameter {name!r}; write one of {', '.join(PARAMETERS)}.")
        if not isinstance(value, PARAMETERS[name]) or isinstance(value, bool) != (PARAMETERS[name] is bool):
            raise BadRequest(f"the parameter {name!r} has the value {value!r}, which has the wrong type.")
    if parameters.get("n_best", 1) > MAX_READINGS:
        raise BadRequest(f'"n_best" is {parameters["n_best"]}; request at most {MAX_READINGS} readings.')
    return parameters


def _read_sentence(sentence: object, name: str) -> dict:
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
    return {**sentence, "image": _read_pictures(sentence.get("image"), name)}


def _read_pictures(image: object, name: str) -> bytes | list[bytes] | None:
    if not isinstance(image, list):
        return None if image is None else _read_picture(image, name)
    return [_read_picture(picture, name) for picture in image]


def _read_picture(image: object, name: str) -> bytes:
    if not isinstance(image, str):
        raise BadRequest(f'{name}: "image" must be a picture in base64, or a list of such pictures.')
    if "://" in image[:16]:
        raise BadRequest(f"{name}: pictures are not fetched from addresses; send the picture in base64.")
    content = image.partition(",")[2] if image[:5].lower() == "data:" else image
    if len(content) > MAX_PICTURE_BYTES * 4 // 3 + 4:
        raise BadRequest(f"{name}: a picture has more than {MAX_PICTURE_BYTES} bytes; send a smaller one.")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f'{name}: "image" is not base64 ({error}).') from error


def _to_answer(result: Any, parameters: dict) -> dict:
    if parameters.get("n_best"):
        return {"readings": result, "image_status": result[0]["entities"].image_status}
    if parameters.get("return_word_tags"):
        return result
    return {"entities": result, "image_status": result.image_status}


__all__ = ["BadRequest", "EndpointHandler", "read_request"]
