"""The pipeline "multimodal-ner": sentences and pictures in, entities out."""

import copy
import os
import reprlib
import sys
import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from types import GeneratorType
from typing import Any

import torch
from torch.utils.data import DataLoader, Subset
from transformers import AutoModelForTokenClassification, AutoProcessor, Pipeline, PreTrainedModel, ProcessorMixin
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator

from .image_sources import load_image_source
from .images import LoadedImage, OpenedPictures, count_image, count_pixels, picture_key
from .kept_features import Features, KeptFeatures
from .length_windows import WINDOW_BATCHES, WINDOW_PIXELS, LengthWindows
from .picture_rows import run_rows
from .pieces import place_of
from .pipeline_inputs import listed, plain_inputs, plain_sentence, take_apart
from .posteriors import LEAST, Reading, TagPosteriors, check_alternatives
from .stock_arguments import PIPELINE, check_probability, refuse_unknown, whole_number
from .windows import surface

TASK = "multimodal-ner"
UNSOUND = "The model's scores are not finite numbers; check its weights, and run it in float32."
ONE_SENTENCE = (str, bytes, dict)


@dataclass(frozen=True)
class SentenceWithPictures:
    """A sentence, as raw text or as words, and its pictures: at least one, which may be missing."""

    words: str | list[str]
    pictures: tuple[LoadedImage, ...]


class Entities(list[dict[str, Any]]):
    """The entities of one sentence, in order, and the status of its picture.

    Args:
        entities (`list[dict]`): `entity_group`, `score`, `word`, `start`, `end` and `image_status` each.
        image_status (`str` or `list[str]`): `"ok"`, `"missing"`, `"unreadable"` or `"degenerate"`; a list for several
            pictures.
        image_reason (`str` or `list[str]`): why a picture is not used; empty if it is.
        error (`str`): why the sentence could not be read; empty if it was.
    """

    def __init__(
        self,
        entities: Iterable[dict[str, Any]] = (),
        image_status: str | list[str] = "missing",
        image_reason: str | list[str] = "",
        error: str = "",
    ) -> None:
        super().__init__(entities)
        self.image_status = image_status
        self.image_reason = image_reason
        self.error = error


