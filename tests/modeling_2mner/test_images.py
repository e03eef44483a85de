from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modeling_2mner import images
from modeling_2mner.images import count_pixels, load_image, picture_key

FIELD = (200, 30, 60)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def one_bit_png(width: int, height: int) -> bytes:
    """A black 1-bit PNG of any size, in a few kilobytes and without ever holding its pixels."""
    row = bytes(1 + (width + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


@pytest.fixture
def picture(make_picture) -> Image.Image:
    return make_picture(3, 40, 30)


@pytest.fixture
def field() -> Image.Image:
    return Image.new("RGB", (20, 16), FIELD)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_come_back_pixel_by_pixel(picture, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    loaded = load_image(encoded(picture, kind, **options))
    assert loaded.status == "ok" and loaded.reason == "" and loaded.image.mode == "RGB"
    assert np.array_equal(np.asarray(loaded.image), np.asarray(picture))


def test_every_way_to_give_a_picture(tmp_path, picture):
    data, path = encoded(picture, "PNG"), tmp_path / "bild ä.png"
    path.write_bytes(data)
    sources = [picture, data, bytearray(data), path, str(path), {"bytes": data, "path": None}]
    sources += [{"bytes": None, "path": str(path)}, {"bytes": data, "path": "elsewhere.png"}]
    for source in sources:
        loaded = load_image(source)
        assert loaded.status == "ok", source
        assert np.array_equal(np.asarray(loaded.image), np.asarray(picture))


@pytest.mark.parametrize("source", [None, {"bytes": None, "path": None}, {}])
def test_no_picture_is_missing(source):
    assert load_image(source).status == "missing"


def test_a_missing_file_is_missing_and_named(tmp_path):
    loaded = load_image(tmp_path / "gone.jpg")
    assert loaded.status == "missing" and "gone.jpg" in loaded.reason and loaded.image is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><rect width="40" height="40"/></svg>',
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\nshowpage\n",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
    ],
    ids=["empty", "zeros", "html", "svg", "eps", "png head", "gif head"],
)
def test_what_is_no_picture_is_unreadable(tmp_path, data):
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    for source in (data, path):
        loaded = load_image(source)
        assert (loaded.status, loaded.image) == ("unreadable", None) and loaded.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_truncated_picture_is_unreadable(picture, kind):
    data = encoded(picture, kind)
    assert load_image(data).status == "ok"
    assert load_image(data[: len(data) // 2]).status == "unreadable"


def test_a_picture_object_that_cannot_be_read_is_unreadable(picture):
    data = encoded(picture, "JPEG")
    assert load_image(Image.open(io.BytesIO(data[: len(data) // 2]))).status == "unreadable"


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "YCbCr", "P", "HSV", "LAB"])
def test_other_colour_modes_become_rgb(field, mode):
    loaded = load_image(field.convert("RGB").convert(mode) if mode != "LAB" else Image.new("LAB", (20, 16)))
    assert loaded.status == "ok" and loaded.image.mode == "RGB" and loaded.image.size == (20, 16)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "P"])
def test_colours_survive_the_conversion(field, mode):
    colour = np.asarray(load_image(field.convert(mode, palette=Image.Palette.ADAPTIVE)).image, dtype=int)
    assert np.abs(colour - FIELD).max() <= 3


def test_a_cmyk_jpeg_keeps_its_colours(field):
    colour = np.asarray(load_image(encoded(field.convert("CMYK"), "JPEG", quality=100)).image, dtype=int)
    assert np.abs(colour - FIELD).max() <= 8


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "RGBa"])
def test_transparent_parts_become_white(mode):
    image = Image.new("RGBA", (20, 16), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 20, 8))
    if mode == "P":
        image = Image.open(io.BytesIO(encoded(image, "GIF")))
        assert image.mode == "P" and "transparency" in image.info
    else:
        image = image.convert(mode)
    pixels = np.asarray(load_image(image).image)
    assert (pixels[:8] == 0).all() and (pixels[8:] == 255).all()


def test_half_transparent_is_blended_with_white():
    pixels = np.asarray(load_image(Image.new("RGBA", (9, 9), (100, 0, 200, 128))).image, dtype=int)
    assert np.abs(pixels - (177, 127, 227)).max() <= 1


@pytest.mark.parametrize("as_file", [True, False])
def test_sixteen_bit_grey_is_scaled_and_not_cut(as_file):
    ramp = np.linspace(0, 65535, 20 * 16).reshape(16, 20).astype(np.uint16)
    image = Image.fromarray(ramp)
    assert image.mode == "I;16"
    pixels = np.asarray(load_image(encoded(image, "PNG") if as_file else image).image, dtype=int)[..., 0]
    assert np.abs(pixels - ramp / 257).max() <= 1


@pytest.mark.parametrize("mode, top", [("I", 65535), ("F", 1000.0), ("F", 255.0)])
def test_wide_grey_is_scaled_and_not_cut(mode, top):
    ramp = np.linspace(0, top, 20 * 16).reshape(16, 20).astype(np.int32 if mode == "I" else np.float32)
    pixels = np.asarray(load_image(Image.fromarray(ramp)).image, dtype=int)[..., 0]
    assert np.abs(pixels - ramp * 255 / top).max() <= 1


