"""How to audit a data set."""

from __future__ import annotations

from dataclasses import dataclass

from reports_2mner.command_line import at_least, option

NEVER = "never"  # for `--fail_on`


@dataclass(frozen=True)
class AuditSettings:
    """How to audit; ValueError for an invalid value."""

    similarity: float = option(
        0.8, "share of common three-word shingles from which two texts count as similar, above 0 and at most 1"
    )
    max_words: int = option(128, "report rows with more words", type=at_least(1))
    pictures: bool = True
    num_proc: int = option(1, "number of processes that decode pictures", type=at_least(1))

    def __post_init__(self) -> None:
        if not 0 < self.similarity <= 1:
            raise ValueError(f"`similarity` must be above 0 and at most 1, got {self.similarity}; 0.8 is usual.")
        for name in ("max_words", "num_proc"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be 1 or more, got {getattr(self, name)}.")
