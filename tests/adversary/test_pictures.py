"""Pictures of every kind and form: opened, or reported with a reason; never raised, never fetched."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from modeling_2mner.image_sources import load_image_source
from tests.adversary import pictures
from tests.adversary.promises import chance_for, promise

pytestmark = pytest.mark.slow

STATUSES = {"ok", "missing", "unreadable", "degenerate"}
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")


def state_of(source: object) -> tuple[str, object]:
    """Open a picture and check what is said of it; returns its status and pixels."""
    found = load_image_source(source)
    assert found.status in STATUSES
    assert (found.image is not None) == (found.status == "ok") == (not found.reason)
    if found.image is None:
        return found.status, None
    assert found.image.mode == "RGB"
    return found.status, found.image.tobytes()


def test_pictures_in_all_forms(tmp_path):
    def open_all(name: str, content: bytes) -> None:
        path = tmp_path / "picture"
        path.write_bytes(content)
        uri = f"data:image/png;base64,{base64.b64encode(content).decode()}"
        expected = state_of(content) if content else ("unreadable", None)
        if content:
            forms = (bytearray(content), {"bytes": content, "path": None}, uri)
            assert all(state_of(form) == expected for form in forms)
        assert all(state_of(form) == expected for form in (path, str(path), {"bytes": None, "path": str(path)}))
        format = name.partition(" ")[0]
        assert format in FORMATS or format not in pictures.MODES or expected[0] == "unreadable", "parsed by Pillow"

    with promise(
        "A picture of any kind has one status as bytes, path, cell and data URI, and no foreign format is parsed"
    ) as held:
        for name, content in pictures.kinds():
            held.check(open_all, name, content)


def test_damaged_pictures():
    chance = chance_for("pictures")
    kinds = [content for name, content in pictures.kinds() if len(content) < 20_000]

    def damage(content: bytes) -> bytes:
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 2, 10, 100))):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        return bytes(damaged[: chance.randrange(len(damaged) + 1)] if chance.random() < 0.3 else damaged)

    with promise("A damaged picture has a status and a reason") as held:
        for _ in range(2500):
            held.check(state_of, damage(chance.choice(kinds)))


def test_what_is_no_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    sparse = tmp_path / "sparse.jpg"
    with open(sparse, "wb") as file:
        file.truncate(3 * 10**9)

    def refuse(path: str | Path) -> None:
        status, _ = state_of(path)
        assert status in ("missing", "unreadable")

    with promise("A folder, device, endless or huge file is no picture, and is not read") as held:
        places = ["folder", "loop", "none", "a" * 5000, "nul\0byte", "sparse.jpg"]
        system = [
            "/dev/zero",
            "/dev/stdin",
            "/proc/self/mem",
            "/proc/kmsg",
            "/proc/self/environ",
            "/sys/kernel",
            "",
            ".",
        ]
        for path in [
            *(f"{tmp_path}/{name}" for name in places),
            *system,
            "http://127.0.0.1/x.jpg",
            "file:///etc/passwd",
        ]:
            held.check(refuse, path)
