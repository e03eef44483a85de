import gzip

import pytest

from dataset_scripts.build.urls import MAX_ROW_DISTANCE, find_urls


@pytest.fixture
def listing(tmp_path):
    """Write the list: rows are addresses or pairs of address and caption, whose quotation marks stay as they are."""

    def write(*rows):
        path = tmp_path / "cc12m.tsv"
        pairs = [(row, f"caption {number}") if isinstance(row, str) else row for number, row in enumerate(rows)]
        path.write_bytes("".join(f"{address}\t{caption}\n" for address, caption in pairs).encode())
        return path

    return write


def address(stem, suffix=".jpg"):
    return f"https://host.example/a/{stem}{suffix}"


def test_rows_are_numbered_from_zero(listing):
    path = listing(address("x"), address("x"), address("y"), "http://other.example/x.png")
    assert find_urls(path, ["00000000---x", "00000001---x", "00000002---y", "00000003---x"]) == {
        "00000000---x": address("x"),
        "00000001---x": address("x"),
        "00000002---y": address("y"),
        "00000003---x": "http://other.example/x.png",
    }


def test_the_number_alone_is_not_trusted(listing):
    assert find_urls(listing(address("x"), address("y")), ["00000000---z", "00000001---Y"]) == {}


@pytest.mark.parametrize(
    ("stem", "found"),
    [
        ("a%2Fb?c=[d]&e*", address("a%2Fb?c=[d]&e*")),
        ("100%", address("100%")),
        ("a.b.c", address("a.b.c", ".jpeg")),
        ("a", address("a", ".jpg?width=500")),
        ("a.jpg?zoom=1", address("a.jpg?zoom=1", ".5")),
        ("a---b", address("a---b")),
        ("a.", address("a.")),
        (".png", address(".png", "")),
        ("", "https://host.example/a/"),
        ("slide_4", "https://host.example/p.php/slide_4"),
        ("d", "https://host.example/a.jpg?from=http://b.example/c/d.gif"),
        ("été", address("été")),
    ],
)
def test_stems_are_the_last_part_of_the_address_without_its_suffix(listing, stem, found):
    image_id = f"00000001---{stem}"
    assert find_urls(listing(address("first"), found), [image_id]) == {image_id: found}


def test_two_pictures_of_one_stem_get_each_their_own_row(listing):
    rows = ["http://a.example/x.jpg", *[address(f"y{number}") for number in range(8)], "http://b.example/x.jpg"]
    found = find_urls(listing(*rows), ["00000008---x", "00000002---x"])  # rows 9 and 0 are nearest
    assert found == {"00000008---x": "http://b.example/x.jpg", "00000002---x": "http://a.example/x.jpg"}


def test_the_nearest_row_counts_before_and_after(listing):
    rows = [f"http://{place}.example/{'x' if place in (0, 4, 5, 9) else 'y'}.jpg" for place in range(10)]
    found = find_urls(listing(*rows), ["00000003---x", "00000006---x"])
    assert found == {"00000003---x": "http://4.example/x.jpg", "00000006---x": "http://5.example/x.jpg"}


def test_a_caption_with_open_quotation_marks_swallows_lines_as_in_pandas(listing):
    path = listing(address("x"), (address("y"), '"no end'), address("z"), (address("w"), 'the "end'), address("v"))
    found = find_urls(path, ["00000001---y", "00000002---v", "00000004---v", "00000002---z"])
    assert found == {
        "00000001---y": address("y"),
        "00000002---v": address("v"),  # counted as pandas does
        "00000004---v": address("v"),  # counted in lines
    }


def test_a_stem_far_away_is_another_picture(listing):
    path = listing(*[address("x")] * 3, *[address("y")] * MAX_ROW_DISTANCE)
    near, far = f"{2 + MAX_ROW_DISTANCE:08d}---x", f"{3 + MAX_ROW_DISTANCE:08d}---x"
    assert find_urls(path, [near, far]) == {near: address("x")}


@pytest.mark.parametrize("image_id", ["O_1", "0000000---x", "000000000---x", "00000000--x", "a00000000---x"])
def test_tweets_have_no_address(listing, image_id, caplog):
    assert find_urls(listing(address("x")), [image_id]) == {}
    assert caplog.messages == []


def test_a_list_without_any_of_the_captions_is_warned_about(listing, caplog):
    path = listing(address("x"))
    assert find_urls(path, ["00000000---y"]) == {}
    assert caplog.messages == [f"No caption's address was found in {path}; check `urls`."]


def test_rows_of_another_form_count_but_give_no_address(listing, caplog):
    path = listing(address("x"), ("no address", "x"), (address("y"), "two\ttabs"), address("z"))
    assert find_urls(path, ["00000003---z", "00000002---y"]) == {"00000003---z": address("z")}
    assert caplog.messages == [f"{path}: skipped 2 rows that are not an address, a TAB and a caption."]


def test_captions_may_be_longer_than_the_usual_limit_of_a_field(listing):
    path = listing((address("x"), "a" * 200_000), address("y"))
    assert find_urls(path, ["00000001---y"]) == {"00000001---y": address("y")}


@pytest.mark.parametrize(
    "content",
    [
        b"IMGID:1\nParis\tB-LOC\n\n",
        b"url\tcaption\nhttp://x/y.jpg\ta\n",
        b"caption\thttp://x/y.jpg\n",
        b"y.jpg\ta caption\thttp://x/y.jpg\ten\n",
        b"\xff\xfe\x00",
        gzip.compress(b"http://x/y.jpg\ta\n", mtime=0),
    ],
)
def test_what_is_no_list_is_refused(tmp_path, content):
    path = tmp_path / "cc12m.tsv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"the first row is not an address, a TAB and a caption: .*cc12m\.tsv"):
        find_urls(path, ["00000000---y"])


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.tsv"):
        with pytest.raises(ValueError, match=r"`urls` must be the list of Conceptual 12M.* is not a file"):
            find_urls(path, ["00000000---y"])
