"""Run a model on sentences with several pictures each: every text and every different picture is read once."""

from collections.abc import Sequence
from typing import Any

from PIL import Image


def run_rows(
    model: Any, processor: Any, words: Sequence[str | list[str]], images: Sequence[Sequence[Image.Image | None]]
) -> tuple[Any, Any, list[list[int]]]:
    """Read sentences with each of their pictures.

    A row of the batch is a sentence with one of its pictures. The first row of each sentence comes first, so that the
    windows of the texts come first, too.

    Args:
        model: a tagger of this project.
        processor: the one that fits it.
        words: the sentences.
        images: of each sentence its pictures in RGB, at least one, which may be `None`.

    Returns:
        The batch, whose first rows are the sentences; the model's output for it; and for each sentence the rows of
        its pictures, in their order.
    """
    different = [_different(row if model.config.uses_image else [None] * len(row)) for row in images]
    owners = [number for number, (found, _) in enumerate(different) for _ in found[1:]]
    rows = [found[0] for found, _ in different] + [image for found, _ in different for image in found[1:]]
    once = getattr(model, "reads_text_apart", False)
    batch = processor([*words, *([] if once else words[owner] for owner in owners)], rows)
    if once and owners:
        _share_windows(batch, len(words), owners)
    output = model(**batch.to(model.device))
    rows_of, following = [], len(words)
    for number, (found, places) in enumerate(different):
        own = [number, *range(following, following + len(found) - 1)]
        following += len(found) - 1
        rows_of.append([own[place] for place in places])
    return batch, output, rows_of


def _different(images: Sequence[Image.Image | None]) -> tuple[list[Image.Image | None], list[int]]:
    """The different pictures among some, and for each of them its place there."""
    numbers: dict[int, int] = {}
    places = [numbers.setdefault(id(image), len(numbers)) for image in images]
    return [images[places.index(number)] for number in range(len(numbers))], places


def _share_windows(batch: Any, num_sentences: int, owners: list[int]) -> None:
    """Let the further rows of a sentence use the windows of its first one; their own are empty."""
    num_windows = int(batch["first_window"][num_sentences])
    sources = [*range(num_sentences), *owners]
    for name in ("word_positions", "word_mask", "first_window"):
        batch[name] = batch[name][sources]
    for name in ("input_ids", "attention_mask"):
        batch[name] = batch[name][:num_windows]


__all__ = ["run_rows"]
