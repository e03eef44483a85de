"""The part of a model card on scores, which a calibration replaces."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from reports_2mner.files import write_file
from reports_2mner.markdown import code
from reports_2mner.tables import Table
from training_2mner.calibrate.calibration import FIGURE, Calibration
from training_2mner.calibrate.reliability import BINS

TEMPLATE = Path(__file__).resolve().parents[2] / "model_cards" / "scores.md"
# Marks that Markdown does not show: links that nothing refers to.
PART = re.compile(r"\[//\]: # \(calibration\).*?\[//\]: # \(end of calibration\)", re.DOTALL)
FORMER_LINE = "- A score is the model's own probability and has not been calibrated.\n"
NEXT_HEADING = "\n## Training\n"


def scores_part(calibration: Calibration | None = None) -> str:
    """The text between the marks, with them; without a calibration it says that there is none."""
    from jinja2 import Template

    values: dict[str, Any] = {"calibration": None}
    if calibration is not None:
        data = {name: code(value) for name, value in calibration.data.items()}
        values = {
            "calibration": {"temperature": calibration.temperature, "fitted_on": calibration.fitted_on, "data": data},
            "table": reliability_table(calibration).markdown(),
            "bins": BINS,
            "figure": FIGURE,
        }
    return Template(TEMPLATE.read_text(encoding="utf-8")).render(values)


def reliability_table(calibration: Calibration) -> Table:
    """What a calibration changes, for each measured split: one row before and one after."""
    header = ["Split", "Temperature", "Entities", "Mean score", "Right", "Calibration error", "Loss", "F1"]
    rows = [
        [
            split,
            f"{found.temperature:g}",
            found.count,
            *(_percent(value) for value in (found.score, found.right, found.error)),
            f"{found.loss:.4f}",
            _percent(found.f1),
        ]
        for split, pair in calibration.measured.items()
        for found in pair
    ]
    return Table(header, rows, align="l" + "r" * 7)


def replace_scores(path: Path, calibration: Calibration) -> None:
    """Replace the part on scores of an existing card; a card from before there was one gets it before its training."""
    text = path.read_text(encoding="utf-8")
    part = scores_part(calibration)
    if PART.search(text):
        text = PART.sub(lambda _: part, text, count=1)
    else:
        before, heading, after = text.replace(FORMER_LINE, "").partition(NEXT_HEADING)
        text = f"{before.rstrip()}\n\n## Scores\n\n{part}\n{heading}{after}"
    write_file(path, text)


def _percent(value: float) -> str:
    return "-" if value != value else f"{100 * value:.2f} %"
