"""An overview of all runs by training data: overall, by source and language, and the gain from pictures."""

from __future__ import annotations

import numpy as np

from experiments.bootstrap import compare_systems
from experiments.counts import add_up, scores
from experiments.plan import AVERAGED, AVERAGED_ENTITIES, ENTITIES, IMPROVEMENTS, SUMMED
from experiments.records import RunRecord
from experiments.tables.layout import by_system, columns, header, run_title, types_of_records
from experiments.tables.values import cell
from reports_2mner.tables import Table

DIFFERENCE = ("difference", "95 % interval")


def overview(records: list[RunRecord], scheme: str) -> str:
    """Markdown tables with one row per model or variant."""
    parts = [f"F1 in percent, {scheme} counting; the epoch is chosen on dev.\n"]
    whole = [record for record in records if not record.run.part]
    for languages in dict.fromkeys(record.run.languages for record in whole):
        group = [record for record in whole if record.run.languages == languages]
        parts += [f"### Trained on `{languages}`\n", systems_table(group, scheme)]
        for column in ("source", "lang"):
            parts += [group_table(group, scheme, column)] if _has_several(group, column) else []
        parts += [pictures_table(group, scheme), improvements_table(group, scheme)]
    return "\n".join(part for part in parts if part)


def systems_table(records: list[RunRecord], scheme: str) -> str:
    """One row per model or variant, with the columns of the paper's Tables 5 and 7."""
    rows = [
        [run_title(group[0].run), str(len(group)), *_cells([scores(record.counts(scheme)) for record in group])]
        for group in by_system(records).values()
    ]
    return _table(["Model", "Seeds", *header(types_of_records(records))], rows)


def group_table(records: list[RunRecord], scheme: str, column: str) -> str:
    """The same, separately for the sentences of each language or source."""
    rows = []
    for group in by_system(records).values():
        for name in sorted(set(group[0].group(column).tolist())):
            found = [scores(record.counts(scheme).select(record.group(column) == name)) for record in group]
            rows.append([run_title(group[0].run), name, *_cells(found)])
    return _table(["Model", "Language" if column == "lang" else "Source", *header(types_of_records(records))], rows)


def pictures_table(records: list[RunRecord], scheme: str) -> str:
    """What a model gains from pictures over its own text-only variant, with a 95 % interval and a test."""
    systems = by_system(records)
    rows = []
    for system, group in systems.items():
        text_only = systems.get("adacan-text" if system == SUMMED else f"{system}-text")
        rows += [[run_title(group[0].run), *_compare(group, text_only, scheme)]] if text_only else []
    return _table(["Model", "words and picture", "words alone", *DIFFERENCE], rows) if rows else ""


def improvements_table(records: list[RunRecord], scheme: str) -> str:
    """What a change beyond the paper adds to a model, with a 95 % interval and a test."""
    systems = by_system(records)
    rows = []
    for group in systems.values():
        run = group[0].run
        if run.variant in (*IMPROVEMENTS, AVERAGED, ENTITIES, AVERAGED_ENTITIES) and run.model in systems:
            rows.append([run_title(run), *_compare(group, systems[run.model], scheme)])
    return _table(["Beyond the paper", "with the change", "without", *DIFFERENCE], rows) if rows else ""


def _compare(first: list[RunRecord], second: list[RunRecord], scheme: str) -> list[str]:
    """Both scores, their difference and its interval."""
    ours, theirs = (add_up([record.counts(scheme) for record in group]) for group in (first, second))
    found = compare_systems(ours, theirs, first[0].pictures)
    interval = f"{100 * found.low:+.2f} to {100 * found.high:+.2f}"
    return [_f1(first, scheme), _f1(second, scheme), f"{100 * found.difference:+.2f}", interval]


def _cells(found: list[dict[str, float]]) -> list[str]:
    return [
        _mean([values[column] for values in found])
        for column in columns([name.removeprefix("f1_") for name in found[0] if name.startswith("f1_")])
    ]


def _mean(values: list[float]) -> str:
    return cell(100 * np.array(values)).text()


def _f1(records: list[RunRecord], scheme: str) -> str:
    return _mean([scores(record.counts(scheme))["f1"] for record in records])


def _has_several(records: list[RunRecord], column: str) -> bool:
    return any(column in record.content["test"] and len(set(record.group(column))) > 1 for record in records)


def _table(header: list[str], rows: list[list[str]]) -> str:
    return Table(header, rows).markdown() + "\n"
