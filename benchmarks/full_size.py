"""Time and peak memory of one training step and one prediction of the full-size network.

    python benchmarks/full_size.py --conll ../MMNERD/train_valid_test/train_valid_test_en/test_conll_format.txt

Multilingual BERT, CLIP ViT-B/32 and ResNet-152 with random weights, on sentences of a CoNLL file (without one, on
generated words) and generated 500x375 JPEGs, one per sentence. The vocabulary consists of the sentences' own words.
"""

from __future__ import annotations

import argparse
import io
import itertools
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import BertTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configuration_2mner import load_preset
from dataset_scripts.conll import read_conll
from modeling_2mner import TwoMNERForTokenClassification, TwoMNERProcessor
from reports_2mner.command_line import at_least, exit_on_error, make_parser


@exit_on_error(OSError)
def main() -> None:
    """Run and time each part once."""
    options = read_command_line()
    torch.manual_seed(19)
    words, tags = first_sentences(options.conll, options.batch_size)
    processor = TwoMNERProcessor(tokenizer=tokenizer_for(words))
    model = TwoMNERForTokenClassification(load_preset("2m-ner"))
    print(f"parameters: {sum(parameter.numel() for parameter in model.parameters()):,}")
    batch = timed("processor", lambda: processor(words, [jpeg(row) for row in range(len(words))], tags))
    print({name: tuple(tensor.shape) for name, tensor in batch.items()})
    timed("training step", lambda: training_step(model, batch))
    model.eval()
    with torch.no_grad():
        predictions = timed("prediction", lambda: model(**batch).predictions)
    if (predictions >= 0).sum() != sum(len(sentence) for sentence in words):
        raise ValueError("a word has no tag.")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


def read_command_line(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser("python benchmarks/full_size.py", __doc__)
    parser.add_argument("--conll", type=Path, help="CoNLL file whose first sentences are used")
    parser.add_argument("--batch_size", type=at_least(1), default=16, help="sentences (default: %(default)s)")
    return parser.parse_args(arguments)


def first_sentences(path: Path | None, count: int) -> tuple[list[list[str]], list[list[str]]]:
    """The first sentences of a CoNLL file and their tags, or generated ones."""
    if path is None:
        return [[f"word{row}"] * (10 + row) for row in range(count)], [["O"] * (10 + row) for row in range(count)]
    rows = list(itertools.islice(read_conll(path), count))
    return [list(row.tokens) for row in rows], [list(row.tags) for row in rows]


def tokenizer_for(words: list[list[str]]) -> BertTokenizer:
    """A cased tokenizer that knows these words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    known = sorted({word for sentence in words for word in sentence})
    vocabulary = {token: index for index, token in enumerate([*special, *known])}
    return BertTokenizer(vocab=vocabulary, do_lower_case=False, model_max_length=512)


def jpeg(seed: int) -> bytes:
    """A smooth random picture of 500x375 pixels."""
    cells = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(cells).resize((500, 375), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def training_step(model: TwoMNERForTokenClassification, batch) -> None:
    """Forward, Eq. 18, backward and one step of Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-5, fused=True)
    model.train()
    outputs = model(**batch)
    embeds = outputs.text_embeds, outputs.vit_embeds, outputs.resnet_embeds
    losses = model.objective(outputs.loss, *embeds, batch["image_index"])
    losses["loss"].backward()
    optimizer.step()
    print({name: round(value.item(), 4) for name, value in losses.items()})


def timed(name: str, run):
    """Run, print the seconds, return the result."""
    started = time.perf_counter()
    result = run()
    print(f"{name}: {time.perf_counter() - started:.1f} s")
    return result


if __name__ == "__main__":
    main()
