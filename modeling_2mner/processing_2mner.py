"""Words and pictures to tensors, and predicted tags back to entities."""

import os
import reprlib
import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from math import inf
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import BatchFeature, CLIPImageProcessorPil, PreTrainedModel, ProcessorMixin
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from .configuration_tagging import LABELS
from .crf import IGNORED_LABEL

# Not used here; imported so that every checkpoint includes them.
from .handler import EndpointHandler  # noqa: F401
from .images import LoadedImage, OpenedPictures, PictureSource, load_image, picture_key
from .pipeline_2mner import TwoMNERPipeline  # noqa: F401
from .pixels import normalise
from .spans import entity_spans
from .stock_arguments import PROCESSOR, refuse_unknown
from .windows import encode_words, split_text, surface, well_formed


class TwoMNERBatch(BatchFeature):
    """The tensors of a batch, in the order and shapes that the models take, and attributes that models do not take.

    Args:
        data (`dict`): the tensors; `model(**batch)` sees nothing else.
        image_status (`list[str]`): `"ok"`, `"missing"`, `"unreadable"` or `"degenerate"` for each sentence.
        image_reasons (`list[str]`): why a sentence has no picture; empty if it has one.
        words (`list[list[str]]`): the words that the predictions belong to.
        offsets (`list[list[tuple[int, int]]]`): the characters of each word in raw text; otherwise each
            word's index.
        texts (`list[str | None]`): the raw text, `None` for a sentence that was given as words.
    """

    def __init__(
        self,
        data: dict[str, Any] | None = None,
        tensor_type: str | None = None,
        image_status: Iterable[str] = (),
        image_reasons: Iterable[str] = (),
        words: Sequence[list[str]] = (),
        offsets: Sequence[list[tuple[int, int]]] = (),
        texts: Sequence[str | None] = (),
    ):
        super().__init__(data, tensor_type)
        self.image_status = list(image_status)
        self.image_reasons = list(image_reasons)
        self.words = words
        self.offsets = offsets
        self.texts = texts

    def __getitem__(self, item: str) -> Any:
        return self.image_status if item == "image_status" else super().__getitem__(item)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class TwoMNERProcessor(ProcessorMixin):
    """Turn words and pictures into the inputs of 2M-NER.

    Both image branches see the whole picture, resized to their size regardless of its aspect ratio. Of a given image
    processor only size, mean, standard deviation and resampling are used, with Pillow.

    Args:
        image_processor (*optional*): for the ViT; by default CLIP's statistics at 224 pixels.
        resnet_image_processor (*optional*): for the ResNet; by default ImageNet's statistics at 224 pixels.
        tokenizer (`PreTrainedTokenizerBase`): a fast tokenizer.
        max_length (`int`, defaults to 512): longest sub-word window; longer sentences have several.
        labels (`list[str]`, *optional*): tag names in the model's order; by default the nine of MMNERD.
        on_bad_image (`str`, defaults to `"none"`): with `"none"` an unusable picture counts as missing and is reported
            in the batch's `image_status`; with `"raise"` it is an error.
        jpeg_draft (`bool`, defaults to `False`): decode JPEG files that are at least twice as large as needed at a smaller
            size, which is faster for large photographs and changes scores slightly.

    Raises:
        ValueError: without a tokenizer, or for an unknown `on_bad_image`.

    Example:

    ```python
    >>> from PIL import Image
    >>> from transformers import BertTokenizer
    >>> from modeling_2mner import TwoMNERProcessor

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "in", "paris"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> processor = TwoMNERProcessor(tokenizer=tokenizer)
    >>> batch = processor([["Anna", "in", "Paris"], ["Paris"]], [Image.new("RGB", (300, 200)), None])
    >>> batch["input_ids"].shape, batch["pixel_values"].shape  # a row of pixels for each picture that can be used
    (torch.Size([2, 5]), torch.Size([1, 3, 224, 224]))
    >>> batch.image_status
    ['ok', 'missing']
    ```
    """

    augments_pictures = False  # whether the same picture can give other pixels next time
    jpeg_draft = False
    image_processor: CLIPImageProcessorPil
    resnet_image_processor: CLIPImageProcessorPil
    tokenizer: Any

    def __init__(
        self,
        image_processor: Any = None,
        resnet_image_processor: Any = None,
        tokenizer: Any = None,
        max_length: int = 512,
        labels: list[str] | None = None,
        on_bad_image: str = "none",
        chat_template: str | None = None,
        jpeg_draft: bool = False,
    ):
        self._check_parts(tokenizer, on_bad_image)
        image_processor = whole_picture(image_processor or CLIPImageProcessorPil())
        resnet_image_processor = whole_picture(resnet_image_processor or imagenet_processor())
        super().__init__(image_processor, resnet_image_processor, tokenizer, chat_template=chat_template)
        self.max_length = max_length
        self.labels = list(labels or LABELS)
        self.on_bad_image = on_bad_image
        self.jpeg_draft = jpeg_draft

    @classmethod
    def for_model(
        cls, model: PreTrainedModel, tokenizer: Any, max_length: int = 512, resnet_image_size: int = 224
    ) -> Any:
        """Make the processor for a model, with its picture sizes, longest window and tags.

        Args:
            model: the model, including its encoders.
            tokenizer: that of the text encoder.
            max_length: longest sub-word window; shortened if the text encoder has fewer positions.
            resnet_image_size: side of the ResNet's pictures in pixels, which its config does not give.
        """
        return cls(
            clip_processor(model.config.vision_config.image_size),
            imagenet_processor(resnet_image_size),
            tokenizer,
            max_length=int(min(max_length, count_positions(model))),
            labels=model.config.labels,
        )

    @staticmethod
    def _check_parts(tokenizer: Any, on_bad_image: str) -> None:
        if tokenizer is None:
            raise ValueError("`tokenizer` is missing; pass the tokenizer of the text encoder.")
        if on_bad_image not in ("none", "raise"):
            raise ValueError(f'`on_bad_image` is {on_bad_image!r}; write "none" or "raise".')

    @property
    def model_input_names(self) -> list[str]:
        """The names of the tensors, beginning with a `(batch, ...)` tensor."""
        return [
            *("word_positions", "word_mask", "first_window", "input_ids", "attention_mask"),
            *("pixel_values", "resnet_pixel_values", "image_index"),
        ]

    @property
    def draft_side(self) -> int | None:
        """The side below which no picture may be decoded, see [`OpenedPictures`]; `None` without `jpeg_draft`."""
        names = ("image_processor", "resnet_image_processor")
        sizes = [_target_size(getattr(self, name)) for name in names if hasattr(self, name)]
        return max(max(size) for size in sizes) if self.jpeg_draft else None

    def to_dict(self) -> dict:
        """Return what is saved, naming the Pillow processors, which loading could otherwise replace."""
        saved = super().to_dict()
        for name in set(self.get_attributes()) - {"tokenizer"}:
            saved[name]["image_processor_type"] = CLIPImageProcessorPil.__name__
        return saved

    def __call__(
        self,
        words: Sequence[list[str] | str] | None = None,
        images: Sequence[PictureSource] | None = None,
        labels: Sequence[Sequence[str | int]] | None = None,
        return_tensors: str = "pt",
        **unknown: Any,
    ) -> TwoMNERBatch:
        """Make a batch of `B` sentences.

        Args:
            words (`list[list[str]]` or `list[str]`): words, or raw text, which is split here and keeps its offsets.
            images (`list`, *optional*): for each sentence a PIL image, path, bytes, `{"bytes", "path"}` or `None`. Equal
                pictures are processed once. [`LoadedImage`]s with features, of all pictures of the batch, take the place
                of pixels.
            labels (`list[list[str]]` or `list[list[int]]`, *optional*): one tag per word.
            return_tensors (`str`, defaults to `"pt"`): only PyTorch is supported.

        Returns:
            [`TwoMNERBatch`] with `word_positions (B,W)`, `word_mask (B,W)`, `first_window (B,)`,
            `input_ids, attention_mask (N,T)`, `pixel_values, resnet_pixel_values (I,3,H,W)` if there is a picture,
            `image_index (B,)` and, if given, `labels (B,W)`. For pictures with features, `image_features (I,R,H)` and
            the like, and `image_hashes (I,)`, in the place of the pixels.

        Raises:
            ValueError: for lists of different lengths, unknown labels, features of some pictures only, or a bad picture with `on_bad_image="raise"`;
                the message names the row.
        """
        refuse_unknown(unknown, PROCESSOR, ("words", "images", "labels", "return_tensors"), type(self).__name__)
        if words is None:
            raise ValueError("`words` is missing; pass a list of sentences.")
        if return_tensors != "pt":
            raise ValueError(f'`return_tensors` is {return_tensors!r}; the models take PyTorch tensors, write "pt".')
        if isinstance(words, str):
            raise ValueError("`words` is one string; pass a list of sentences.")
        if isinstance(words, (Mapping, AbstractSet)):
            raise ValueError(
                f"`words` is a {type(words).__name__}; pass a list of sentences, got {reprlib.repr(words)}."
            )
        words = list(words)
        texts = [sentence if isinstance(sentence, str) else None for sentence in words]
        words, offsets = self._split(words)
        data = self._encode_text(words)
        keys, pictures = self._load_images(images, len(words))
        good = [key for key, picture in pictures.items() if picture.usable]
        if good:
            data.update(self._encode_pictures([pictures[key] for key in good]))
        places = {key: place for place, key in enumerate(good)}
        data["image_index"] = torch.tensor([places.get(key, -1) for key in keys], dtype=torch.long)
        if labels is not None:
            data["labels"] = self._encode_labels(labels, words)
        return TwoMNERBatch(
            data,
            image_status=[pictures[key].status for key in keys],
            image_reasons=[pictures[key].reason for key in keys],
            words=words,
            offsets=offsets,
            texts=texts,
        )

    def _encode_pictures(self, pictures: list[LoadedImage]) -> dict[str, torch.Tensor]:
        """Pixels of pictures or, if they have them, their features and numbers that tell different ones apart."""
        without = [picture for picture in pictures if picture.features is None]
        if len(without) == len(pictures):
            return self.encode_images([picture.image for picture in pictures])
        if without:
            raise ValueError(
                f"`images` holds {len(pictures)} pictures, and only {len(pictures) - len(without)} of them have features; "
                "pass the features of all or of none."
            )
        names = pictures[0].features or {}
        stacked = {name: torch.stack([(picture.features or {})[name] for picture in pictures]) for name in names}
        hashes = [int(picture.digest[:16], 16) >> 1 for picture in pictures]  # 63 bits, so that -1 stays free
        return {**stacked, "image_hashes": torch.tensor(hashes, dtype=torch.long)}

    def encode_images(self, images: list) -> dict[str, torch.Tensor]:
        """Make both pixel tensors, `(images, 3, height, width)`, from RGB pictures."""
        size, resnet_size = _target_size(self.image_processor), _target_size(self.resnet_image_processor)
        resized = [image.resize(size, self.image_processor.resample) for image in images]
        same = size == resnet_size and self.image_processor.resample == self.resnet_image_processor.resample
        if same:
            resnet_resized = resized
        else:
            resnet_resized = [image.resize(resnet_size, self.resnet_image_processor.resample) for image in images]
        return {
            "pixel_values": normalise(self.image_processor, resized),
            "resnet_pixel_values": normalise(self.resnet_image_processor, resnet_resized),
        }

    def count_pieces(self, sentences: Sequence[list[str] | str]) -> int:
        """How many sub-words sentences have together, or words for a model that reads words."""
        return sum(self.piece_lengths(sentences))

    def piece_lengths(self, sentences: Sequence[list[str] | str]) -> list[int]:
        """How many sub-words each sentence has, at least one a word."""
        words, _ = self._split(sentences)
        pieces = self.tokenizer(well_formed(words), is_split_into_words=True, add_special_tokens=False, verbose=False)
        return [max(len(ids), len(split)) for ids, split in zip(pieces["input_ids"], words, strict=True)]

    def post_process_entities(
        self, predictions: torch.Tensor, batch: TwoMNERBatch, labels: Sequence[str] | None = None
    ) -> list[list[dict]]:
        """Derive the entities of each sentence from its predicted tags.

        Args:
            predictions (`torch.LongTensor` of shape `(batch, words)`): the model's `predictions`.
            batch ([`TwoMNERBatch`]): what the processor returned for these sentences.
            labels (`list[str]`, *optional*): the model's tag names, `model.config.labels`; the processor's own, which
                are those of the model that it was saved with.

        Raises:
            ValueError: for a tag that `labels` does not name, and without predictions.

        Returns:
            For each sentence a list of `{"entity_group", "word", "start", "end"}`. `start` and `end` count characters
            of raw text, or words of word lists; `end` is exclusive. `word` is `text[start:end]` for raw text, or the
            words joined by spaces.
        """
        labels = self._names_of(labels, predictions)
        entities = []
        sentences = zip(predictions.tolist(), batch.words, batch.offsets, batch.texts, strict=True)
        for tags, words, offsets, text in sentences:
            names = [labels[tag] for tag in tags[: len(words)]]
            entities.append([_entity(*span, words, offsets, text) for span in entity_spans(names, strict=False)])
        return entities

    def _names_of(self, labels: Sequence[str] | None, predictions: torch.Tensor | None) -> Sequence[str]:
        """The tag names that predictions are read by: the model's before the processor's own."""
        if predictions is None:
            raise ValueError("`predictions` is None, as in training mode; call `model.eval()` before the model.")
        if labels is not None and len(labels) != len(self.labels):
            warnings.warn(
                f"the model has {len(labels)} labels and the processor {len(self.labels)}, so the processor is another "
                "model's; the model's are used. Load it with `labels=model.config.labels`.",
                stacklevel=3,
            )
        labels = self.labels if labels is None else labels
        if predictions.numel() and predictions.max() >= len(labels):
            raise ValueError(
                f"`predictions` holds the tag {predictions.max()}, but there are {len(labels)} labels; pass "
                "`labels=model.config.labels`."
            )
        return labels

    def _split(self, sentences: Sequence[list[str] | str]) -> tuple[list[list[str]], list[list[tuple[int, int]]]]:
        words, offsets = [], []
        for row, sentence in enumerate(sentences):
            if isinstance(sentence, str):
                split, spans = split_text(sentence)
            else:
                _check_words(sentence, row)
                split, spans = [str(word) for word in sentence], [(index, index + 1) for index in range(len(sentence))]
            words.append(split)
            offsets.append(spans)
        return words, offsets

    def _encode_text(self, words: list[list[str]]) -> dict[str, torch.Tensor]:
        limit = min(self.max_length, self.tokenizer.model_max_length)
        windows = encode_words(self.tokenizer, words, limit)
        width = max((len(ids) for ids in windows.input_ids), default=0)
        lengths = torch.tensor([len(sentence) for sentence in words], dtype=torch.long)
        num_words = max((len(sentence) for sentence in words), default=0)
        positions = [[window * width + piece for window, piece in row] for row in windows.positions]
        return {
            "word_positions": pad_rows(positions, num_words, 0),
            "word_mask": torch.arange(num_words)[None, :] < lengths[:, None],
            "first_window": torch.tensor(windows.first, dtype=torch.long),
            "input_ids": pad_rows(windows.input_ids, width, self.tokenizer.pad_token_id),
            "attention_mask": pad_rows([[1] * len(ids) for ids in windows.input_ids], width, 0),
        }

    def _encode_labels(self, labels: Sequence[Sequence[str | int]], words: list[list[str]]) -> torch.Tensor:
        if len(labels) != len(words):
            raise ValueError(f"`labels` holds {len(labels)} sentences but `words` holds {len(words)}; pass one each.")
        ids = []
        for row, (tags, sentence) in enumerate(zip(labels, words, strict=True)):
            if len(tags) != len(sentence):
                raise ValueError(f"`labels[{row}]` has {len(tags)} tags for {len(sentence)} words; pass one per word.")
            ids.append([self._label_id(tag, row) for tag in tags])
        return pad_rows(ids, max((len(sentence) for sentence in words), default=0), IGNORED_LABEL)

    def _label_id(self, tag: str | int, row: int) -> int:
        if isinstance(tag, str) and tag in self.labels:
            return self.labels.index(tag)
        if tag in range(len(self.labels)):
            return int(tag)
        raise ValueError(f"`labels[{row}]` holds {tag!r}; write one of {', '.join(self.labels)} or its index.")

    def _load_images(
        self, images: Sequence[PictureSource] | None, num_sentences: int
    ) -> tuple[list[Hashable], dict[Hashable, LoadedImage]]:
        """Open each different picture once: the key of each sentence's picture, and the pictures by key."""
        images = [None] * num_sentences if images is None else images
        if isinstance(images, (Image.Image, str, bytes, os.PathLike, dict)) or len(images) != num_sentences:
            count = len(images) if isinstance(images, (list, tuple)) else 1
            raise ValueError(
                f"`images` holds {count} pictures but `words` holds {num_sentences} sentences; pass one picture "
                "per sentence, or `None` for a sentence without one."
            )
        opened = OpenedPictures(draft_side=self.draft_side)
        loaded: dict[Hashable, LoadedImage] = {}
        keys: list[Hashable] = []
        pictures: dict[Hashable, LoadedImage] = {}
        for row, source in enumerate(images):
            given = picture_key(source)
            if given not in loaded:
                loaded[given] = self._load_image(source, row, opened)
            key = picture_key(loaded[given]) if loaded[given].digest else given  # two files can hold one picture
            keys.append(key)
            pictures[key] = loaded[given]
        return keys, pictures

    def _load_image(self, source: PictureSource, row: int, opened: OpenedPictures) -> LoadedImage:
        picture = load_image(source, opened)
        if self.on_bad_image == "raise" and picture_key(source) is not None and not picture.usable:
            raise ValueError(
                f"`images[{row}]` is {picture.status}: {picture.reason}. Fix it, pass `None`, or construct the "
                'processor with `on_bad_image="none"`.'
            )
        return picture