class TwoMNERPipeline(Pipeline):
    """Find the entities of sentences with their pictures.

    `pipe(sentence)`, `pipe(sentence, image)`, or a list, generator or data set of sentences; a sentence is

    - a string, or a list of words,
    - `{"text": ...}`, `{"words": [...]}` or a row of MMNERD (`{"tokens": [...]}`), with an `"image"` beside it,
    - a tuple of a string or a list of words and its picture.

    Any mapping is read as a dict; arrays, columns and data frames are read as lists, by position.

    A picture is a PIL image, path, bytes, data URI, a web address with `allow_urls=True`, a row's `{"bytes", "path"}`,
    or `None`. With a list of pictures, each is tried with the sentence and the tag posteriors are averaged, as the
    paper's task definition has it. A picture that cannot be used is reported in `image_status`, and the sentence is
    read without it.

    A list of strings without spaces holds the words of one sentence; any other list of strings, several sentences.
    `is_split_into_words=True` or `False` overrides this.

    Args:
        backend (`str`, *optional*): `"onnx"` or `"openvino"`, for a model that `python -m training_2mner.export` wrote;
            by default the one that it was exported for. Given when the pipeline is made, as is `threads`.
        threads (`int`, *optional*): the threads of the backend; by default those of PyTorch.
        threshold (`float`, *optional*): omit entities with a lower score.
        entity_threshold (`float`, *optional*): instead of the entities of the best tag sequence, those with the highest
            expected F1: of all that are likelier than this, the ones that do not overlap and exceed it most in sum
            ([`choose_entities`]). About 0.4 is best where F1 is 0.7. Not with `n_best`.
        n_best (`int`, *optional*): return the `n_best` most likely readings of each sentence, as
            `{"score": posterior of the entire reading, "entities": [...]}`.
        return_word_tags (`bool`, *optional*): return `{"entities", "words", "image_status"}` for each sentence; in
            `words` each word has its `tag`, that tag's posterior as `score`, `start` and `end`. With `n_best`, each
            reading has its `words`.
        is_split_into_words (`bool`, *optional*): whether a list of strings is one sentence.
        allow_urls (`bool`, *optional*): fetch pictures from the web, from public hosts only.
        on_bad_image (`str`, *optional*): `"none"` (default) or `"raise"`.
        window_batches (`int`, *optional*): with a `batch_size` above 1, sentences are sorted by length within this many
            batches, which saves padding, and equal pictures among them are decoded and encoded once. Answers come in the order of the sentences. The default is 64 for lists and
            data sets and 1, no sorting, for generators, whose answers may be waited for.

    Returns:
        [`Entities`] for each sentence: dicts with `entity_group`; `score`, the posterior of the entire span under the
        CRF at the model's `crf_temperature`; `word`; `start` and `end`, code points of the given text
        (`text[start:end] == word`) or, for words, word indices, `end` exclusive; and `image_status`. A sentence for which the model has no finite scores has no
        entities; `error` says so, and a warning names it. A list for a list, an iterator for a generator or data set.

    Raises:
        ValueError: for an invalid input or parameter value, or a bad picture with
            `on_bad_image="raise"`.

    Example:

    ```python
    >>> from PIL import Image
    >>> from transformers import BertTokenizer
    >>> from modeling_2mner import TwoMNERConfig, TwoMNERForTokenClassification, TwoMNERPipeline, TwoMNERProcessor

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "in", "paris"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = TwoMNERConfig(
    ...     text_config={"model_type": "bert", "vocab_size": len(tokenizer), **sizes},
    ...     vision_config={"model_type": "clip_vision_model", "image_size": 32, "patch_size": 16, **sizes},
    ...     use_resnet=False,
    ... )
    >>> model = TwoMNERForTokenClassification(config)  # with new weights
    >>> pipe = TwoMNERPipeline(model=model, processor=TwoMNERProcessor.for_model(model, tokenizer))
    >>> entities = pipe("Anna in Paris", Image.new("RGB", (64, 64)), threshold=0.5)
    >>> entities.image_status
    'ok'
    ```

    A trained model is loaded with `transformers.pipeline("multimodal-ner", model="path/or/id",
    trust_remote_code=True)`.
    """

    # `Pipeline` declares these four as `None`, which means "if found". `_load_processor` finds that of a loaded model.
    _load_tokenizer = False  # type: ignore[assignment]
    _load_image_processor = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]
    processor: Any
    count_pixels = staticmethod(count_pixels)  # for those who must not open a picture before they know its size
    # Features of pictures that need not be computed, by the SHA-256 of the pictures' bytes.
    image_features: Mapping[str, Features] | None = None

    def __init__(
        self,
        model: PreTrainedModel,
        processor: ProcessorMixin | None = None,
        backend: str | None = None,
        threads: int | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs |= _choose_backend(model, backend, threads, kwargs.get("device"))
        super().__init__(model=model, processor=processor or _load_processor(model), **kwargs)
        if self.processor.labels != self.model.config.labels:
            self.processor = copy.copy(self.processor)  # the caller's own stays as it is
            self.processor.labels = self.model.config.labels

    # As in any pipeline, the type of the result depends on that of the inputs and on the parameters.
    def __call__(self, inputs: Any = None, images: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        refuse_unknown(set(kwargs) & set(PIPELINE), PIPELINE, (), "this pipeline")
        split = kwargs.get("is_split_into_words", self._preprocess_params.get("is_split_into_words"))
        inputs = plain_inputs(inputs, split)
        if images is not None:
            inputs = _pair(inputs, images, split)
        elif _is_sentence(inputs, split):
            inputs = {"words": list(inputs)}
        if isinstance(inputs, ONE_SENTENCE):
            return super().__call__(inputs, **kwargs)
        if isinstance(inputs, Sized) and not len(inputs):
            return []
        return super().__call__(_as_known_to_pipelines(inputs), **kwargs)

    def _sanitize_parameters(  # here and below, each step names its parameters
        self,
        threshold: float | None = None,
        entity_threshold: float | None = None,
        n_best: int | None = None,
        return_word_tags: bool | None = None,
        is_split_into_words: bool | None = None,
        allow_urls: bool | None = None,
        on_bad_image: str | None = None,
        window_batches: int | None = None,
        **unknown: Any,
    ) -> tuple[dict, dict, dict]:
        known = ("threshold", "entity_threshold", "n_best", "return_word_tags", "is_split_into_words", "allow_urls")
        refuse_unknown(unknown, PIPELINE, (*known, "on_bad_image", "window_batches"), "this pipeline")
        threshold = check_probability("threshold", threshold)
        entity_threshold = check_probability("entity_threshold", entity_threshold, LEAST)
        check_alternatives(n_best, entity_threshold)
        n_best = None if n_best is None else whole_number("n_best", n_best)
        window_batches = None if window_batches is None else whole_number("window_batches", window_batches)
        if on_bad_image not in (None, "none", "raise"):
            raise ValueError(f'`on_bad_image` is {on_bad_image!r}; write "none" or "raise".')
        reading = {"is_split_into_words": is_split_into_words, "allow_urls": allow_urls, "on_bad_image": on_bad_image}
        writing = {"threshold": threshold, "n_best": n_best, "return_word_tags": return_word_tags}
        answering = {"n_best": n_best, "return_word_tags": return_word_tags, "window_batches": window_batches}
        return _given(reading), _given({**answering, "entity_threshold": entity_threshold}), _given(writing)

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict,
        forward_params: dict,
        postprocess_params: dict,
    ) -> Iterable[Any]:
        """Read many sentences in batches of similar length; see [`LengthWindows`]."""
        known = isinstance(inputs, Sized)
        opened = self._opened_pictures(max_pixels=WINDOW_PIXELS // max(num_workers, 1))
        kept = KeptFeatures(self.image_features)
        preprocess = partial(self.preprocess, opened=opened)  # each process of the loader has its own copy
        if known:
            dataset: Any = PipelineDataset(inputs, preprocess, preprocess_params)
        else:
            dataset = PipelineIterator(inputs, preprocess, preprocess_params)
            num_workers = min(num_workers, 1)  # each would read the entire stream
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # or its threads warn when the loader forks
        prepared = DataLoader(dataset, num_workers=num_workers, batch_size=batch_size, collate_fn=list)

        def begin(items: Sequence[dict]) -> None:
            opened.clear()  # the window has them
            kept.begin(picture for item in items for picture in item["sentence"].pictures)

        def answer(items: list[dict]) -> list[Any]:
            given = {"sentence": [item["sentence"] for item in items], "kept": kept}
            read = self.forward(given, **forward_params)["read"]
            return [self.postprocess({"read": one}, **postprocess_params) for one in read]

        window_batches = forward_params.get("window_batches") or (WINDOW_BATCHES if known and batch_size > 1 else 1)
        length = len(inputs) if known else None
        return LengthWindows(prepared, self._measure, answer, batch_size, window_batches, length, begin)

    def _opened_pictures(self, **limits: int) -> OpenedPictures:
        draft = getattr(self.processor, "draft_side", None)  # that of an older checkpoint has no such field
        return OpenedPictures(stored=self.image_features or (), draft_side=draft, **limits)

    def answer_batch(self, inputs: Sequence[Any], **kwargs: Any) -> list[Any]:
        """Answer sentences in a single batch, whatever its size, for callers that make batches themselves.

        Args:
            inputs: sentences in any form that the pipeline takes.
            kwargs: the pipeline's parameters.
        """
        given = zip(self._sanitize_parameters(**kwargs), self._own_parameters(), strict=True)
        reading, answering, writing = ({**own, **new} for new, own in given)
        opened = self._opened_pictures()
        sentences = [self.preprocess(sentence, opened=opened, **reading)["sentence"] for sentence in inputs]
        read = self.forward({"sentence": sentences}, **answering)["read"]
        return [self.postprocess({"read": one}, **writing) for one in read]

    def _own_parameters(self) -> tuple[dict, dict, dict]:
        return self._preprocess_params, self._forward_params, self._postprocess_params

    def _measure(self, items: Sequence[dict]) -> tuple[list[int], Mapping[Hashable, int]]:
        """The lengths of prepared sentences in sub-words, and the pixels of their pictures."""
        sentences = [item["sentence"] for item in items]
        pictures = [picture for sentence in sentences for picture in sentence.pictures]
        pixels: Mapping[Hashable, int] = {
            id(picture.image): count_image(picture) for picture in pictures if picture.image
        }
        return self.processor.piece_lengths([sentence.words for sentence in sentences]), pixels

    def preprocess(  # type: ignore[override]
        self,
        inputs: object,
        is_split_into_words: bool | None = None,
        allow_urls: bool = False,
        on_bad_image: str = "none",
        opened: OpenedPictures | None = None,
    ) -> dict[str, SentenceWithPictures]:
        """Unpack one input and open its pictures."""
        words, sources = take_apart(plain_sentence(inputs, is_split_into_words))
        try:
            opened = opened or self._opened_pictures()
            loaded: dict[Any, LoadedImage] = {}
            for source in sources:
                if picture_key(source) not in loaded:
                    loaded[picture_key(source)] = load_image_source(source, allow_urls, opened)
            pictures = tuple(loaded[picture_key(source)] for source in sources)
        except TypeError as error:
            raise ValueError(f"The picture of {reprlib.repr(words)} is invalid: {error}") from error
        given = [picture for picture, source in zip(pictures, sources, strict=True) if picture_key(source) is not None]
        if (bad := [picture for picture in given if not picture.usable]) and on_bad_image == "raise":
            raise ValueError(
                f"The picture of {reprlib.repr(words)} is {bad[0].status}: {bad[0].reason}. Fix it, leave it out, or "
                'write `on_bad_image="none"`.'
            )
        return {"sentence": SentenceWithPictures(words, pictures)}

    def get_inference_context(self) -> Any:
        """Without gradients and without what could lead to them, which takes a tenth of the time of a short sentence."""
        return torch.inference_mode

    def forward(self, model_inputs: dict, **forward_params: Any) -> dict:
        """Run `_forward`, without the search of stock pipelines for tensors in all words and offsets, which takes longer."""
        with self.device_placement(), self.get_inference_context()():
            return self._forward(model_inputs, **forward_params)

    def _forward(  # type: ignore[override]
        self,
        model_inputs: dict,
        n_best: int | None = None,
        return_word_tags: bool = False,
        window_batches: int | None = None,
        entity_threshold: float | None = None,
    ) -> dict:
        """Read sentences; their posteriors are computed together, where the model is."""
        given = model_inputs["sentence"]
        sentences = given if isinstance(given, list) else [given]
        words = [sentence.words for sentence in sentences]
        kept = model_inputs.get("kept") or KeptFeatures(self.image_features)
        images = [sentence.pictures for sentence in sentences]
        batch, output, pictures = run_rows(self.model, self.processor, words, images, kept)
        mask = batch["word_mask"].to(output.logits.device)
        posteriors = TagPosteriors.from_model(self.model, output.logits, mask, pictures, output.predictions)
        readings = posteriors.read(n_best, return_word_tags, entity_threshold)
        read = [
            {
                "words": batch.words[row],
                "offsets": batch.offsets[row],
                "text": batch.texts[row],
                "pictures": [(picture.status, picture.reason) for picture in sentence.pictures],
                "readings": readings[row],
            }
            for row, sentence in enumerate(sentences)
        ]
        return {"read": read if isinstance(given, list) else read[0]}

    def postprocess(  # type: ignore[override]
        self, model_outputs: dict, threshold: float = 0.0, n_best: int | None = None, return_word_tags: bool = False
    ) -> Entities | dict | list[dict]:
        """Write down the entities of one sentence."""
        read = model_outputs["read"]
        if not read["readings"]:
            return self._mark_unsound(read, n_best, return_word_tags)
        readings = []
        for found in read["readings"]:
            reading: dict[str, Any] = {"score": found.score, "entities": self._entities(found, read, threshold)}
            if return_word_tags:
                reading["words"] = self._word_tags(found, read)
            readings.append(reading)
        if n_best:
            return readings
        entities = readings[0]["entities"]
        if return_word_tags:
            return {"entities": entities, "words": readings[0]["words"], "image_status": entities.image_status}
        return entities

    def _mark_unsound(self, read: dict, n_best: int | None, return_word_tags: bool) -> Entities | dict | list[dict]:
        """The answer to a sentence for which the model has no finite scores: no entities, and the reason."""
        warnings.warn(f"{UNSOUND} The sentence is {reprlib.repr(read['text'] or read['words'])}.", stacklevel=2)
        status, reason = _of_pictures(read)
        entities = Entities([], status, reason, UNSOUND)
        reading: dict[str, Any] = {"score": 0.0, "entities": entities}
        if return_word_tags:
            places = zip(read["words"], read["offsets"], strict=True)
            reading["words"] = [
                {"word": word, "tag": "O", "score": 0.0, "start": start, "end": end} for word, (start, end) in places
            ]
        if n_best:
            return [reading]
        if return_word_tags:
            return {"entities": entities, "words": reading["words"], "image_status": status, "error": UNSOUND}
        return entities

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save model and processor, including their code, so that the folder can be loaded as this pipeline."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)

    def _entities(self, reading: Reading, read: dict, threshold: float) -> Entities:
        status, reason = _of_pictures(read)
        entities = [
            {
                "entity_group": kind,
                "score": score,
                "word": surface(start, end, read["words"], read["offsets"], read["text"]),
                "start": read["offsets"][start][0],
                "end": read["offsets"][end - 1][1],
                "image_status": status,
            }
            for (kind, start, end), score in zip(reading.spans, reading.span_scores, strict=True)
            if score >= threshold
        ]
        return Entities(entities, status, reason)

    @staticmethod
    def _word_tags(reading: Reading, read: dict) -> list[dict]:
        rows = zip(read["words"], reading.tags, reading.tag_scores, read["offsets"], strict=True)
        return [
            {"word": word, "tag": tag, "score": score, "start": start, "end": end}
            for word, tag, score, (start, end) in rows
        ]


def _choose_backend(model: Any, backend: str | None, threads: int | None, device: Any) -> dict[str, Any]:
    """Let an exported model use a backend; the arguments of `Pipeline` that follow from it."""
    if not hasattr(model, "use_backend"):
        if backend is None and threads is None:
            return {}
        raise ValueError(
            "`backend` and `threads` are for exported models, and this one is not; leave them out, or export it with "
            "`python -m training_2mner.export`. For the threads of PyTorch call `torch.set_num_threads`."
        )
    if device not in (None, -1) and torch.device(device).type != "cpu":
        raise ValueError(
            f'`device` is {device!r}, but an exported model runs on the CPU; leave it out, or write "cpu".'
        )
    model.use_backend(backend, threads).open_graphs()
    return {"device": "cpu"}


def _load_processor(model: PreTrainedModel) -> Any:
    """Load the processor that was saved with a loaded model."""
    try:
        return AutoProcessor.from_pretrained(model.name_or_path, **place_of(model))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"`processor` is missing, and none was saved with the model ({model.name_or_path or 'it was not loaded'}); write "
            "`TwoMNERPipeline(model=model, processor=processor)` or `pipeline(..., processor=processor)`."
        ) from error


def _of_pictures(read: dict) -> tuple[Any, Any]:
    """Status and reason of a sentence's picture, or lists of those of several."""
    statuses, reasons = zip(*read["pictures"], strict=True)
    return (statuses[0], reasons[0]) if len(statuses) == 1 else (list(statuses), list(reasons))


def _given(parameters: dict) -> dict:
    return {name: value for name, value in parameters.items() if value is not None}


def _as_known_to_pipelines(inputs: Any) -> Any:
    """Turn several sentences, such as rows of `datasets`, into a type that `Pipeline` accepts."""
    if isinstance(inputs, (list, tuple)):
        return list(inputs)
    if isinstance(inputs, GeneratorType) or not isinstance(inputs, Iterable):
        return inputs
    if isinstance(inputs, Sized):
        return Subset(inputs, range(len(inputs)))  # type: ignore[arg-type]  # it only needs an index
    return (item for item in inputs)


def _is_sentence(inputs: object, is_split_into_words: bool | None) -> bool:
    """Whether the inputs are the words of one sentence."""
    if not isinstance(inputs, (list, tuple)) or not inputs or not all(isinstance(item, str) for item in inputs):
        return False
    if is_split_into_words is None:
        return not any(any(character.isspace() for character in item) for item in inputs)
    return is_split_into_words


def _pair(inputs: object, images: object, is_split_into_words: bool | None) -> dict | list[dict]:
    """Combine sentences and pictures that were given separately into dicts."""
    if isinstance(inputs, ONE_SENTENCE) or _is_sentence(inputs, is_split_into_words):
        return _with_picture(inputs, images)
    inputs, images = listed(inputs), listed(images)
    if not isinstance(inputs, (list, tuple)) or not isinstance(images, (list, tuple)) or len(inputs) != len(images):
        raise ValueError(
            "`images` must be one picture for one sentence, or a list as long as the list of sentences; got "
            f"{reprlib.repr(inputs)} and {reprlib.repr(images)}."
        )
    return [_with_picture(sentence, image) for sentence, image in zip(inputs, images, strict=True)]


def _with_picture(sentence: object, image: object) -> dict:
    sentence = plain_sentence(sentence, is_split_into_words=True)  # its picture is apart
    if isinstance(sentence, dict):
        raise ValueError(
            f'`images` goes with strings and lists of words; put the picture of a dict into its "image", got '
            f"{reprlib.repr(sentence)}."
        )
    return {"text" if isinstance(sentence, str) else "words": sentence, "image": image}


# Code that came with a checkpoint registers its own task, for `pipeline("multimodal-ner", model=model)`.
if TASK not in PIPELINE_REGISTRY.get_supported_tasks():
    PIPELINE_REGISTRY.register_pipeline(
        TASK, pipeline_class=TwoMNERPipeline, pt_model=AutoModelForTokenClassification, type="multimodal"
    )

# transformers does not tell the package of a checkpoint's code about the file that it loads first. Pickling looks there,
# and so does `Dataset.map`, which pickles its function to know what it has computed.
if __package__:
    setattr(sys.modules[__package__], __name__.rpartition(".")[2], sys.modules[__name__])

__all__ = ["Entities", "TwoMNERPipeline"]
