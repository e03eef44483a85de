"""Pages: each is one file that loads nothing, rendered from a template that escapes all text of the data.

    page = render("audit.html.jinja", report=report)

The templates, and the CSS and JavaScript that they include, are in `templates/`. Everything that a template prints is
escaped, with invisible characters spelled out, unless it is already markup.
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
    """Render a template of `templates/`; a missing value is an error of jinja2."""
    return _environment().get_template(template).render(values)


def visible(text: str) -> str:
    """Spell out characters that are invisible or change the direction of writing."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else f"<U+{ord(character):04X}>" for character in text)


def percent(share: float) -> str:
    """Return a share in percent, with two decimals as in the paper."""
    return f"{100 * share:.2f}"


def label(name: str) -> str:
    """Return a name of the code as words."""
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
    """Return what is printed of a value, before it is escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _file(name: str) -> Markup:
    """Return the project's own CSS or JavaScript, unchanged."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _script_hash(name: str) -> str:
    """Return the hash that allows the browser to run only this script."""
    return f"sha256-{b64encode(hashlib.sha256(_file(name).encode()).digest()).decode()}"
