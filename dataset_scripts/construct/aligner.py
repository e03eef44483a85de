"""Align the words of sentences and their translations with sil-thot, which learns from the pairs themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from dataset_scripts.construct.tools import optional_module

KINDS = {"fast_align": "FastAlignModel", "hmm": "HmmAlignmentModel", "eflomal": "EflomalAlignmentModel"}
ALIGNERS = (*KINDS, "none")
ROUNDS = 5
MOST_PAIRS = 200_000  # to learn from: more need more memory and change little
MODELS_AT_ONCE = 8


def train_aligner(kind: str, pairs: Iterable[tuple[Sequence[str], Sequence[str]]], folder: Path) -> None:
    """Learn from pairs of sentences, in both directions, and write two models into a folder.

    Args:
        kind: one of `KINDS`.
        pairs: the words of each sentence and of its translation; the first `MOST_PAIRS` are used.
        folder: to write.
    """
    forth, back = _new(kind), _new(kind)
    for source, target in islice(pairs, MOST_PAIRS):
        forth.add_sentence_pair(_lower(source), _lower(target))
        back.add_sentence_pair(_lower(target), _lower(source))
    folder.mkdir(parents=True, exist_ok=True)
    for model, name in ((forth, "forth"), (back, "back")):
        model.start_training()
        for _ in range(ROUNDS):
            model.train()
        model.end_training()
        model.print(str(folder / name))


def align_words(kind: str, folder: Path, source: Sequence[str], target: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs of positions, in the source and in the target, of words that belong together."""
    _, matrix = _load(kind, folder).get_best_alignment(_lower(source), _lower(target))
    rows, columns = matrix.to_numpy().nonzero()
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


@lru_cache(MODELS_AT_ONCE)
def _load(kind: str, folder: Path) -> Any:
    forth, back = _new(kind), _new(kind)
    if not (forth.load(str(folder / "forth")) and back.load(str(folder / "back"))):
        raise RuntimeError(f"The aligner's models in {folder} cannot be read")
    aligner = _thot().SymmetrizedAligner(forth, back)
    aligner.heuristic = _thot().SymmetrizationHeuristic.GROW_DIAG_FINAL_AND
    return aligner


def _new(kind: str) -> Any:
    return getattr(_thot(), KINDS[kind])()


def _thot() -> Any:
    return optional_module("thot.alignment", "sil-thot", "`aligner` (all but `none`)")


def _lower(words: Sequence[str]) -> list[str]:
    return [word.lower() for word in words]
