"""How well the labels of each source are predicted by a model that has not seen the sentence."""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from math import comb
from pathlib import Path
from typing import Any

import torch

from dataset_scripts.any_data_set import open_data_set
from dataset_scripts.audit.rows import read_audit_rows
from dataset_scripts.audit.text import find_label_conflicts
from dataset_scripts.label_errors.judges import Judge, LinearJudge, RunJudge, linear_tool
from dataset_scripts.label_errors.sentences import LabelledSentence, Parts, parts_of_data_set
from experiments.counts import count_entities, scores
from experiments.errors.counts import Pair, count_kinds, pair_entities
from experiments.records import public_name
from modeling_2mner.posteriors import decode_averaged
from modeling_2mner.spans import entity_spans
from reports_2mner.command_line import exit_on_error
from reports_2mner.files import write_json
from reports_2mner.tables import Table
from training_2mner.data_record import read_data_record

AT_ONCE = 1_000  # sentences
CONFLICTS = (
    "Source",
    "strings",
    "of these with several types",
    "mentions of these, %",
    "mentions against the majority, %",
    "pairs of mentions of one string with different types, %",
    "the model's errors on strings with several types, %",
    "its wrong types that the string has elsewhere, %",
)


def measure_sources(options: argparse.Namespace) -> None:
    """Write the record of a data set, and print it as tables."""
    with exit_on_error(OSError), open_data_set(options.dataset, options.dataset_config) as folder:
        if len(options.models) not in (0, 1, options.folds):
            raise ValueError(
                f"`models` names {len(options.models)} runs; name one, or as many as `folds`, {options.folds}."
            )
        parts = parts_of_data_set(folder, with_pictures=bool(options.models))
        judge = choose_judge(parts, options.models, options.folds, options.seed)
        content = {
            "data": {
                "name": public_name(options.dataset),
                "config": options.dataset_config,
                "fingerprint": read_data_record(str(options.dataset), options.dataset_config or "all").fingerprint,
            },
            "model": [Path(model).name for model in options.models] or linear_tool(),
            "folds": options.folds,
            "seed": options.seed,
            "sources": measure(parts, judge, conflicts_of(folder)),
        }
        write_json(options.output, content, ensure_ascii=False, indent=1)
    print(consistency_page(content))


def choose_judge(parts: Parts, models: Sequence[str], folds: int, seed: int) -> Judge:
    """Runs of ours, one for each fold, or the linear model."""
    if models:
        return RunJudge(models, seed)
    tags = {tag for part in parts for sentence in part() for tag in sentence.tags}
    return LinearJudge(parts, sorted(tags | {"O"}), folds, seed)


def conflicts_of(folder: Path) -> dict[str, dict[str, int]]:
    """The label conflicts of the audit, by language and source; see `find_label_conflicts`."""
    return find_label_conflicts(read_audit_rows(folder)).details["sources"]


def measure(parts: Parts, judge: Judge, conflicts: dict[str, dict[str, int]]) -> dict[str, dict[str, Any]]:
    """What the audit and the model find, by language and source.

    Returns:
        For each: `sentences`, `words` and how many have the right tag; precision, recall and F1 of the entities, by type
        too; kinds of errors; the audit's counts; how many pairs of mentions of one string there are in this source, and
        how many of them have different types, whose share does not grow with the size of the source, as the audit's
        shares do; and of the errors on gold entities, how many concern strings with several types in this source, and
        how many of the wrong types are one that the string has elsewhere in it.
    """
    tagged: defaultdict[str, list[tuple[LabelledSentence, list[str]]]] = defaultdict(list)
    sentences = chain.from_iterable(part() for part in parts)
    while batch := list(islice(sentences, AT_ONCE)):
        for sentence, tags in zip(batch, read_tags(judge, batch), strict=True):
            tagged[f"{sentence.lang} {sentence.source}"].append((sentence, tags))
    return {name: {**_describe(tagged[name]), "conflicts": conflicts[name]} for name in sorted(tagged)}


