"""The processor of the comparison models on sub-words: at most one image encoder, and object crops for two models."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, PreTrainedModel, ProcessorMixin

from .configuration_tagging import LABELS
from .images import PictureSource, load_image
from .pixels import normalise
from .processing_2mner import (
    TwoMNERBatch,
    TwoMNERProcessor,
    clip_processor,
    count_positions,
    imagenet_processor,
    whole_picture,
)

Box = tuple[int, int, int, int]


class OneImageProcessor(TwoMNERProcessor):
    """Turn words and pictures into the inputs of a model with at most one image encoder.

    Args:
        image_processor (*optional*): size and statistics of the pictures; by default ImageNet's at 224 pixels.
        tokenizer (`PreTrainedTokenizerBase`): a fast tokenizer.
        use_image (`bool`, defaults to `True`): make pixels. A text-only model's processor still opens the pictures
            that it is given, and reports their status.
        object_size (`int`, *optional*): side of an object crop in pixels; by default the model takes no objects.
        small_object_size (`int`, *optional*): the same for objects of MKGFormer's second kind.
        max_objects, max_small_objects (`int`, *optional*): use only the first `max_objects` boxes of a sentence; all
            by default.
        max_length, labels, on_bad_image, jpeg_draft: as for [`TwoMNERProcessor`]; crops are always of the whole picture.

    Raises:
        ValueError: as [`TwoMNERProcessor`].

    Example:

    ```python
    >>> from PIL import Image
    >>> from transformers import BertTokenizer
    >>> from modeling_2mner import OneImageProcessor

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "in", "paris"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> processor = OneImageProcessor(tokenizer=tokenizer, object_size=32)
    >>> picture = Image.new("RGB", (300, 200))
    >>> batch = processor([["Anna", "in", "Paris"]], [picture], boxes=[[[0, 0, 50, 100], [20, 30, 90, 90]]])
    >>> batch["pixel_values"].shape, batch["object_pixel_values"].shape  # (sentences, objects, 3, size, size)
    (torch.Size([1, 3, 224, 224]), torch.Size([1, 2, 3, 32, 32]))
    ```
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        max_length: int = 512,
        labels: list[str] | None = None,
        on_bad_image: str = "none",
        use_image: bool = True,
        object_size: int | None = None,
        small_object_size: int | None = None,
        max_objects: int | None = None,
        max_small_objects: int | None = None,
        chat_template: str | None = None,
        jpeg_draft: bool = False,
    ):
        self._check_parts(tokenizer, on_bad_image)
        image_processor = whole_picture(image_processor or imagenet_processor())
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)
        self.max_length = max_length
        self.labels = list(labels or LABELS)
        self.on_bad_image = on_bad_image
        self.use_image = use_image
        self.object_size = object_size
        self.small_object_size = small_object_size
        self.max_objects = max_objects
        self.max_small_objects = max_small_objects
        self.jpeg_draft = jpeg_draft

    @classmethod
    def for_model(
        cls, model: PreTrainedModel, tokenizer: Any, max_length: int = 512, resnet_image_size: int = 224
    ) -> Any:
        """Make the processor for a model, with its picture and crop sizes, longest window and tags.

        Args:
            model, tokenizer, max_length, resnet_image_size: as for [`TwoMNERProcessor.for_model`].
        """
        config = model.config
        pictures = picture_processor(config, resnet_image_size)
        return cls(
            pictures,
            tokenizer,
            max_length=int(min(max_length, count_positions(model))),
            labels=config.labels,
            use_image=config.uses_image,
            **config.object_crops(pictures.size["height"]),
        )

    @property
    def model_input_names(self) -> list[str]:
        """The names of the tensors, beginning with a `(batch, ...)` tensor."""
        names = ["word_positions", "word_mask", "first_window", "input_ids", "attention_mask", "image_index"]
        return [*names, "pixel_values"] if self.use_image else names

    def __call__(  # type: ignore[override]  # also takes boxes
        self,
        words: Sequence[list[str] | str] | None = None,
        images: Sequence[PictureSource] | None = None,
        labels: Sequence[Sequence[str | int]] | None = None,
        boxes: Sequence[Any] | None = None,
        small_boxes: Sequence[Any] | None = None,
        return_tensors: str = "pt",
        **unknown: Any,
    ) -> TwoMNERBatch:
        """Make a batch of `B` sentences.

        Args:
            words, images, labels, return_tensors: as for [`TwoMNERProcessor`].
            boxes (`list`, *optional*): for each sentence the objects of its picture, a list or array of `(left, top,
                right, bottom)` in pixels of the upright picture, or `None`; from any detector. They are clipped to the
                picture, and ignored for a sentence without one.
            small_boxes (`list`, *optional*): objects of MKGFormer's second kind.

        Returns:
            [`TwoMNERBatch`] as from [`TwoMNERProcessor`], but of pixels only `pixel_values (I,3,H,W)`; for boxes also
            `object_pixel_values (B,O,3,S,S)` and `object_mask (B,O)`, false where there is no object or it lies
            outside its picture, and likewise `small_object_pixel_values` and `small_object_mask`.

        Raises:
            ValueError: as [`TwoMNERProcessor`]; for invalid boxes, or boxes that the model does not take.
        """
        batch = super().__call__(words, images, labels, return_tensors, **unknown)
        sources = [None] * len(batch.words) if images is None else images
        for name, argument, given in (("object", "boxes", boxes), ("small_object", "small_boxes", small_boxes)):
            if given is not None and self.use_image:
                batch.update(self._encode_objects(name, argument, given, sources))
        return batch

    def encode_images(self, images: list) -> dict[str, torch.Tensor]:
        """Make the pixel tensor, `(images, 3, height, width)`, from RGB pictures; nothing for a text-only model."""
        size = self.image_processor.size
        return {"pixel_values": self._to_pixels(images, size["width"], size["height"])} if self.use_image else {}

    def _to_pixels(self, images: list, width: int, height: int) -> torch.Tensor:
        resized = [image.resize((width, height), self.image_processor.resample) for image in images]
        return normalise(self.image_processor, resized)

    def _encode_objects(
        self, name: str, argument: str, boxes: Sequence[Any], images: Sequence[PictureSource]
    ) -> dict[str, torch.Tensor]:
        side = getattr(self, f"{name}_size")
        if side is None:
            raise ValueError(f"`{argument}` is not for this model (`{name}_size` is not set); leave it out.")
        if len(boxes) != len(images):
            raise ValueError(
                f"`{argument}` holds {len(boxes)} lists for {len(images)} sentences; pass one list per sentence."
            )
        boxes = [_read_boxes(given, f"`{argument}[{row}]`") for row, given in enumerate(boxes)]
        boxes = [row[: getattr(self, f"max_{name}s")] for row in boxes]
        width = max(map(len, boxes), default=0)
        pixels = torch.zeros(len(boxes), width, 3, side, side)
        mask = torch.zeros(len(boxes), width, dtype=torch.bool)
        for row, (source, wanted) in enumerate(zip(images, boxes, strict=True)):
            crops = _crop(source, wanted)
            if crops:
                pixels[row, list(crops)] = self._to_pixels(list(crops.values()), side, side)
                mask[row, list(crops)] = True
        return {f"{name}_pixel_values": pixels, f"{name}_mask": mask}


