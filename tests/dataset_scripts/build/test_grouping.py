import logging
from io import BytesIO

import PIL.Image
import pytest
from PIL import ImageDraw

from dataset_scripts.audit.auditing import audit_dataset
from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.grouping import GroupRow, group_names, resolve_keys
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.splits import DEFAULT_GROUP_KEYS, GROUP_KEYS, stable_hash

# What an audit calls the leak that a key closes.
FINDINGS = {
    "picture_id": ("leaked_picture_ids", "ids_in_several_splits"),
    "translation": ("translation_twins",),
    "picture_bytes": ("leaked_picture_bytes",),
    "similar_picture": ("leaked_similar_pictures",),
    "text": ("leaked_texts",),
    "similar_text": ("leaked_similar_texts",),
}
PAIRS = 30  # with 30 pairs of each kind, a split by anything else parts some


def draw(seed, quality=95):
    picture = PIL.Image.new("RGB", (72, 64))
    pen = ImageDraw.Draw(picture)
    for column in range(9):
        for row in range(8):
            grey = stable_hash(repr((seed, column, row))) % 256
            pen.rectangle((column * 8, row * 8, column * 8 + 7, row * 8 + 7), fill=(grey, grey, grey))
    out = BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Text in two languages and pictures in which each kind of sharing occurs `PAIRS` times, and nothing else is shared."""
    root = tmp_path_factory.mktemp("shared")
    images = root / "images"
    images.mkdir()
    rows = {"en": [], "de": []}

    def add(lang, image_id, words, picture):
        rows[lang].append((image_id, words.split()))
        (images / f"{image_id}.jpg").write_bytes(picture)

    def text(*number):
        return " ".join(
            f"w{'x'.join('abcdefghij'[int(d)] for d in str(stable_hash(repr((number, k))) % 10**9))}"
            for k in range(12)
        )

    for n in range(PAIRS):
        for side in "ab":
            add("en", f"id{n}", text("id", n, side), draw(("id", n)))
            add("en", f"bytes{n}{side}", text("bytes", n, side), draw(("bytes", n)))
            add("en", f"look{n}{side}", text("look", n, side), draw(("look", n), 95 if side == "a" else 80))
            add("en", f"text{n}{side}", text("text", n), draw(("text", n, side)))
            add("en", f"similar{n}{side}", f"{text('similar', n)} {text(n)} !{side}", draw(("similar", n, side)))
        add("en", f"twin{n}", text("twin", n, "en"), draw(("twin", n)))
        add("de", f"twin{n}", text("twin", n, "de"), draw(("twin", n)))
    add("de", "t1", text("t1"), draw("t1"))
    add("de", "t2", text("t2"), draw("t2"))
    for lang, sentences in rows.items():
        folder = root / "text" / f"train_valid_test_{lang}"
        folder.mkdir(parents=True)
        parts = (sentences[:-2], sentences[-2:-1], sentences[-1:])
        for name, part in zip(("train.txt", "valid.txt", "test.txt"), parts, strict=True):
            lines = (f"IMGID:{i}\n" + "".join(f"{word}\tO\n" for word in words) + "\n" for i, words in part)
            (folder / name).write_text("".join(lines))
    return root / "text", images


def leaks(folder):
    return {finding.name: finding.count for finding in audit_dataset(folder).findings}


def test_the_audit_of_a_grouped_build_finds_no_leak(source, tmp_path):
    build_dataset(*source, tmp_path / "set", settings=BuildSettings(split="grouped", group_by=GROUP_KEYS))
    found = leaks(tmp_path / "set")
    assert not {name for names in FINDINGS.values() for name in names} & set(found)


def test_the_default_leaves_only_nearly_equal_texts(source, tmp_path):
    build_dataset(*source, tmp_path / "set", settings=BuildSettings(split="grouped"))
    leaking = {name for names in FINDINGS.values() for name in names}
    assert leaking & set(leaks(tmp_path / "set")) <= set(FINDINGS["similar_text"])


@pytest.mark.parametrize("key", GROUP_KEYS)
def test_the_audit_finds_nothing_of_what_was_grouped_by_but_the_rest(source, tmp_path, key):
    build_dataset(*source, tmp_path / "set", settings=BuildSettings(split="grouped", group_by=(key,)))
    found = leaks(tmp_path / "set")
    assert not set(FINDINGS[key]) & set(found)
    others = {"picture_bytes": "leaked_texts", "text": "leaked_picture_bytes"}.get(key, "leaked_texts")
    assert others in found or key == "similar_text"


def test_pictures_that_are_hashed_but_not_stored_are_grouped_by(source, tmp_path):
    settings = BuildSettings(split="grouped", group_by=("picture_bytes",), embed_images=False)
    build_dataset(*source, tmp_path / "set", settings=settings)
    assert "leaked_picture_bytes" not in leaks(tmp_path / "set")


def test_stand_ins_join_nothing(source, tmp_path):
    text, _ = source
    (tmp_path / "empty").mkdir()
    settings = BuildSettings(split="grouped", image_policy="default")
    build_dataset(text, tmp_path / "empty", tmp_path / "set", settings=settings)
    assert sum("test" in row for row in audit_dataset(tmp_path / "set").counts.values())


def test_a_group_keeps_its_name_in_any_order_of_the_rows():
    rows = [
        GroupRow("en/b", "b", "en", ("x",)),
        GroupRow("en/a", "a", "en", ("x",)),
        GroupRow("en/c", "c", "en", ("y",)),
    ]
    names = group_names(rows, ("picture_id", "text"), BuildSettings(), None)
    assert names == ["a", "a", "c"]
    assert group_names(rows[::-1], ("picture_id", "text"), BuildSettings(), None) == names[::-1]
    assert group_names(rows, ("text",), BuildSettings(), None) == ["en/a", "en/a", "en/c"]


def test_a_group_larger_than_a_split_is_reported(caplog):
    rows = [GroupRow(f"en/{n}", str(n), "en", ("same",) if n < 4 else (f"w{n}",)) for n in range(20)]
    with caplog.at_level(logging.WARNING):
        group_names(rows, ("text",), BuildSettings(), None)
    assert "has 4 of 20 rows" in caplog.text and "`group_by`" in caplog.text


def test_without_pictures_only_what_was_asked_for_needs_them(tmp_path):
    assert resolve_keys(None, None) == ("picture_id", "translation", "text")
    assert resolve_keys(None, tmp_path) == DEFAULT_GROUP_KEYS
    with pytest.raises(ValueError, match="`group_by` similar_picture needs pictures, but there are none; give the"):
        resolve_keys(("text", "similar_picture"), None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group_by": ("colour",), "split": "grouped"}, r"`group_by` must be some of .*got \['colour'\]"),
        ({"group_by": (), "split": "grouped"}, "`group_by` must be some of"),
        (
            {"group_by": ("text",)},
            "`group_by` belongs to `split` grouped, got `split` given; set `split` to grouped or leave",
        ),
        ({"similarity": 0.0}, "`similarity` must be above 0"),
    ],
)
def test_what_cannot_be_grouped_by_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        BuildSettings(**change)


def test_card_and_record_say_what_was_kept_together(source, tmp_path):
    report = build_dataset(source[0], None, tmp_path / "set", settings=BuildSettings(split="grouped"))
    assert report.counts
    card = (tmp_path / "set" / "README.md").read_text()
    assert (
        "All sentences of a picture, in any language, and sentences that share" in card
        and "a picture with the same bytes" not in card
    )
    assert '"group_by": [' in (tmp_path / "set" / "build.json").read_text()
