"""The graphs of a model: what each computes, with examples of its inputs, and how it is written as ONNX.

2M-NER has three, so that pictures can be encoded apart from the sentences that share them: `text`, `images` and `head`
(fusion and classifier). The comparison models on sub-words, whose text and pictures meet in every layer, and models
without pictures have one, `tagger`. All sizes of a batch are open: sentences, words, windows, pieces and pictures.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from modeling_2mner.encoders import encode_resnet, gather_images, gather_words
from training_2mner.folding import fold_batch_norms

SUPPORTED = ("2m-ner", "bert-crf", "umt", "umgf", "mkgformer")
AXES = {
    "input_ids": ("windows", "pieces"),
    "attention_mask": ("windows", "pieces"),
    "word_positions": ("batch", "words"),
    "first_window": ("batch",),
    "image_index": ("batch",),
    "pixel_values": ("images",),
    "resnet_pixel_values": ("images",),
    "words": ("batch", "words"),
    "vit_regions": ("images",),
    "resnet_regions": ("images",),
}
REGIONS = {"pixel_values": "vit_regions", "resnet_pixel_values": "resnet_regions"}
LARGEST_FILE = 1_900_000_000  # bytes; a graph with its weights in one file may have at most 2 GB
PICTURE = Image.new("RGB", (8, 8))  # only its processed size counts


@dataclass(frozen=True)
class Graph:
    """A part of a model, with an example of each input by its name, and the names of its outputs."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]


class TextGraph(nn.Module):
    """Sub-words to words, `(batch, words, hidden)`."""

    def __init__(self, tagger: Any) -> None:
        super().__init__()
        self.text_model = tagger.model.text_model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, word_positions: Tensor) -> Tensor:
        states = self.text_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return gather_words(states, word_positions)


class ImageGraph(nn.Module):
    """Pictures to the regions that words attend to, `(images, regions, size)` of each tower that the model has."""

    def __init__(self, tagger: Any) -> None:
        super().__init__()
        self.config = tagger.config
        network = tagger.model
        if self.config.use_vit:
            self.vision_model = network.vision_model
        if self.config.use_resnet:
            self.resnet_model, self.resnet_projection = network.resnet_model, network.resnet_projection

    def forward(
        self, pixel_values: Tensor | None = None, resnet_pixel_values: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        regions = []
        if pixel_values is not None:
            tokens = self.vision_model(pixel_values=pixel_values).last_hidden_state
            regions.append(tokens[:, 1:] if self.config.vit_tokens == "patches" else tokens)
        if resnet_pixel_values is not None:
            grid, pooled = encode_resnet(self.resnet_model, resnet_pixel_values)
            chosen = grid if self.config.resnet_features == "regions" else pooled[:, None]
            regions.append(self.resnet_projection(chosen))
        return tuple(regions)


class HeadGraph(nn.Module):
    """Words and regions to emissions, `(batch, words, labels)` (Eq. 11-15)."""

    def __init__(self, tagger: Any) -> None:
        super().__init__()
        self.branches = nn.ModuleDict()
        if tagger.config.use_vit:
            self.branches["vit"] = tagger.model.vit_collaboration
        if tagger.config.use_resnet:
            self.branches["resnet"] = tagger.model.resnet_collaboration
        self.fusion_projection, self.classifier = tagger.fusion_projection, tagger.classifier

    def forward(
        self,
        words: Tensor,
        image_index: Tensor,
        vit_regions: Tensor | None = None,
        resnet_regions: Tensor | None = None,
    ) -> Tensor:
        regions: dict[str, Any] = {"vit": vit_regions, "resnet": resnet_regions}
        fused = [
            branch(words, gather_images(regions[name], image_index), image_index >= 0)[0]
            for name, branch in self.branches.items()
        ]
        return self.classifier(self.fusion_projection(torch.cat(fused, dim=-1)))


class TaggerGraph(nn.Module):
    """A whole model below its CRF: its batch to emissions, `(batch, words, labels)`."""

    def __init__(self, tagger: nn.Module) -> None:
        super().__init__()
        self.tagger = tagger

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        word_positions: Tensor,
        first_window: Tensor | None = None,
        image_index: Tensor | None = None,
        pixel_values: Tensor | None = None,
    ) -> Tensor:
        pictures = {"first_window": first_window, "image_index": image_index, "pixel_values": pixel_values}
        pictures = {name: value for name, value in pictures.items() if value is not None}
        text = {"input_ids": input_ids, "attention_mask": attention_mask, "word_positions": word_positions}
        return self.tagger(**text, **pictures).logits


