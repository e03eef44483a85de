"""Reading docs/results.md and the published records, for the tests that compare them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

import numpy as np

from experiments.records import RunRecord, read_records
from experiments.tables.layout import by_system
from experiments.tables.values import cell

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results"
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/tables.md"))


def read_table(path: Path, header: str) -> dict[str, list[str]]:
    """The cells of the first table that begins so, by the first of each line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(row for row, line in enumerate(lines) if line.startswith(header))
    told = {}
    for line in takewhile(lambda line: line.startswith("|"), lines[start + 2 :]):
        title, *cells = (entry.strip() for entry in line.strip("|").split("|"))
        told[title] = cells
    return told


def trained(*folders: str) -> list[list[RunRecord]]:
    """The records of folders by system, without answers of finished runs."""
    records = [record for folder in folders for record in read_records(RESULTS / folder)]
    records = [record for record in records if record.run.variant in ("", "text")]
    return list(by_system(records).values())


def means(columns_of_values: Iterable[Iterable[float]]) -> list[str]:
    return [cell(100 * np.array([*column])).text() for column in columns_of_values]


def dev_f1(record: RunRecord) -> float:
    """F1 on dev, by which epoch or threshold is chosen."""
    by_threshold = record.content.get("dev_f1")
    return max(by_threshold.values()) if by_threshold else record.content["dev"]["f1"]


def prose() -> str:
    return " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())


def read_lines(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def documentation() -> str:
    return (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def read_json(name: str) -> dict:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def tables_of(page: str) -> list[str]:
    """The lines of the tables of a page."""
    return [line for line in page.splitlines() if line.startswith("|")]


def unbroken(text: str) -> str:
    """With each command on one line."""
    return re.sub(r" \\\n +", " ", text)


def runs_of(folder: str) -> dict[int, RunRecord]:
    """The runs of BERT-CRF in a folder, by seed."""
    return {record.run.seed: record for record in read_records(RESULTS / folder) if record.run.system == "bert-crf"}


def table_at(header: str) -> str:
    lines = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    start = next(row for row, line in enumerate(lines) if line.startswith(header))
    return "\n".join(takewhile(lambda line: line.startswith("|"), lines[start:]))
