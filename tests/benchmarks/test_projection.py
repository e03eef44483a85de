"""Two voices that agree are right, and the check of the marks sees the wrong ones: on all tweets, into Spanish."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.projection import check_of_marks, make_cases, voices

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "mmnerd"


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the authors' English files are not at ../shared/data")
@pytest.mark.skipif(shutil.which("apertium") is None, reason="apertium is not installed")
def test_wrong_marks_are_refused_and_two_voices_are_right():
    pytest.importorskip("thot", reason="sil-thot is not installed: pip install '2m-ner[construct]'")
    pytest.importorskip("rapidfuzz", reason="rapidfuzz is not installed: pip install '2m-ner[construct]'")
    cases, extra = make_cases(REAL, "es", 0)
    assert sum(len(truth) for _, _, truth in cases) == 6_595
    wrong, right, refused_wrong, refused_right = check_of_marks(cases)
    assert wrong > 500 and refused_wrong >= 0.95 * wrong and refused_right <= 0.05 * right
    rows = {str(row[0]): float(str(row[1])) for row in voices(cases, extra, ["fast_align"])}
    assert rows["fast_align"] == pytest.approx(0.959, abs=0.005)
    assert rows["any two of marks, fuzzy, fast_align"] >= 0.99
