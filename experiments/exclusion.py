"""The training sentences of a source whose labels are most probably wrong."""

from __future__ import annotations

import argparse
import json
import reprlib
from collections.abc import Iterable, Iterator

from datasets import Dataset

from reports_2mner.command_line import exit_on_error
from reports_2mner.files import write_file
from training_2mner.arguments import DataArguments
from training_2mner.data import check_columns, load_splits, text_values


def first_suspects(queue: Iterable[str], train: Dataset, source: str, share: float) -> list[str]:
    """The names of the most suspicious sentences of a source, in the order of the queue.

    Args:
        queue: lines of JSON, the most suspicious first.
        train: the training split, with the columns `id` and `source`.
        source: such as `"cc12m"`.
        share: of the training sentences of this source, above 0 and below 1.

    Raises:
        ValueError: if there are no such sentences, or the queue has fewer than the share.
    """
    if not 0 < share < 1:
        raise ValueError(f"`share` is {share}; write a number between 0 and 1, such as 0.1.")
    check_columns(train, "train", ["id", "source"])
    sources = text_values(train, "source")
    names = {name for name, of in zip(train["id"], sources, strict=True) if of == source}
    if not names:
        raise ValueError(
            f"`source` is {source!r}, but train has {', '.join(sorted(set(sources)))}; name one of these."
        )
    wanted = round(share * len(names))
    if not wanted:
        raise ValueError(f"`share` {share} of {len(names)} sentences is none; take a larger share.")
    found = [uid for uid in dict.fromkeys(_read_names(queue)) if uid in names]
    if len(found) < wanted:
        raise ValueError(
            f"`queue` has {len(found)} training sentences of {source}, fewer than the {wanted} of `share` {share}; rank with "
            "a higher `--limit`, or take a smaller share."
        )
    return found[:wanted]


def _read_names(queue: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(queue, start=1):
        try:
            name = json.loads(line)["uid"]
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(
                f"`queue` has no sentence in line {number}, {reprlib.repr(line)}; name the queue.jsonl of "
                "`python -m dataset_scripts.label_errors`."
            ) from error
        yield str(name)


def write_suspects(options: argparse.Namespace) -> None:
    """Write the list of names."""
    with exit_on_error(OSError):
        if options.output.resolve() == options.queue.resolve():
            raise ValueError("`output` is the queue itself; write the list to another file.")
        train = load_splits(DataArguments(options.dataset, options.dataset_config, options.dataset_revision))["train"]
        with options.queue.open(encoding="utf-8") as queue:
            names = first_suspects(queue, train, options.source, options.share)
        write_file(options.output, "".join(f"{name}\n" for name in names))
    print(f"{options.output} names {len(names)} training sentences of {options.source}.")
