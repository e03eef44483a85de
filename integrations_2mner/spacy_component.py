"""The model as a component of spaCy: `nlp.add_pipe("multimodal_ner", config={"model": "runs/2m-ner"})`.

spaCy imports this file whenever any pipeline is made, because the package announces it as an entry point. So
transformers and the model's own code are not imported before the first document is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

try:
    import srsly
    from spacy.language import Language
    from spacy.pipeline import Pipe
    from spacy.tokens import Doc, Span, SpanGroup
    from spacy.util import minibatch
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"{error}, which the component needs; run `pip install '2m-ner[spacy]'`") from error

NAME = "multimodal_ner"
SETTINGS: dict[str, Any] = {
    "model": "",
    "ents": "overwrite",
    "spans_key": NAME,
    "threshold": 0.0,
    "batch_size": 16,
    "device": None,
    "on_bad_image": "none",
    "allow_urls": False,
    "store_model": False,
}
CHOICES = {"ents": ("overwrite", "merge", "keep"), "on_bad_image": ("none", "raise")}
# What the component reads and writes on a document, as `doc._.image`.
EXTENSIONS: dict[str, Any] = {"image": None, "image_status": "", "image_reason": ""}
STORED_PATH = "component.json"
STORED_MODEL = "model"


class MultimodalNER(Pipe):
    """Find the entities of documents with their pictures. Made by `nlp.add_pipe("multimodal_ner", config={...})`.

    spaCy's tokens are the words. Tokens of nothing but whitespace are not shown to the model; an entity begins and
    ends with other tokens. A document may be longer than the window of the text encoder.

    - `doc._.image` is the picture: a path, bytes, a PIL image, a data URI, a list of these, or `None`.
    - `doc.ents` are the entities, subject to `ents`.
    - `doc.spans[spans_key]` are all entities of the model, with their posteriors as `attrs["scores"]`, an array of
      float32 in the same order, as spaCy's own SpanCategorizer has it.
    - `doc._.image_status` is `"ok"`, `"missing"`, `"unreadable"` or `"degenerate"`, a list for several pictures;
      `doc._.image_reason` says why a picture was not used.

    Args:
        model (`str`): run folder or Hub id; it is loaded for the first document, without running code from it.
        ents (`str`): `"overwrite"` replaces the entities of earlier components; `"merge"` keeps them and adds those of
            the model that overlap none of them; `"keep"` leaves `doc.ents` alone.
        spans_key (`str`): the key in `doc.spans`.
        threshold (`float`): leave out entities with a lower score.
        batch_size (`int`): how many documents the model reads at once.
        device (`str`, *optional*): cpu, cuda, cuda:1, ...; a GPU if there is one.
        on_bad_image (`str`): `"raise"` makes a picture that cannot be used an error, which goes to the pipeline's
            error handler with its document; `"none"` reads the text without it.
        allow_urls (`bool`): fetch pictures from the web, from public hosts only.
        store_model (`bool`): `nlp.to_disk` also writes the model, and `spacy.load` reads that one. Otherwise, and in
            `nlp.to_bytes`, only its path or Hub id is stored.

    Raises:
        ValueError: for a missing model, an unknown choice, or a model that does not load.
    """

    def __init__(
        self,
        model: str,
        name: str = NAME,
        *,
        ents: str = "overwrite",
        spans_key: str = NAME,
        threshold: float = 0.0,
        batch_size: int = 16,
        device: str | None = None,
        on_bad_image: str = "none",
        allow_urls: bool = False,
        store_model: bool = False,
    ) -> None:
        _check(model, ents, on_bad_image, threshold, batch_size)
        for extension, default in EXTENSIONS.items():
            if not Doc.has_extension(extension):  # the user's own `doc._.image` may be computed
                Doc.set_extension(extension, default=default)
        self.name = name
        self.model = model
        self.ents = ents
        self.spans_key = spans_key
        self.batch_size = batch_size
        self.device = device
        self.store_model = store_model
        self._parameters = {"threshold": threshold, "on_bad_image": on_bad_image, "allow_urls": allow_urls}
        self._pipeline: Any = None
        self._process = os.getpid()  # in which the model was loaded

    def __call__(self, doc: Doc) -> Doc:
        self._annotate([doc])
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of documents; those of a batch that fails are tried one by one.

        Args:
            stream: the documents.
            batch_size: how many are taken from the stream at once; the model reads `self.batch_size` at once.
        """
        handle = self.get_error_handler()
        for docs in minibatch(stream, size=batch_size):
            for part in _parts(list(docs), self.batch_size):
                try:
                    self._annotate(part)
                except Exception as error:  # of any kind: which ones matter, the error handler knows
                    if len(part) == 1:
                        handle(self.name, self, part, error)
                        continue
                    yield from super().pipe(part)
                else:
                    yield from part

    def load(self) -> Any:
        """The transformers pipeline of the model, loaded once.

        Raises:
            ValueError: if it does not load, or was loaded before the processes of `nlp.pipe(..., n_process=2)` were made.
        """
        if self._pipeline is not None and self._process != os.getpid():  # torch's threads would wait for ever
            raise ValueError(
                "`n_process` must be 1 with a model that is loaded already; it reads batches of documents."
            )
        if self._pipeline is None:
            self._process = os.getpid()
            from transformers import pipeline

            from modeling_2mner import TwoMNERPipeline
            from reports_2mner.loading import retell_loading_errors

            with retell_loading_errors(
                f"`model` {self.model!r} of the component {self.name!r} does not load on `device` "
                f"{self.device or 'auto'}; name a run folder or a Hub id"
            ):
                # With the class given, transformers does not run code from the folder.
                self._pipeline = pipeline(  # type: ignore[call-overload]  # the annotations list transformers' own tasks
                    "multimodal-ner", model=self.model, device=self.device, pipeline_class=TwoMNERPipeline
                )
        return self._pipeline

    def _annotate(self, docs: Sequence[Doc]) -> None:
        """Set entities, scores and the status of the picture; all documents, or none if the model fails."""
        places = [[token.i for token in doc if not token.is_space] for doc in docs]
        inputs = [
            {"words": [doc[place].text for place in own], "image": doc._.image}
            for doc, own in zip(docs, places, strict=True)
        ]
        found = self.load()(inputs, batch_size=len(inputs), **self._parameters)
        for doc, own, entities in zip(docs, places, found, strict=True):
            self._write(doc, own, entities)

    def _write(self, doc: Doc, places: Sequence[int], entities: Any) -> None:
        import numpy as np

        spans = [
            Span(doc, places[entity["start"]], places[entity["end"] - 1] + 1, label=entity["entity_group"])
            for entity in entities
        ]
        scores = np.array([entity["score"] for entity in entities], dtype=np.float32)
        doc.spans[self.spans_key] = SpanGroup(doc, name=self.spans_key, attrs={"scores": scores}, spans=spans)
        if self.ents != "keep":
            doc.set_ents(_merged(doc.ents, spans) if self.ents == "merge" else spans)
        _note(doc, "image_status", entities.image_status)
        _note(doc, "image_reason", entities.image_reason)

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the path or id of the model, and with `store_model` the model, to a folder."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        if self.store_model:
            self.load().save_pretrained(path / STORED_MODEL)
        srsly.write_json(path / STORED_PATH, {"model": None if self.store_model else self.model})

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> MultimodalNER:
        """Use the model that `to_disk` wrote or named."""
        path = Path(path)
        self._use(srsly.read_json(path / STORED_PATH)["model"] or str(path / STORED_MODEL))
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """The path or id of the model; never the model itself."""
        return srsly.json_dumps({"model": self.model}).encode()

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> MultimodalNER:
        """Use the model that `to_bytes` named."""
        self._use(srsly.json_loads(data)["model"])
        return self

    def _use(self, model: str) -> None:
        if model != self.model:
            self.model, self._pipeline = model, None


