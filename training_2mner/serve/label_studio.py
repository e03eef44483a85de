"""The requests of Label Studio's machine-learning backends: `/setup` and `/predict`, with tasks in and predictions out.

Label Studio counts code points, as the pipeline does, so places need no conversion. Every request names the labelling
configuration of its project, which says where the text and the pictures of a task are and which labels there are.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from modeling_2mner.handler import BadRequest, Limits
from modeling_2mner.image_sources import read_image_source
from modeling_2mner.images import LoadedImage, count_pixels, read_file

logger = logging.getLogger(__name__)

PORTION = 16  # tasks whose pictures are in memory at the same time
MOST_PROJECTS = 1000  # whose configurations are kept
LOCAL_FILES = "/data/local-files/"
UPLOADS = "/data/upload/"
PARAMETERS = {"n_best": 1}  # for the posterior of the entire reading, by which tasks are sorted
EXAMPLE = (
    '<View><Labels name="label" toName="text"><Label value="PER"/></Labels><Text name="text" value="$text"/>'
    '<Image name="picture" value="$image"/></View>'
)

Ask: TypeAlias = Callable[[list[dict], dict], Awaitable[list[dict]]]


@dataclass(frozen=True)
class LabelingConfig:
    """What the labelling configuration of a project says.

    Args:
        from_name (`str`): the name of the labels.
        to_name (`str`): the name of the text that they are for.
        text (`str`): the field of a task that holds the text.
        pictures (`tuple[str, ...]`): the fields that hold pictures.
        labels (`Mapping[str, str]`): for each type of the model that the project has, the project's label.
    """

    from_name: str
    to_name: str
    text: str
    pictures: tuple[str, ...]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class PictureFolders:
    """Where the pictures of tasks are; what lies outside these folders is never read.

    Args:
        document_root (`Path`, *optional*): Label Studio's LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT.
        upload_root (`Path`, *optional*): its folder of uploads, `media/upload` in its data folder.
        allow_urls (`bool`): fetch pictures from the web, from public hosts only.
        limits (`Limits`): of bytes and pixels.
    """

    document_root: Path | None = None
    upload_root: Path | None = None
    allow_urls: bool = False
    limits: Limits = field(default_factory=Limits)

    def read(self, source: object) -> bytes | LoadedImage:
        """The bytes of a picture, or why there are none."""
        if source is None or source == "":
            return LoadedImage(None, "missing", "no picture given")
        if not isinstance(source, str):
            return LoadedImage(None, "unreadable", f"an address was expected, not {type(source).__name__}")
        read = read_image_source(source, self.allow_urls)
        if read is None:
            read = self._from_folder(source)
        if isinstance(read, bytes) and (reason := self._excess(read)):
            return LoadedImage(None, "unreadable", reason)
        return read

    def _excess(self, data: bytes) -> str:
        if len(data) > self.limits.picture_bytes:
            return f"{len(data)} bytes, more than {self.limits.picture_bytes}"
        pixels = count_pixels(data)
        return f"{pixels} pixels, more than {self.limits.pixels}" if pixels > self.limits.pixels else ""

    def _from_folder(self, source: str) -> bytes | LoadedImage:
        parts = urlsplit(source)
        if parts.path == LOCAL_FILES:
            root, option, name = self.document_root, "document_root", parse_qs(parts.query).get("d", [""])[0]
        elif parts.path.startswith(UPLOADS):
            root, option, name = self.upload_root, "upload_root", unquote(parts.path.removeprefix(UPLOADS))
        else:
            return LoadedImage(None, "unreadable", f"not an address that is read here: {source[:80]!r}")
        if root is None:
            return LoadedImage(None, "missing", f"start the server with --{option} to read {parts.path}")
        try:
            path = (root / name).resolve()
            if not path.is_relative_to(root.resolve()):
                raise ValueError(f"outside `{option}`")
            return read_file(path, self.limits.picture_bytes)
        except FileNotFoundError:
            return LoadedImage(None, "missing", f"no such file in `{option}`: {name[:80]!r}")
        except (OSError, ValueError) as error:  # a message of the system would name folders of this machine
            reason = str(error) if isinstance(error, ValueError) else type(error).__name__
            return LoadedImage(None, "unreadable", f"{name[:80]!r}: {reason}")


class LabelStudio:
    """Answers the requests of Label Studio.

    Args:
        version (`str`): of the model; Label Studio asks again for tasks whose predictions have another one.
        types (`Sequence[str]`): of the model's entities.
        read (`Callable`): checks a request of the form of Inference Endpoints, and its limits.
        folders ([`PictureFolders`]): where pictures are.
    """

    def __init__(
        self,
        version: str,
        types: Sequence[str],
        read: Callable[[dict], tuple[list[dict], dict]],
        folders: PictureFolders | None = None,
    ) -> None:
        self.version = version
        self._types = types
        self._read = read
        self._folders = folders or PictureFolders()
        self._configs: dict[str, LabelingConfig] = {}  # by project, for requests that do not repeat them

    async def setup(self, data: Any) -> dict[str, Any]:
        """Check the labelling configuration of a project; the answer names the model's version.

        The access token that comes with it is neither used nor kept.

        Raises:
            BadRequest: for a configuration under which the model can say nothing.
        """
        data = _object(data)
        config = read_labeling_config(data.get("schema"), self._types)
        if missing := [each for each in self._types if each not in config.labels]:
            logger.warning(
                "Project %.40s has no label for %s; entities of these types are left out. Add labels, or name the types "
                "in `predicted_values` of a label.",
                data.get("project"),
                ", ".join(missing),
            )
        self._keep(data.get("project"), config)
        return {"model_version": self.version}

    async def predict(self, data: Any, ask: Ask) -> dict[str, Any]:
        """Predictions for tasks, in their order; a task that cannot be read has none, and the log says why.

        Args:
            data: `{"tasks": [{"id", "data"}, ...], "label_config", "project"}`.
            ask: runs the model on sentences from `read`.

        Raises:
            BadRequest: for a request that is not of this form, and if no task can be read.
        """
        data = _object(data)
        tasks = data.get("tasks")
        if not isinstance(tasks, list):
            raise BadRequest('"tasks" must be a list of tasks of Label Studio, each an object with "data".')
        config = self._config_of(data)
        results: list[Any] = []
        for start in range(0, len(tasks), PORTION):
            portion = [self._predict_task(config, task, ask) for task in tasks[start : start + PORTION]]
            results += await asyncio.gather(*portion, return_exceptions=True)
        return {"results": _without_failures(results, tasks), "model_version": self.version}

    async def webhook(self, data: Any) -> dict[str, Any]:
        """Take note of nothing: Label Studio tells every backend about every annotation.

        Raises:
            BadRequest: for the request to train.
        """
        if _object(data).get("action") == "START_TRAINING":
            raise BadRequest("this server does not train; export the annotations and run train_hf.py.")
        return {}

    def _keep(self, project: object, config: LabelingConfig) -> None:
        if isinstance(project, str) and (len(self._configs) < MOST_PROJECTS or project in self._configs):
            self._configs[project[:100]] = config

    def _config_of(self, data: Mapping[str, Any]) -> LabelingConfig:
        project = str(data.get("project"))[:100]
        if data.get("label_config") is None and project in self._configs:
            return self._configs[project]
        return read_labeling_config(data.get("label_config"), self._types)

    async def _predict_task(self, config: LabelingConfig, task: Any, ask: Ask) -> dict[str, Any]:
        sentence, read = await run_in_threadpool(self._sentence, config, task)
        sentences, parameters = await run_in_threadpool(self._read, {"inputs": [sentence], "parameters": PARAMETERS})
        (answer,) = await ask(sentences, parameters)
        if answer.get("error"):
            raise BadRequest(answer["error"])
        return self._prediction(config, sentence, answer, read)

    def _sentence(self, config: LabelingConfig, task: Any) -> tuple[dict, list[bytes | LoadedImage]]:
        """A task as a sentence of a request, and its pictures as they were read."""
        fields = task.get("data") if isinstance(task, dict) else None
        text = fields.get(config.text) if isinstance(fields, dict) else None
        if not isinstance(fields, dict) or not isinstance(text, str):
            raise BadRequest(
                f'the field "{config.text}", which the text `{config.to_name}` of the labelling configuration shows, is '
                "no string; import tasks with that field, or correct the configuration."
            )
        words = fields.get("tokens")
        split = isinstance(words, list) and all(isinstance(word, str) for word in words) and " ".join(words) == text
        sources = [source for name in config.pictures for source in _listed(fields.get(name))]
        read = [self._folders.read(source) for source in sources[: self._folders.limits.pictures]]
        images = [base64.b64encode(each).decode() if isinstance(each, bytes) else "" for each in read]
        return {**({"words": words} if split else {"text": text}), "image": images or None}, read

    def _prediction(
        self, config: LabelingConfig, sentence: Mapping[str, Any], answer: Mapping[str, Any], read: Sequence[Any]
    ) -> dict[str, Any]:
        reading = answer["readings"][0]
        text, place = _text_and_place(sentence)
        results: list[dict[str, Any]] = []
        for entity in reading["entities"]:
            start, end = place(entity["start"], entity["end"])
            if label := config.labels.get(entity["entity_group"]):
                value = {"start": start, "end": end, "text": text[start:end], "labels": [label]}
                names = {"from_name": config.from_name, "to_name": config.to_name, "type": "labels"}
                results.append({"id": f"e{len(results)}", **names, "score": entity["score"], "value": value})
        pictures = {"image_status": _statuses(answer["image_status"], read)} if read else {}
        return {"result": results, "score": reading["score"], "model_version": self.version, **pictures}


def read_labeling_config(xml: object, types: Sequence[str]) -> LabelingConfig:
    """Find text, pictures and labels in the labelling configuration of a project.

    Of several groups of labels, the first is taken that has a type of the model. A label stands for the types in its
    `predicted_values`, or else for the type of its own name.

    Raises:
        BadRequest: if there is no text with labels, or none of them is a type of the model.
    """
    root = _parse(xml)
    texts = {tag.get("name"): tag for tag in root.iter("Text")}
    groups = [(tag, tag.get("toName", "")) for tag in root.iter("Labels") if tag.get("toName") in texts]
    if not groups:
        raise BadRequest(f"the labelling configuration has no Labels whose toName is a Text; write {EXAMPLE}")
    pictures = (tag.get("value") or tag.get("valueList") or "" for tag in root.iter("Image"))
    for group, to_name in groups:
        if labels := _labels(group, types):
            text = texts[to_name]
            if not text.get("value", "").startswith("$") or text.get("valueType") == "url":
                raise BadRequest(
                    f'the text `{to_name}` of the labelling configuration must show a field of the task, as value="$text", '
                    'and not be valueType="url".'
                )
            fields = tuple(name[1:] for name in pictures if name.startswith("$"))
            return LabelingConfig(group.get("name", ""), to_name, text.get("value", "")[1:], fields, labels)
    known = [label.get("value", "") for group, _ in groups for label in group.iter("Label")]
    raise BadRequest(
        f"none of the model's types ({', '.join(types)}) is among the labels of the project ({', '.join(known)}); name "
        f'the types in the labels, as in <Label value="{(known or ["Person"])[0]}" predicted_values="{types[0]}"/>.'
    )


def _parse(xml: object) -> ElementTree.Element:
    if not isinstance(xml, str) or not xml.strip():
        raise BadRequest(
            'the labelling configuration is missing; Label Studio sends it as "schema" to /setup and as "label_config" to '
            "/predict."
        )
    if "<!DOCTYPE" in xml.upper():  # its entities can grow without end
        raise BadRequest("the labelling configuration has a DOCTYPE; remove it.")
    try:
        return ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError) as error:
        raise BadRequest(f"the labelling configuration is not XML ({error}); correct it in the project.") from error


def _labels(group: ElementTree.Element, types: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for label in group.iter("Label"):
        value = label.get("value", "")
        for name in label.get("predicted_values", value).split(","):
            if name.strip() in types:
                found.setdefault(name.strip(), label.get("alias") or value)
    return found


def _text_and_place(sentence: Mapping[str, Any]) -> tuple[str, Callable[[int, int], tuple[int, int]]]:
    """The text of a sentence, and a function from the places of its answer to code points of the text."""
    if "text" in sentence:
        return sentence["text"], lambda start, end: (start, end)
    starts, position = [], 0
    for word in sentence["words"]:
        starts.append(position)
        position += len(word) + 1
    ends = [start + len(word) for start, word in zip(starts, sentence["words"], strict=True)]
    return " ".join(sentence["words"]), lambda start, end: (starts[start], ends[end - 1])


def _statuses(answered: str | Sequence[str], read: Sequence[bytes | LoadedImage]) -> list[str]:
    """The status of each picture: of those that could not be had, the model knows nothing."""
    statuses = [answered] if isinstance(answered, str) else answered
    found = []
    for status, each in zip(statuses, read, strict=True):
        if isinstance(each, LoadedImage):
            logger.warning("A picture is %s: %s", each.status, each.reason)
        found.append(each.status if isinstance(each, LoadedImage) else status)
    return found


def _without_failures(results: Sequence[Any], tasks: Sequence[Any]) -> list[Any]:
    """The predictions, and an empty list for a task without one, for which Label Studio stores nothing."""
    failures = [result for result in results if isinstance(result, BaseException)]
    for failure in failures:
        if not isinstance(failure, BadRequest | HTTPException) or len(failures) == len(results):
            raise failure
    for task, result in zip(tasks, results, strict=True):
        if isinstance(result, BaseException):
            logger.warning("Task %s has no prediction: %s", task.get("id") if isinstance(task, dict) else "?", result)
    return [[] if isinstance(result, BaseException) else result for result in results]


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise BadRequest("a request of Label Studio is a JSON object.")
    return data


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
