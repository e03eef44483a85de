"""What a prediction of a million sentences costs, computed from measured rates.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --price 0.04 --cores 64
    python benchmarks/scaling.py --measure --mmnerd ../MMNERD --tokenizer sentence-transformers/all-MiniLM-L6-v2

Rates are seconds of processor time on one thread, so that other programs on the machine count little: the pipeline with
full-size networks and random weights in float32, released English sentences, a 500x375 JPEG a sentence. docs/scaling.md
holds the table.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reports_2mner.command_line import at_least, exit_on_error, make_parser
from reports_2mner.files import write_json
from reports_2mner.tables import Table

MEASURED = Path(__file__).with_name("scaling.json")
MILLION = 1_000_000
PRICE, CORES = 0.05, 32  # an assumption about rented machines, in dollars an hour of a core; and how many
# The name of a rate, the preset, whether there are pictures, and how many sentences are timed.
WORK = (
    ("BERT-CRF, text", "bert-crf", False, 128),
    ("2M-NER, text", "2m-ner", False, 128),
    ("2M-NER, text and picture", "2m-ner", True, 32),
    ("2M-NER of the demonstration, text and picture", "2m-ner-demo", True, 512),
)
BATCH = 16
FILE = "train_valid_test/train_valid_test_en/test_conll_format.txt"


@exit_on_error(OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure if asked to, and print the table."""
    options = read_command_line(arguments)
    if options.measure:
        if options.mmnerd is None or options.tokenizer is None:
            raise ValueError("`measure` needs sentences and a tokenizer; add --mmnerd and --tokenizer.")
        write_json(options.measured, measure(options.mmnerd / FILE, options.tokenizer), indent=1)
    measured = json.loads(options.measured.read_text(encoding="utf-8"))
    print(
        f"{measured['machine']}, {measured['date']}\n\n{cost_table(measured, options.price, options.cores).markdown()}"
    )


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser("python benchmarks/scaling.py", __doc__)
    parser.add_argument("--measure", action="store_true", help="measure this machine; without, read --measured")
    parser.add_argument("--mmnerd", type=Path, help="folder with the released English files")
    parser.add_argument("--tokenizer", help="Hub id or folder of a tokenizer")
    parser.add_argument("--measured", type=Path, default=MEASURED, help="rates (default: those beside this script)")
    parser.add_argument("--price", type=at_least(0.0), default=PRICE, help="dollars an hour of a core (%(default)s)")
    parser.add_argument("--cores", type=at_least(1), default=CORES, help="cores at once (default: %(default)s)")
    return parser.parse_args(arguments)


def cost_table(measured: Mapping[str, Any], price: float = PRICE, cores: int = CORES) -> Table:
    """What a million sentences cost, by kind of work."""
    rows = []
    for name, seconds in measured["seconds"].items():
        hours = MILLION * seconds / 3600
        rows.append([name, f"{1000 * seconds:,.1f}", _number(hours), _number(hours / cores), _number(hours * price)])
    header = ["work", "ms of a core a sentence", "hours of a core", f"hours of {cores} cores", f"dollars at {price:g}"]
    return Table(header, rows)


def _number(value: float) -> str:
    """Two digits, or all those before the point."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def measure(path: Path, tokenizer: str) -> dict[str, Any]:
    """The processor time of each kind of work for a sentence."""
    import torch
    import transformers

    torch.set_num_threads(1)
    return {
        "machine": f"{platform.processor() or platform.machine()}, one thread, torch {torch.__version__}, transformers "
        f"{transformers.__version__}, Python {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d"),
        "command": "python benchmarks/scaling.py --measure",
        "seconds": {
            name: round(seconds_a_sentence(preset, path, tokenizer, count, pictures), 6)
            for name, preset, pictures, count in WORK
        },
    }


def seconds_a_sentence(preset: str, path: Path, tokenizer: str, count: int, pictures: bool) -> float:
    """The processor time of the pipeline for a sentence, without loading and without the first batch."""
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    from benchmarks.full_size import first_sentences, jpeg
    from configuration_2mner import load_preset
    from modeling_2mner import TwoMNERPipeline

    torch.manual_seed(19)
    words = AutoTokenizer.from_pretrained(tokenizer)
    config = load_preset(preset)
    config.fit_vocabulary(words)
    model = AutoModelForTokenClassification.from_config(config).eval()
    processor: Any = PROCESSOR_MAPPING[type(config)]
    pipe = TwoMNERPipeline(model=model, processor=processor.for_model(model, words), device="cpu")
    sentences, _ = first_sentences(path, count)
    rows = [{"words": own, "image": jpeg(row) if pictures else None} for row, own in enumerate(sentences)]
    pipe(rows[:2], batch_size=2)
    began = time.process_time()
    pipe(rows, batch_size=BATCH)
    return (time.process_time() - began) / count


if __name__ == "__main__":
    main()
