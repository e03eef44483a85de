from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from experiments.grid import FOLDER, GridPoint, read_points
from experiments.plan import Run
from experiments.records import write_line
from experiments.tables import __main__ as tables
from experiments.tables.grid import read_grids
from experiments.tables.shapes import PAPERS_CHOICE


def f1_of(point: GridPoint) -> float:
    """Best at alpha 0.5 and 1e-4, by half a point a seed."""
    return 0.6 - 0.1 * abs(point.alpha - 0.5) - 100 * abs(point.learning_rate - 1e-4) + 0.005 * (point.seed - 19)


@pytest.fixture
def folder(tmp_path):
    """A search of two seeds, with one point that is not finished."""
    points = [GridPoint(a, r, "all", seed) for a in (0.2, 0.5, 0.8) for r in (5e-5, 1e-4) for seed in (19, 20)]
    for point in points:
        if (point.alpha, point.learning_rate) != (0.2, 1e-4):
            write_line(tmp_path / FOLDER / f"{point.name}.json", point=asdict(point), dev={"f1": f1_of(point)})
    return tmp_path


def test_the_means_are_those_of_the_files(folder):
    (grid,) = read_grids(read_points(folder))
    assert (grid.alphas, grid.rates, grid.best) == ((0.2, 0.5, 0.8), (5e-5, 1e-4), (1e-4, 0.5))
    for row, rate in enumerate(grid.rates):
        for column, alpha in enumerate(grid.alphas):
            expected = 100 * np.mean([f1_of(GridPoint(alpha, rate, seed=seed)) for seed in (19, 20)])
            missing = (alpha, rate) == (0.2, 1e-4)
            assert np.isnan(grid.means[row, column]) if missing else grid.means[row, column] == pytest.approx(expected)


def test_a_folder_with_a_search_alone_has_tables(folder, capsys):
    tables.main([str(folder)])
    text = (folder / "tables.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() == text.strip()
    assert "| 0.0001 |  | 60.25 ± 0.35 | 57.25 ± 0.35 |" in text.replace("  ", " ").replace("| |", "|  |")
    assert "Best: alpha 0.5 and learning rate 0.0001 (60.25); the lowest of all is 56.75." in text
    assert f"The paper's choice has {100 * f1_of(GridPoint(*PAPERS_CHOICE)) + 0.25:.2f}." in text
    assert "![Grid search, all](grid.png)" in text
    assert "60.25" in (folder / "tables.tex").read_text(encoding="utf-8")
    with Image.open(folder / "grid.png") as picture:
        assert picture.width == 1400 and len(picture.convert("RGB").getcolors(10**6)) > 50


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match="no finished runs"):
        tables.main([str(tmp_path)])


def test_the_search_stands_beside_the_runs(folder, make_records, capsys):

    make_records(folder, runs=[Run("2m-ner"), Run("umt")])
    tables.main([str(folder)])
    text = capsys.readouterr().out
    assert text.index("## Table 5") < text.index("## Grid search") < text.index("## All runs by language")


def test_a_search_over_two_rates_has_a_table_of_its_own(folder, capsys):
    for encoder in (5e-5, 1e-4):
        for rate in (5e-5, 1e-3):
            point = GridPoint(None, rate, "en", 19, "bert-crf", encoder)
            f1 = 0.5 + 100 * rate + 1000 * encoder
            write_line(folder / FOLDER / f"{point.name}.json", point=asdict(point), dev={"f1": f1})
    tables.main([str(folder)])
    text = capsys.readouterr().out
    part = text[text.index("### BERT-CRF, trained on `en`") :]
    assert "| learning rate | encoder 5e-05 | encoder 0.0001 |" in part
    assert "| 0.001 | 65.00 | 70.00 |" in part
    assert "Best: encoder 0.0001 and learning rate 0.001 (70.00)" in part and "The paper's choice has 55.50." in part
    assert "grid-bert-crf-en.png" in text and (folder / "grid-bert-crf-en.png").is_file()
    assert "grid-bert-crf-en" in (folder / "tables.tex").read_text(encoding="utf-8")