def refuse_unsupported(model: Any) -> None:
    """Raise ValueError for a model that cannot be exported, with the reason."""
    config = model.config
    kind = config.model_type
    if kind not in SUPPORTED:
        raise ValueError(
            f"a {kind!r} model cannot be exported; those that can are {', '.join(SUPPORTED)}. Models on word vectors, the "
            "released network and models that were exported already stay as they are."
        )
    if not config.tags_words:
        raise ValueError(
            'a model with `label_scheme="subword_aux"` cannot be exported, because its CRF runs over sub-words; train with '
            '`label_scheme="word"`.'
        )
    if kind == "umgf" and config.use_image and config.visual_nodes == "objects":
        raise ValueError(
            'a UMGF with `visual_nodes="objects"` cannot be exported, because the number of its objects decides what it '
            'computes; train with `visual_nodes="grid"`.'
        )
    if kind == "mkgformer" and config.use_image and not config.use_whole_image:
        raise ValueError(
            "a MKGFormer with `use_whole_image=False` cannot be exported, because exported models take whole pictures; "
            "train with `use_whole_image=True`."
        )


@torch.no_grad()
def build_graphs(model: Any, processor: Any) -> list[Graph]:
    """The graphs of a model, in the order in which they run, with batch norms folded into copies of its convolutions.

    Raises:
        ValueError: for a model that cannot be exported.
    """
    refuse_unsupported(model)
    tagger = copy.deepcopy(model).cpu().float().eval()
    fold_batch_norms(tagger)
    text, sentences = _example_text(model.config)
    pixels = processor.encode_images([PICTURE, PICTURE]) if model.config.uses_image else {}
    if model.config.model_type != "2m-ner" or not pixels:
        inputs = text if not pixels else {**text, **sentences, "pixel_values": pixels["pixel_values"]}
        return [Graph("tagger", TaggerGraph(tagger), inputs, ("logits",))]
    towers = {"pixel_values": model.config.use_vit, "resnet_pixel_values": model.config.use_resnet}
    pixels = {name: pixels[name] for name, is_used in towers.items() if is_used}
    outputs = tuple(REGIONS[name] for name in pixels)
    text_graph = Graph("text", TextGraph(tagger), text, ("words",))
    image_graph = Graph("images", ImageGraph(tagger), pixels, outputs)
    regions = dict(zip(outputs, image_graph.module(**pixels), strict=True))
    head = {"words": text_graph.module(**text), "image_index": sentences["image_index"], **regions}
    return [text_graph, image_graph, Graph("head", HeadGraph(tagger), head, ("logits",))]


def blanks_of(graphs: list[Graph]) -> dict[str, list[int]]:
    """The shapes of one picture, or of its regions, that the last graph takes."""
    pictures = {name: value for name, value in graphs[-1].inputs.items() if AXES[name] == ("images",)}
    return {name: [1, *value.shape[1:]] for name, value in pictures.items()}


def write_onnx(graph: Graph, path: Path) -> None:
    """Write a graph as ONNX, with its weights in the same file or, if they are too large for that, beside it."""
    require("onnx", "onnxscript")
    weights = sum(tensor.numel() * tensor.element_size() for tensor in graph.module.state_dict().values())
    with _quiet():
        program: Any = torch.onnx.export(
            graph.module,
            (),
            kwargs=graph.inputs,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes={name: dict(enumerate(AXES[name])) for name in graph.inputs},
            dynamo=True,
            verbose=False,
        )
        _drop_remarks(program.model)
        program.save(path, external_data=weights > LARGEST_FILE)


def _drop_remarks(model: Any) -> None:
    """Remove what the exporter notes on each step: the lines of code that it comes from, with the paths of this machine."""
    from onnx_ir.traversal import RecursiveGraphIterator

    model.metadata_props.clear()
    for part in (model.graph, *model.functions.values()):
        part.metadata_props.clear()
        for node in RecursiveGraphIterator(part):
            node.metadata_props.clear()
            for value in node.outputs:
                value.metadata_props.clear()
        for value in (*part.inputs, *getattr(part, "initializers", {}).values()):
            value.metadata_props.clear()


def require(*packages: str, extra: str = "onnx") -> None:
    """Raise ValueError unless the packages are installed."""
    for package in packages:
        try:
            __import__(package)
        except ImportError as error:
            raise ValueError(f"this export needs {package}; run `pip install '2m-ner[{extra}]'`.") from error


def _example_text(config: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Three sentences in five windows; no two sizes are equal, or the graph would take them for one, and none is 1."""
    windows, pieces, batch, words = 5, 12, 3, 7
    mask = torch.ones(windows, pieces, dtype=torch.long)
    mask[1, 8:] = 0
    generator = torch.Generator().manual_seed(0)
    text = {
        "input_ids": torch.randint(5, config.text_config.vocab_size, (windows, pieces), generator=generator),
        "attention_mask": mask,
        "word_positions": torch.randint(0, windows * pieces, (batch, words), generator=generator),
    }
    return text, {"first_window": torch.tensor([0, 2, 3]), "image_index": torch.tensor([1, -1, 0])}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own steps; its errors are raised."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
