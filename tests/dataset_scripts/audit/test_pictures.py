import hashlib
from dataclasses import replace
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_scripts.audit import pictures as audit_pictures
from dataset_scripts.audit.findings import FindingExample
from dataset_scripts.audit.pictures import (
    PictureFacts,
    check_facts,
    examine_picture,
    examine_pictures,
    find_picture_status,
    find_same_bytes,
    find_same_ids,
    find_similar_pictures,
    with_facts,
)
from dataset_scripts.audit.rows import AuditRow
from dataset_scripts.schema import features

FACTS = {
    "good": PictureFacts("aa", "", 5),
    "broken": PictureFacts("bb", "unreadable, no picture"),
    "none": PictureFacts(),
}


def row(name, status="ok", sha256=None, **changes):
    place = {"image_id": name, "lang": "en", "split": "train", "tokens": ("a",), "tags": ("O",)}
    return AuditRow(**{"id": name, **place, **changes}, status=status, sha256=sha256)


def find(name, *pairs):
    (finding,) = [finding for finding in check_facts(*zip(*pairs, strict=True)) if finding.name == name]
    return finding


def encode(picture, kind="PNG"):
    out = BytesIO()
    picture.save(out, kind)
    return out.getvalue()


def write(folder, lang, split, pictures):
    """Write rows whose `image` is the bytes given or null, in row groups of two."""
    cells = [{"bytes": data, "path": None} if data is not None else None for data in pictures]
    table = pa.Table.from_pylist(
        [{"image": cell} for cell in cells], pa.schema([features().arrow_schema.field("image")])
    )
    (folder / "data" / lang).mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "data" / lang / f"{split}-00000-of-00001.parquet", row_group_size=2)


def test_bytes_tell_hash_look_and_what_is_wrong(make_picture):
    good, broken = encode(make_picture(1)), b"<html>404</html>"
    fact = examine_picture(good)
    assert fact.sha256 == hashlib.sha256(good).hexdigest()
    assert (fact.problem, fact.flat) == ("", False) and fact.look > 0
    fact = examine_picture(broken)
    assert fact.sha256 == hashlib.sha256(broken).hexdigest()
    assert fact.problem.startswith("unreadable, ") and (fact.look, fact.flat) == (None, False)
    assert examine_picture(encode(make_picture(1, 4, 4))).problem == "degenerate, 4 x 4 pixels"
    fact = examine_picture(encode(make_picture(1).resize((1, 1)).resize((40, 40))))
    assert (fact.problem, fact.look, fact.flat) == ("", None, True)


@pytest.mark.parametrize("processes", [1, 2])
def test_pictures_are_examined_in_the_order_of_the_rows(tmp_path, make_picture, monkeypatch, processes):
    asked = []
    engine = audit_pictures.process_engine
    monkeypatch.setattr(audit_pictures, "process_engine", lambda number, name: asked.append(number) or engine(1, name))
    data = [encode(make_picture(number)) for number in range(6)]
    write(tmp_path, "de", "train", [data[5]])
    write(tmp_path, "en", "test", [data[3], b"broken", data[4]])
    write(tmp_path, "en", "train", [data[0], None, data[1], b"", data[2]])
    facts = examine_pictures(tmp_path, processes)
    hashes = [hashlib.sha256(picture).hexdigest() for picture in data]
    wrong = hashlib.sha256(b"broken").hexdigest()
    assert [fact.sha256 for fact in facts] == [
        hashes[0],
        None,
        hashes[1],
        None,
        hashes[2],
        hashes[3],
        wrong,
        *hashes[4:],
    ]
    assert asked == [processes]


def test_folders_without_pictures_have_no_facts(tmp_path):
    (tmp_path / "data" / "en").mkdir(parents=True)
    pq.write_table(pa.table({"id": ["1", "2"]}), tmp_path / "data" / "en" / "train-00000-of-00001.parquet")
    assert examine_pictures(tmp_path) == [PictureFacts(), PictureFacts()]


