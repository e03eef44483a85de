import PIL.Image
import pytest

from dataset_scripts.example import bold_entities, find_parallel_rows, write_example
from dataset_scripts.parquet import write_dataset
from tests.dataset_scripts.distribution import encode

CARD = "---\nlicense: mit\n---\n"
JPEG = encode(PIL.Image.new("RGB", (64, 48), (200, 30, 30)), "JPEG")


def make_row(lang, image_id, words="Paris", tags="B-LOC", picture=JPEG, **changes):
    return {
        "id": f"{lang}/{image_id}",
        "tokens": words.split(" "),
        "ner_tags": tags.split(" "),
        "image": {"bytes": picture, "path": "p.jpg"} if picture else None,
        "image_id": image_id,
        "image_status": "ok" if picture else "missing",
        "lang": lang,
        "source": "other",
        **changes,
    }


@pytest.fixture
def write(tmp_path):
    """Write rows as train splits and give the folder."""

    def write_rows(*rows):
        folder = tmp_path / "set"
        languages = dict.fromkeys(row["lang"] for row in rows)
        splits = {(lang, "train"): [row for row in rows if row["lang"] == lang] for lang in languages}
        write_dataset(folder, splits, CARD, overwrite=True)
        return folder

    return write_rows


def ids(folder):
    return [row["id"] for row in find_parallel_rows(folder)]


def test_sentence_with_the_most_types_then_the_fewest_words_then_the_first_name_is_shown(write):
    two = {"words": "Maria in Paris today", "tags": "B-PER O B-LOC O"}
    short = {"words": "Maria , Paris", "tags": "B-PER O B-LOC"}
    rows = [make_row(lang, "a") for lang in ("en", "fr")] + [make_row(lang, "b", **two) for lang in ("en", "fr")]
    assert ids(write(*rows)) == ["en/b", "fr/b"]
    rows += [make_row(lang, name, **short) for name in ("d", "c") for lang in ("en", "fr")]
    assert ids(write(*rows)) == ids(write(*rows[::-1])) == ["en/c", "fr/c"]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"picture": None},
        {"image_status": "default"},
        {"quality": ["placeholder"]},
        {"tags": "O"},
        {"words": "Pa\u202eris"},
    ],
    ids=str,
)
def test_unsound_sentences_are_passed_over(write, spoilt):
    sound = [make_row(lang, "b") for lang in ("en", "de")]
    unsound = make_row("de", "a", **spoilt)
    assert ids(write(make_row("en", "a"), unsound, *sound)) == ["en/b", "de/b"]
    assert ids(write(make_row("en", "a"), unsound)) == []


def test_without_a_parallel_sentence_nothing_is_shown(write):
    for rows in (
        [make_row("en", "a")],
        [make_row("en", "a"), make_row("fr", "b")],
        [make_row("en", "a"), make_row("fr", "a"), make_row("de", "b")],
    ):
        folder = write(*rows)
        assert write_example(folder) == ""
        assert not (folder / "figures").exists()


def test_a_language_without_a_train_split_leaves_nothing_to_show(tmp_path):
    rows = {("en", "train"): [make_row("en", "a")], ("fr", "test"): [make_row("fr", "a")]}
    write_dataset(tmp_path / "set", rows, CARD)
    assert write_example(tmp_path / "set") == ""


def test_picture_of_any_kind_becomes_small_and_keeps_its_suffix(write):
    large = encode(PIL.Image.new("RGB", (2_000, 1_000)), "WEBP")
    folder = write(make_row("en", "a", picture=large), make_row("fr", "a", picture=large))
    assert "](figures/example.jpg)" in write_example(folder)
    with PIL.Image.open(folder / "figures" / "example.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (512, 256))
    png = encode(PIL.Image.new("RGB", (64, 48)), "PNG")
    folder = write(make_row("en", "a", picture=png), make_row("fr", "a", picture=png))
    assert "](figures/example.png)" in write_example(folder)
    assert (folder / "figures" / "example.png").read_bytes() == png


def test_picture_is_found_in_a_later_row_group(write):
    others = [make_row("en", f"x{number:03d}", picture=None) for number in range(150)]
    folder = write(*others, make_row("en", "a"), make_row("fr", "a"))
    write_example(folder)
    assert (folder / "figures" / "example.jpg").read_bytes() == JPEG


def test_card_passes_the_example_on(tmp_path):
    cards = []
    rows = {(lang, "train"): [make_row(lang, "a")] for lang in ("en", "fr")}
    write_dataset(
        tmp_path / "set", rows, lambda counts, files, example: cards.append(example) or "", False, write_example
    )
    assert cards[0].startswith("## One sentence in all languages\n\n")
    assert (tmp_path / "set" / "figures" / "example.jpg").is_file()


def test_data_are_shown_as_they_are():
    words = "RT | <b>Dr_ *No* `x` [a](b) \\ #1"
    tags = ["O", "O", "B-PER", "I-PER", "O", "O", "O", "B-MISC"]
    row = {"tokens": words.split(" "), "ner_tags": tags}
    assert bold_entities(row) == r"RT \| **\<b\>Dr\_ \*No\*** (PER) \`x\` \[a\](b) \\ **\#1** (MISC)"


def test_picture_that_does_not_decode_is_left_out(write):
    broken = b"no picture"
    folder = write(make_row("en", "a", picture=broken), make_row("fr", "a", picture=broken))
    assert "figures" not in write_example(folder)
