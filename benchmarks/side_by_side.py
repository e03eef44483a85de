"""Time 2M-NER beside a plain reference of the same work, interleaved in one run.

    python benchmarks/side_by_side.py                     # small networks, minutes
    python benchmarks/side_by_side.py --full              # the paper's networks, about an hour
    python benchmarks/side_by_side.py --conll test_conll_format.txt --text_encoder FOLDER  # real sentences

References: for forward passes and training steps the authors' released network in its order of work (sentences as they
come, a picture decoded and encoded for each); for text the stock "token-classification" of transformers, a softmax on
the same encoder; for posteriors one sentence at a time. Weights are random. Prints a Markdown table of medians; where
both sides compute the same, tags must be equal and scores within 1e-5.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BertConfig, BertForTokenClassification, TokenClassificationPipeline

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.full_size import first_sentences, jpeg, tokenizer_for
from modeling_2mner import (
    BertCRFConfig,
    BertCRFForTokenClassification,
    OneImageProcessor,
    TwoMNERConfig,
    TwoMNERForTokenClassification,
    TwoMNERPipeline,
    TwoMNERProcessor,
    TwoMNERReleasedConfig,
    TwoMNERReleasedForTokenClassification,
    TwoMNERReleasedProcessor,
)
from modeling_2mner.crf import LinearChainCRF
from modeling_2mner.posteriors import TagPosteriors
from reports_2mner.command_line import at_least, exit_on_error, make_parser
from reports_2mner.tables import Table

LABELS = ["O", *(f"{mark}-{kind}" for kind in ("PER", "LOC", "ORG", "MISC") for mark in "BI")]
SMALL = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192}
SMALL_VISION = {"model_type": "clip_vision_model", **SMALL, "image_size": 64, "patch_size": 16}
SMALL_RESNET = {
    "model_type": "resnet",
    "embedding_size": 16,
    "hidden_sizes": [24, 48, 96],
    "depths": [1, 1, 1],
    "layer_type": "basic",
}
TOLERANCE = 1e-5


@dataclass
class Pair:
    """Two ways to do the same work.

    Args:
        work: its name.
        reference, ours: functions that do it once.
        unit: what it is counted in, and `count` of how many.
        equal: checks that both give the same, if they should.
    """

    work: str
    reference: Callable[[], Any]
    ours: Callable[[], Any]
    unit: str
    count: int
    equal: Callable[[Any, Any], None] | None = None

    def row(self, repeats: int) -> list[str]:
        """Time both in turn, `repeats` times after one that does not count; return the cells of the table."""
        found = self.reference(), self.ours()
        if self.equal is not None:
            self.equal(*found)
        seconds: tuple[list[float], list[float]] = [], []
        for _ in range(repeats):
            for times, work in zip(seconds, (self.reference, self.ours), strict=True):
                started = time.perf_counter()
                work()
                times.append(time.perf_counter() - started)
        reference, ours = (1000 * statistics.median(times) / self.count for times in seconds)
        return [self.work, f"ms a {self.unit}", f"{reference:.2f}", f"{ours:.2f}", f"{reference / ours:.2f}x"]


@dataclass(frozen=True)
class Material:
    """Sentences, and the tokenizer and text encoder that read them."""

    sentences: list[list[str]]
    tokenizer: Any
    text: dict[str, Any]

    @classmethod
    def of(cls, options: argparse.Namespace) -> Material:
        """Real sentences with `--conll`; otherwise generated ones, in lengths like those of captions and tweets."""
        if options.conll is not None:
            sentences = first_sentences(options.conll, options.sentences)[0]
        else:
            chance = random.Random(19)
            lengths = [min(round(math.exp(chance.gauss(2.65, 0.5))) + 1, 60) for _ in range(options.sentences)]
            sentences = [[f"word{chance.randrange(500)}" for _ in range(length)] for length in lengths]
        if options.text_encoder is not None:
            tokenizer = AutoTokenizer.from_pretrained(options.text_encoder)
            config = BertConfig.from_pretrained(options.text_encoder).to_diff_dict()
            return cls(sentences, tokenizer, {**config, "model_type": "bert"})
        sizes = {} if options.full else SMALL
        return cls(sentences, tokenizer_for(sentences), {"model_type": "bert", "vocab_size": 119547, **sizes})


def posteriors(options: argparse.Namespace, material: Material) -> list[Pair]:
    """The posteriors of 64 sentences of up to 128 words."""
    crf = LinearChainCRF(len(LABELS), LABELS)
    emissions = 2 * torch.randn(64, 128, len(LABELS))
    emissions[:, :, 0] += 5  # most words are no entities
    mask = torch.ones(64, 128, dtype=torch.bool)

    def alone() -> list:
        return [
            reading
            for row in range(64)
            for [reading] in TagPosteriors(emissions[row : row + 1], mask[:1], LABELS, crf, True).read()
        ]

    def together() -> list:
        return [reading for [reading] in TagPosteriors(emissions, mask, LABELS, crf, True).read()]

    def equal(expected: list, found: list) -> None:
        for one, other in zip(expected, found, strict=True):
            check(one.tags == other.tags, "tags")
            check(close(one.span_scores, other.span_scores), "scores")

    return [Pair("posteriors, 64 sentences of 128 words", alone, together, "sentence", 64, equal)]


def text_pipelines(options: argparse.Namespace, material: Material) -> list[Pair]:
    """The pipeline on text, against the stock one of transformers on an encoder of the same size."""
    config = BertCRFConfig(text_config=dict(material.text))
    model = BertCRFForTokenClassification(config).eval()
    pipe = TwoMNERPipeline(model=model, processor=OneImageProcessor.for_model(model, material.tokenizer), device="cpu")
    stock_model = BertForTokenClassification(BertConfig(**{**material.text, "num_labels": len(LABELS)})).eval()
    stock = TokenClassificationPipeline(model=stock_model, tokenizer=material.tokenizer, device="cpu")
    texts = [" ".join(words) for words in material.sentences]
    in_order = sorted(texts, key=len)

    def ours() -> list:
        return pipe(texts, batch_size=16)

    pairs = []
    for name, given in (("as they come", texts), ("sorted", in_order)):
        pairs.append(
            Pair(
                f"text pipeline; transformers' own, {name}",
                lambda given=given: stock(given, batch_size=16, aggregation_strategy="simple"),
                ours,
                "sentence",
                len(texts),
            )
        )
    return pairs


def networks(options: argparse.Namespace, material: Material) -> list[Pair]:
    """Forward passes and training steps against the released network, and eight sentences with one picture."""
    parts: dict[str, Any] = {"text_config": dict(material.text)}
    if not options.full:
        parts |= {"vision_config": SMALL_VISION, "resnet_config": SMALL_RESNET}
        parts["text_config"].update(SMALL)
    released = TwoMNERReleasedForTokenClassification(TwoMNERReleasedConfig(**parts)).eval()
    released_processor = TwoMNERReleasedProcessor.for_model(released, tokenizer_for(material.sentences))
    released.resize_token_embeddings(len(released_processor.tokenizer), mean_resizing=False)
    model = TwoMNERForTokenClassification(TwoMNERConfig(**parts)).eval()
    processor = TwoMNERProcessor.for_model(model, material.tokenizer)
    pipe = TwoMNERPipeline(model=model, processor=processor, device="cpu")
    count = options.batches * 16
    sentences = material.sentences[:count]
    pictures = [jpeg(row) for row in range(count)]
    rows = [{"words": words, "image": picture} for words, picture in zip(sentences, pictures, strict=True)]
    eight = [{**row, "image": pictures[place // 8]} for place, row in enumerate(rows)]

    @torch.inference_mode()
    def release(given: Sequence[dict[str, Any]]) -> list[torch.Tensor]:
        found = []
        for start in range(0, len(given), 16):
            batch = given[start : start + 16]
            inputs = released_processor([row["words"] for row in batch], [row["image"] for row in batch])
            found.append(released(**inputs).predictions)
        return found

    def in_bfloat16() -> list:
        with torch.autocast("cpu", torch.bfloat16):
            return pipe(rows, batch_size=16)

    pairs = [
        Pair("sentences with pictures", lambda: release(rows), lambda: pipe(rows, batch_size=16), "sentence", count),
        Pair("the same, ours in bfloat16", lambda: release(rows), in_bfloat16, "sentence", count),
        Pair(
            "eight sentences a picture", lambda: release(eight), lambda: pipe(eight, batch_size=16), "sentence", count
        ),
    ]
    tags = [["O"] * len(words) for words in sentences[:16]]
    batch = processor(sentences[:16], pictures[:16], tags)
    released_batch = released_processor(sentences[:16], pictures[:16], tags)
    step = make_step(released, released_batch)
    pairs.append(Pair("training step, all trained", step, make_step(model, batch), "sentence", 16))
    frozen = TwoMNERForTokenClassification(TwoMNERConfig(**parts))
    for tower in (frozen.model.vision_model, frozen.model.resnet_model):
        tower.requires_grad_(False)
    pairs.append(Pair("training step, frozen image encoders", step, make_step(frozen, batch), "sentence", 16))
    return pairs


def make_step(model: Any, batch: Any) -> Callable[[], None]:
    """A training step: forward, Eq. 18, backward, Adam."""
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], fused=True)

    def step() -> None:
        model.train()
        outputs = model(**batch)
        embeds = outputs.text_embeds, outputs.vit_embeds, outputs.resnet_embeds
        model.objective(outputs.loss, *embeds, batch["image_index"])["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        model.eval()

    return step


def close(expected: Sequence[float], found: Sequence[float]) -> bool:
    """Whether numbers agree within the tolerance."""
    return len(expected) == len(found) and all(
        abs(one - other) <= TOLERANCE for one, other in zip(expected, found, strict=True)
    )


def check(holds: bool, what: str) -> None:
    """Raise `ValueError` if the two sides differ."""
    if not holds:
        raise ValueError(f"the two sides give different {what}.")


GROUPS = {"posteriors": posteriors, "text": text_pipelines, "networks": networks}


def read_command_line(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser("python benchmarks/side_by_side.py", __doc__)
    add = parser.add_argument
    add("--full", action="store_true", help="the paper's networks in place of small ones")
    add("--only", nargs="+", choices=GROUPS, default=list(GROUPS), help="some of the measurements (default: all)")
    add("--conll", type=Path, help="CoNLL file whose first sentences are used (default: generated ones)")
    add("--text_encoder", help="folder of a BERT, whose size and tokenizer are used for text")
    add("--sentences", type=at_least(16), default=256, help="sentences of the text (default: %(default)s)")
    add("--batches", type=at_least(1), default=2, help="batches of 16 with pictures (default: %(default)s)")
    add("--repeats", type=at_least(1), default=5, help="times that each side runs (default: %(default)s)")
    add("--threads", type=at_least(1), default=1, help="threads of torch (default: %(default)s)")
    return parser.parse_args(arguments)


@exit_on_error(OSError)
def main(arguments: list[str] | None = None) -> None:
    """Measure and print a row for each pair as soon as it is known."""
    options = read_command_line(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(19)
    material = Material.of(options)
    pairs = (pair for name in options.only for pair in GROUPS[name](options, material))
    rows = (pair.row(options.repeats) for pair in pairs)
    table = Table(["work", "", "reference", "2M-NER", "ratio"], rows, align="llrrr")
    for line in table.markdown_lines():
        print(line, flush=True)


if __name__ == "__main__":
    main()
