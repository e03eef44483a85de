from __future__ import annotations

import pytest

from reports_2mner.label_studio_format import code_points, prediction

TEXT = "👨‍👩‍👧 Ana 🇪🇸 Bruma"  # a family of five code points and eight UTF-16 units, a flag of two and four


def test_a_prediction_counts_code_points_and_has_the_lowest_score():
    found = prediction(TEXT, [(6, 9, "PER", 0.9), (13, 18, "LOC", None)], "2m-ner", ("tags", "words"))
    assert [result["value"] for result in found["result"]] == [
        {"start": 6, "end": 9, "text": "Ana", "labels": ["PER"]},
        {"start": 13, "end": 18, "text": "Bruma", "labels": ["LOC"]},
    ]
    assert found["score"] == 0.9 and found["result"][0]["score"] == 0.9 and "score" not in found["result"][1]
    assert {(result["from_name"], result["to_name"]) for result in found["result"]} == {("tags", "words")}
    assert prediction(TEXT, [], "2m-ner")["score"] == 1.0


@pytest.mark.parametrize(
    ("start", "end", "text", "expected"),
    [
        (13, 18, "Bruma", (13, 18)),
        (18, 23, "Bruma", (13, 18)),  # UTF-16
        (13, 18, None, (13, 18)),
        (13, 18, "Berlin", None),
        (13, 99, None, None),
        (9, 6, None, None),
    ],
)
def test_a_place_is_found_by_its_text(start, end, text, expected):
    assert code_points(TEXT, {"start": start, "end": end, **({"text": text} if text else {})}) == expected