@pytest.mark.parametrize("top", [1.0, 0.5, 255.0])
def test_float_pictures_of_either_range_are_not_black(top):
    ramp = np.linspace(0, top, 16 * 20, dtype=np.float32).reshape(16, 20)
    for source in (Image.fromarray(ramp), encoded(Image.fromarray(ramp), "TIFF")):
        loaded = load_image(source)
        assert loaded.status == "ok"
        pixels = np.asarray(loaded.image, dtype=int)[..., 0]
        assert np.abs(pixels - ramp * (255 / max(top, 1.0) if top > 1 else 255)).max() <= 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("everywhere", [True, False])
def test_pixels_that_are_not_finite_are_reported(value, everywhere):
    pixels = np.full((16, 20), value if everywhere else 100.0, dtype=np.float32)
    pixels[3, 4] = value
    loaded = load_image(Image.fromarray(pixels))
    assert (loaded.status, loaded.image) == ("unreadable", None)
    assert f"{320 if everywhere else 1} of 320 pixels are not finite" in loaded.reason


def test_a_normalised_picture_is_not_cut_to_black():
    pixels = np.linspace(-1, 1, 16 * 20, dtype=np.float32).reshape(16, 20)
    loaded = load_image(Image.fromarray(pixels))
    assert loaded.status == "unreadable" and "pixels from -1 to 1; scale them to 0 to 1" in loaded.reason
    assert load_image(Image.fromarray(pixels.clip(min=-0.1))).status == "ok"  # what resizing can do


def test_an_animation_gives_its_first_frame(field):
    frames = [Image.new("RGB", (20, 16), colour) for colour in ("blue", "red")]
    for kind in ("GIF", "WEBP", "TIFF", "PNG", "MPO"):
        options = {"lossless": True} if kind == "WEBP" else {}
        loaded = load_image(encoded(field, kind, save_all=True, append_images=frames, **options))
        assert loaded.status == "ok"
        assert np.abs(np.asarray(loaded.image, dtype=int) - FIELD).max() <= 3


@pytest.mark.parametrize("as_file", [True, False])
def test_a_picture_on_its_side_is_turned_upright(as_file):
    image = Image.new("RGB", (20, 16), "black")
    image.paste("white", (0, 0, 10, 16))  # stored: left half white; orientation 6 turns it to the top
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(image, "PNG", exif=exif)
    loaded = load_image(data if as_file else Image.open(io.BytesIO(data))).image
    pixels = np.asarray(loaded)
    assert loaded.size == (16, 20) and (pixels[:10] == 255).all() and (pixels[10:] == 0).all()


@pytest.mark.parametrize("exif", [b"Exif\x00\x00garbage", b"\xff" * 40, b"Exif\x00\x00II*\x00\xff\xff\xff\x7f"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_metadata_does_not_lose_the_picture(picture, kind, exif):
    assert load_image(encoded(picture, kind, exif=exif)).status == "ok"


def test_a_giant_picture_in_a_small_file_is_refused_before_it_is_decoded(recwarn):
    for width, height in ((20_000, 10_000), (10_000, 9_000), (8_000, 8_001)):  # Pillow: error, warning, silence
        data = one_bit_png(width, height)
        assert len(data) < 100_000
        loaded = load_image(data)
        assert loaded.status == "unreadable" and "pixels" in loaded.reason
    assert not recwarn.list


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (7, 200), (10, 501)])
def test_pictures_without_content_are_degenerate(size):
    loaded = load_image(Image.new("RGB", size))
    assert (loaded.status, loaded.image) == ("degenerate", None) and f"{size[0]} x {size[1]}" in loaded.reason


@pytest.mark.parametrize("size", [(8, 8), (8, 400), (10, 500)])
def test_small_and_narrow_pictures_are_used(size):
    assert load_image(Image.new("RGB", size)).status == "ok"


def test_a_folder_and_a_loop_of_links_are_unreadable(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert load_image(tmp_path).status == "unreadable"
    assert load_image(tmp_path / "loop").status == "unreadable"
    assert load_image(tmp_path / ("x" * 300)).status == "unreadable"
    assert load_image(f"{tmp_path}/nul\0byte.png").status == "unreadable"


def test_pipes_and_devices_are_not_waited_for(tmp_path, monkeypatch):
    def blocks(path, *args, **options):
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr("builtins.open", blocks)
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path / "link.jpg", Path("/dev/zero")):
        loaded = load_image(path)
        assert (loaded.status, loaded.reason) == ("unreadable", "ValueError: not a regular file")


@pytest.mark.parametrize("url", ["http://localhost/a.png", "https://example.org/a", "HTTP://A/b.png", "file:///a.png"])
def test_a_url_is_not_fetched(url):
    loaded = load_image(url)
    assert loaded.status == "unreadable" and "download" in loaded.reason


