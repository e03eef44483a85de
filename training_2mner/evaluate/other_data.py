"""The part of a model card with scores on data other than those of the training, and the record that it is made from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from reports_2mner.files import write_file, write_json
from reports_2mner.locks import only_writer
from reports_2mner.markdown import code, plain
from training_2mner.evaluation import results_table

RECORD, CARD = "other_data.json", "README.md"
TEMPLATE = Path(__file__).resolve().parents[2] / "model_cards" / "other_data.md"
# Marks that Markdown does not show: links that nothing refers to.
PART = re.compile(r"\[//\]: # \(other data\).*?\[//\]: # \(end of other data\)", re.DOTALL)
NEXT_HEADING = "\n## Scores\n"
IDENTITY = ("dataset", "split", "map")  # an evaluation with the same ones replaces the former


def add_to_card(folder: Path, content: dict[str, Any], note: str = "") -> None:
    """Add scores to the card of a run folder, in the place of earlier ones on the same data.

    Args:
        folder: a run folder with its card.
        content: `ModelScores.content`.
        note: what a reader must know of these data, such as who made their labels.

    Raises:
        ValueError: if the folder has no card, or another process is writing to it.
    """
    check_card(folder)
    with only_writer(folder, "model"):  # or one of two evaluations would forget what the other has added
        _add(folder, {**content, "note": note})


def _add(folder: Path, content: dict[str, Any]) -> None:
    card = folder / CARD
    scored = [one for one in read(folder) if any(one[name] != content[name] for name in IDENTITY)]
    scored.append(content)
    write_json(folder / RECORD, scored, indent=1, ensure_ascii=False)
    text, shown = card.read_text(encoding="utf-8"), part(scored)
    if PART.search(text):
        text = PART.sub(lambda _: shown, text, count=1)
    else:
        before, heading, after = text.partition(NEXT_HEADING)
        text = f"{before.rstrip()}\n\n## Other data\n\n{shown}\n{heading}{after}"
    write_file(card, text)


def check_card(folder: Path) -> None:
    """Refuse a model without a card of its own.

    Raises:
        ValueError: for a Hub id, and a folder without a card.
    """
    if not (folder / CARD).is_file():
        raise ValueError(
            f"`add_to_card` needs a run folder with a {CARD}, and {folder} is none; name one, or leave it out."
        )


def read(folder: Path) -> list[dict[str, Any]]:
    """The evaluations that the card of a run folder shows."""
    path = folder / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def forget(folder: Path) -> None:
    """Remove the record of scores of former weights."""
    (folder / RECORD).unlink(missing_ok=True)


def part(scored: list[dict[str, Any]]) -> str:
    """The text between the marks, with them; without scores it says that there are none."""
    from jinja2 import Template

    return Template(TEMPLATE.read_text(encoding="utf-8")).render(scored=[_shown(one) for one in scored])


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    """The evaluation as the template reads it; names of data are somebody else's and are escaped."""
    scores = {f"test_{name}": value for name, value in one["scores"].items()}
    data = {name: value and code(value) for name, value in one["dataset"].items()}
    return {
        **data,
        "split": code(one["split"]),
        "sentences": one["sentences"],
        "map": plain(", ".join(f"{kind} as {other or 'none'}" for kind, other in one["map"].items())),
        "note": plain(one["note"]),
        "table": results_table(scores, [f"B-{kind}" for kind in one["types"]]),
    }
