import os
import struct
from io import BytesIO
from zlib import crc32

import PIL.Image
import pytest

from dataset_scripts.build import pictures as images
from dataset_scripts.build.pictures import find_unsafe_part, prepare_picture, read_picture_file, stand_in_picture
from modeling_2mner.images import load_image


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
    picture = read_picture_file(folder, image_id)
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
    picture = read_picture_file(folder, "a")
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
    picture = read_picture_file(folder, "a")
    assert (picture.image, picture.status) == (None, "unreadable")
    assert reason in picture.reason


@pytest.mark.parametrize(
    ("size", "status"),
    [((1, 1), "degenerate"), ((7, 300), "degenerate"), ((8, 401), "degenerate"), ((8, 400), "ok")],
)
def test_pictures_that_show_nothing_are_degenerate(folder, size, status):
    (folder / "a.jpg").write_bytes(encode(size))
    assert read_picture_file(folder, "a").status == status


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
    picture = read_picture_file(folder, "a")
    assert (picture.image, picture.status) == (None, "unreadable")
    assert reason in picture.reason


def test_large_files_are_refused_without_reading(folder, monkeypatch):
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 100)
    (folder / "a.jpg").write_bytes(encode())
    assert "bytes, more than 100" in read_picture_file(folder, "a").reason


def test_missing_files_are_missing(folder):
    (folder / "b.jpg").symlink_to("nowhere.jpg")
    assert [read_picture_file(folder, name).status for name in "ab"] == ["missing", "missing"]


def test_only_regular_files_are_opened(folder):
    (folder / "a.jpg").mkdir()
    os.mkfifo(folder / "b.jpg")
    (folder / "c.jpg").symlink_to("c.jpg")
    assert [read_picture_file(folder, name).status for name in "abc"] == ["unreadable"] * 3
    assert "not a regular file" in read_picture_file(folder, "b").reason


def test_links_must_stay_inside_the_folder(folder, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(encode())
    (folder / "real.jpg").write_bytes(encode())
    (folder / "outside.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "inside.jpg").symlink_to("real.jpg")
    assert "out of the picture folder" in read_picture_file(folder, "outside").reason
    assert read_picture_file(folder, "inside").status == "ok"


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (folder / "a.jpg").write_bytes(encode())
    (tmp_path / "link").symlink_to(folder)
    assert read_picture_file(tmp_path / "link", "a").status == "ok"


@pytest.mark.parametrize("image_id", ["../secret", "C:secret", "a\0b", "x" * 252])
def test_unsafe_ids_are_refused_by_name(folder, tmp_path, image_id):
    (tmp_path / "secret.jpg").write_bytes(encode())
    picture = read_picture_file(folder, image_id)
    assert (picture.image, picture.status) == (None, "unreadable")
    assert picture.reason.startswith("refused, the image id has ") and repr(image_id[:80]) in picture.reason


def test_plain_pictures_that_fit_keep_their_bytes():
    for data in (encode(), encode(kind="PNG"), encode(mode="L"), encode((512, 100))):
        assert prepare_picture(data, max_side=512).image["bytes"] == data


def test_large_pictures_are_shrunk_and_keep_their_shape():
    picture = prepare_picture(encode((1200, 600), "PNG"), max_side=512)
    assert picture.image["path"].endswith(".jpg")
    stored = PIL.Image.open(BytesIO(picture.image["bytes"]))
    assert (stored.format, stored.mode, stored.size) == ("JPEG", "RGB", (512, 256))


def test_narrow_pictures_are_not_shrunk_until_they_are_degenerate():
    picture = prepare_picture(encode((2000, 41)), max_side=64)
    assert load_image(picture.image["bytes"]).image.height == 8


def test_nothing_is_changed_without_a_limit():
    data = encode((1200, 600), "PNG")
    assert prepare_picture(data).image["bytes"] == data


def colour_of(picture):
    pixels = PIL.Image.open(BytesIO(picture.image["bytes"]))
    assert pixels.mode == "RGB" and pixels.format == "JPEG"
    return pixels.getpixel((5, 5))


def save(picture, kind, **options):
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_odd_kinds_become_what_they_look_like():
    red = PIL.Image.new("RGB", (32, 16), (255, 0, 0))
    grey = PIL.Image.new("I;16", (32, 16), 0x8000)
    clear = PIL.Image.new("RGBA", (32, 16), (0, 0, 0, 0))
    palette = red.convert("P")
    frames = [PIL.Image.new("RGB", (32, 16), (0, 0, 255))]
    assert colour_of(prepare_picture(save(red.convert("CMYK"), "JPEG"), 512)) == pytest.approx((254, 0, 0), abs=6)
    assert colour_of(prepare_picture(save(grey, "PNG"), 512)) == pytest.approx((128, 128, 128), abs=2)
    assert colour_of(prepare_picture(save(clear, "PNG"), 512)) == (255, 255, 255)
    assert colour_of(prepare_picture(save(palette, "PNG", transparency=palette.getpixel((0, 0))), 512)) == (255,) * 3
    assert colour_of(prepare_picture(save(red, "PNG", save_all=True, append_images=frames), 512))[0] > 240
    assert colour_of(prepare_picture(save(palette, "GIF", save_all=True, append_images=frames), 512))[0] > 240


def test_turned_pictures_are_stored_upright():
    exif = PIL.Image.Exif()
    exif[images.ORIENTATION] = 6
    picture = prepare_picture(save(PIL.Image.new("RGB", (48, 32)), "JPEG", exif=exif), 512)
    stored = PIL.Image.open(BytesIO(picture.image["bytes"]))
    assert stored.size == (32, 48) and images.ORIENTATION not in stored.getexif()


def test_default_picture_is_the_authors_or_drawn(folder):
    drawn = stand_in_picture(folder, 512)
    assert drawn.status == "default" and load_image(drawn.image["bytes"]).image.size == images.DEFAULT_SIZE
    assert drawn == stand_in_picture(None, 512)
    (folder / "17_06_4705.jpg").write_bytes(encode())
    assert stand_in_picture(folder, 512).image["bytes"] == encode()


@pytest.mark.parametrize("image_id", ["../a", "/etc/a", "a/b", "..\\a", "C:a", "c:\\a", "a\0b", "x" * 252, "é" * 126])
def test_unsafe_ids_are_recognised(image_id):
    assert find_unsafe_part(image_id)


@pytest.mark.parametrize("image_id", ["O_1", "06959512---", "..", "a%2Fb?c&d=[e]:f*", " a ", "x" * 251])
def test_odd_ids_that_stay_in_the_folder_are_safe(image_id):
    assert find_unsafe_part(image_id) is None
