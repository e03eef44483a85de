import os
import struct
from io import BytesIO
from zlib import crc32

import PIL.Image
import pytest

from dataset_scripts import images
from dataset_scripts.images import find_unsafe_part, read_picture


def encode(size=(64, 48), kind="JPEG", mode="RGB"):
    buffer = BytesIO()
    picture = PIL.Image.new(mode, size, 1)
    several = {"save_all": True, "append_images": [picture]} if kind == "MPO" else {}
    picture.save(buffer, kind, **several)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


def test_good_picture_keeps_its_bytes_and_gets_a_neutral_name(folder):
    image_id = "06959512---a%2Fb?c=[d]&e*."
    (folder / f"{image_id}.jpg").write_bytes(encode())
    picture = read_picture(folder, image_id)
    assert (picture.status, picture.reason) == ("ok", "")
    assert picture.image["bytes"] == encode()
    assert picture.image["path"].removesuffix(".jpg").isalnum()


@pytest.mark.parametrize(
    ("kind", "mode", "suffix"),
    [
        ("MPO", "RGB", ".jpg"),
        ("PNG", "RGBA", ".png"),
        ("GIF", "P", ".gif"),
        ("WEBP", "RGB", ".webp"),
        ("JPEG", "CMYK", ".jpg"),
    ],
)
def test_suffix_tells_the_real_format(folder, kind, mode, suffix):
    (folder / "a.jpg").write_bytes(encode(kind=kind, mode=mode))
    picture = read_picture(folder, "a")
    assert picture.status == "ok" and picture.image["path"].endswith(suffix)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot identify"),
        (b"<!DOCTYPE html><title>404</title>", "cannot identify"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cannot identify"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\nshowpage\n", "cannot identify"),
        (encode((400, 400))[:-200], "truncated"),
    ],
    ids=["empty", "html", "svg", "postscript", "truncated"],
)
def test_files_that_do_not_decode_are_unreadable(folder, content, reason):
    (folder / "a.jpg").write_bytes(content)
    picture = read_picture(folder, "a")
    assert (picture.image, picture.status) == (None, "unreadable")
    assert reason in picture.reason


@pytest.mark.parametrize(
    ("size", "status"),
    [((1, 1), "degenerate"), ((7, 300), "degenerate"), ((8, 401), "degenerate"), ((8, 400), "ok")],
)
def test_pictures_that_show_nothing_are_degenerate(folder, size, status):
    (folder / "a.jpg").write_bytes(encode(size))
    assert read_picture(folder, "a").status == status


def png_header(width, height):
    chunks = (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", b"")
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((8_100, 8_000), "8100 x 8000 pixels, more than 64000000"),
        ((10_000, 9_000), "10000 x 9000 pixels"),
        ((20_000, 20_000), "DecompressionBombError"),
    ],
    ids=["silent in Pillow", "warning in Pillow", "error in Pillow"],
)
def test_huge_pictures_are_refused_without_decoding(folder, size, reason):
    (folder / "a.jpg").write_bytes(png_header(*size))
    picture = read_picture(folder, "a")
    assert (picture.image, picture.status) == (None, "unreadable")
    assert reason in picture.reason


def test_large_files_are_refused_without_reading(folder, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    (folder / "a.jpg").write_bytes(encode())
    assert "bytes, more than 100" in read_picture(folder, "a").reason


def test_missing_files_are_missing(folder):
    (folder / "b.jpg").symlink_to("nowhere.jpg")
    assert [read_picture(folder, name).status for name in "ab"] == ["missing", "missing"]


def test_only_regular_files_are_opened(folder):
    (folder / "a.jpg").mkdir()
    os.mkfifo(folder / "b.jpg")
    (folder / "c.jpg").symlink_to("c.jpg")
    assert [read_picture(folder, name).status for name in "abc"] == ["unreadable"] * 3
    assert "not a regular file" in read_picture(folder, "b").reason


def test_links_must_stay_inside_the_folder(folder, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(encode())
    (folder / "real.jpg").write_bytes(encode())
    (folder / "outside.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "inside.jpg").symlink_to("real.jpg")
    assert "leaves the picture folder" in read_picture(folder, "outside").reason
    assert read_picture(folder, "inside").status == "ok"


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (folder / "a.jpg").write_bytes(encode())
    (tmp_path / "link").symlink_to(folder)
    assert read_picture(tmp_path / "link", "a").status == "ok"


@pytest.mark.parametrize("image_id", ["../a", "/etc/a", "a/b", "..\\a", "C:a", "c:\\a", "a\0b", "x" * 252, "é" * 126])
def test_unsafe_ids_are_recognised(image_id):
    assert find_unsafe_part(image_id)


@pytest.mark.parametrize("image_id", ["O_1", "06959512---", "..", "a%2Fb?c&d=[e]:f*", " a ", "x" * 251])
def test_odd_ids_that_stay_in_the_folder_are_safe(image_id):
    assert find_unsafe_part(image_id) is None
