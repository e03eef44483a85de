"""How much of what the text encoder reads is padding, in training, evaluation, prediction and the server.

    python benchmarks/padding.py --mmnerd ../MMNERD --tokenizer sentence-transformers/all-MiniLM-L6-v2

Padded cells are divided by real sub-words, both with the tokens that begin and end a window: 1 is no padding. The sentences
are those of the released English files; each kind of work makes its batches by the code that the programs use. The server
has 64 clients, each of which waits for an answer at any time.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from transformers import AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset_scripts.conll import read_conll
from modeling_2mner import TwoMNERProcessor
from modeling_2mner.handler import portions
from modeling_2mner.length_windows import WINDOW_BATCHES, LengthWindows
from reports_2mner.command_line import exit_on_error, make_parser
from reports_2mner.tables import Table
from training_2mner.sampler import LengthGroupedSampler
from training_2mner.serve.batching import Request, next_batch

TRAINING, EVALUATION, PREDICTION, SERVER = 16, 32, 16, 32  # sentences of a batch
CLIENTS = 64  # of the server, each of which sends a sentence as soon as it has the answer to the one before
FILES = "train_valid_test/train_valid_test_en/{}_conll_format.txt"

Sentences = Sequence[list[str]]
Batches = Iterable[Sequence[int]]


@exit_on_error(OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    options = read_command_line(arguments)
    processor = TwoMNERProcessor(tokenizer=AutoTokenizer.from_pretrained(options.tokenizer))
    train, test = (read_sentences(options.mmnerd / FILES.format(name)) for name in ("train", "test"))
    print(table(processor, train, test).markdown())


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser("python benchmarks/padding.py", __doc__)
    parser.add_argument("--mmnerd", type=Path, required=True, help="folder with the released English files")
    parser.add_argument("--tokenizer", required=True, help="Hub id or folder of a tokenizer")
    return parser.parse_args(arguments)


def read_sentences(path: Path) -> list[list[str]]:
    """The sentences of a file in the authors' format."""
    return [list(sentence.tokens) for sentence in read_conll(path)]


def table(processor: TwoMNERProcessor, train: Sentences, test: Sentences) -> Table:
    """The ratios of all kinds of work, in batches of rows as they come, grouped by words, and as the programs do."""
    rows = []
    for name, sentences, size in (
        ("training", train, TRAINING),
        ("evaluation", test, EVALUATION),
        ("prediction", test, PREDICTION),
        ("server", test, SERVER),
    ):
        pieces, words = processor.piece_lengths(sentences), list(map(len, sentences))
        ways = (given(name, len(sentences), size), grouped(name, words, size), grouped(name, pieces, size))
        ratios = [f"{padding(processor, sentences, batches):.3f}" for batches in ways]
        rows.append([f"{name}, batches of {size}", f"{len(sentences):,}", *ratios])
    return Table(["work", "sentences", "as they come", "by words", "by sub-words"], rows)


def padding(processor: TwoMNERProcessor, sentences: Sentences, batches: Batches) -> float:
    """Cells of all batches, divided by the sub-words in them."""
    cells = real = read = 0
    for rows in batches:
        batch = processor([sentences[row] for row in rows])
        cells += batch["input_ids"].numel()
        real += int(batch["attention_mask"].sum())
        read += len(rows)
    if read != len(sentences):
        raise ValueError(f"the batches hold {read} of {len(sentences)} sentences.")
    return cells / real


def given(name: str, count: int, size: int) -> Batches:
    """Batches without grouping: random ones in training, in the order of the file elsewhere."""
    rows = list(range(count))
    if name == "training":
        random.Random(19).shuffle(rows)
    return [rows[start : start + size] for start in range(0, count, size)]


def grouped(name: str, lengths: Sequence[int], size: int) -> Batches:
    """Batches as the programs make them of sentences of these lengths."""
    rows = list(range(len(lengths)))
    if name == "training":
        rows = list(LengthGroupedSampler(list(lengths), size, seed=19))
    elif name == "evaluation":
        rows.sort(key=lambda row: -lengths[row])
    elif name == "prediction":
        return windows(lengths, size)
    else:
        return served(lengths, size)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def served(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """The batches of the server, when each of its clients has sent a sentence."""
    coming = iter([Request([row], {}, length) for row, length in enumerate(lengths)])
    waiting = list(islice(coming, CLIENTS))
    while waiting:
        batch = next_batch(waiting, size)
        waiting = [request for request in waiting if request not in batch] + list(islice(coming, len(batch)))
        queue = [row for request in batch for row in request.items]
        for portion in portions([lengths[row] for row in queue], [0] * len(queue)):
            yield [queue[place] for place in portion]


def windows(lengths: Sequence[int], size: int) -> Batches:
    """The batches of the pipeline and of `predict`."""
    batches: list[list[int]] = []

    def measure(rows: Sequence[int]) -> tuple[list[int], dict[int, int]]:
        return [lengths[row] for row in rows], {}

    def answer(rows: list[int]) -> list[int]:
        batches.append(rows)
        return rows

    loader = [list(range(start, min(start + size, len(lengths)))) for start in range(0, len(lengths), size)]
    if list(LengthWindows(loader, measure, answer, size, WINDOW_BATCHES)) != list(range(len(lengths))):
        raise ValueError("the answers are not in the order of the sentences.")
    return batches


if __name__ == "__main__":
    main()
