"""The containers in which users have their sentences: each is read by position, or refused with a remedy."""

from __future__ import annotations

from collections import OrderedDict, UserDict, UserList, deque, namedtuple
from types import MappingProxyType

import numpy as np
import pandas
import pyarrow
import pytest

TEXTS = ["Anna wohnt in Köln", "Hi du", "Das Louvre ist in Paris"]
WORDS = ["Das", "Louvre", "ist", "in", "Paris"]


@pytest.fixture(scope="module")
def shuffled() -> pandas.Series:
    """A column whose labels say another order than its rows, as after sorting."""
    return pandas.Series([TEXTS[2], TEXTS[0], TEXTS[1]], index=[2, 0, 1]).sort_index()[[0, 1, 2]].set_axis([2, 0, 1])


@pytest.fixture(scope="module")
def answers(pipe) -> list:
    return [pipe({"text": text}) for text in TEXTS]


@pytest.mark.parametrize("kind", [OrderedDict, UserDict, MappingProxyType])
def test_any_mapping_is_a_sentence(pipe, png, kind):
    row = {"tokens": WORDS, "image": png, "id": "1"}
    expected = pipe(row)
    assert pipe(kind(row)) == expected and pipe([kind(row)]) == [expected]
    assert [*pipe(kind(row) for _ in range(2))] == [expected] * 2
    assert pipe({"tokens": WORDS, "image": MappingProxyType({"bytes": png, "path": None})}) == expected


def test_map_of_a_data_set_gets_entities(pipe, rows):
    found = rows.map(lambda row: {"entities": [entity["word"] for entity in pipe(row)]}, load_from_cache_file=False)
    assert found["entities"][:] == [[entity["word"] for entity in pipe(dict(row))] for row in rows]


def test_a_column_is_read_by_position(pipe, answers, shuffled):
    assert pipe(shuffled) == answers
    assert pipe(shuffled[shuffled != TEXTS[1]]) == [answers[0], answers[2]]
    assert pipe(pandas.Series(WORDS, index=[4, 3, 2, 1, 0])) == pipe(WORDS)


@pytest.mark.parametrize(
    "container",
    [
        pandas.Index,
        pandas.array,
        lambda texts: np.array(texts, dtype=object),
        np.array,
        lambda texts: dict.fromkeys(texts).keys(),
        lambda texts: dict(enumerate(texts)).values(),
        pyarrow.array,
        UserList,
        deque,
    ],
)
def test_every_ordered_container_is_a_list(pipe, answers, container):
    assert [*pipe(container(TEXTS))] == answers
    assert pipe({"words": container(WORDS)}) == pipe([*WORDS]) == pipe({"tokens": container(WORDS)})


def test_several_pictures_in_an_array_or_a_column(pipe, png):
    expected = pipe({"text": TEXTS[0], "image": [png, None]})
    assert pipe({"text": TEXTS[0], "image": pandas.Series([png, None], index=[1, 0])}) == expected
    assert pipe(pandas.Series(TEXTS[:2], index=[1, 0]), np.array([png, None], dtype=object)) == pipe(
        [{"text": TEXTS[0], "image": png}, {"text": TEXTS[1]}]
    )


def test_a_data_frame_is_its_rows(pipe, png, answers):
    frame = pandas.DataFrame({"text": TEXTS, "image": [png, float("nan"), None]}, index=[5, 3, 4])
    expected = [pipe({"text": TEXTS[0], "image": png}), *answers[1:]]
    assert pipe(frame) == expected
    assert [pipe(row) for _, row in frame.iterrows()] == expected
    assert pipe([*frame.itertuples()]) == expected
    assert pipe(pyarrow.table({"text": TEXTS})) == answers


def test_pairs_of_a_sentence_and_its_picture(pipe, png, path, make_picture):
    expected = pipe({"text": TEXTS[0], "image": png})
    for picture in (png, make_picture(0), path, {"bytes": png}, [png], str(path)):
        assert pipe((TEXTS[0], picture)) == pipe([(TEXTS[0], picture)])[0] == expected
    assert pipe([(WORDS, str(path)), (WORDS, None)]) == [pipe({"words": WORDS, "image": png}), pipe(WORDS)]
    assert next(iter(pipe(zip(TEXTS, [png, None, None], strict=True)))) == expected
    assert pipe({TEXTS[0]: png, TEXTS[1]: None}.items()) == [expected, pipe(TEXTS[1])]
    assert pipe((TEXTS[0], None)) == pipe(TEXTS[0])


def test_tuples_of_words_and_of_sentences_stay_what_they_were(pipe, answers):
    assert pipe(tuple(TEXTS[:2])) == answers[:2]
    assert pipe(("São", "Paulo")) == pipe(["São", "Paulo"])
    assert pipe([("São", "Paulo"), ("Hi",)]) == [pipe(["São", "Paulo"]), pipe(["Hi"])]
    assert pipe((WORDS, ["Hi"])) == [pipe(WORDS), pipe(["Hi"])]
    assert pipe([("Paris", "a.jpg")], is_split_into_words=True) == [pipe(["Paris", "a.jpg"])]


def test_named_tuples_are_rows(pipe):
    Row = namedtuple("Row", ["text", "image"])
    assert pipe([Row(TEXTS[0], None)]) == [pipe(TEXTS[0])]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([("Paris", "a.jpg")], '"image"'),
        (("Paris", "a.jpg"), '"image"'),
        ({"São Paulo", "Köln ist"}, "no order; pass a list"),
        ({"words": {"São", "Paulo"}}, "no order; pass a list"),
        ({"São", "Paulo"}, "no order; pass a list"),
    ],
)
def test_what_has_two_meanings_or_no_order_is_refused(pipe, given, message):
    with pytest.raises(ValueError, match=message):
        pipe(given)


@pytest.mark.parametrize("absent", [None, float("nan"), np.nan, np.float32("nan"), pandas.NA, pandas.NaT])
def test_an_empty_cell_is_no_picture(pipe, processor, absent):
    found = pipe({"text": TEXTS[0], "image": absent}, on_bad_image="raise")
    assert found == pipe(TEXTS[0]) and found.image_status == "missing"
    assert processor([WORDS], [absent]).image_status == ["missing"]
