"""Load the data set of a run and apply the run's limits, reporting what is lost."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import datasets
from datasets import ClassLabel, Dataset, DatasetDict, Image, List, get_dataset_config_names, load_dataset

from reports_2mner.command_line import read_part
from reports_2mner.tags import check_label_names, check_sentences
from training_2mner.arguments import DataArguments

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
PARTS_SEED = 19  # independent of the run's seed, so that the parts are the same for all runs


@dataclass(frozen=True)
class TruncationLoss:
    """What a word limit removes from the training data."""

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
    """Load train, validation and test, with pictures as undecoded bytes, so that a broken one cannot stop the run.

    If the data set has only one configuration, that is taken, and `arguments.dataset_config` names it afterwards.

    Raises:
        ValueError: if a configuration, a split or a column is missing; the message lists those that exist. For words or tags that
            cannot be learned from, the message names split and row.
    """
    splits = _read(arguments)
    for name in SPLITS:
        _check_split(splits, name, arguments)
    _check_box_columns(splits["train"], arguments)
    if "image" in splits["train"].column_names:
        splits = splits.cast_column("image", Image(decode=False))
    return _limit(splits, arguments)


def load_split(arguments: DataArguments, name: str) -> Dataset:
    """Load one split, as `load_splits` loads all; the data set need not have others. `max_eval_samples` limits it.

    Raises:
        ValueError: as `load_splits` does.
    """
    splits = _read(arguments)
    _check_split(splits, name, arguments)
    dataset = splits[name]
    _check_box_columns(dataset, arguments)
    if "image" in dataset.column_names:
        dataset = dataset.cast_column("image", Image(decode=False))
    return dataset.select(range(min(arguments.max_eval_samples or len(dataset), len(dataset))))


def _read(arguments: DataArguments) -> DatasetDict:
    arguments.dataset_config = choose_config(arguments)
    return load_dataset(
        arguments.dataset,
        arguments.dataset_config,
        revision=arguments.dataset_revision,
        cache_dir=cache_folder(arguments.dataset),
    )


def _check_split(splits: DatasetDict, name: str, arguments: DataArguments) -> None:
    if name not in splits:
        raise ValueError(f"`dataset` {arguments.dataset!r} has no split {name!r}, only {', '.join(splits)}.")
    check_columns(splits[name], arguments.dataset, ("tokens", "ner_tags"))
    check_tags(splits[name], f"`dataset` {arguments.dataset!r}, split {name!r}")


def choose_config(arguments: DataArguments) -> str:
    """The configuration to load: the one that is named, or the only one where it was left at its default.

    Raises:
        ValueError: for one that the data set does not have; the message lists those that it has.
    """
    named = arguments.dataset_config
    found = get_dataset_config_names(arguments.dataset, revision=arguments.dataset_revision)
    if named in found:
        return named
    if named == DataArguments.dataset_config and len(found) == 1:
        logger.info("`dataset` %r has one configuration, %r, which is taken.", arguments.dataset, found[0])
        return found[0]
    raise ValueError(
        f"`dataset_config` is {named!r}, but `dataset` {arguments.dataset!r} has {', '.join(map(repr, found))}; name one "
        "of these (--dataset_config)."
    )


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
        ValueError: if the column is not a list of named tags.
    """
    column = dataset.features["ner_tags"]
    if not isinstance(column, List) or not isinstance(column.feature, ClassLabel):
        raise ValueError(f"`ner_tags` holds {column}; make it a list of `ClassLabel`, which names the tags.")
    return column.feature.names


def cache_folder(dataset: str) -> str | None:
    """Where `load_dataset` keeps its copy of a folder's rows: a place of its own for each state of the files.

    By itself it would find a copy by the folder's card alone, and return the rows of files that were replaced since. Of a data
    set of the Hub the copy is found by its commit; for those this is `None`, the usual place.
    """
    folder = Path(dataset)
    if not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        state = path.stat()
        digest.update(f"{path.relative_to(folder)}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return str(Path(datasets.config.HF_DATASETS_CACHE) / f"files-{digest.hexdigest()[:16]}")


def check_tags(dataset: Dataset, place: str) -> None:
    """Find out whether words and tags of a split can be learned from and scored.

    Raises:
        ValueError: for tags that are not IOB2 or not known, and for null words or tags, with the row and a remedy; `place`
            names data set and split.
    """
    names = label_names(dataset)
    check_label_names(names, place)
    columns = dataset.select_columns(["tokens", "ner_tags"])
    check_sentences(zip(columns["tokens"], columns["ner_tags"], strict=True), names, place)


def tag_names(dataset: Dataset) -> list[list[str]]:
    """The gold tags of each sentence, as names."""
    names = label_names(dataset)
    return [[names[tag] for tag in tags] for tags in dataset["ner_tags"]]


def check_columns(dataset: Dataset, name: str, columns: Iterable[str]) -> None:
    """Check that all columns exist.

    Raises:
        ValueError: if one is missing; the message lists those that exist and gives the data set's `name`.
    """
    for column in columns:
        if column not in dataset.column_names:
            raise ValueError(f"`dataset` {name!r} has no column {column!r}, only {', '.join(dataset.column_names)}.")


def text_values(dataset: Dataset, column: str) -> list[str]:
    """The values of a column as text, whether it holds text or numbered classes."""
    feature = dataset.features[column]
    return feature.int2str(dataset[column][:]) if isinstance(feature, ClassLabel) else list(dataset[column])


def has_pictures(dataset: Dataset) -> bool:
    """Whether any row has a picture, usable or not."""
    return "image" in dataset.column_names and dataset.data.column("image").null_count < len(dataset.data)


def cut_sentences(dataset: Dataset, max_words: int) -> tuple[Dataset, TruncationLoss]:
    """Truncate sentences to `max_words` words and count what is lost.

    An entity counts as lost if any of its words is.
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
    return cut, TruncationLoss(sentences, words, entities, total)


def part_of_rows(num_rows: int, part: str) -> list[int]:
    """The sorted row numbers of part "k/n" of `num_rows` rows. The n parts are random but always the same, and their
    sizes differ by at most one row.

    Raises:
        ValueError: if `part` is not "k/n" with k from 1 to n.
    """
    number, count = read_part(part, "train_part")
    rows = list(range(num_rows))
    Random(PARTS_SEED).shuffle(rows)
    return sorted(rows[number - 1 :: count])


def without_sentences(train: Dataset, file: str) -> Dataset:
    """The training split without the sentences that a file names, one a line.

    Raises:
        ValueError: if the file cannot be read, sentences have no names, or it names one that is not there.
    """
    try:
        left_out = set(Path(file).read_text(encoding="utf-8").splitlines()) - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"`train_without` {file!r} cannot be read ({error}); name a text file with one id a line."
        ) from error
    check_columns(train, "train", ["id"])
    names = train["id"][:]
    if unknown := left_out - set(names):
        raise ValueError(
            f"`train_without` names {len(unknown)} sentences that the training split does not have, such as "
            f"{min(unknown)!r}; it must have been written for this data set."
        )
    kept = [row for row, name in enumerate(names) if name not in left_out]
    logger.warning("`train_without`: %d of %d training sentences are left out.", len(names) - len(kept), len(names))
    return train.select(kept)


def _limit(splits: DatasetDict, arguments: DataArguments) -> DatasetDict:
    if arguments.train_without is not None:
        splits["train"] = without_sentences(splits["train"], arguments.train_without)
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
            logger.warning("`max_words` is %d: %s. Leave it out to keep everything.", arguments.max_words, loss)
    return splits
