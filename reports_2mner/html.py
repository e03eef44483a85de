"""Pages: each is one file that loads nothing, filled into a template that escapes every text of the data.

    page = render("audit.html.jinja", report=report)

The templates, and the CSS and JavaScript that they take in, are in `templates/`. What a template prints is escaped, and
its invisible characters are spelled out, unless it is markup already.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, /, **values: Any) -> str:
    """Fill a template of `templates/`; a value that it needs and does not get is an error of jinja2."""
    return _environment().get_template(template).render(values)


def visible(text: str) -> str:
    """Spell out characters that have no shape of their own or change the direction of writing."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else f"<U+{ord(character):04X}>" for character in text)


def percent(share: float) -> str:
    """A share in percent, with two decimals as in the paper."""
    return f"{100 * share:.2f}"


def label(name: str) -> str:
    """A name of the code in words."""
    return name.replace("_", " ")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "label": label, "thousands": "{:,}".format}
    environment.globals |= {"file": _file, "script_hash": _script_hash}
    return environment


def _finalize(value: Any) -> Any:
    """What is printed of a value, before it is escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _file(name: str) -> Markup:
    """CSS or JavaScript of ours, as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _script_hash(name: str) -> str:
    """What allows the browser to run this script alone."""
    return f"sha256-{b64encode(hashlib.sha256(_file(name).encode()).digest()).decode()}"
