"""The network of the authors' released code, kept only to reproduce its numbers.

It differs from the paper. Its choices are config fields with the release's values as defaults; its mistakes exist only
in the code of this file. `docs/paper-vs-release.md` lists all differences.
"""

import re
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import cast

import torch
from huggingface_hub.dataclasses import strict
from PIL import Image, ImageDraw
from torch import Tensor, nn
from transformers import CLIPImageProcessorPil, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .configuration_2mner import TwoMNERConfig
from .configuration_tagging import auto_map
from .encoders import gather_words, without_pooler
from .fusion import CrossAttention, MultimodalCollaboration
from .images import LoadedImage, PictureSource
from .modeling_2mner import TwoMNERForTokenClassification, TwoMNERModel, TwoMNERPreTrainedModel
from .processing_2mner import TwoMNERProcessor
from .torchvision_resnet import convert_torchvision_resnet

# In the release's order, which decides their token ids.
EXTRA_CHARACTERS = ("\ufffd", "\x80", "\xad", "\uf02d", "\uf0d6", "\u200b", "\uf0d8", "\uf0a7")

# One rule per line: a name in the authors' state dict and the name of the same tensor here.
_RULES = (
    (r"^emb\.", "model.text_model."),
    (r"^vit\.(vision_model\.)?", "model.vision_model."),  # transformers 5 has no inner module
    (r"^bert_att_(vit|resnet)\.self\.", r"model.\1_collaboration.attention."),
    (r"^bert_att_(vit|resnet)\.output\.dense\.", r"model.\1_collaboration.attention.output."),
    (r"^bert_att_(vit|resnet)\.output\.LayerNorm\.", r"model.\1_collaboration.attention_norm."),
    (r"^text_dense_cl\.", "model.text_head.0."),
    (r"^text_output_cl\.", "model.text_head.2."),
    (r"^image_dense_cl\.", "model.vit_head.0."),
    (r"^image_output_cl\.", "model.vit_head.2."),
    (r"^image_dense_cl_resnet\.", "model.resnet_head.0."),
    (r"^image_output_cl_resnet\.", "model.resnet_head.2."),
    (r"^dense_resnet\.", "model.resnet_projection."),
    (r"^dense_cat\.", "fusion_projection."),
    (r"^(classifier|crf)\.", r"\1."),
)
_RESNET = "my_resnet.resnet."  # torchvision's rules apply to these
_WITHOUT_COUNTERPART = re.compile(r"^(w_txt|w_img|contrastive_loss|my_resnet)\.|\.position_ids$")


@strict
class TwoMNERReleasedConfig(TwoMNERConfig):
    """Configuration of [`TwoMNERReleasedForTokenClassification`]; the defaults are the release's.

    Args:
        text_encoder_layer (`int`, *optional*): the layer of the text encoder that words are read from, 0 for the
            embeddings; by default the last, 12 in the release. The pooler always reads the last layer, and so do the
            words of a text-only network.

    All other fields are those of [`TwoMNERConfig`]. A text-only network needs `fusion_projection=False` beside
    `use_vit=False` and `use_resnet=False`.

    Raises:
        ValueError: as [`TwoMNERConfig`]; also for a layer that the text encoder does not have, and if the hidden sizes
            of ViT and text encoder differ, since words and ViT tokens share one projection.

    Example:

    ```python
    >>> from modeling_2mner import TwoMNERReleasedConfig

    >>> config = TwoMNERReleasedConfig()
    >>> config.resnet_features, config.crf_constrained_decoding
    ('pooled', False)
    ```
    """

    model_type = "2m-ner-released"
    default_auto_map = auto_map("TwoMNERReleased", "modeling_released", "modeling_released")

    resnet_features: str = "pooled"
    resnet_batch_norm: str = "train"
    collaboration_ffn: bool = False
    fusion_projection: bool = True
    crf_constrained_decoding: bool = False
    text_encoder_layer: int | None = None

    def _check_contradictions(self) -> None:
        super()._check_contradictions()
        layers = cast(PreTrainedConfig, self.text_config).num_hidden_layers
        if self.text_encoder_layer is not None and not 0 <= self.text_encoder_layer <= layers:
            raise ValueError(
                f"`text_encoder_layer` is {self.text_encoder_layer}, but the text encoder has {layers} layers; write "
                f"a number from 0 to {layers}, or leave it out for the last."
            )
        size = cast(PreTrainedConfig, self.vision_config).hidden_size if self.use_vit else self.hidden_size
        if size != self.hidden_size:
            raise ValueError(
                f"the ViT's hidden size is {size}, the text encoder's {self.hidden_size}; "
                "the release projects both with one layer, so choose encoders of the same size."
            )


