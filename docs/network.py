"""Draw the network, the paper's Fig. 2 as this project builds it: `python docs/network.py` writes docs/network.png."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

OUTPUT = Path(__file__).with_name("network.png")
PICTURE = Path(__file__).resolve().parents[1] / "demo" / "examples" / "ship.jpg"
INK, LINE = "#1f2328", "#57606a"
TEXT, IMAGE, LOSS, PLAIN = "#dbeafe", "#fde7c8", "#f8d7da", "#eef1f4"
WORDS, TAGS = "Everyone talks about Santiago today", "O   O   O   B-MISC   O"


def box(axes: Axes, x: float, y: float, text: str, color: str, width: float = 2.5, height: float = 0.74) -> None:
    """Draw a component, centred at `x`, `y`."""
    corner = (x - width / 2, y - height / 2)
    style = FancyBboxPatch(corner, width, height, boxstyle="round,pad=0.02,rounding_size=0.1", fc=color, ec=LINE)
    axes.add_patch(style)
    axes.text(x, y, text, ha="center", va="center", fontsize=9, color=INK, linespacing=1.25)


def arrow(axes: Axes, *points: tuple[float, float], label: str = "") -> None:
    """Draw a line through the points that ends in an arrow, with its label below its tip."""
    xs, ys = zip(*points[:-1], strict=True)
    style = {"color": LINE, "lw": 1.1}
    axes.plot(xs, ys, **style)
    axes.annotate("", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, **style})
    if label:
        axes.text(points[-1][0] + 0.08, points[-1][1] - 0.5, label, fontsize=8, color=LINE, va="center")


def draw_network(axes: Axes) -> None:
    """Draw the network from its inputs, below, to the tags, above."""
    axes.text(0, 0.05, f'"{WORDS}"', ha="center", fontsize=10, color=INK)
    axes.imshow(pyplot.imread(PICTURE), extent=(4.3, 5.6, -0.45, 0.55), zorder=2)
    box(axes, 0, 1.3, "multilingual BERT", TEXT)
    box(axes, 3.2, 1.3, "CLIP ViT-B/32", IMAGE)
    box(axes, 6.7, 1.3, "ResNet-152", IMAGE)
    arrow(axes, (0, 0.35), (0, 0.91))
    arrow(axes, (4.95, 0.55), (4.95, 0.72), (3.2, 0.72), (3.2, 0.91))
    arrow(axes, (4.95, 0.55), (4.95, 0.72), (6.7, 0.72), (6.7, 0.91))

    box(axes, 3.2, 2.75, "contrastive loss\nEq. 7–10", LOSS)
    box(axes, 6.7, 2.75, "contrastive loss\nEq. 7–10", LOSS)
    box(axes, 3.2, 4.2, "collaboration module\nEq. 11–14", PLAIN)
    box(axes, 6.7, 4.2, "collaboration module\nEq. 11–14", PLAIN)
    for x in (3.2, 6.7):  # patches or regions go up to the attention, their pooled embedding to the loss
        arrow(axes, (x, 1.69), (x, 2.36), label="pooled")
        arrow(
            axes,
            (x + 0.9, 1.69),
            (x + 0.9, 1.95),
            (x + 1.36, 1.95),
            (x + 1.36, 3.55),
            (x + 0.6, 3.55),
            (x + 0.6, 3.81),
        )
        axes.text(x + 0.68, 3.66, "K, V", fontsize=8, color=LINE, va="center")
    arrow(axes, (0.4, 1.69), (0.4, 2.75), (1.93, 2.75))
    axes.text(0.5, 2.88, "pooled text", fontsize=8, color=LINE)
    arrow(axes, (1.7, 2.75), (1.7, 2.22), (5.1, 2.22), (5.1, 2.75), (5.43, 2.75))
    arrow(axes, (0, 1.69), (0, 3.45), (2.7, 3.45), (2.7, 3.81))
    arrow(axes, (2.7, 3.45), (6.2, 3.45), (6.2, 3.81))
    axes.text(0.1, 3.57, "words as Q", fontsize=8, color=LINE)

    box(axes, 4.95, 5.55, "concatenate  ·  linear layer", PLAIN, width=3.4)
    box(axes, 4.95, 6.75, "CRF\nEq. 15–17", PLAIN)
    box(axes, 0.9, 6.75, "objective, Eq. 18\nα·CRF + (1−α)·(both contrastive)", LOSS, width=3.7)
    arrow(axes, (3.2, 4.59), (3.2, 4.9), (4.7, 4.9), (4.7, 5.16))
    arrow(axes, (6.7, 4.59), (6.7, 4.9), (5.2, 4.9), (5.2, 5.16))
    arrow(axes, (4.95, 5.94), (4.95, 6.36))
    arrow(axes, (3.68, 6.75), (2.77, 6.75))
    arrow(axes, (4.95, 7.14), (4.95, 7.65))
    axes.text(4.95, 7.75, TAGS, ha="center", fontsize=10, color=INK)


def main() -> None:
    """Write the figure."""
    figure, axes = pyplot.subplots(figsize=(8.2, 7.4), dpi=130)
    draw_network(axes)
    axes.set(xlim=(-2.3, 8.4), ylim=(-0.6, 8.1), aspect="equal")
    axes.axis("off")
    figure.savefig(OUTPUT, bbox_inches="tight", facecolor="white", metadata={"Software": None})
    print(f"Written to {OUTPUT}.")


if __name__ == "__main__":
    main()
