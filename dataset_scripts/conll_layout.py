"""The empty lines of a CoNLL file that differ from those of the writer, so that it can be written back byte for byte.

The writer ends each sentence with one empty line. The reader also accepts files that begin with empty lines, have
several between two sentences, or have none, or not even a line end, after the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from reports_2mner.conll_format import ID_PREFIX

USUAL_END = 2  # line ends after the last word: its own, and the empty line


@dataclass
class Layout:
    """The number of sentences, the extra empty lines before some of them, by position, and the line ends at the end."""

    sentences: int = 0
    empty_before: dict[str, int] = field(default_factory=dict)  # by position, as text because JSON needs it
    line_ends: int = USUAL_END

    @classmethod
    def of(cls, path: Path | str) -> Layout:
        """Find the layout of a file that `read_conll` accepts."""
        layout = cls()
        ends = 1  # as if a sentence were before the first line
        with open(path, "rb") as file:
            for line in file:
                if line.startswith(ID_PREFIX.encode()):
                    if superfluous := ends - (USUAL_END if layout.sentences else 1):
                        layout.empty_before[str(layout.sentences)] = superfluous
                    layout.sentences += 1
                ends = ends + 1 if line == b"\n" else int(line.endswith(b"\n"))
        if layout.sentences:
            layout.line_ends = ends
        elif ends > 1:
            layout.empty_before["0"] = ends - 1
        return layout

    @property
    def is_usual(self) -> bool:
        """Whether the writer produces it by default."""
        return not self.empty_before and self.line_ends == USUAL_END

    def to_dict(self) -> dict[str, Any]:
        """Return it for a JSON file."""
        return asdict(self)

    def arrange(self, sentences: Iterable[str]) -> Iterator[str]:
        """Put the empty lines between sentences that each end in one."""
        for place, text in enumerate(sentences):
            before = "\n" * self.empty_before.get(str(place), 0)
            is_last = place == self.sentences - 1
            yield before + (text.rstrip("\n") + "\n" * self.line_ends if is_last else text)
        if not self.sentences:
            yield "\n" * self.empty_before.get("0", 0)