def _check_words(sentence: Any, row: int) -> None:
    unordered = isinstance(sentence, (Mapping, AbstractSet))
    if unordered or not isinstance(sentence, Iterable) or not all(isinstance(word, str) for word in sentence):
        raise ValueError(f"`words[{row}]` is {reprlib.repr(sentence)}; pass a list of words, or raw text.")


def count_positions(model: Any) -> int | float:
    """How many pieces the text encoder can take at once; RoBERTa's first positions are reserved for padding."""
    positions = getattr(model.config.text_config, "max_position_embeddings", inf)
    for module in model.base_model.text_model.modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings == positions and module.padding_idx is not None:
            return positions - module.padding_idx - 1
    return positions


def clip_processor(side: int) -> CLIPImageProcessorPil:
    """An image processor with CLIP's statistics, for a ViT."""
    return CLIPImageProcessorPil(size={"height": side, "width": side})


def imagenet_processor(side: int = 224) -> CLIPImageProcessorPil:
    """An image processor with ImageNet's statistics, for encoders that were trained on ImageNet."""
    if side < 1:
        raise ValueError(f"`resnet_image_size` must be 1 pixel or more, got {side}; 224 is usual.")
    size = {"height": side, "width": side}
    return CLIPImageProcessorPil(size=size, image_mean=IMAGENET_DEFAULT_MEAN, image_std=IMAGENET_DEFAULT_STD)


