"""Align the words of sentences and their translations with sil-thot, which learns from the pairs themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

KINDS = {"fast_align": "FastAlignModel", "hmm": "HmmAlignmentModel", "eflomal": "EflomalAlignmentModel"}
ALIGNERS = (*KINDS, "none")
ROUNDS = 5
MOST_PAIRS = 200_000  # to learn from: more need more memory and change little
MODELS_AT_ONCE = 8


def train_aligner(kind: str, pairs: Iterable[tuple[Sequence[str], Sequence[str]]], folder: Path) -> None:
    """Learn from pairs of sentences, in both directions, and write two models into a folder.

    Args:
        kind: one of `ALIGNERS`, not `none`.
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
    return list(_pairs(matrix))


def _pairs(matrix: Any) -> Iterator[tuple[int, int]]:
    table = matrix.to_numpy()
    for row, column in zip(*table.nonzero(), strict=True):
        yield int(row), int(column)


@lru_cache(MODELS_AT_ONCE)
def _load(kind: str, folder: Path) -> Any:
    forth, back = _new(kind), _new(kind)
    if not (forth.load(str(folder / "forth")) and back.load(str(folder / "back"))):
        raise RuntimeError(f"The aligner's models in {folder} cannot be read")
    module = _library()
    aligner = module.SymmetrizedAligner(forth, back)
    aligner.heuristic = module.SymmetrizationHeuristic.GROW_DIAG_FINAL_AND
    return aligner


def _new(kind: str) -> Any:
    return getattr(_library(), KINDS[kind])()


def _lower(words: Sequence[str]) -> list[str]:
    return [word.lower() for word in words]


def _library() -> Any:
    try:
        import thot.alignment
    except ImportError as error:
        raise ValueError(
            "`aligner` needs sil-thot; install it with pip install -e '.[construct]', or choose --aligner none."
        ) from error
    return thot.alignment