class ReleasedCrossAttention(CrossAttention):
    """Cross-attention whose queries go through the key projection: `query` exists but never gets a gradient.

    Shapes as in [`CrossAttention`]; a single region is copied to every word position. Attention over copies is uniform
    whatever the query, but dropout acts on each copy independently.
    """

    def forward(
        self, words: torch.Tensor, regions: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if regions.shape[1] == 1:
            regions = regions.expand(-1, words.shape[1], -1)  # (batch, words, region size)
        return super().forward(words, regions, attention_mask)

    def project_queries(self, words: torch.Tensor) -> torch.Tensor:
        """W_k T in place of W_q T, `(batch, words, hidden)`."""
        return self.key(words)


class TwoMNERReleasedPreTrainedModel(TwoMNERPreTrainedModel):
    """Weights, loading and saving; new linear layers keep torch's initialisation, as in the release."""

    config: TwoMNERReleasedConfig

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            init.uniform_(module.weight, -bound, bound)
            init.uniform_(module.bias, -bound, bound)


class TwoMNERReleasedModel(TwoMNERReleasedPreTrainedModel, TwoMNERModel):
    """The release's network below the decoder; arguments and shapes of [`TwoMNERModel`].

    Example:

    ```python
    >>> import torch
    >>> from modeling_2mner import TwoMNERReleasedConfig, TwoMNERReleasedModel

    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = TwoMNERReleasedConfig(
    ...     text_config={"model_type": "bert", "vocab_size": 8, **sizes},
    ...     vision_config={"model_type": "clip_vision_model", "image_size": 32, "patch_size": 16, **sizes},
    ...     use_resnet=False,
    ... )
    >>> model = TwoMNERReleasedModel(config).eval()  # with new weights
    >>> outputs = model(
    ...     input_ids=torch.tensor([[2, 5, 6, 7, 3]]),
    ...     attention_mask=torch.ones(1, 5, dtype=torch.long),
    ...     word_positions=torch.tensor([[1, 2, 3]]),
    ...     pixel_values=torch.zeros(1, 3, 32, 32),
    ... )
    >>> outputs.last_hidden_state.shape
    torch.Size([1, 3, 32])
    ```
    """

    feature_names = ()  # a sentence has its own random view of its picture

    def _build_collaboration(self, config: TwoMNERConfig, region_size: int) -> MultimodalCollaboration:
        return MultimodalCollaboration(config, region_size, ReleasedCrossAttention)

    def encode_text(
        self, input_ids: Tensor, attention_mask: Tensor | None, word_positions: Tensor, pooler: bool = True
    ) -> tuple[BaseModelOutputWithPooling, Tensor]:
        """Run the text encoder: its outputs, and for each word the state before its first piece.

        The release counts pieces without [CLS] but indexes with it: the first word of a window reads [CLS], every
        other word the last piece of the word before. Padding words read some [CLS], which nothing uses.
        """
        text_model = self.text_model if pooler else without_pooler(self.text_model)
        text = text_model(
            input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True, return_dict=True
        )
        layer = self.config.text_encoder_layer if self.config.num_branches else None
        states = text.last_hidden_state if layer is None else text.hidden_states[layer]
        return text, gather_words(states, (word_positions - 1).clamp(min=0))

    @torch.no_grad()
    def encode_resnet(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the ResNet without gradient; in training its batch norms still use and overwrite their statistics."""
        return super().encode_resnet(pixel_values)


class TwoMNERReleasedForTokenClassification(TwoMNERReleasedPreTrainedModel, TwoMNERForTokenClassification):
    """The release's network with its decoder and its doubled loss; arguments of [`TwoMNERForTokenClassification`].

    As in 2M-NER, `forward` returns L_CRF as `loss`; the factor 2 is in
    [`~TwoMNERReleasedForTokenClassification.objective`]. The release's attention masks have no effect, so they are not
    copied.

    Weights trained with the authors' code are renamed by [`convert_released_state_dict`]:

    | released name | name here |
    |---|---|
    | `emb.*` | `model.text_model.*` |
    | `vit.vision_model.*`, or `vit.*` from transformers 5 | `model.vision_model.*` |
    | `my_resnet.resnet.*` | `model.resnet_model.*`, by the rules of `torchvision_resnet.py` |
    | `bert_att_vit.self.{query,key,value}` | `model.vit_collaboration.attention.{query,key,value}` |
    | `bert_att_vit.output.dense` | `model.vit_collaboration.attention.output` |
    | `bert_att_vit.output.LayerNorm` | `model.vit_collaboration.attention_norm` |
    | `bert_att_resnet.*` | `model.resnet_collaboration.*`, likewise |
    | `text_dense_cl`, `text_output_cl` | `model.text_head.0`, `model.text_head.2` |
    | `image_dense_cl`, `image_output_cl` | `model.vit_head.0`, `model.vit_head.2` |
    | `image_dense_cl_resnet`, `image_output_cl_resnet` | `model.resnet_head.0`, `model.resnet_head.2` |
    | `dense_resnet` | `model.resnet_projection` |
    | `dense_cat` | `fusion_projection` |
    | `classifier`, `crf.*` | `classifier`, `crf.*` |
    | `w_txt`, `w_img`, `my_resnet.resnet.fc` | none: unused |
    | `contrastive_loss.temperature`, `*.position_ids` | none: no weights |

    The release numbers its labels by first appearance in the training file: give the config that order as `id2label`.

    Example:

    ```python
    >>> from transformers import BertTokenizer
    >>> from modeling_2mner import (
    ...     TwoMNERReleasedConfig,
    ...     TwoMNERReleasedForTokenClassification,
    ...     TwoMNERReleasedProcessor,
    ... )

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "in", "paris"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = TwoMNERReleasedConfig(
    ...     text_config={"model_type": "bert", "vocab_size": len(tokenizer), **sizes},
    ...     use_vit=False,
    ...     use_resnet=False,
    ...     fusion_projection=False,
    ... )
    >>> model = TwoMNERReleasedForTokenClassification(config).eval()  # with new weights
    >>> processor = TwoMNERReleasedProcessor(tokenizer=tokenizer)
    >>> _ = model.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    >>> model(**processor([["Anna", "in", "Paris"]])).predictions.shape  # (sentences, words)
    torch.Size([1, 3])
    ```
    """

    base_model_class = TwoMNERReleasedModel
    reads_text_apart = False  # rows of a batch are not independent in every defect of the release

    def objective(
        self,
        tag_loss: Tensor,
        text_embeds: Tensor | None,
        vit_embeds: Tensor | None,
        resnet_embeds: Tensor | None,
        image_ids: Tensor | None,
    ) -> dict[str, Tensor]:
        """Twice Eq. 18, with its parts unscaled; arguments of [`TwoMNERForTokenClassification.objective`].

        Without image branches the contrastive losses are zero but the weight alpha stays: 2 alpha L_CRF. Without a CRF
        the release trains only on the cross-entropy.
        """
        parts = super().objective(tag_loss, text_embeds, vit_embeds, resnet_embeds, image_ids)
        if not self.config.use_crf:
            return parts | {"loss": tag_loss}
        scale = 2.0 if self.config.num_branches else 2.0 * self.config.alpha
        return parts | {"loss": scale * parts["loss"]}


class TwoMNERReleasedProcessor(TwoMNERProcessor):
    """Turn words and pictures into inputs as the release does; arguments of [`TwoMNERProcessor`].

    - Eight unusual characters become special tokens of `tokenizer`, which is changed in place, so that no word is
      lost. The model must grow with it:
      `model.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)`.
    - The ViT sees the centre of the picture, its shorter side resized. The ResNet sees a random window, flipped half
      of the time, even in evaluation: [`random_view`]. It is drawn from torch's generator once for each sentence,
      even if two share a picture.
    - If the list `images` has no usable picture for a sentence, [`placeholder_picture`] replaces it and `image_status`
      is `"default"`. `images=None` means no pictures at all, for a text-only network.

    Pictures are opened by [`load_image`]: unlike the release it turns them upright, puts transparent parts on white,
    and counts a truncated file as unreadable.

    Example:

    ```python
    >>> from PIL import Image
    >>> from transformers import BertTokenizer
    >>> from modeling_2mner import TwoMNERReleasedProcessor

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "in", "paris"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> processor = TwoMNERReleasedProcessor(tokenizer=tokenizer)
    >>> batch = processor([["Anna", "in", "Paris"], ["Paris"]], [Image.new("RGB", (300, 300)), None])
    >>> batch.image_status
    ['ok', 'default']
    ```
    """

    augments_pictures = True  # the ResNet sees a random view

    def __init__(
        self,
        image_processor: CLIPImageProcessorPil | None = None,
        resnet_image_processor: CLIPImageProcessorPil | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        max_length: int = 512,
        labels: list[str] | None = None,
        on_bad_image: str = "none",
        chat_template: str | None = None,
    ) -> None:
        super().__init__(
            image_processor, resnet_image_processor, tokenizer, max_length, labels, on_bad_image, chat_template
        )
        tokens = {"extra_special_tokens": list(EXTRA_CHARACTERS)}
        self.tokenizer.add_special_tokens(tokens, replace_extra_special_tokens=False)

    @classmethod
    def for_model(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int = 512,
        resnet_image_size: int = 224,
    ) -> TwoMNERProcessor:
        """A plain [`TwoMNERProcessor`]: `train_hf.py` uses neither the release's tokens nor its random views."""
        return TwoMNERProcessor.for_model(model, tokenizer, max_length, resnet_image_size)

    def encode_images(self, images: list[Image.Image]) -> dict[str, torch.Tensor]:
        """Make both pixel tensors, `(images, 3, height, width)`, with a separate view for each branch."""
        side, resnet_side = self.image_processor.size["height"], self.resnet_image_processor.size["height"]
        centres = self.image_processor(
            images=images,
            size={"shortest_edge": side},
            do_center_crop=True,
            crop_size={"height": side, "width": side},
            return_tensors="pt",
        )
        views = [random_view(image, resnet_side) for image in images]
        windows = self.resnet_image_processor(images=views, do_resize=False, return_tensors="pt")
        return {"pixel_values": centres["pixel_values"], "resnet_pixel_values": windows["pixel_values"]}

    def _load_images(
        self, images: Sequence[PictureSource] | None, num_sentences: int
    ) -> tuple[list[Hashable], dict[Hashable, LoadedImage]]:
        """As in the parent, but each sentence has its own picture, with its row as key."""
        keys, pictures = super()._load_images(images, num_sentences)
        if images is None:
            return keys, pictures
        return list(range(num_sentences)), {row: _or_default(pictures[key]) for row, key in enumerate(keys)}


def random_view(image: Image.Image, side: int) -> Image.Image:
    """Cut a random square of `side` pixels out of a picture and flip it half of the time.

    The picture is not resized, unless one of its sides is below `side`: it is then squashed to the square. The numbers
    come from torch's generator in the order of torchvision's `RandomCrop` and `RandomHorizontalFlip`.
    """
    if min(image.size) < side:
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    if image.size != (side, side):
        top = int(torch.randint(0, image.height - side + 1, (1,)))
        left = int(torch.randint(0, image.width - side + 1, (1,)))
        image = image.crop((left, top, left + side, top + side))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(1) < 0.5 else image


def placeholder_picture() -> Image.Image:
    """Draw the placeholder for an unusable picture; the release uses one from its data set, `17_06_4705.jpg`."""
    picture = Image.new("RGB", (640, 480), (224, 224, 224))
    ImageDraw.Draw(picture).text((320, 240), "image not found", fill=(96, 96, 96), anchor="mm", font_size=48)
    return picture


def convert_released_state_dict(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors of the authors' `MMNER` network for [`TwoMNERReleasedForTokenClassification`].

    Tensors without a counterpart are left out, as is the text encoder's pooler for a text-only network.

    Raises:
        ValueError: for a name that their network does not have.
    """
    resnet = {name.removeprefix(_RESNET): tensor for name, tensor in tensors.items() if name.startswith(_RESNET)}
    renamed = {f"model.resnet_model.{name}": tensor for name, tensor in convert_torchvision_resnet(resnet).items()}
    text_only = "dense_cat.weight" not in tensors
    for name, tensor in tensors.items():
        if not _WITHOUT_COUNTERPART.search(name) and not (text_only and name.startswith("emb.pooler.")):
            renamed[_rename(name)] = tensor
    return renamed


def _rename(name: str) -> str:
    for pattern, replacement in _RULES:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    raise ValueError(f"`tensors` holds {name!r}, which the authors' network does not have; pass its state dict.")


def _or_default(picture: LoadedImage) -> LoadedImage:
    if picture.image is not None:
        return picture
    reason = f"{picture.status}: {picture.reason}"
    return replace(picture, image=placeholder_picture(), status="default", reason=reason)


__all__ = [
    "EXTRA_CHARACTERS",
    "TwoMNERReleasedConfig",
    "TwoMNERReleasedForTokenClassification",
    "TwoMNERReleasedModel",
    "TwoMNERReleasedProcessor",
    "convert_released_state_dict",
    "placeholder_picture",
    "random_view",
]