@pytest.mark.parametrize("cell", ["a.jpg", {"path": "a.jpg"}])
def test_a_column_of_something_else_is_refused(tmp_path, cell):
    (tmp_path / "data" / "en").mkdir(parents=True)
    pq.write_table(pa.table({"image": [cell]}), tmp_path / "data" / "en" / "train-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="holds no embedded pictures"):
        examine_pictures(tmp_path)


def test_rows_take_over_what_the_bytes_tell():
    rows = with_facts(
        [row("1", sha256="old"), row("2", sha256="kept")], [PictureFacts("new", "", 7), PictureFacts("", "", None)]
    )
    assert [(found.sha256, found.look) for found in rows] == [("new", 7), ("kept", None)]
    assert with_facts([row("1")], [PictureFacts("x", flat=True)])[0].flat


def test_rows_without_a_picture_of_their_own_are_counted_by_status():
    rows = [row("1"), row("2", "missing"), row("3", "default", split="test"), row("4", "odd", split="test")]
    finding = find_picture_status(rows)
    assert (finding.count, finding.total) == (3, 4)
    table = finding.details["splits"]
    assert table["en train"] == {"ok": 1, "missing": 1, "unreadable": 0, "degenerate": 0, "default": 0, "odd": 0}
    assert (table["en test"]["default"], table["en test"]["odd"], table["en test"]["ok"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("status", "sha256", "fact", "reason"),
    [
        ("ok", None, "good", ""),
        ("ok", "aa", "none", ""),
        ("default", None, "good", ""),
        ("missing", None, "none", ""),
        ("ok", None, "none", "no picture"),
        ("default", None, "none", "no picture"),
        ("missing", None, "good", "a picture"),
        ("degenerate", None, "good", "a picture"),
        ("fine", None, "good", "unknown"),
        ("", None, "none", "unknown"),
    ],
)
def test_statuses_must_fit_the_pictures(status, sha256, fact, reason):
    finding = find("status_contradictions", (row("1", status, sha256), FACTS[fact]), (row("2"), FACTS["good"]))
    assert (finding.count, finding.total) == (bool(reason), 2)
    assert finding.details == {"kinds": {f"{status}, {reason}": 1} if reason else {}}


def test_pictures_that_do_not_decode_are_found():
    pairs = [(row("1"), FACTS["good"]), (row("2"), FACTS["broken"]), (row("3", "missing"), FACTS["none"])]
    finding = find("undecodable_pictures", *pairs)
    assert (finding.count, finding.total) == (1, 2)
    assert finding.examples == (FindingExample(("2",), "unreadable, no picture"),)


def test_hashes_that_are_not_those_of_the_bytes_are_found():
    pairs = [(row("1", sha256="aa"), FACTS["good"]), (row("2", sha256="other"), FACTS["good"])]
    pairs += [(row("3"), FACTS["good"]), (row("4", sha256="aa"), FACTS["none"])]
    finding = find("sha256_mismatches", *pairs)
    assert (finding.count, finding.total) == (1, 2)
    assert finding.examples == (FindingExample(("2",), "column other, bytes aa"),)


def test_one_content_under_several_ids_is_found():
    rows = [row("1", sha256="a"), row("2", sha256="a"), row("3", sha256="a", image_id="1"), row("4", sha256="b")]
    rows += [row("5", "default", "c"), row("6", "default", "c"), row("7", "missing"), row("8", "missing")]
    finding = find_same_bytes(rows)
    assert (finding.count, finding.total) == (1, 2)
    assert finding.details == {"ids": 2, "most_ids_of_one": 2}
    assert finding.examples == (FindingExample(("1", "2"), "1, 2"),)


def test_one_id_with_several_contents_is_found():
    rows = [row("1", sha256="a", image_id="p"), row("2", sha256="b", image_id="p"), row("3", sha256="a", image_id="q")]
    rows += [row("4", "default", "c", image_id="q"), row("5", "missing", image_id="q")]
    finding = find_same_ids(rows)
    assert (finding.count, finding.total) == (1, 2)
    assert finding.examples == (FindingExample(("1", "2"), "a, b"),)


def test_pictures_that_look_alike_are_counted_by_picture_and_by_pair():
    looks = {"a": 0, "b": 0, "c": 0b111, "d": 0b1111, "e": 2**60 - 1}
    rows = [replace(row(name, sha256=name), look=look) for name, look in looks.items()]
    rows += [replace(rows[0], id="again"), replace(rows[0], id="s", status="default", sha256="s"), row("x")]
    rows += [row("f", sha256="f", flat=True), row("g", sha256="f", flat=True)]
    finding = find_similar_pictures(rows)
    assert (finding.count, finding.total) == (4, 5)
    # a and b are equal; each of them is 3 bits from c; c is 1 bit from d; a and d differ in 4 bits.
    assert finding.details == {"different_bits": 3, "pairs": 4, "flat_left_out": 1}
    assert finding.examples[0] == FindingExample(("a", "b"), "0 bits differ")
    assert finding.examples[2] == FindingExample(("d", "c"), "1 bits differ")
