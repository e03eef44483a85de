from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import pytest

from reports_2mner.command_line import (
    add_settings,
    at_least,
    between,
    comma_separated,
    exit_on_error,
    make_parser,
    option,
    read_settings,
)


@dataclass(frozen=True)
class Settings:
    side: int | None = option(512, "side in pixels", type=at_least(64))
    names: tuple[str, ...] = option((), "names to take", choices=("a", "b"))
    place: Path | None = option(None, "a folder")
    keep: bool = option(False, "keep everything")
    hidden: str = "not an option"

    def __post_init__(self) -> None:
        if self.keep and self.place is None:
            raise ValueError("`keep` needs `place`.")


def read(*arguments: str) -> argparse.Namespace:
    parser = make_parser("program", "Do it.\n\n    program --side 64\n")
    add_settings(parser, Settings)
    return parser.parse_args(arguments)


def test_options_are_the_fields_of_the_settings():
    assert read_settings(read(), Settings) == Settings()
    given = read("--side", "64", "--names", "b", "a", "--place", "here", "--keep")
    assert read_settings(given, Settings) == Settings(64, ["b", "a"], Path("here"), True)
    assert read_settings(given, Settings, side=None).side is None
    assert not hasattr(given, "hidden")


def test_the_settings_check_what_the_options_are_together():
    with pytest.raises(ValueError, match="`keep` needs `place`"):
        read_settings(read("--keep"), Settings)


def test_the_help_begins_with_the_description_as_it_is_written(capsys):
    with pytest.raises(SystemExit, match="0"):
        read("--help")
    shown = capsys.readouterr().out
    assert "\n\nDo it.\n\n    program --side 64\n" in shown
    assert "side in pixels (default: 512)" in shown
    assert "a folder\n" in shown


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (at_least(1), "1", 1),
        (at_least(0.0), "0.5", 0.5),
        (between(0.0, 1.0), "1", 1.0),
        (comma_separated(), "en, fr,", ("en", "fr")),
        (comma_separated(float), "1e-4,2", (1e-4, 2.0)),
    ],
)
def test_a_value_is_read(kind, text, value):
    assert kind(text) == value and type(kind(text)) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (at_least(1), "0", "must be at least 1, got 0"),
        (at_least(1), "1.5", "must be a whole number, got '1.5'"),
        (at_least(0.0), "nan", "must be finite, got nan"),
        (at_least(0.0), "inf", "must be finite, got inf"),
        (at_least(0.0), "x", "must be a number, got 'x'"),
        (between(0, 65535), "70000", "must be from 0 to 65535, got 70000"),
        (
            comma_separated(float),
            "0.1,abc",
            "must be values separated by commas, got '0.1,abc' (could not convert string to float: 'abc')",
        ),
        (between(0.0, 1.0), "1.1", "must be from 0 to 1, got 1.1"),
        (between(0.0, 1.0), "nan", "must be finite, got nan"),
    ],
)
def test_a_value_out_of_range_is_refused(kind, text, message):
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        kind(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("error", [ValueError("`x` is wrong; write y."), OSError("`x` is wrong; write y.")])
def test_an_error_of_the_input_ends_the_program_without_traceback(error):
    with pytest.raises(SystemExit) as caught, exit_on_error(OSError):
        raise error
    assert caught.value.code == "error: `x` is wrong; write y."


def test_a_fault_of_the_program_keeps_its_traceback():
    @exit_on_error()
    def main() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        main()
