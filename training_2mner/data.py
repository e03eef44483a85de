"""Load the data set of a run, and cut it to the run's limits without hiding what that costs."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from datasets import ClassLabel, Dataset, DatasetDict, Image, List, load_dataset

from training_2mner.arguments import DataArguments

logger = logging.getLogger(__name__)

PARTS_SEED = 19  # not the run's: the parts are of the data, and the same for all runs


@dataclass(frozen=True)
class Loss:
    """What a word limit takes away from the training data."""

    sentences: int
    words: int
    entities: int
    all_entities: int

    def __str__(self) -> str:
        share = 100 * self.entities / max(self.all_entities, 1)
        return (
            f"{self.sentences} sentences lose {self.words} words and {self.entities} of {self.all_entities} entities "
            f"({share:.2f} %)"
        )


def load_splits(arguments: DataArguments) -> DatasetDict:
    """Load train, validation and test, with pictures as undecoded bytes so that a broken one cannot stop the run.

    Raises:
        ValueError: if a split or a column is missing, with what there is.
    """
    splits = load_dataset(arguments.dataset, arguments.dataset_config, revision=arguments.dataset_revision)
    for name in ("train", "validation", "test"):
        if name not in splits:
            raise ValueError(f"`dataset` {arguments.dataset!r} has no split {name!r}, only {', '.join(splits)}.")
    check_columns(splits["train"], arguments.dataset, ("tokens", "ner_tags"))
    _check_box_columns(splits["train"], arguments)
    if "image" in splits["train"].column_names:
        splits = splits.cast_column("image", Image(decode=False))
    return _limit(splits, arguments)


def _check_box_columns(dataset: Dataset, arguments: DataArguments) -> None:
    for name in ("boxes_column", "small_boxes_column"):
        column = getattr(arguments, name)
        if column is not None and column not in dataset.column_names:
            raise ValueError(
                f"`{name}` is {column!r}, but `dataset` {arguments.dataset!r} has only the columns "
                f"{', '.join(dataset.column_names)}; name one of these, or leave `{name}` out."
            )


def label_names(dataset: Dataset) -> list[str]:
    """The names of the tags, in the order of their ids.

    Raises:
        ValueError: if the column holds anything but tags with names.
    """
    column = dataset.features["ner_tags"]
    if not isinstance(column, List) or not isinstance(column.feature, ClassLabel):
        raise ValueError(f"`ner_tags` holds {column}; make it a list of `ClassLabel`, which names the tags.")
    return column.feature.names


def tag_names(dataset: Dataset) -> list[list[str]]:
    """The gold tags of each sentence, as names."""
    names = label_names(dataset)
    return [[names[tag] for tag in tags] for tags in dataset["ner_tags"]]


def check_columns(dataset: Dataset, name: str, columns: Iterable[str]) -> None:
    """Find out whether all columns are there.

    Raises:
        ValueError: if one is missing, with those that there are; `name` is the data set's.
    """
    for column in columns:
        if column not in dataset.column_names:
            raise ValueError(f"`dataset` {name!r} has no column {column!r}, only {', '.join(dataset.column_names)}.")


def text_values(dataset: Dataset, column: str) -> list[str]:
    """The values of a column of names, whether it holds text or numbered classes."""
    feature = dataset.features[column]
    return feature.int2str(dataset[column][:]) if isinstance(feature, ClassLabel) else list(dataset[column])


def has_pictures(dataset: Dataset) -> bool:
    """Whether any row has a picture, usable or not."""
    return "image" in dataset.column_names and dataset.data.column("image").null_count < len(dataset.data)


def cut_sentences(dataset: Dataset, max_words: int) -> tuple[Dataset, Loss]:
    """Cut sentences to `max_words` words, and count what is lost.

    An entity counts as lost if any word of it is.
    """
    outside = label_names(dataset).index("O")
    starts = {index for index, name in enumerate(label_names(dataset)) if name.startswith("B-")}
    sentences = words = entities = total = 0
    for tags in dataset["ner_tags"]:
        total += sum(tag in starts for tag in tags)
        tail = tags[max_words:]
        sentences += bool(tail)
        words += len(tail)
        entities += sum(tag in starts for tag in tail) + bool(tail and tail[0] != outside and tail[0] not in starts)
    cut = dataset.map(
        lambda row: {"tokens": row["tokens"][:max_words], "ner_tags": row["ner_tags"][:max_words]},
        desc="Cutting sentences",
    )
    return cut, Loss(sentences, words, entities, total)


def part_of_rows(num_rows: int, part: str) -> list[int]:
    """The rows, in order, of the part "k/n" of so many rows; the n parts are random, always the same, and of equal size
    up to one row.

    Raises:
        ValueError: if `part` is not "k/n" with k from 1 to n.
    """
    number, count = read_part(part, "train_part")
    rows = list(range(num_rows))
    Random(PARTS_SEED).shuffle(rows)
    return sorted(rows[number - 1 :: count])


def read_part(text: str, argument: str) -> tuple[int, int]:
    """The numbers k and n of "k/n", which an argument of this name was given as.

    Raises:
        ValueError: if it is something else, or k is not from 1 to n.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(
            f"`{argument}` is {text!r}; write the number of a part, a slash and their count, such as 2/5."
        )
    return int(match[1]), int(match[2])


def _limit(splits: DatasetDict, arguments: DataArguments) -> DatasetDict:
    if arguments.train_part is not None:
        splits["train"] = splits["train"].select(part_of_rows(len(splits["train"]), arguments.train_part))
    limits = {"train": arguments.max_train_samples, "validation": arguments.max_eval_samples}
    limits["test"] = arguments.max_eval_samples
    for name, limit in limits.items():
        if limit is not None:
            splits[name] = splits[name].select(range(min(limit, len(splits[name]))))
    if arguments.max_words is not None:
        splits["train"], loss = cut_sentences(splits["train"], arguments.max_words)
        if loss.words:
            logger.warning("`max_words` is %d: %s. Leave it out to lose nothing.", arguments.max_words, loss)
    return splits
