"""The tables of finished runs: `python -m experiments.tables DIR`.

Reads the records that `python -m experiments.run` has left in a folder, writes `tables.md` beside them and prints it. Every
figure is a mean over the seeds that are there, with their standard deviation behind it; intervals and tests resample pictures.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dataset_scripts.card import markdown_table
from dataset_scripts.schema import ENTITY_TYPES
from experiments.bootstrap import compare
from experiments.counts import Counts, scores
from experiments.plan import EXTRA_MODELS, IMAGE_MODELS, MODELS
from experiments.records import Record, read_records
from training_2mner.model_names import SOURCES

COLUMNS = (*(f"f1_{kind}" for kind in ENTITY_TYPES), "precision", "recall", "f1")
HEADER = (*ENTITY_TYPES, "P", "R", "F1")
NAMES = {name.lower(): name for name in SOURCES} | {"adacan-sum": "AdaCAN, halves added"}
SCHEMES = ("strict", "lenient")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write and print the tables of a folder."""
    parser = argparse.ArgumentParser(prog="python -m experiments.tables", description=__doc__)
    parser.add_argument("folder", type=Path, help="the output folder of `python -m experiments.run`")
    parser.add_argument("--scheme", choices=SCHEMES, default="strict", help="how to count (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        text = tables(read_records(options.folder), options.scheme)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    path = options.folder / ("tables.md" if options.scheme == "strict" else f"tables-{options.scheme}.md")
    temporary = path.with_name(f".{path.name}.writing")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
    print(text)


def tables(records: list[Record], scheme: str) -> str:
    """All tables that the records suffice for, as Markdown."""
    parts = [f"F1 in percent, {scheme} counting; the epoch is chosen on dev.\n"]
    for languages in dict.fromkeys(record.run.languages for record in records):
        group = [record for record in records if record.run.languages == languages and not record.run.part]
        parts += [f"## Trained on `{languages}`\n", systems_table(group, scheme)]
        for column in ("source", "lang"):
            parts += [group_table(group, scheme, column)] if _has_several(group, column) else []
        parts += [pictures_table(group, scheme)] if any(record.run.variant == "text" for record in group) else []
    return "\n".join(part for part in parts if part)


def systems_table(records: list[Record], scheme: str) -> str:
    """One row a model or variant, with the columns of the paper's Tables 5 and 7."""
    rows = [
        [_title(system), str(len(group)), *_cells([scores(record.counts(scheme)) for record in group])]
        for system, group in _by_system(records)
    ]
    return _table(["Model", "Seeds", *HEADER], rows)


def group_table(records: list[Record], scheme: str, column: str) -> str:
    """The same for the sentences of each language or source apart."""
    rows = []
    for system, group in _by_system(records):
        for name in sorted(set(group[0].group(column).tolist())):
            found = [scores(record.counts(scheme).select(record.group(column) == name)) for record in group]
            rows.append([_title(system), name, *_cells(found)])
    return _table(["Model", "Language" if column == "lang" else "Source", *HEADER], rows)


def pictures_table(records: list[Record], scheme: str) -> str:
    """What a model gains from pictures over its own text-only variant, with a 95 % interval and a test."""
    systems = dict(_by_system(records))
    rows = []
    for model in (*IMAGE_MODELS, *EXTRA_MODELS):
        alone = systems.get(f"{model.removesuffix('-sum')}-text")
        if model in systems and alone:
            seen, unseen = pool(systems[model], scheme), pool(alone, scheme)
            if len(systems[model]) == len(alone):
                found = compare(seen, unseen, systems[model][0].pictures)
                interval = f"{100 * found.low:+.2f} to {100 * found.high:+.2f}"
                gain = f"{100 * found.difference:+.2f}"
                rows.append([_title(model), _f1(systems[model], scheme), _f1(alone, scheme), gain, interval])
    return _table(["Model", "words and picture", "words alone", "difference", "95 % interval"], rows) if rows else ""


def pool(records: Iterable[Record], scheme: str) -> Counts:
    """The counts of several seeds added up, sentence by sentence."""
    counts = [record.counts(scheme) for record in records]
    return Counts(np.sum([count.table for count in counts], axis=0), counts[0].types)


def _by_system(records: list[Record]) -> list[tuple[str, list[Record]]]:
    """The records of each model or variant, in the paper's order, the text-only variants last."""
    systems: dict[str, list[Record]] = {}
    order = (*MODELS, *EXTRA_MODELS)
    for record in sorted(records, key=lambda record: (record.run.variant, order.index(record.run.model))):
        systems.setdefault(record.run.system, []).append(record)
    return list(systems.items())


def _cells(found: list[dict[str, float]]) -> list[str]:
    return [_mean([values[column] for values in found]) for column in COLUMNS]


def _mean(values: list[float]) -> str:
    percent = 100 * np.array(values)
    spread = f" ± {percent.std(ddof=1):.2f}" if len(percent) > 1 else ""
    return f"{percent.mean():.2f}{spread}"


def _f1(records: list[Record], scheme: str) -> str:
    return _mean([scores(record.counts(scheme))["f1"] for record in records])


def _title(system: str) -> str:
    model, _, variant = system.rpartition("-text") if system.endswith("-text") else (system, "", "")
    return NAMES.get(model, model) + (", words alone" if system.endswith("-text") else "") + variant


def _has_several(records: list[Record], column: str) -> bool:
    return any(column in record.content["test"] and len(set(record.group(column))) > 1 for record in records)


def _table(header: list[str], rows: list[list[str]]) -> str:
    return markdown_table(header, rows) + "\n"


if __name__ == "__main__":
    main()