@pytest.mark.parametrize("source", [7, 3.5, np.zeros((9, 9, 3)), ["a.png"], object()])
def test_another_kind_of_thing_is_the_callers_mistake(source):
    with pytest.raises(TypeError, match=f"a picture must be a PIL image.*not {type(source).__name__}"):
        load_image(source)
    with pytest.raises(TypeError, match=f"a picture must be a PIL image.*not {type(source).__name__}"):
        picture_key(source)


def test_the_file_is_closed(tmp_path, picture, monkeypatch):
    path, opened = tmp_path / "a.png", []
    path.write_bytes(encoded(picture, "PNG"))

    def remember(*args, **options):
        opened.append(open_file(*args, **options))
        return opened[-1]

    open_file = open
    monkeypatch.setattr("builtins.open", remember)
    assert load_image(path).status == "ok"
    assert [str(file.name) for file in opened] == [str(path)] and opened[0].closed


def test_the_callers_picture_is_left_alone(picture):
    before = picture.convert("RGBA")
    pixels = np.asarray(before).copy()
    assert load_image(before).image is not before
    assert before.mode == "RGBA" and np.array_equal(np.asarray(before), pixels)


def test_keys_tell_pictures_apart(picture):
    data = encoded(picture, "PNG")
    same = [(data, bytes(data)), (bytearray(data), data), ("a.png", "a.png"), (picture, picture), (None, None)]
    same += [({"bytes": data, "path": "x"}, {"bytes": data, "path": "y"}), ({"bytes": None, "path": "x"}, "x")]
    for first, second in [*same, (Path("a.png"), "a.png")]:
        assert picture_key(first) == picture_key(second)
        hash(picture_key(first))
    for first, second in ((picture, picture.copy()), (data, data + b"x"), ("a.png", "b.png"), (picture, None)):
        assert picture_key(first) != picture_key(second)


def test_a_large_file_is_refused_without_reading(tmp_path):
    path = tmp_path / "sparse.jpg"
    with path.open("wb") as file:
        file.truncate(3_000_000_000)
    tracemalloc.start()
    loaded = load_image(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert loaded.status == "unreadable" and f"3000000000 bytes, more than {images.MAX_BYTES}" in loaded.reason
    assert peak < 10_000_000


def test_bytes_have_the_limit_of_files(picture, tmp_path, monkeypatch):
    data = encoded(picture, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for limit, status in ((len(data), "ok"), (len(data) - 1, "unreadable")):
        monkeypatch.setattr(images, "MAX_BYTES", limit)
        assert {load_image(source).status for source in (path, data, bytearray(data), {"bytes": data})} == {status}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
@pytest.mark.parametrize("path", ["/proc/kmsg", "/proc/self/status", "/proc/kpagecount", "/proc/self/pagemap"])
def test_files_of_the_system_are_not_read(path):
    assert load_image(path).status in ("unreadable", "missing")


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "file.jpg").write_bytes(b"x")
    regular, look = os.stat(tmp_path / "file.jpg"), os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: regular if "pipe" in str(path) else look(path, **options))
    assert load_image(tmp_path / "pipe.jpg").reason == "ValueError: not a regular file"


def test_what_is_no_picture_is_named_by_its_file(tmp_path):
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    assert "'b.jpg'" in load_image({"bytes": b"<html>", "path": "a/b.jpg"}).reason
    reason = load_image(tmp_path / "page.jpg").reason
    assert "'page.jpg'" in reason and "JPEG, PNG" in reason and str(tmp_path) not in reason
    assert "BytesIO" not in reason + load_image(b"<html>").reason


def test_pixels_are_counted_by_allowed_formats_alone(picture, monkeypatch):
    assert [count_pixels(encoded(picture, kind)) for kind in ("PNG", "JPEG")] == [picture.width * picture.height] * 2
    assert count_pixels(b"nonsense") == 0
    forbidden = encoded(picture, "PPM")
    assert Image.open(io.BytesIO(forbidden)).format == "PPM" and count_pixels(forbidden) == 0


def test_pictures_are_opened_in_one_place():
    root = Path(images.__file__).parents[1]
    folders = (
        "modeling_2mner",
        "training_2mner",
        "dataset_scripts",
        "experiments",
        "reports_2mner",
        "demo",
        "benchmarks",
    )
    sources = [path for folder in folders for path in (root / folder).rglob("*.py")]
    assert sources and [path.name for path in sources if "Image.open(" in path.read_text("utf-8")] == ["images.py"]


@pytest.mark.parametrize("kernel", [Image.Resampling.BICUBIC, Image.Resampling.LANCZOS])
def test_floats_that_a_resize_let_overshoot_are_not_black(kernel):
    square = np.zeros((32, 32), dtype=np.float32)
    square[8:24, 8:24] = 1.0
    found = load_image(Image.fromarray(square).resize((48, 48), kernel))
    assert found.status == "ok" and np.asarray(found.image).max() == 255
