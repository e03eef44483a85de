from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from dataset_scripts.construct.picture_store import Outcome, PictureStore, examine, plain_url
from tests.dataset_scripts.construct.hostile_server import draw, large_png


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("HTTP://A.Example:80/B?c=D#e", "http://a.example/B?c=D"),
        (" https://a.example:443 ", "https://a.example/"),
        ("https://a.example:80/", "https://a.example:80/"),
        ("http://[2001:DB8::1]/a", "http://[2001:db8::1]/a"),
        *((url, url) for url in ("http://[::1", "ftp://A/b#c", "http://u:p@A/", "a", "http://a:b/", "folder:a#b")),
    ],
)
def test_plain_addresses(url, plain):
    assert plain_url(url) == plain
    assert plain_url(plain) == plain


def test_pictures_are_examined():
    data = draw("a", "PNG")
    picture = examine(data).picture
    assert (picture.suffix, picture.bytes, picture.width, picture.height) == (".png", len(data), 48, 40)
    assert examine(data, max_pixels=48 * 40).status == "ok"
    assert examine(data, max_pixels=48 * 40 - 1).status == "too many pixels"
    assert examine(large_png()).status == "too many pixels"
    assert (examine(b"").status, examine(data[:-200]).status) == ("no picture", "unreadable")


def test_a_flat_picture_has_no_look():
    out = BytesIO()
    Image.new("RGB", (50, 50), "white").save(out, "PNG")
    assert examine(out.getvalue()).picture.look is None


def test_a_turned_picture_has_its_upright_size():
    out, exif = BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (50, 30), "white").save(out, "JPEG", exif=exif)
    picture = examine(out.getvalue()).picture
    assert (picture.width, picture.height) == (30, 50)


@pytest.fixture
def store(tmp_path):
    store = PictureStore(tmp_path)
    yield store
    store.close()


def test_hosts_take_turns(store):
    urls = [
        "http://a.example/1",
        "http://a.example/2",
        "http://a.example/3",
        "http://b.example/1",
        "http://c.example/1",
    ]
    store.list_records((f"en/{n}", str(n), url) for n, url in enumerate(urls))
    assert list(store.pending()) == [urls[0], urls[3], urls[4], urls[1], urls[2]]
    store.keep(urls[3], Outcome("http 404", "permanent"), urls[3], 1)
    assert list(store.pending()) == [urls[0], urls[4], urls[1], urls[2]] and store.count_pending() == 4


def test_only_what_the_records_name_is_asked(store):
    store.list_records([("en/1", "1", "http://a.example/1"), ("en/2", "2", None)])
    store.list_records([("en/3", "3", "http://a.example/3")])
    assert list(store.pending()) == ["http://a.example/3"]


def test_what_ended_in_a_class_is_asked_again_only_if_that_is_named(store):
    url = "http://a.example/1"
    store.list_records([("en/1", "1", url)])
    store.keep(url, Outcome("http 503", "transient", "x" * 1_000), url, 4)
    store.forget(("permanent", "refused"))
    assert store.count_pending() == 0
    store.forget(("transient",))
    assert store.count_pending() == 1
    store.keep(url, Outcome("http 404", "permanent"), url, 1)
    assert store._base.execute("SELECT attempts, status FROM manifest").fetchall() == [(5, "http 404")]


@pytest.mark.parametrize(
    "final", ["https://i.imgur.com/removed.png", "https://s.yimg.com/pw/images/photo_unavailable_l.png"]
)
def test_known_addresses_of_removed_pictures(store, final):
    url, data = "http://a.example/1", draw("a")
    store.list_records([("en/1", "1", url)])
    outcome = examine(data)
    store.write(data, outcome.picture)
    store.keep(url, outcome, final, 1)
    store.mark_removed([])
    assert (store.image("1")["status"], store.image("1")["class"]) == ("removed", "permanent")