@Language.factory(NAME, assigns=["doc.ents", "doc.spans"], default_config=SETTINGS)
def make_multimodal_ner(
    nlp: Language,
    name: str,
    model: str,
    ents: str,
    spans_key: str,
    threshold: float,
    batch_size: int,
    device: str | None,
    on_bad_image: str,
    allow_urls: bool,
    store_model: bool,
) -> MultimodalNER:
    """Make the component; the arguments are those of [`MultimodalNER`]."""
    return MultimodalNER(
        model,
        name,
        ents=ents,
        spans_key=spans_key,
        threshold=threshold,
        batch_size=batch_size,
        device=device,
        on_bad_image=on_bad_image,
        allow_urls=allow_urls,
        store_model=store_model,
    )


def _check(model: str, ents: str, on_bad_image: str, threshold: float, batch_size: int) -> None:
    if not model:
        raise ValueError(
            '`model` is missing; write nlp.add_pipe("multimodal_ner", config={"model": "path/or/id"}) with a run folder '
            "or a Hub id."
        )
    for field, value in (("ents", ents), ("on_bad_image", on_bad_image)):
        if value not in CHOICES[field]:
            raise ValueError(f"`{field}` is {value!r}; write one of {', '.join(CHOICES[field])}.")
    if not 0 <= threshold <= 1:
        raise ValueError(f"`threshold` must be a probability from 0 to 1, got {threshold}.")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")


def _parts(docs: list[Doc], size: int) -> Iterator[list[Doc]]:
    for start in range(0, len(docs), size):
        yield docs[start : start + size]


def _merged(present: Iterable[Span], spans: Iterable[Span]) -> list[Span]:
    """The entities of a document, and those spans that share no token with them."""
    present = list(present)
    taken = {token.i for span in present for token in span}
    return [*present, *(span for span in spans if taken.isdisjoint(range(span.start, span.end)))]


def _note(doc: Doc, extension: str, value: Any) -> None:
    """Set an extension, unless the user's own computes its value."""
    if Doc.get_extension(extension)[2] is None or Doc.get_extension(extension)[3] is not None:
        doc._.set(extension, value)


__all__ = ["MultimodalNER", "make_multimodal_ner"]
