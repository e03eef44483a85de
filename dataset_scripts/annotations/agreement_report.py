"""The figures of an agreement report: of everybody, of groups and people, by type, and what is most disputed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from dataset_scripts.annotations.agreement import OUTSIDE, Agreement
from dataset_scripts.annotations.sentence import DONE, OPEN, REFUSED, SKIPPED, Entity, Sentence
from reports_2mner.tables import Table

STRINGS = 20  # most disputed ones
GROUPS = ("people", "language", "source", "type")
PUBLIC = ("Everybody", "By language", "By source", "By type")  # the tables without names of people
OF_A_PERSON = (DONE, SKIPPED, REFUSED, OPEN, "flagged")


@dataclass
class AgreementReport:
    """All counts: of everybody, of pairs, languages and sources, of single people and rounds, and of strings."""

    overall: Agreement = field(default_factory=Agreement)
    groups: dict[tuple[str, str], Agreement] = field(default_factory=lambda: defaultdict(Agreement))
    people: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    strings: Counter[str] = field(default_factory=Counter)
    types: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add_answer(
        self,
        said: Mapping[str, Any],
        entities: Collection[Entity],
        proposed: Collection[Entity],
        gold: Collection[Entity] | None = None,
    ) -> None:
        """Count what one person left of a proposal, and what of it is right.

        Args:
            said: `annotator`, `round`, `status` and `flags` of the answer.
            entities: of the answer.
            proposed: the entities that were proposed.
            gold: the right ones, if they are known.
        """
        person, found = self.people[said["annotator"], said["round"]], set(entities)
        person[said["status"]] += 1
        if said["status"] != DONE:
            return
        person.update(found=len(found), proposed=len(proposed), left=len(found.intersection(proposed)))
        person.update(unchanged=found == set(proposed), flagged=bool(said["flags"]))
        if gold is not None:
            person.update(gold=len(gold), right=len(found.intersection(gold)), scored=len(found))

    def add_sentence(self, sentence: Sentence, source: str, answers: Mapping[str, set[Entity]]) -> None:
        """Compare the answers to a sentence, by the names of the people; fewer than two say nothing."""
        if len(answers) < 2:
            return
        length = len(sentence.words)
        for total in (self.overall, self.groups["language", sentence.lang], self.groups["source", source]):
            total.add(list(answers.values()), length)
        for one, other in combinations(answers, 2):
            self.groups["people", f"{one} and {other}"].add([answers[one], answers[other]], length)
        shared = set.intersection(*answers.values())
        disputed = [(sentence.string(e), e[2]) for found in answers.values() for e in sorted(found - shared)]
        self.strings.update({string for string, _ in disputed})
        for string, kind in disputed:
            self.types[string][kind] += 1

    def figures(self) -> dict[str, Any]:
        """Return all figures as plain values."""
        found: dict[str, Any] = {"overall": self.overall.figures(), **{name: {} for name in GROUPS}}
        for (group, name), agreement in sorted(self.groups.items()):
            found[group][name] = agreement.figures()
        found["type"] = {kind: self.overall.figures_of(kind) for kind in sorted(self.overall.found)}
        found["annotators"] = [{"annotator": name, "round": r, **n} for (name, r), n in sorted(self.people.items())]
        found["confusion"] = [[*pair, number] for pair, number in sorted(self.overall.confusion().items())]
        strings = sorted(self.strings.items(), key=lambda entry: (-entry[1], entry[0]))[:STRINGS]
        found["strings"] = [{"text": text, "sentences": n, "types": dict(self.types[text])} for text, n in strings]
        return found


def tables_of(figures: Mapping[str, Any]) -> dict[str, Table]:
    """Return all tables by title, from `AgreementReport.figures`."""
    groups = {"Everybody": {"all": figures["overall"]}, **{f"By {name}": figures[name] for name in GROUPS}}
    tables = {
        title: Table(
            ["", *next(iter(group.values()), {})],
            [[name, *map(shown, values.values())] for name, values in group.items()],
        )
        for title, group in groups.items()
    }
    header = ["", "round", *OF_A_PERSON, "left as proposed", "unchanged sentences", "F1 with proposal"]
    header += ["gold entities", "P", "R", "F1"]
    tables["Annotators"] = Table(header, [_person(Counter(counts)) for counts in figures["annotators"]])
    strings = [
        [entry["text"], entry["sentences"], ", ".join(f"{kind} {n}" for kind, n in sorted(entry["types"].items()))]
        for entry in figures["strings"]
    ]
    return tables | {"Most disputed strings": Table(["", "sentences", "types given"], strings)}


def matrix_of(figures: Mapping[str, Any]) -> dict[str, dict[str, tuple[int, float]]]:
    """Return for each type and each other one the number of words and its share of the row; O comes last."""
    confusion = {(row, column): n for row, column, n in figures["confusion"]}
    kinds = sorted({kind for kind, _ in confusion}, key=lambda kind: (kind == OUTSIDE, kind))
    rows = {row: [confusion.get((row, column), 0) for column in kinds] for row in kinds}
    return {
        row: {kind: (n, n / sum(cells)) for kind, n in zip(kinds, cells, strict=True)} for row, cells in rows.items()
    }


def shown(value: float | int | None) -> str:
    """Return a figure as text: counts with separators, others with three places."""
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _person(n: Mapping[str, Any]) -> list[Any]:
    """Return the row of an annotator."""
    left = [(n["left"], n["proposed"]), (n["unchanged"], n[DONE]), (2 * n["left"], n["found"] + n["proposed"])]
    right = [(n["right"], n["scored"]), (n["right"], n["gold"]), (2 * n["right"], n["scored"] + n["gold"])]
    shares = [[shown(part / whole if whole else None) for part, whole in pairs] for pairs in (left, right)]
    return [
        n["annotator"],
        n["round"],
        *(shown(n[name]) for name in OF_A_PERSON),
        *shares[0],
        shown(n["gold"]),
        *shares[1],
    ]
