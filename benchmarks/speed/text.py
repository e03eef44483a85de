"""Text without pictures: posteriors, the pipeline beside the stock one of transformers, and the small model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import torch
from transformers import BertConfig, BertForTokenClassification, TokenClassificationPipeline

from benchmarks.full_size import tokenizer_for
from benchmarks.speed.material import BATCH, LABELS, Material
from benchmarks.speed.measuring import Answer, Goal, Way, Work
from configuration_2mner import load_preset
from modeling_2mner import (
    BertCRFConfig,
    BertCRFForTokenClassification,
    OneImageProcessor,
    TwoMNERForTokenClassification,
    TwoMNERPipeline,
    TwoMNERProcessor,
)
from modeling_2mner.crf import LinearChainCRF
from modeling_2mner.posteriors import Reading, TagPosteriors
from modeling_2mner.spans import entity_spans

ONE_BY_ONE = "posteriors sentence by sentence"


def posteriors(options: argparse.Namespace, material: Material) -> Iterator[Work]:
    """The best tags and the posteriors of all entities, for 64 sentences of 128 words."""
    count, words = 64, 128
    crf = LinearChainCRF(len(LABELS), LABELS)
    emissions = 2 * torch.randn(count, words, len(LABELS))
    emissions[:, :, 0] += 5  # most words are no entities
    mask = torch.ones(count, words, dtype=torch.bool)
    ways = [
        Way(
            ONE_BY_ONE,
            [lambda: [read_alone(crf, LABELS, own) for own in emissions]],
            answers=list,
        ),
        Way(
            "posteriors in batches",
            [lambda: TagPosteriors(emissions, mask, LABELS, crf, True).read()],
            Goal(20.0),
            answers=lambda found: [_answer(reading) for [reading] in found],
            compared_with=ONE_BY_ONE,
            exact=True,
        ),
    ]
    name = f"posteriors of {count} sentences of {words} words"
    yield Work(name, ways, "sentence", count, options.repeats, options.clock)


def read_alone(crf: LinearChainCRF, labels: list[str], emissions: torch.Tensor) -> Answer:
    """One sentence, with a forward-backward pass for the marginals, one for the score of the best path and one for the
    entities, as before they were read in batches."""
    mask = torch.ones(1, len(emissions), dtype=torch.bool)
    crf.marginals(emissions[None], mask, True)
    [(path, _)] = crf.best_paths(emissions, 1, True)
    tags = [labels[tag] for tag in path]
    numbers = {label: number for number, label in enumerate(labels)}
    spans = [
        (start, end, numbers[f"B-{kind}"], numbers[f"I-{kind}"])
        for kind, start, end in entity_spans(tags, strict=False)
    ]
    return tags, crf.span_posteriors(emissions[None], mask, spans, True)[0].tolist()


def text_pipeline(options: argparse.Namespace, material: Material) -> Iterator[Work]:
    """The pipeline on text, against the stock one of transformers on an encoder of the same size."""
    sizes = {**material.text, "vocab_size": max(material.text.get("vocab_size", 0), len(material.tokenizer))}
    model = BertCRFForTokenClassification(BertCRFConfig(text_config=dict(sizes))).eval()
    pipe = TwoMNERPipeline(model=model, processor=OneImageProcessor.for_model(model, material.tokenizer), device="cpu")
    stock_model = BertForTokenClassification(BertConfig(**{**sizes, "num_labels": len(LABELS)})).eval()
    stock = TokenClassificationPipeline(model=stock_model, tokenizer=material.tokenizer, device="cpu")
    texts = [" ".join(words) for words in material.sentences]
    for name, given in (("as they come", texts), ("sorted", sorted(texts, key=len))):

        def run_stock(given: list[str] = given) -> Any:
            return stock(given, batch_size=BATCH, aggregation_strategy="simple")

        ways = [Way("transformers", [run_stock]), Way("pipeline", [lambda: pipe(texts, batch_size=BATCH)], Goal(1.0))]
        work = f"text; transformers' token classification, {name}"
        yield Work(work, ways, "sentence", len(texts), options.repeats, options.clock)


def small_model(options: argparse.Namespace, material: Material) -> Iterator[Work]:
    """The model of the demonstration on text: the pipeline, against batches as they come and posteriors one by one."""
    model, processor = demo_model(material)
    pipe = TwoMNERPipeline(model=model, processor=processor, device="cpu")
    labels, crf = model.config.labels, model.crf

    @torch.inference_mode()
    def one_by_one() -> list[Answer]:
        answers = []
        for start in range(0, len(material.sentences), BATCH):
            batch = processor(material.sentences[start : start + BATCH])
            emissions = model(**batch).logits
            for own, length in zip(emissions, batch["word_mask"].sum(1).tolist(), strict=True):
                answers.append(read_alone(crf, labels, own[:length]))
        return answers

    ways = [
        Way(ONE_BY_ONE, [one_by_one]),
        Way("pipeline", [lambda: pipe(material.sentences, batch_size=BATCH)], Goal(2.5)),
    ]
    count = len(material.sentences)
    yield Work("text, the demonstration's model", ways, "sentence", count, options.repeats, options.clock)


def demo_model(material: Material) -> tuple[Any, Any]:
    """The network of the demonstration with random weights, and its processor."""
    tokenizer = tokenizer_for(material.sentences)
    config = load_preset("2m-ner-demo", text_config={"vocab_size": len(tokenizer)})
    model = TwoMNERForTokenClassification(config).eval()
    return model, TwoMNERProcessor.for_model(model, tokenizer)


def _answer(reading: Reading) -> Answer:
    return reading.tags, reading.span_scores