def picture_processor(config: Any, resnet_image_size: int) -> CLIPImageProcessorPil:
    """The image processor for the image encoder: CLIP's statistics for a ViT, ImageNet's for others, of size
    `resnet_image_size` if the config does not give one."""
    if hasattr(config, "vision_config"):
        return clip_processor(config.vision_config.image_size)
    return imagenet_processor(getattr(config, "image_size", resnet_image_size))


def _read_boxes(boxes: Any, where: str) -> list[Box]:
    """The boxes of a sentence in whole pixels; no boxes for `None`."""
    return [_read_box(box, where) for box in (() if boxes is None else boxes)]


def _read_box(box: Any, where: str) -> Box:
    try:
        left, top, right, bottom = (round(float(edge)) for edge in box)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{where} holds {box!r}; write (left, top, right, bottom) in pixels of the upright picture."
        ) from error
    if right < left or bottom < top:
        raise ValueError(
            f"{where} holds {box!r}, which ends before it begins; write (left, top, right, bottom), not width and height."
        )
    return left, top, right, bottom


def _crop(source: PictureSource, boxes: list[Box]) -> dict[int, Image.Image]:
    """The objects of a picture by their places among its boxes, without those that lie outside it."""
    picture = load_image(source).image if boxes else None
    if picture is None:
        return {}
    parts = {place: _cut(box, *picture.size) for place, box in enumerate(boxes)}
    return {place: picture.crop(part) for place, part in parts.items() if part[0] < part[2] and part[1] < part[3]}


def _cut(box: Box, width: int, height: int) -> Box:
    left, top, right, bottom = box
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


__all__ = ["OneImageProcessor", "picture_processor"]
