"""The metric's page on the Hub: tags in, scores out."""

import json
from pathlib import Path

import evaluate
import gradio as gr

HERE = Path(__file__).resolve().parent
EXAMPLE = ['[["B-PER", "I-PER", "O"], ["O", "I-LOC"]]', '[["B-PER", "I-PER", "O"], ["O", "B-LOC"]]']
metric = evaluate.load(str(HERE))


def score(predictions: str, references: str) -> dict[str, float]:
    """Score two JSON lists of lists of tags; errors in them are shown on the page."""
    try:
        return metric.compute(predictions=json.loads(predictions), references=json.loads(references))
    except ValueError as error:
        raise gr.Error(str(error)) from error


page = gr.Interface(
    score,
    inputs=[gr.Textbox(label=name, lines=4) for name in ("predictions", "references")],
    outputs=gr.JSON(label="scores"),
    examples=[EXAMPLE],
    title="Entity scores",
    article=(HERE / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2],
    flagging_mode="never",
)

if __name__ == "__main__":
    page.launch()
