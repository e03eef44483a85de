"""Command lines as they may be published: without secrets, and without where something lies on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

# `--hub_token X`, `--hub_tok X`, `HF_TOKEN=X`, `--api-key=X`; not `--tokenizer X`, nor `--max_train_samples`.
_SECRET_NAME = re.compile(r"(?i)(.*[_-])?(token|secret|passw(or)?d|(api|access|auth)[_-]?key|credentials?)s?")
_HUB_TOKEN = "--hub_token"
_SHORTEST = "--hub_t"  # what argparse takes for it
_TOKEN = re.compile(r"\bhf_\w{6,}")
_PLACE = re.compile(r"(?<![\w:/.])(~|\.\.?)?/(?:[^\s'\",:=/]+/)*([^\s'\",:=/]*)")


def public_words(words: Sequence[str]) -> list[str]:
    """The words of a command line without options that hold a secret, and with names for paths of this machine."""
    return list(_public(words))


def _public(words: Sequence[str]) -> Iterator[str]:
    skips = False
    for word in words:
        name, equals, _ = word.partition("=")
        if skips and not word.startswith("--"):
            skips = False
            continue
        skips = _is_secret(name) and not equals
        if _is_secret(name):
            continue
        word = _TOKEN.sub("hf_...", word)
        yield Path(word).name if _lies_here(word) else _PLACE.sub(lambda found: found[2] or found[0], word)


def _is_secret(name: str) -> bool:
    is_short = name.startswith(_SHORTEST) and _HUB_TOKEN.startswith(name)
    return is_short or _SECRET_NAME.fullmatch(name.lstrip("-")) is not None


def _lies_here(word: str) -> bool:
    """Whether the word is a path, also one with blanks, or a relative one of a file or folder that exists."""
    if word.startswith("-") or len(word) > 1000:
        return False
    return Path(word).is_absolute() or word.startswith("~") or ("/" in word and Path(word).exists())
