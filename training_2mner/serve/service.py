"""The routes of a model over HTTP, for requests in the form of Inference Endpoints or of Label Studio."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

try:
    import anyio
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response
    from starlette.routing import Route
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"{error}, which the server needs; run `pip install starlette uvicorn`") from error

from modeling_2mner.handler import BadRequest, EndpointHandler, Limits, read_request, sentence_length
from modeling_2mner.images import count_pixels
from reports_2mner.loading import retell_loading_errors
from training_2mner.fingerprint import model_fingerprint
from training_2mner.serve.batching import Batcher, Unavailable
from training_2mner.serve.label_studio import LabelStudio, PictureFolders

logger = logging.getLogger(__name__)

MEGABYTE = 1_000_000
BODY_SECONDS = 60.0
DOCUMENT_ROOT = "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"
SHORT = 2000  # characters of a sentence that is read in less time than another thread takes to begin
MAX_ERROR_LENGTH = 1000  # characters of an error, which may quote the request
FAILED = "the model failed on this request; the server's log says why."
USAGE = {
    "usage": 'POST {"inputs": ..., "parameters": {...}} as application/json to / or /predict; GET /health',
    "inputs": 'a sentence or a list of them: a string, or {"text": "..."} or {"words": [...]} with "image" in base64',
    "parameters": "threshold, entity_threshold, n_best, return_word_tags",
}
USAGE_OF_BACKEND = {
    "usage": "a machine-learning backend of Label Studio; connect it in the settings of a project, under Model",
}


class Service:
    """The routes of one model: POST / and /predict, GET / and /health, in `app`.

    Args:
        name (`str`): the model's name in answers.
        batcher ([`Batcher`]): runs `EndpointHandler.answer`; closed, with all answers given, when the server stops.
        max_requests (`int`): maximum number of requests in progress, from first byte to answer; others get 503.
        max_body (`int`): maximum size of a request in bytes; larger ones get 413.
        read (`Callable`): checks a request; `EndpointHandler.read`, or `read_request`, which measures less.
        label_studio ([`LabelStudio`], *optional*): answers the requests of Label Studio in place of the others.
    """

    def __init__(
        self,
        name: str,
        batcher: Batcher,
        max_requests: int = 256,
        max_body: int = 32 * MEGABYTE,
        read: Callable[[dict], tuple[list[dict], dict]] = read_request,
        label_studio: LabelStudio | None = None,
    ):
        self._name = name
        self._batcher = batcher
        self._max_requests = max_requests
        self._max_body = max_body
        self._read = read
        self._is_backend = label_studio is not None
        self._in_progress = 0
        self._predict = self._posted(
            partial(label_studio.predict, ask=self._ask) if label_studio else self._answer_inputs
        )
        routes = [
            Route("/", self._root, methods=["GET", "POST"]),
            Route("/predict", self._predict, methods=["POST"]),
            Route("/health", self._health, methods=["GET"]),
        ]
        if label_studio:
            routes += [
                Route("/setup", self._posted(label_studio.setup), methods=["POST"]),
                Route("/webhook", self._posted(label_studio.webhook), methods=["POST"]),
            ]
        self.app = Starlette(
            routes=routes,
            exception_handlers={
                BadRequest: self._refuse_request,
                ClientDisconnect: lambda request, error: _refuse(400, "the request ended early."),
                HTTPException: lambda request, error: _refuse(error.status_code, error.detail, error.headers),
                Unavailable: lambda request, error: _refuse(503, str(error), {"Retry-After": "1"}),
            },
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(self._batcher.close)

    async def _root(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._predict(request)
        return _respond(json.dumps({"model": self._name, **(USAGE_OF_BACKEND if self._is_backend else USAGE)}))

    async def _refuse_request(self, request: Request, error: Exception) -> Response:
        if self._is_backend:  # Label Studio shows its users only the status
            logger.warning("Refused %s: %s", request.url.path, str(error)[:MAX_ERROR_LENGTH])
        return _refuse(400, str(error))

    async def _health(self, request: Request) -> Response:
        ready = self._batcher.ready
        status = {"status": "UP" if ready else "DOWN"} if self._is_backend else {}
        return _respond(json.dumps({"model": self._name, "ready": ready, **status}), 200 if ready else 503)

    def _posted(self, answer: Callable[[Any], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
        """Make a route that reads JSON, within the limits, and writes what `answer` makes of it."""

        async def respond(request: Request) -> Response:
            # Counted before the body is read, because bodies fill the memory.
            if self._in_progress >= self._max_requests:
                raise Unavailable(f"{self._max_requests} requests are in progress; try again later.")
            self._in_progress += 1
            try:
                _check_type(request)
                # Not in threads: what reads and writes JSON holds the interpreter's lock until it is done.
                data = _decode(await self._read_body(request))
                return _respond(json.dumps(await answer(data)))
            finally:
                self._in_progress -= 1

        return respond

    async def _answer_inputs(self, data: Any) -> list[dict] | dict:
        if _is_short(data):
            sentences, parameters = self._read(data)
        else:
            sentences, parameters = await run_in_threadpool(self._read, data)
        answers = await self._ask(sentences, parameters)
        return answers if isinstance(data["inputs"], list) else answers[0]

    async def _ask(self, sentences: list[dict], parameters: dict) -> list[dict]:
        """Have sentences answered, in a batch with those of others."""
        try:
            return await asyncio.wrap_future(self._batcher.submit(sentences, parameters))
        except (BadRequest, Unavailable):
            raise
        except Exception as error:  # the caller must not see details of this machine
            logger.exception("A request failed.")
            raise HTTPException(500, FAILED) from error

    async def _read_body(self, request: Request) -> bytearray:
        """Read the body in parts, up to the maximum size; uvicorn discards the rest."""
        length = request.headers.get("content-length", "")
        body = bytearray()
        try:
            with anyio.fail_after(BODY_SECONDS):
                if not length.isdecimal() or int(length) <= self._max_body:
                    async for part in request.stream():
                        body += part
                        if len(body) > self._max_body:
                            break
                    else:
                        return body
        except TimeoutError as error:
            raise HTTPException(408, f"the request took more than {BODY_SECONDS:.0f} seconds to arrive.") from error
        raise HTTPException(413, f"the request has more than {self._max_body} bytes; send it in parts.")


def _check_type(request: Request) -> None:
    """Require a header that a page of another site cannot make a browser send without a CORS preflight request."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"the content type is {kind or 'missing'}; send JSON as application/json.")


