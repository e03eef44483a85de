"""Name the training sentences of a source whose labels are most probably wrong, to train without them.

    python -m experiments.suspects suspects/queue.jsonl --dataset mmnerd --dataset_config en --source cc12m --share 0.1 \\
        --output without.txt
    python train_hf.py configuration_2mner/runs/english-bert-crf.yaml --text_encoder NAME --train_without without.txt

Takes the first sentences of the queue that are training sentences of the source, as many as the share of all of them. The
queue is what `python -m dataset_scripts.label_errors mmnerd --split train --limit 100000 --output suspects` writes: a
ranking of all splits would have been made by models that have learned from the test labels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from datasets import Dataset

from reports_2mner.command_line import exit_on_error, make_parser
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
    found = [uid for line in queue if (uid := json.loads(line)["uid"]) in names]
    if len(found) < wanted:
        raise ValueError(
            f"`queue` has {len(found)} training sentences of {source}, fewer than the {wanted} of `share` {share}; rank with "
            "a higher `--limit`, or take a smaller share."
        )
    return found[:wanted]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the list."""
    options = read_command_line(arguments)
    with exit_on_error(OSError):
        train = load_splits(DataArguments(dataset=options.dataset, dataset_config=options.dataset_config))["train"]
        with options.queue.open(encoding="utf-8") as queue:
            names = first_suspects(queue, train, options.source, options.share)
        write_file(options.output, "".join(f"{name}\n" for name in names))
    print(f"{options.output} names {len(names)} training sentences of {options.source}.")


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.suspects", __doc__)
    add = parser.add_argument
    add("queue", type=Path, metavar="QUEUE", help="queue.jsonl of `python -m dataset_scripts.label_errors`")
    add("--dataset", default="mmnerd", help="folder or Hub id of the data set (default: %(default)s)")
    add("--dataset_config", default="all", help="its configuration (default: %(default)s)")
    add("--source", required=True, help="such as cc12m")
    add("--share", type=float, default=0.1, help="of its training sentences (default: %(default)s)")
    add("--output", type=Path, required=True, help="text file to write, with a name a line")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
