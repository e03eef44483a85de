"""The schemes of tags: recognised, and converted without losing an entity."""

import pytest

from dataset_scripts.annotations.schemes import SCHEMES, Evidence, part_and_type, to_iob2

IOB2 = [["B-PER", "I-PER", "I-PER", "O", "B-LOC"], ["O", "O"], ["B-PER", "B-LOC", "I-LOC"]]
NEIGHBOURS = [["B-PER", "B-PER", "I-PER"]]  # of one type, which IO cannot tell apart


def written_in(scheme, tags):
    """Write IOB2 tags in another scheme, from its definition."""
    spans, result = [], ["O"] * len(tags)
    for place, tag in enumerate(tags):
        if tag[0] == "B":
            spans.append([place, place, tag[2:]])
        elif tag[0] == "I":
            spans[-1][1] = place
    ends = {"bioes": "BIES", "bilou": "BILU", "bmes": "BMES"}
    for number, (first, last, kind) in enumerate(spans):
        follows = number and spans[number - 1][1] == first - 1
        for place in range(first, last + 1):
            if scheme in ends:
                begin, inside, end, single = ends[scheme]
                part = single if first == last else begin if place == first else end if place == last else inside
            elif scheme == "iob1":
                part = "B" if place == first and follows and spans[number - 1][2] == kind else "I"
            else:
                part = "I" if scheme == "io" or place > first else "B"
            result[place] = f"{part}-{kind}"
    return result


def scheme_of(sentences):
    evidence = Evidence()
    for tags in sentences:
        evidence.add(tags)
    return evidence.scheme


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_is_recognised_and_becomes_the_same_iob2(scheme):
    sentences = IOB2 + (NEIGHBOURS if scheme != "io" else [])
    written = [written_in(scheme, tags) for tags in sentences]
    assert scheme_of(written) == scheme
    converted = [to_iob2(tags, scheme) for tags in written]
    assert [list(found.tags) for found in converted] == sentences
    assert not any(found.stray or found.open for found in converted)
    changed = [sum(a != b for a, b in zip(*pair, strict=True)) for pair in zip(written, sentences, strict=True)]
    assert [found.changed for found in converted] == changed


def test_neighbours_of_one_type_are_one_entity_in_io():
    assert to_iob2(["I-PER", "I-PER", "I-LOC"], "io").tags == ("B-PER", "I-PER", "B-LOC")


def test_types_alone_are_a_scheme():
    tags = ["Drug", "Drug", "O", "geo-loc", "S_Bahn"]
    assert scheme_of([tags[:4]]) == "io"
    assert to_iob2(tags[:4], "io").tags == ("B-Drug", "I-Drug", "O", "B-geo-loc")


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("O", ("O", "")),
        ("B-PER", ("B", "PER")),
        ("B_PER", ("B", "PER")),
        ("I-geo-loc", ("I", "geo-loc")),
        ("Drug", ("", "Drug")),
        ("O-PER", ("", "O-PER")),
        ("X-PER", ("", "X-PER")),
    ],
)
def test_parts_of_tags(tag, expected):
    assert part_and_type(tag) == expected


def test_tags_that_continue_nothing_are_stray_and_keep_their_entity():
    mixed = [["B-PER", "O", "I-LOC"], ["O", "I-PER", "I-LOC"]]
    assert scheme_of(mixed) == "iob2"
    assert to_iob2(mixed[0], "iob2") == to_iob2(mixed[0], "iob2").__class__(("B-PER", "O", "B-LOC"), 1, (2,))
    assert to_iob2(mixed[1], "iob2").stray == (1, 2)


@pytest.mark.parametrize(
    ("tags", "expected", "stray", "unclosed"),
    [
        (["S-PER", "I-PER"], ("B-PER", "B-PER"), (1,), 1),  # the second continues no entity: the first is complete
        (["B-PER", "E-PER", "E-PER"], ("B-PER", "I-PER", "B-PER"), (2,), 0),
        (["B-PER", "O"], ("B-PER", "O"), (), 1),
        (["B-PER", "I-PER"], ("B-PER", "I-PER"), (), 1),
        (["B-PER", "S-PER"], ("B-PER", "B-PER"), (), 1),
        (["B-PER", "E-LOC"], ("B-PER", "B-LOC"), (1,), 1),
    ],
)
def test_entities_of_closed_schemes_are_never_joined(tags, expected, stray, unclosed):
    found = to_iob2(tags, "bioes")
    assert (found.tags, found.stray, found.open) == (expected, stray, unclosed)