def _is_short(data: Any) -> bool:
    """Whether a request is one short text without a picture."""
    text = data.get("inputs") if isinstance(data, dict) else None
    return isinstance(text, str) and len(text) <= SHORT


def _decode(body: bytearray) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:  # also for bytes that are not UTF-8
        raise BadRequest(f"the body is not JSON ({error}).") from error


def _respond(content: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(content, status, headers, media_type="application/json")


def _refuse(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    return _respond(json.dumps({"error": reason[:MAX_ERROR_LENGTH]}), status, headers)


def build_service(options: argparse.Namespace) -> Service:
    """Load the model and start its batcher; ValueError if it does not load or a number is too small."""
    limits = {limit.name: getattr(options, f"max_{limit.name}") for limit in fields(Limits)}
    limits = {name: value for name, value in limits.items() if value is not None}
    Limits.from_environment(limits)  # before the model is loaded
    _check_folders(options)
    runner = {name: getattr(options, name) for name in ("backend", "threads") if getattr(options, name) is not None}
    with retell_loading_errors(f"`model` {options.model} does not load on `device` {options.device or 'auto'}"):
        handler = EndpointHandler(options.model, device=options.device, limits=limits, **runner)
    batcher = Batcher(
        handler.answer, options.max_batch, options.max_wait_ms / 1000, options.max_queue, sentence_length
    )
    name = Path(options.model).resolve().name if Path(options.model).is_dir() else options.model
    # By this project's own measure of pixels: the model's code may be older.
    read = partial(handler.read, count_pixels=count_pixels)
    label_studio = None
    if options.label_studio:
        model = handler.pipeline.model
        version = f"{name}-{model_fingerprint(model)[:8]}"
        types = list(dict.fromkeys(label[2:] for label in model.config.labels if label != "O"))
        folders = PictureFolders(options.document_root, options.upload_root, options.allow_urls, handler.limits)
        label_studio = LabelStudio(version, types, read, folders)
    return Service(name, batcher, options.max_queue, int(options.max_body_mb * MEGABYTE), read, label_studio)


def _check_folders(options: argparse.Namespace) -> None:
    """Check the options of Label Studio before the model is loaded; ValueError if one is wrong."""
    if not options.label_studio:
        for name in ("document_root", "upload_root", "allow_urls"):
            if getattr(options, name):
                raise ValueError(f"`{name}` is for tasks of Label Studio; add --label_studio, or leave it out.")
        return
    if options.document_root is None and os.environ.get(DOCUMENT_ROOT):
        options.document_root = Path(os.environ[DOCUMENT_ROOT])
    for name in ("document_root", "upload_root"):
        folder = getattr(options, name)
        if folder is not None and not folder.is_dir():
            raise ValueError(f"`{name}` {folder} is no folder; name the one that Label Studio uses.")


__all__ = ["Service", "build_service"]
