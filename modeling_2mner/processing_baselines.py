"""The processor of the comparison models on sub-words: one image encoder at most, and crops of objects for two of them."""

import torch
from transformers import ProcessorMixin

from .configuration_tagging import LABELS
from .images import load_image
from .processing_2mner import TwoMNERBatch, TwoMNERProcessor, imagenet_processor, normalise, whole_picture

Box = tuple[float, float, float, float]


class OneImageProcessor(TwoMNERProcessor):
    """Turn words and pictures into the inputs of a model with one image encoder, or none.

    Args:
        image_processor (*optional*): size and statistics of the pictures; ImageNet's at 224 pixels.
        tokenizer (`PreTrainedTokenizerBase`): a fast tokenizer.
        use_image (`bool`, defaults to `True`): make pixels. A text-only model's processor still opens the pictures that
            it is given, and tells what became of them.
        object_size (`int`, *optional*): side of an object's crop in pixels; by default the model takes no objects.
        small_object_size (`int`, *optional*): the same for objects of MKGFormer's second kind.
        max_objects (`int`, *optional*): take the first so many boxes of a sentence and kind; all by default.
        max_length, labels, on_bad_image: as for [`TwoMNERProcessor`].

    Raises:
        ValueError: as [`TwoMNERProcessor`].
    """

    def __init__(
        self,
        image_processor=None,
        tokenizer=None,
        max_length: int = 512,
        labels: list[str] | None = None,
        on_bad_image: str = "none",
        use_image: bool = True,
        object_size: int | None = None,
        small_object_size: int | None = None,
        max_objects: int | None = None,
        chat_template=None,
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

    @property
    def model_input_names(self) -> list[str]:
        """The names of the tensors, a `(batch, ...)` tensor first."""
        names = ["word_positions", "word_mask", "first_window", "input_ids", "attention_mask", "image_index"]
        return [*names, "pixel_values"] if self.use_image else names

    def __call__(
        self, words, images=None, labels=None, boxes=None, small_boxes=None, return_tensors: str = "pt"
    ) -> TwoMNERBatch:
        """Make a batch of `B` sentences.

        Args:
            words, images, labels, return_tensors: as for [`TwoMNERProcessor`].
            boxes (`list[list[Box]]`, *optional*): for each sentence the objects of its picture, as `(left, top, right,
                bottom)` in pixels of the upright picture; from any detector. A sentence without picture has none, and
                a box is cut to its picture.
            small_boxes (`list[list[Box]]`, *optional*): objects of MKGFormer's second kind.

        Returns:
            [`TwoMNERBatch`] as of [`TwoMNERProcessor`] with `pixel_values (I,3,H,W)` alone; for boxes with
            `object_pixel_values (B,O,3,S,S)` and `object_mask (B,O)`, false where there is no object or nothing of it
            lies inside its picture, and `small_object_pixel_values`, `small_object_mask` likewise.

        Raises:
            ValueError: as [`TwoMNERProcessor`]; for boxes that are none, or that the model does not take.
        """
        batch = super().__call__(words, images, labels, return_tensors)
        for name, given in (("object", boxes), ("small_object", small_boxes)):
            if given is not None and self.use_image:
                batch.update(self._encode_objects(name, given, images, len(batch.words)))
        return batch

    def encode_images(self, images: list) -> dict[str, torch.Tensor]:
        """Make the pixel tensor, `(images, 3, height, width)`, from RGB pictures; none for a text-only model."""
        return {"pixel_values": self._to_pixels(images, self.image_processor.size["height"])} if self.use_image else {}

    def _to_pixels(self, images: list, side: int) -> torch.Tensor:
        return normalise(
            self.image_processor, [image.resize((side, side), self.image_processor.resample) for image in images]
        )

    def _encode_objects(self, name: str, boxes, images, num_sentences: int) -> dict[str, torch.Tensor]:
        side = getattr(self, f"{name}_size")
        if side is None:
            raise ValueError(f"this model takes no boxes of this kind (`{name}_size` is not set); leave them out.")
        if len(boxes) != num_sentences:
            raise ValueError(f"there are boxes for {len(boxes)} sentences, but {num_sentences} sentences.")
        boxes = [list(row or ())[: self.max_objects] for row in boxes]
        width = self.max_objects or max(map(len, boxes), default=0)
        pixels = torch.zeros(num_sentences, width, 3, side, side)
        mask = torch.zeros(num_sentences, width, dtype=torch.bool)
        for row, (objects, source) in enumerate(zip(boxes, images or [None] * num_sentences, strict=True)):
            picture = load_image(source).image if objects else None
            for place, box in enumerate(objects):
                crop = None if picture is None else picture.crop(_inside(box, picture.size, row))
                if crop is not None and min(crop.size) > 0:
                    pixels[row, place], mask[row, place] = self._to_pixels([crop], side)[0], True
        return {f"{name}_pixel_values": pixels, f"{name}_mask": mask}


def _inside(box: Box, size: tuple[int, int], row: int) -> tuple[int, int, int, int]:
    """The part of a box that lies in a picture of this size, in whole pixels; one without area if there is none."""
    try:
        left, top, right, bottom = (float(edge) for edge in box)
        edges = round(left), round(top), round(right), round(bottom)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"`boxes[{row}]` holds {box!r}; write (left, top, right, bottom) in pixels of the picture."
        ) from error
    left, right = (min(max(edge, 0), size[0]) for edge in (edges[0], edges[2]))
    top, bottom = (min(max(edge, 0), size[1]) for edge in (edges[1], edges[3]))
    return left, top, max(left, right), max(top, bottom)


__all__ = ["OneImageProcessor"]
