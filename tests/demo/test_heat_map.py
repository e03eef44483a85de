from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from demo.heat_map import SCALE_COLOURS, Look, colour, draw_heat_map, grid_shape, legend, spread_attention


def relative_luminance(colours: np.ndarray) -> np.ndarray:
    """Of sRGB colours `(..., 3)`, as WCAG defines it."""
    parts = np.asarray(colours) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize(("regions", "shapes"), [(49, {(7, 7)}), (1, {(1, 1)}), (12, {(3, 4), (4, 3)})])
def test_grid_is_as_square_as_it_can_be(regions, shapes):
    assert grid_shape(regions) in shapes


def test_words_are_averaged_and_laid_out_in_rows():
    attention = np.array([[0.1, 0.2, 0.3, 0.4], [0.9, 0.1, 0.0, 0.0], [0.3, 0.2, 0.1, 0.4]], np.float32)
    look = spread_attention(attention, [0, 2], class_token=False)
    np.testing.assert_allclose(look.regions, [[0.2, 0.2], [0.2, 0.4]], rtol=1e-6)
    assert look.whole == 0.0


def test_class_token_is_no_region():
    attention = np.array([[0.6, 0.1, 0.2, 0.05, 0.05]], np.float32)
    look = spread_attention(attention, [0], class_token=True)
    np.testing.assert_allclose(look.regions, [[0.1, 0.2], [0.05, 0.05]], rtol=1e-6)
    assert look.whole == pytest.approx(0.6)


def test_colours_darken_evenly_enough_to_be_read_without_hue():
    lightness = relative_luminance(colour(np.linspace(0, 1, 65)))
    assert (np.diff(lightness) < 0).all()
    assert lightness[0] > 3 * lightness[-1]
    np.testing.assert_allclose(colour(np.array([0.0, 1.0])), SCALE_COLOURS[[0, -1]])


def test_the_greatest_region_is_red_and_the_least_stays_grey():
    picture = Image.new("RGB", (40, 20), "white")
    shown = draw_heat_map(picture, np.array([[0.1, 0.2], [0.3, 0.4]]))
    assert shown.size == picture.size
    assert shown.getpixel((0, 0)) == shown.getpixel((19, 9)) == (255, 255, 255)
    assert shown.getpixel((20, 10)) == shown.getpixel((39, 19)) == tuple(SCALE_COLOURS[-1].astype(int))
    right, below = relative_luminance(shown.getpixel((39, 0))), relative_luminance(shown.getpixel((0, 19)))
    assert relative_luminance(shown.getpixel((39, 19))) < below < right < 1


def test_lines_of_the_picture_show_through_every_colour():
    picture = Image.new("RGB", (4, 2), "white")
    picture.paste("black", (0, 0, 4, 1))
    shown = np.asarray(draw_heat_map(picture, np.array([[0.0, 0.3, 0.6, 1.0]])))
    assert (relative_luminance(shown[0]) < 0.6 * relative_luminance(shown[1])).all()
    assert (shown[0] == shown[0][:, :1]).all(axis=1).tolist() == [True, False, False, False]  # only the least is grey


def test_an_even_look_has_one_colour():
    shown = draw_heat_map(Image.new("RGB", (8, 8), "white"), np.full((2, 2), 0.25))
    assert shown.getcolors() == [(64, (255, 255, 255))]


def test_legend_gives_the_figures():
    text = legend("ViT", Look(np.array([[0.05, 0.1], [0.15, 0.2]]), whole=0.5))
    assert "<b>ViT</b>" in text and "<span>5.0%</span><span>20.0%</span>" in text
    assert "evenly, each would get 12.5%" in text and "50.0% went to the class token" in text
    assert "class token" not in legend("ResNet", Look(np.array([[0.5, 0.5]])))


def test_a_branch_without_regions_says_so():
    assert "as a whole" in legend("ResNet", Look(np.ones((1, 1))))
