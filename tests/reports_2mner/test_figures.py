import pytest
from PIL import Image

from reports_2mner.figures import PALETTE_SIZE, new_figure, save_png

matplotlib = pytest.importorskip("matplotlib")


def draw(path):
    with new_figure(1.0) as figure:
        figure.subplots().plot([0, 1], label="a")
        save_png(figure, path)


def test_a_figure_is_the_same_whatever_the_users_settings_are(tmp_path):
    draw(tmp_path / "one.png")
    with matplotlib.rc_context({"axes.facecolor": "black", "savefig.dpi": 30, "font.size": 30}):
        draw(tmp_path / "new" / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "new" / "two.png").read_bytes()


def test_a_png_has_few_colours_and_no_names(tmp_path):
    draw(tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.size == (1400, 200) and image.mode == "P" and not image.info.keys() & {"Software", "date"}
        assert len(image.getcolors()) <= PALETTE_SIZE
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
