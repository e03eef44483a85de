from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from experiments.bootstrap import interval
from experiments.counts import scores
from experiments.plan import Run
from experiments.records import read_records
from experiments.tables.figures import draw_figures, gains, heats, scores_panel
from experiments.tables.layout import lay_out


@pytest.fixture(scope="module")
def layout(paper_folder):
    return {table.name: table for table in lay_out(read_records(paper_folder))}


def f1(folder, name: str, tested: str = "") -> float:
    """Mean of two seeds."""
    found = [record for record in read_records(folder) if record.run.name.startswith(f"{name}.seed")]
    masks = [record.group("lang") == tested if tested else slice(None) for record in found]
    assert len(found) == 2
    return 100 * np.mean([scores(r.counts("lenient").select(m))["f1"] for r, m in zip(found, masks, strict=True)])


def test_each_table_has_its_figure(layout, tmp_path):
    names = draw_figures(list(layout.values()), tmp_path)
    assert names == [f"table{number}.png" for number in range(5, 10)]
    for name in names:
        with Image.open(tmp_path / name) as image:
            colours = len(image.convert("RGB").getcolors(10**7))
            assert image.width == 1400 and colours > 10
        assert (tmp_path / name).stat().st_size < 150_000


def test_dots_are_the_records(layout, paper_folder):
    panel = scores_panel(layout["table5"].groups[1])
    assert panel.title == "English" and [dot.label for dot in panel.dots][-1] == "2M-NER"
    dot, system = panel.dots[-1], layout["table5"].groups[1].systems[-1]
    assert dot.value == pytest.approx(f1(paper_folder, "2m-ner.en")) == np.mean(dot.runs)
    assert dot.paper == 70.77 and dot.released is not None
    low, high = interval(system.pool("lenient"), system.pictures)
    assert (dot.low, dot.high) == pytest.approx((100 * low, 100 * high)) and low < high


def test_gains_are_differences(layout, paper_folder):
    panels = gains(layout["table5"], layout["table7"])
    assert [panel.title for panel in panels] == ["All", "English", "French", "Spanish", "German"]
    dot = panels[0].dots[-1]
    expected = f1(paper_folder, "2m-ner.all") - f1(paper_folder, "2m-ner-text.all")
    assert dot.label == "2M-NER" and dot.value == pytest.approx(expected)
    assert dot.low < dot.value < dot.high and dot.paper == pytest.approx(70.49 - 69.75)


def test_heat_maps_hold_differences_to_the_single_language(layout, paper_folder):
    paper, ours = heats(layout["table6"])
    assert (paper.title, ours.title) == ("paper", "ours")
    english, french, spanish, german = range(4)
    assert paper.values[french, spanish] == pytest.approx(73.84 - 72.22) and paper.values[german, german] == 63.8
    assert paper.values[english, german] == pytest.approx(65.14 - 63.8) and not paper.is_certain.any()
    alone = f1(paper_folder, "2m-ner.de")
    assert ours.values[german, german] == pytest.approx(alone)
    assert ours.values[english, german] == pytest.approx(f1(paper_folder, "2m-ner.en_de", "de") - alone)
    assert np.isfinite(ours.values).all()


def test_figures_of_few_runs(make_records, tmp_path):
    runs = [Run("2m-ner", languages="en"), Run("2m-ner", languages="en_de"), Run("umt", "text")]
    records = read_records(make_records(tmp_path, runs, name="mmnerd-mini", released=False))
    assert draw_figures(lay_out(records), tmp_path) == ["table5.png", "table6.png", "table7.png"]
    (ours,) = heats(lay_out(records)[1])
    assert np.isfinite(ours.values).sum() == 2  # English alone, and what German adds to it


def test_equal_records_give_equal_bytes(make_records, tmp_path):
    records = read_records(make_records(tmp_path, [Run("umt"), Run("bert")]))
    for name in ("a", "b"):
        draw_figures(lay_out(records), tmp_path / name)
    assert (tmp_path / "a" / "table5.png").read_bytes() == (tmp_path / "b" / "table5.png").read_bytes()
