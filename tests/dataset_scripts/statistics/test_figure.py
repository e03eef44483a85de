import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from dataset_scripts.rows import SplitCounts
from dataset_scripts.statistics.figure import TYPE_COLOURS, draw_entity_shares
from dataset_scripts.statistics.paper import paper_counts

matplotlib = pytest.importorskip("matplotlib")

ROOT = Path(__file__).resolve().parents[3]
LINE_IN_FIRST_BAR = 102  # above its numbers


@pytest.fixture
def draw(tmp_path):
    def draw_file(counts, name="figures/shares.png"):
        draw_entity_shares(counts, tmp_path / name)
        return tmp_path / name

    return draw_file


def make_counts(lang="en", **mentions):
    return {(lang, "train"): SplitCounts(mentions=Counter(mentions)), (lang, "test"): SplitCounts()}


def share_of_colours(path):
    """Which part of the first bar has the colour of each type."""
    line = np.asarray(Image.open(path).convert("RGB"))[LINE_IN_FIRST_BAR].astype(int)
    pixels = {
        kind: int((abs(line - ImageColor.getrgb(colour)).max(axis=1) < 12).sum())
        for kind, colour in TYPE_COLOURS.items()
    }
    return {kind: number / sum(pixels.values()) for kind, number in pixels.items()}


@pytest.mark.parametrize(("languages", "size"), [(("en",), (1400, 212)), (("en", "fr", "es", "de"), (1400, 584))])
def test_picture_is_as_wide_as_a_card_and_as_high_as_its_bars(draw, languages, size):
    path = draw({key: count for key, count in paper_counts().items() if key[0] in languages})
    with Image.open(path) as image:
        assert (image.format, image.size, image.info) == ("PNG", size, {})
        assert all(
            image.convert("RGB").getpixel(corner) == (255, 255, 255) for corner in ((0, 0), (1399, size[1] - 1))
        )
    assert path.stat().st_size < 80_000


def test_parts_of_the_bar_are_the_shares(draw):
    assert share_of_colours(draw(paper_counts())) == pytest.approx(
        {"PER": 4190 / 48631, "LOC": 5650 / 48631, "ORG": 9237 / 48631, "MISC": 29554 / 48631}, abs=0.01
    )


def test_splits_are_added_and_languages_kept_apart(draw):
    german = {("de", "train"): SplitCounts(mentions=Counter(MISC=90))}
    english = {
        (("en", split)): SplitCounts(mentions=Counter({kind: 5}))
        for split, kind in (("train", "PER"), ("test", "LOC"))
    }
    shares = share_of_colours(draw({**german, **english}))
    assert shares == pytest.approx({"PER": 0.5, "LOC": 0.5, "ORG": 0, "MISC": 0}, abs=0.01)


def test_equal_counts_give_equal_files_whatever_the_users_settings(draw):
    first = draw(make_counts(PER=30, LOC=70), "1.png").read_bytes()
    with matplotlib.rc_context({"text.color": "red", "font.size": 30, "axes.facecolor": "black", "savefig.dpi": 30}):
        assert draw(make_counts(PER=30, LOC=70), "2.png").read_bytes() == first
    assert draw(make_counts(PER=30, LOC=71), "3.png").read_bytes() != first
    assert draw(make_counts("de", PER=30, LOC=70), "4.png").read_bytes() != first


def test_a_part_too_narrow_for_its_number_has_it_below_the_bar(draw):
    def ink_below_the_bar(counts):
        return (np.asarray(Image.open(draw(counts)).convert("L"))[185:200, 150:700] < 128).sum()

    assert ink_below_the_bar(make_counts(PER=20, MISC=980)) > 100
    assert ink_below_the_bar(make_counts(PER=400, MISC=600)) == 0


def test_a_language_without_entities_has_no_bar(draw):
    pixels = np.asarray(Image.open(draw(make_counts())).convert("RGB")).astype(int)
    assert (pixels[LINE_IN_FIRST_BAR, 150:] == 255).all()


def test_no_counts_are_refused_and_nothing_is_left(draw, tmp_path):
    with pytest.raises(ValueError, match="`counts` has no language"):
        draw({})
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, dataset_scripts.statistics; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
