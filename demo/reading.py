"""Read a sentence with its picture and without, and keep the attention of its words."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import pipeline

SHOWN_SIDE = 640  # pixels of the longer side of a displayed picture


@dataclass(frozen=True)
class Reading:
    """What the model found in a sentence.

    Args:
        text (`str`): the sentence.
        words_alone (`list[dict]`): the entities that the pipeline found without a picture.
        status, reason (`str`): the pipeline's `image_status` and `image_reason`.
        with_picture (`list[dict]`, *optional*): the entities found with the picture; `None` if it was not used.
        picture (`PIL.Image.Image`, *optional*): the picture as the model sees it, in display size.
        offsets (`list[tuple[int, int]]`): the characters of each word.
        attention (`dict[str, np.ndarray]`): the weights `(words, regions)` of each image branch, averaged over heads.
    """

    text: str
    words_alone: list[dict]
    status: str
    reason: str
    with_picture: list[dict] | None = None
    picture: Image.Image | None = None
    offsets: list[tuple[int, int]] = field(default_factory=list)
    attention: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def entities(self) -> list[dict]:
        """The answer: the entities found with the picture, or from the words alone if it was not used."""
        return self.words_alone if self.with_picture is None else self.with_picture


class SentenceReader:
    """A model that reads sentences with pictures.

    The model's own code is run, because the owner of the page chose the model.

    Args:
        model (`str`): a folder or a Hub id.

    Raises:
        OSError, ValueError, KeyError: if the model does not exist or does not bring its pipeline.
    """

    def __init__(self, model: str):
        self.pipeline = pipeline("multimodal-ner", model=model, trust_remote_code=True)
        # Only for the modules of 2M-NER: the encoders' weights are not needed, so they keep their faster attention.
        self.pipeline.model.set_attn_implementation({"": "eager"})
        self._lock = Lock()  # a tokenizer's truncation is state that threads would share

    @property
    def looks(self) -> bool:
        """Whether the model uses pictures."""
        return self.pipeline.model.config.uses_image

    @property
    def types(self) -> list[str]:
        """The model's entity types, in the order of its tags."""
        return list(dict.fromkeys(label[2:] for label in self.pipeline.model.config.labels if label != "O"))

    @property
    def branches(self) -> dict[str, bool]:
        """The image branches whose attention can be shown, ViT first, and whether region 0 is the class token.

        The authors' released network has none: it sees random crops of a picture, so its regions have no fixed place.
        """
        config = self.pipeline.model.config
        if config.model_type != "2m-ner":
            return {}
        used = {"ViT": config.use_vit, "ResNet": config.use_resnet}
        return {name: name == "ViT" and config.vit_tokens == "all" for name in used if used[name]}

    def read(self, text: str, path: str | None) -> Reading:
        """Read a sentence with a picture file or without; a bad picture is reported, not raised."""
        picture = self.pipeline.preprocess({"text": text, "image": path})["sentence"].pictures[0]
        with self._lock:
            words_alone = self.pipeline(text)
            if picture.image is None or not self.looks:
                return Reading(text, words_alone, picture.status, picture.reason)
            entities = self.pipeline({"text": text, "image": picture.image})
            offsets, attention = self._attend(text, picture.image)
        shown = ImageOps.contain(picture.image, (SHOWN_SIDE, SHOWN_SIDE))
        return Reading(text, words_alone, picture.status, picture.reason, entities, shown, offsets, attention)

    @torch.inference_mode()
    def _attend(self, text: str, image: Image.Image) -> tuple[list[tuple[int, int]], dict[str, np.ndarray]]:
        if not self.branches:
            return [], {}
        batch = self.pipeline.processor([text], [image])
        outputs = self.pipeline.model(**batch.to(self.pipeline.device), output_attentions=True)
        weights = [branch[0].float().mean(dim=0).cpu().numpy() for branch in outputs.cross_attentions]
        return batch.offsets[0], dict(zip(self.branches, weights, strict=True))  # (words, regions) each
