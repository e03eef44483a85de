"""Draw errors of a run, hide which version is the label, and count what the readers found."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.agreement import cohen_kappa
from dataset_scripts.splits import stable_hash
from experiments.errors.answers import pair_sentences, read_answers
from experiments.errors.counts import ERROR_KINDS, Pair, ScoredSentence
from experiments.records import describe_data
from modeling_2mner.spans import Span
from reports_2mner.command_line import exit_on_error
from reports_2mner.files import read_json, write_file, write_json
from reports_2mner.tables import Table
from training_2mner.arguments import DataArguments
from training_2mner.data import load_splits

ANSWERS = ("A", "B", "both", "neither")
VERDICTS = {
    "gold": "the label is right, the model wrong",
    "predicted": "the model is right, the label wrong",
    "both": "both can be defended",
    "neither": "both are wrong",
}
LABEL_WRONG = ("predicted", "neither")
NUMBER = "number"  # the remark on an error that concerns a number, date, time or quantity
NORMAL = 1.959964  # standard deviations to either end of a 95 % interval


@dataclass(frozen=True)
class SampledError:
    """An error of a test sentence.

    Args:
        row: of the sentence in the test split.
        kind: one of `ERROR_KINDS`.
        gold, predicted: every entity, `(type, start, end)`, of label and model that overlaps the words of the error.
        source: where the sentence comes from.
    """

    row: int
    kind: str
    gold: tuple[Span, ...]
    predicted: tuple[Span, ...]
    source: str

    def is_swapped(self, order: int) -> bool:
        """Whether version A is the prediction in this reading."""
        return bool(stable_hash(f"{order}/versions/{self.key}") % 2)

    @property
    def key(self) -> str:
        """What tells it from all other errors."""
        return f"{self.row}/{self.kind}/{self.gold}/{self.predicted}"


def sample_errors(sentences: Sequence[ScoredSentence], size: int, seed: int, source: str | None) -> list[SampledError]:
    """Draw errors at random, each with the same chance; the same seed draws the same ones.

    Raises:
        ValueError: if there are fewer.
    """
    found: dict[str, SampledError] = {}
    for sentence in sentences:
        if source in (None, sentence.groups.get("source")):
            errors = [_error(sentence, pair) for pair in sentence.errors]
            found |= {error.key: error for error in errors}
    if len(found) < size:
        raise ValueError(f"`size` is {size}, but the run has {len(found)} such errors; draw at most so many.")
    return sorted(found.values(), key=lambda error: stable_hash(f"{seed}/{error.key}"))[:size]


def write_form(errors: Sequence[SampledError], sentences: Sequence[ScoredSentence], order: int) -> str:
    """The form of one reading."""
    words = {sentence.row: sentence.words for sentence in sentences}
    parts = [
        f"{len(errors)} errors, reading {order}. Answer with a line for each: number, tab, {'/'.join(ANSWERS)}.\n"
    ]
    for number, error in enumerate(in_order(errors, order), start=1):
        versions = [error.predicted, error.gold] if error.is_swapped(order) else [error.gold, error.predicted]
        lines = [f"  {name}: {_entities(words[error.row], spans)}" for name, spans in zip("AB", versions, strict=True)]
        parts.append("\n".join([f"{number}. {' '.join(words[error.row])}", *lines]) + "\n")
    return "\n".join(parts)


def in_order(errors: Sequence[SampledError], order: int) -> list[SampledError]:
    """The errors as a reading has them."""
    return sorted(errors, key=lambda error: stable_hash(f"{order}/order/{error.key}"))


def read_form(text: str, errors: Sequence[SampledError], order: int) -> list[dict[str, Any]]:
    """The answers with gold and prediction in the place of A and B, by row.

    Raises:
        ValueError: for an unknown answer, and for an error with no answer or several.
    """
    given: dict[str, tuple[str, bool]] = {}
    for line in filter(None, text.splitlines()):
        number, answer, remark, *more = (*line.split("\t"), "", "", "")
        if number in given or answer not in ANSWERS or remark not in ("", NUMBER) or any(more):
            raise ValueError(
                f"`answers` has the line {line!r}; write each number once, a tab and {'/'.join(ANSWERS)}, and nothing "
                f"else but a tab and `{NUMBER}`."
            )
        given[number] = answer, remark == NUMBER
    numbers = [str(number) for number in range(1, len(errors) + 1)]
    if set(given) != set(numbers):
        wrong = sorted(set(given) ^ set(numbers), key=len)[:5]
        raise ValueError(f"`answers` must have the numbers 1 to {len(errors)}; see {', '.join(wrong)}.")
    found = [
        {
            **asdict(error),
            "verdict": _verdict(given[number][0], error.is_swapped(order)),
            NUMBER: given[number][1],
        }
        for number, error in zip(numbers, in_order(errors, order), strict=True)
    ]
    return sorted(found, key=lambda entry: (entry["row"], str(entry["gold"]), str(entry["predicted"])))


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson (1927), which holds for small samples and shares near 0, too."""
    share, z = count / total, NORMAL
    middle, half = share + z * z / (2 * total), z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    return (middle - half) / (1 + z * z / total), (middle + half) / (1 + z * z / total)


