"""Command lines: how every program of the project describes itself, reads its options and reports errors.

    parser = make_parser("python -m package.module", __doc__)
    parser.add_argument("--num_proc", type=at_least(1), default=1, help="worker processes (default: %(default)s)")

The module's docstring is the program's help: one sentence, an example, and then anything else a user must know.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from reports_2mner.disk import disk_problem

Number = TypeVar("Number", int, float)
Settings = TypeVar("Settings")


def make_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser that shows `description`, usually the module's docstring, unchanged."""
    return argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


@contextmanager
def exit_on_error(*kinds: type[Exception]) -> Iterator[None]:
    """Exit with `error: ...` instead of a traceback if the input or the disk is at fault; also works as a decorator.

    Args:
        kinds: exceptions that users can fix, besides `ValueError`.
    """
    users: tuple[type[Exception], ...] = (ValueError, *kinds)
    try:
        yield
    except Exception as error:
        if problem := disk_problem(error):
            raise SystemExit(f"error: {problem}") from error
        if isinstance(error, users):
            raise SystemExit(f"error: {error}") from error
        raise


def at_least(least: Number) -> Callable[[str], Number]:
    """Return an argument type: a finite number of the type of `least` and not below it."""

    def number(text: str) -> Number:
        value = _read_number(text, type(least))
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {text}")
        return value

    return number


def between(least: Number, most: Number) -> Callable[[str], Number]:
    """Return an argument type: a number of the type of `least`, from it to `most`, both included."""

    def number(text: str) -> Number:
        value = _read_number(text, type(least))
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be from {least:g} to {most:g}, got {text}")
        return value

    return number


def add_data_set(parser: argparse.ArgumentParser, what: str = "data set", default: str | None = None) -> None:
    """Add the options that name a data set as `train_hf.py` does: `--dataset` and its configuration and revision.

    Args:
        parser: of the program.
        what: what the data set is, for the help.
        default: its folder or Hub id if none is named; without one it must be.
    """
    shown = "" if default is None else f" (default: {default})"
    parser.add_argument(
        "--dataset", required=default is None, default=default, help=f"{what}: a folder or a Hub id{shown}"
    )
    parser.add_argument(
        "--dataset_config", default="all", help="its configuration (default: all, or the only one there is)"
    )
    parser.add_argument("--dataset_revision", help="branch, tag or commit of a Hub data set")


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Add `--backend` and `--threads`, which programs have that run exported models."""
    parser.add_argument(
        "--backend",
        choices=("onnx", "openvino"),
        help="what runs an exported model (default: what it was exported for)",
    )
    parser.add_argument(
        "--threads", type=between(1, 1024), help="threads of an exported model (default: those of PyTorch)"
    )


def comma_separated(read: Callable[[str], Any] = str) -> Callable[[str], tuple[Any, ...]]:
    """Return an argument type: values separated by commas, each read by `read`."""

    def values(text: str) -> tuple[Any, ...]:
        try:
            return tuple(read(part.strip()) for part in text.split(",") if part.strip())
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"must be values separated by commas, got {text!r} ({error})") from None

    return values


def read_part(text: str, argument: str) -> tuple[int, int]:
    """Parse "k/n" into k and n; `argument` is the name that an error gives.

    Raises:
        ValueError: if `text` is not "k/n" with k from 1 to n.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(
            f"`{argument}` is {text!r}; write the number of a part, a slash and the number of parts, such as 2/5."
        )
    return int(match[1]), int(match[2])


def option(default: Any, help: str, **keywords: Any) -> Any:
    """Return a field of a settings dataclass for `add_settings`, with `help` and other keywords of `add_argument`."""
    return field(default=default, metadata={"help": help, **keywords})


def add_settings(parser: Any, settings: type, *names: str) -> None:
    """Add options for fields of a settings dataclass, with the name, default, type and `help` of each field.

    The fields are made by `option`, whose keywords may include `choices` or a checked `type`. A `bool` becomes a
    switch that turns the field on.

    Args:
        parser: an `ArgumentParser`, or a group of one.
        settings: the dataclass.
        names: its fields, in the order of the help; by default all that have a `help`.
    """
    hints = get_type_hints(settings)
    known = {entry.name: entry for entry in fields(settings) if "help" in entry.metadata}
    for name in names or known:
        parser.add_argument(f"--{name}", **_option(known[name], hints[name]))


def read_settings(options: argparse.Namespace, settings: type[Settings], **values: Any) -> Settings:
    """Build the settings from the options of the same names; `values` take precedence.

    Raises:
        ValueError: from the dataclass's own checks.
    """
    names = {entry.name for entry in fields(settings)}  # type: ignore[arg-type]
    return settings(**{name: value for name, value in vars(options).items() if name in names} | values)


def _option(entry: Field, hint: Any) -> dict[str, Any]:
    default = entry.default_factory() if entry.default_factory is not MISSING else entry.default
    options = dict(entry.metadata)
    if hint is bool:
        return {"action": "store_true", "default": default, **options}
    kind, is_many = _kind(hint)
    if is_many:
        options = {"nargs": "+", **options}
        if options["nargs"] == "+":
            options["action"] = _Gather
    if default not in (None, (), []) and "default" not in options["help"]:
        options["help"] += " (default: %(default)s)"
    return {"type": kind, "default": default, **options}


class _Gather(argparse.Action):
    """Adds the values of an option that is given several times, instead of keeping the last ones only."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*(() if before is self.default else before), *values])


def _kind(hint: Any) -> tuple[Callable[[str], Any], bool]:
    """Return the type of one value, and whether the option takes several."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if get_origin(hint) in (tuple, list):
        return get_args(hint)[0], True
    return (hint if hint in (int, float, Path) else str), False


def _read_number(text: str, kind: type[Number]) -> Number:
    try:
        value = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {'a whole' if kind is int else 'a'} number, got {text!r}") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be finite, got {text}")
    return value
