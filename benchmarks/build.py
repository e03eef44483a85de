"""Time and memory of the builder beside a bare loop that reads, decodes and writes the same pictures.

    python benchmarks/build.py --rows 20000

Sentences and pictures (500x375 JPEGs) are generated in a temporary folder. The bare loop opens each picture with
Pillow, decodes it and writes its bytes with pyarrow, 100 rows per group, and does nothing else. The two take turns,
each in a process of its own, the bare loop first, `--repeats` times.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset_scripts.build.builder import build_dataset
from dataset_scripts.conll import ConllSentence, read_conll, write_conll
from dataset_scripts.parquet import ROWS_PER_GROUP
from reports_2mner.command_line import at_least, make_parser

FILES = {"train": "train_conll_format.txt", "valid": "valid_conll_format.txt", "test": "test_conll_format.txt"}
DISTINCT = 500  # picture files; the others are links to them, so that no picture occurs twice in a group of rows


def main() -> None:
    """Generate the data and compare, or run one of the two."""
    options = read_command_line()
    if options.run:
        run_one(options.run, options.work)
        return
    with TemporaryDirectory(dir=options.folder) as folder:
        write_distribution(Path(folder), options.rows)
        take_turns(Path(folder), options.repeats)


def read_command_line(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser("python benchmarks/build.py", __doc__)
    parser.add_argument("--rows", type=at_least(1), default=20_000, help="sentences (default: %(default)s)")
    parser.add_argument("--repeats", type=at_least(1), default=3, help="turns of each (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder (default: the system's)")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def take_turns(work: Path, repeats: int) -> None:
    """Run the two in turn and print medians."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in RUNS}
    for _ in range(repeats):
        for name in RUNS:
            command = [sys.executable, __file__, "--run", name, "--work", str(work)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:]
            measured[name].append((float(out[0]), float(out[1])))
            print(f"{name}: {out[0]} s, peak memory {out[1]} GiB", flush=True)
    bare, built = (statistics.median(seconds for seconds, _ in measured[name]) for name in RUNS)
    print(f"median: bare loop {bare:.1f} s, build {built:.1f} s, ratio {built / bare:.2f}")


def run_one(name: str, work: Path) -> None:
    """Run one of the two and print its seconds and its peak memory in GiB."""
    start = time.perf_counter()
    RUNS[name](work)
    seconds = time.perf_counter() - start
    print(f"{seconds:.1f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f}")


def bare_loop(work: Path) -> None:
    """Read, decode and write every picture with its sentence."""
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    schema = pa.schema({"tokens": pa.list_(pa.string()), "ner_tags": pa.list_(pa.string()), "image": image})
    for name in FILES.values():
        sentences = read_conll(work / "train_valid_test_en" / name)
        with pq.ParquetWriter(work / "bare.parquet", schema) as writer:
            group = []
            for sentence in sentences:
                data = (work / "images" / f"{sentence.image_id}.jpg").read_bytes()
                Image.open(BytesIO(data)).load()
                cell = {"bytes": data, "path": "x.jpg"}
                group.append({"tokens": sentence.tokens, "ner_tags": sentence.tags, "image": cell})
                if len(group) == ROWS_PER_GROUP:
                    writer.write_table(pa.Table.from_pylist(group, schema))
                    group = []
            writer.write_table(pa.Table.from_pylist(group, schema))


def build_all(work: Path) -> None:
    """Build the data set as a user does, in one process."""
    build_dataset(work, work / "images", work / "mmnerd", overwrite=True)


RUNS = {"bare loop": bare_loop, "build": build_all}


def write_distribution(work: Path, rows: int) -> None:
    """Write text files and pictures of `rows` sentences, eight tenths of them for training."""
    (work / "images").mkdir()
    (work / "train_valid_test_en").mkdir()
    for number in range(min(rows, DISTINCT)):
        (work / "images" / f"{number:08d}---picture.jpg").write_bytes(picture(number))
    for number in range(DISTINCT, rows):
        os.link(
            work / "images" / f"{number % DISTINCT:08d}---picture.jpg",
            work / "images" / f"{number:08d}---picture.jpg",
        )
    bounds = {"train": range(0, rows * 8 // 10), "valid": range(rows * 8 // 10, rows * 9 // 10)}
    bounds["test"] = range(rows * 9 // 10, rows)
    for split, name in FILES.items():
        write_conll((sentence(number) for number in bounds[split]), work / "train_valid_test_en" / name)


def sentence(number: int) -> ConllSentence:
    """Make a sentence of 15 words with two entities, like a caption."""
    tokens = ("The", "harbour", "of", f"Town{number}", "seen", "from", "the", "ship", f"Name{number}", "on", "a")
    tags = ("O", "O", "O", "B-LOC", "O", "O", "O", "O", "B-MISC", "O", "O")
    return ConllSentence(f"{number:08d}---picture", (*tokens, "day", "of", "May", "."), (*tags, "O", "O", "O", "O"), 1)


def picture(number: int) -> bytes:
    """Draw a picture of blurred noise whose file is as large as that of a photograph."""
    pixels = np.random.default_rng(number).integers(0, 256, (375, 500, 3), dtype=np.uint8)
    out = BytesIO()
    Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.2)).save(out, "JPEG", quality=85)
    return out.getvalue()


if __name__ == "__main__":
    main()
