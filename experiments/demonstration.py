"""What `python -m experiments.demo` does."""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForTokenClassification, AutoProcessor

import train_hf
from dataset_scripts.card import text_table
from dataset_scripts.mini.generator import text_only_ceiling, write_mini
from modeling_2mner import TwoMNERForTokenClassification, TwoMNERProcessor
from reports_2mner.files import write_json
from training_2mner.arguments import DataArguments
from training_2mner.data import load_splits

RUN = Path("configuration_2mner") / "runs" / "demo-2m-ner.yaml"
TEXT_ONLY = {"use_vit": False, "use_resnet": False}


def demonstrate(options: argparse.Namespace) -> None:
    """Run the demonstration from the repository's root."""
    started = time.monotonic()
    # A network this small loses more by waiting for a busy second core than it gains from a free one, which prepares
    # the next batch instead.
    torch.set_num_threads(1)
    if not options.data.exists():
        print(f"{text_table(write_mini(options.data))}\nWritten to {options.data}.")
    common = [str(RUN), "--dataset", str(options.data)]
    full = train_model(*common, "--output_dir", str(options.output))
    text_folder = options.output.with_name(f"{options.output.name}-text-only")
    text_only = train_model(*common, "--output_dir", str(text_folder), "--config", json.dumps(TEXT_ONLY))
    test = load_splits(DataArguments(dataset=str(options.data)))["test"]
    figures = {
        "full_f1": round(100 * full["test_f1"], 2),
        "text_only_f1": round(100 * text_only["test_f1"], 2),
        "text_only_ceiling": round(text_only_ceiling(test), 2),
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(options.output / "demo.json", figures, indent=2)
    report(figures)
    show_two_answers(options.output, test)


def train_model(*command_line: str) -> dict[str, float]:
    """Run `train_hf.py` in this process and return its results."""
    return train_hf.main(*train_hf.read_command_line(list(command_line)))


def report(figures: dict[str, float]) -> None:
    """Print the figures."""
    print(f"\nTest F1 (strict), in percent, after {figures['seconds']:.0f} s:")
    print(f"  words and picture   {figures['full_f1']:6.2f}")
    print(f"  words alone         {figures['text_only_f1']:6.2f}")
    print(f"  words alone can at most reach {figures['text_only_ceiling']:.2f} on this test set.")


def show_two_answers(folder: Path, test: Dataset) -> None:
    """Print one test sentence with two of its pictures and the two answers, which differ only because of the picture.

    The two pictures are written to the run folder, so that they can be viewed.
    """
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    for first, second in pairs_with_one_sentence(test):
        answers = [predict_entities(model, processor, row) for row in (first, second)]
        if answers[0] != answers[1]:
            print(f"\nOne sentence, two pictures: {' '.join(first['tokens'])}")
            for number, (row, answer) in enumerate(zip((first, second), answers, strict=True), start=1):
                path = folder / f"example-{number}.jpg"
                path.write_bytes(row["image"]["bytes"])
                found = ", ".join(f"{entity['word']} [{entity['entity_group']}]" for entity in answer)
                print(f"  {path}: {found}")
            return
    print("\nFor no sentence of the test set does the model give two answers.")


def pairs_with_one_sentence(test: Dataset) -> Iterator[tuple[dict, dict]]:
    """Rows with the same words and different gold tags, both with a picture."""
    rows = defaultdict(list)
    for row in test:
        if row["image"] is not None:
            rows[tuple(row["tokens"])].append(row)
    for same in rows.values():
        for other in same[1:]:
            if other["ner_tags"] != same[0]["ner_tags"]:
                yield same[0], other


@torch.no_grad()
def predict_entities(model: TwoMNERForTokenClassification, processor: TwoMNERProcessor, row: dict) -> list[dict]:
    """The entities of one row, by the model's own decoding."""
    batch = processor([row["tokens"]], [row["image"]])
    return processor.post_process_entities(model(**batch).predictions, batch, model.config.labels)[0]