def whole_picture(processor: Any) -> CLIPImageProcessorPil:
    """The same size and statistics, but Pillow resizes the whole picture to that size."""
    size: dict[str, Any] = dict(processor.size)
    side: Any = size.get("height") or size.get("shortest_edge")
    return CLIPImageProcessorPil(
        size={"height": side, "width": size.get("width") or side},
        do_center_crop=False,
        resample=processor.resample,
        rescale_factor=processor.rescale_factor,
        image_mean=processor.image_mean,
        image_std=processor.image_std,
    )


def _target_size(processor: Any) -> tuple[int, int]:
    return processor.size["width"], processor.size["height"]


def pad_rows(rows: list[list[int]], width: int, value: int) -> torch.Tensor:
    """Rows of numbers, padded with `value`, as a tensor `(rows, width)`."""
    padded = [row + [value] * (width - len(row)) for row in rows]
    return torch.tensor(padded, dtype=torch.long).reshape(len(rows), width)


def _entity(
    kind: str, start: int, end: int, words: list[str], offsets: list[tuple[int, int]], text: str | None
) -> dict:
    word = surface(start, end, words, offsets, text)
    return {"entity_group": kind, "word": word, "start": offsets[start][0], "end": offsets[end - 1][1]}


__all__ = [
    "TwoMNERBatch",
    "TwoMNERProcessor",
    "clip_processor",
    "count_positions",
    "imagenet_processor",
    "pad_rows",
    "whole_picture",
]