def read_tags(judge: Judge, sentences: Sequence[LabelledSentence]) -> list[list[str]]:
    """The best valid tags of each sentence."""
    posteriors = [torch.as_tensor(rows, dtype=torch.float64) for rows in judge(sentences)]
    return decode_averaged(posteriors, list(judge.labels))


def _describe(tagged: Sequence[tuple[LabelledSentence, list[str]]]) -> dict[str, Any]:
    gold, predicted = [list(sentence.tags) for sentence, _ in tagged], [tags for _, tags in tagged]
    types: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sentence, _ in tagged:
        for kind, start, end in sentence.entities:
            types[sentence.words(start, end).lower()][kind] += 1
    words = [(one, other) for pair in zip(gold, predicted, strict=True) for one, other in zip(*pair, strict=True)]
    pairs = [
        (sentence, pair)
        for sentence, tags in tagged
        for pair in pair_entities(sentence.entities, entity_spans(tags, strict=True))
    ]
    return {
        "sentences": len(tagged),
        "words": len(words),
        "words with the right tag": sum(one == other for one, other in words),
        "entities": scores(count_entities(gold, predicted)),
        "kinds": count_kinds(pair for _, pair in pairs),
        "pairs": _count_pairs(types),
        "errors": _errors(pairs, types),
    }


def _count_pairs(types: Mapping[str, Counter[str]]) -> dict[str, int]:
    """The pairs of mentions of one string, and those whose types differ."""
    of_one_string = sum(comb(kinds.total(), 2) for kinds in types.values())
    of_one_type = sum(comb(count, 2) for kinds in types.values() for count in kinds.values())
    return {"of one string": of_one_string, "of these with different types": of_one_string - of_one_type}


def _errors(pairs: Sequence[tuple[LabelledSentence, Pair]], types: Mapping[str, Counter[str]]) -> dict[str, int]:
    """How many errors on gold entities concern strings with several types."""
    found: Counter[str] = Counter()
    for sentence, pair in pairs:
        if pair.gold is None or pair.kind == "right":
            continue
        known = types[sentence.words(*pair.gold[1:]).lower()]
        is_type = pair.kind == "wrong_type"
        found += Counter(
            {
                "on gold entities": 1,
                "of these on strings with several types": int(len(known) > 1),
                "wrong types": int(is_type),
                "of these a type that the string has elsewhere": int(is_type and pair.predicted_type in known),
            }
        )
    return dict(found)


def consistency_page(content: dict[str, Any]) -> str:
    """The record as Markdown."""
    header = ("Source", "sentences", "right words", "P", "R", "F1", *_types(content))
    rows, conflicts = [], []
    for name, found in content["sources"].items():
        entities = found["entities"]
        columns = ("precision", "recall", "f1", *(f"f1_{kind}" for kind in _types(content)))
        right = found["words with the right tag"] / found["words"]
        rows.append([name, found["sentences"], *(f"{100 * v:.2f}" for v in (right, *map(entities.get, columns)))])
        conflicts.append([name, *_conflict_cells(found)])
    return f"{Table(header, rows).markdown()}\n\n{Table(CONFLICTS, conflicts).markdown()}\n"


def _conflict_cells(found: dict[str, Any]) -> list[Any]:
    audit, pairs, errors = found["conflicts"], found["pairs"], found["errors"]
    shares = (
        (audit["mentions_of_conflicting"], audit["mentions"]),
        (audit["in_minority"], audit["mentions"]),
        (pairs["of these with different types"], pairs["of one string"]),
        (errors.get("of these on strings with several types", 0), errors.get("on gold entities", 0)),
        (errors.get("of these a type that the string has elsewhere", 0), errors.get("wrong types", 0)),
    )
    return [audit["strings"], audit["conflicting"], *(f"{100 * part / max(whole, 1):.1f}" for part, whole in shares)]


def _types(content: dict[str, Any]) -> list[str]:
    names = {name for found in content["sources"].values() for name in found["entities"] if name.startswith("f1_")}
    return sorted(name.removeprefix("f1_") for name in names)
