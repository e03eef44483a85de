"""Run a model on sentences with several pictures each: every text and every different picture is read once."""

from collections.abc import Sequence
from typing import Any

from .images import LoadedImage, PictureSource, load_image, picture_key
from .kept_features import KeptFeatures


def run_rows(
    model: Any,
    processor: Any,
    words: Sequence[str | list[str]],
    images: Sequence[Sequence[PictureSource]],
    kept: KeptFeatures | None = None,
) -> tuple[Any, Any, list[list[int]]]:
    """Read sentences with each of their pictures.

    A row of the batch is a sentence with one of its pictures. The first row of each sentence comes first, so that the
    windows of the texts come first, too.

    Args:
        model: a tagger of this project.
        processor: the one that fits it.
        words: the sentences.
        images: of each sentence its pictures, at least one, which may be `None`.
        kept (*optional*): features of pictures that other batches have had, or will need.

    Returns:
        The batch, whose first rows are the sentences; the model's output for it; and for each sentence the rows of
        its pictures, in their order.
    """
    looks = model.config.uses_image
    different = [_different([load_image(image if looks else None) for image in row]) for row in images]
    owners = [number for number, (found, _) in enumerate(different) for _ in found[1:]]
    pictures = [found[0] for found, _ in different] + [image for found, _ in different for image in found[1:]]
    rows: list[Any] = pictures
    if getattr(model, "feature_names", ()):
        kept = kept or KeptFeatures()
        rows = kept.encode(model, processor, pictures)
        by_key = {picture_key(picture): picture for picture in rows}
        kept.end_batch([by_key[picture_key(found[place])] for found, places in different for place in places])
    else:  # also one with the code of an older checkpoint, whose processor takes pictures alone
        rows = [picture.image for picture in pictures]
    once = getattr(model, "reads_text_apart", False)
    batch = processor([*words, *([] if once else words[owner] for owner in owners)], rows)
    if once and owners:
        _share_windows(batch, len(words), owners)
    batch.pop("image_hashes", None)  # which the Trainer reads
    # Nothing here reads the embeddings; the code of an older checkpoint always returns them.
    unread = {"output_embeds": False} if getattr(model, "has_embeds", False) else {}
    output = model(**batch.to(model.device), **unread)
    rows_of, following = [], len(words)
    for number, (found, places) in enumerate(different):
        own = [number, *range(following, following + len(found) - 1)]
        following += len(found) - 1
        rows_of.append([own[place] for place in places])
    return batch, output, rows_of


def _different(images: Sequence[LoadedImage]) -> tuple[list[LoadedImage], list[int]]:
    """The different pictures among some, of which unusable ones are all the same, and for each of them its place there."""
    numbers: dict[Any, int] = {}
    places = [numbers.setdefault(picture_key(image) if image.usable else None, len(numbers)) for image in images]
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