def count_readings(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Shares of each verdict in both readings, and their agreement.

    Returns:
        `errors`; for each verdict, for `label wrong` (predicted or neither) and for `label wrong or doubtful` (these or
        both) the count in the first reading, in the second, and of errors on which both agree; `kinds`, the same of
        `label wrong` by kind of error, with the number of errors; `numbers`, the same for errors that any reading
        remarked as numbers; and `same`, `kappa` and `kappa, label wrong`.

    Raises:
        ValueError: if they are readings of different errors, or one reading twice.
    """
    asked = [[{**error, "verdict": "", NUMBER: ""} for error in reading["errors"]] for reading in (first, second)]
    if first["data"] != second["data"] or asked[0] != asked[1] or first["order"] == second["order"]:
        raise ValueError("the files are not the first and the second reading of the same errors; see `--order`.")
    both = list(zip(first["errors"], second["errors"], strict=True))
    pairs = [(one["verdict"], other["verdict"]) for one, other in both]
    sets: dict[str, tuple[str, ...]] = {name: (name,) for name in VERDICTS}
    sets |= {"label wrong": LABEL_WRONG, "label wrong or doubtful": (*LABEL_WRONG, "both")}
    kinds = {kind: [p for p, (one, _) in zip(pairs, both, strict=True) if one["kind"] == kind] for kind in ERROR_KINDS}
    numbers = [pair for pair, remarks in zip(pairs, both, strict=True) if any(one[NUMBER] for one in remarks)]
    return {
        "errors": len(pairs),
        "verdicts": {name: _count(pairs, names) for name, names in sets.items()},
        "kinds": {kind: [len(found), *_count(found, LABEL_WRONG)] for kind, found in kinds.items()},
        "numbers": [len(numbers), *_count(numbers, LABEL_WRONG)],
        "same": sum(one == other for one, other in pairs),
        "kappa": cohen_kappa(Counter(pairs)),
        "kappa, label wrong": cohen_kappa(Counter((str(a in LABEL_WRONG), str(b in LABEL_WRONG)) for a, b in pairs)),
    }


def readings_page(counts: dict[str, Any]) -> str:
    """The counts in Markdown."""
    total = counts["errors"]
    rows = []
    for name, (one, other, both) in counts["verdicts"].items():
        title = f"{name}: {VERDICTS[name]}" if name in VERDICTS else name
        rows.append([title, *(f"{_percent(n, total)} ({_interval(n, total)})" for n in (one, other)), str(both)])
    kinds = [[kind.replace("_", " "), *map(str, found)] for kind, found in counts["kinds"].items()]
    kinds.append(["of all: a number, date, time or quantity", *map(str, counts["numbers"])])
    agreement = (
        f"Both readings give {counts['same']} of {total} errors the same verdict; kappa {counts['kappa']:.2f}, and "
        f"{counts['kappa, label wrong']:.2f} on whether the label is wrong."
    )
    header = ("Verdict, % of the errors (95 % interval)", "first reading", "second reading", "in both")
    by_kind = ("Kind of error", "errors", "label wrong: first", "second", "in both")
    return f"{Table(header, rows).markdown()}\n\n{agreement}\n\n{Table(by_kind, kinds).markdown()}\n"


def read(options: argparse.Namespace) -> None:
    """Write the form of a reading or its record, or print what two readings found."""
    with exit_on_error(OSError):
        if options.task == "count":
            first, second = map(_read_reading, options.readings)
            print(readings_page(count_readings(first, second)))
            return
        data = DataArguments(options.dataset, options.dataset_config, options.dataset_revision)
        test = load_splits(data)["test"]
        sentences = pair_sentences(test, *read_answers(options.run, test))
        errors = sample_errors(sentences, options.size, options.seed, options.source)
        if options.task == "form":
            write_file(options.output, write_form(errors, sentences, options.order))
        else:
            text = options.answers.read_text(encoding="utf-8")
            content = {
                "run": options.run.resolve().name,
                "data": describe_data(data, test),
                "source": options.source,
                "seed": options.seed,
                "order": options.order,
                "reader": options.reader,
                "errors": read_form(text, errors, options.order),
            }
            write_json(options.output, content, ensure_ascii=False, indent=1)
    print(f"{len(errors)} errors are in {options.output}.")


def _read_reading(path: Path) -> dict[str, Any]:
    content = read_json(path)
    try:
        entries = [{error[name] for name in ("verdict", "kind", NUMBER)} for error in content["errors"]]
        whole = bool(entries) and {"data", "order"} <= set(content)
    except (LookupError, TypeError):
        whole = False
    if not whole:
        raise ValueError(f"`readings` names {path}, which is no record of `python -m experiments.reading record`.")
    return content


def _error(sentence: ScoredSentence, pair: Pair) -> SampledError:
    """The error with every entity that overlaps it: a name that was split, or two that were joined, are shown whole."""
    present = [span for span in (pair.gold, pair.predicted) if span]
    start, end = min(span[1] for span in present), max(span[2] for span in present)
    gold, predicted = (
        tuple(span for span in spans if span and span[1] < end and start < span[2])
        for spans in ([other.gold for other in sentence.pairs], [other.predicted for other in sentence.pairs])
    )
    return SampledError(sentence.row, pair.kind, gold, predicted, sentence.groups.get("source", ""))


def _entities(words: Sequence[str], spans: Sequence[Span]) -> str:
    return "; ".join(f"{' '.join(words[start:end])} = {kind}" for kind, start, end in spans) or "nothing"


def _verdict(answer: str, is_swapped: bool) -> str:
    meaning = ("predicted", "gold") if is_swapped else ("gold", "predicted")
    return dict(zip("AB", meaning, strict=True)).get(answer, answer)


def _count(pairs: Sequence[tuple[str, str]], names: Sequence[str]) -> list[int]:
    """How many are in the first reading, in the second, and in both."""
    found = [(one in names, other in names) for one, other in pairs]
    return [sum(one for one, _ in found), sum(other for _, other in found), sum(one and other for one, other in found)]


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.0f}"


def _interval(count: int, total: int) -> str:
    low, high = wilson(count, total)
    return f"{100 * low:.0f} to {100 * high:.0f}"
