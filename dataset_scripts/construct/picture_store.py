"""Keep pictures by their contents, and what became of every address, in one folder that no later run empties.

    pictures/manifest.sqlite    the view `manifest` has a row for each record: uid, url, final_url, status, class, ...
    pictures/files/ab/ab12...    one file for each different picture, named by the SHA-256 of its unchanged bytes
    pictures/images/<image id>.jpg    the same files under the names that `dataset_scripts.build` expects

An address is asked until it has a class: `ok`, `permanent` (there is no picture), `transient` (there may be one later) or
`refused` (we do not take it: robots.txt, noai, limits, addresses that are not public).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import PIL.Image

from dataset_scripts.audit.looks import MAX_DIFFERENT_BITS, alike_looks, difference_hash
from dataset_scripts.build.pictures import FORMAT_SUFFIXES, find_unsafe_part
from dataset_scripts.parquet import move_folder
from reports_2mner.files import whole_file, write_file

CLASSES = ("ok", "permanent", "transient", "refused")
FOLDER = " folder:"  # before an image id: a picture that is not fetched; with a blank, as no address of a record has
MAX_PIXELS = 64_000_000  # as in modeling_2mner.images, which is slow to load; a test holds them equal
MAX_REASON = 300  # characters
MAX_SCANS = 100  # of a JPEG; each is decoded at full size, so that a small file can take hours
SECONDS_OF_ROBOTS = 24 * 3600  # how long robots.txt is believed (RFC 9309)
# Where known sites lead to once a picture is gone (SQL patterns of final addresses).
REMOVED_ADDRESSES = ("%://i.imgur.com/removed.png%", "%/photo_unavailable%.png%", "%tinypic.com/images/404.gif%")
_PORTS = {"http": 80, "https": 443}
_TABLES = """
CREATE TABLE IF NOT EXISTS pictures (
    url TEXT PRIMARY KEY, host TEXT NOT NULL, final_url TEXT, status TEXT, class TEXT, reason TEXT,
    attempts INTEGER NOT NULL DEFAULT 0, sha256 TEXT, suffix TEXT, bytes INTEGER, width INTEGER, height INTEGER,
    look TEXT, alike TEXT, time TEXT
);
CREATE INDEX IF NOT EXISTS by_look ON pictures (look);
CREATE TABLE IF NOT EXISTS images (image_id TEXT PRIMARY KEY, url TEXT, address TEXT);
CREATE INDEX IF NOT EXISTS by_url ON images (url);
CREATE TABLE IF NOT EXISTS records (uid TEXT PRIMARY KEY, image_id TEXT);
CREATE TABLE IF NOT EXISTS robots (origin TEXT PRIMARY KEY, text TEXT, time REAL);
CREATE VIEW IF NOT EXISTS manifest AS
    SELECT uid, image_id, address AS url, final_url, status, class, reason, attempts, sha256, bytes, width, height, time
    FROM records LEFT JOIN images USING (image_id) LEFT JOIN pictures USING (url);
"""
_PENDING = "FROM pictures WHERE class IS NULL AND url IN (SELECT url FROM images)"
_IMAGES = """SELECT image_id, url, address, status, class, sha256, suffix, width, height, alike
    FROM images LEFT JOIN pictures USING (url)"""


@dataclass(frozen=True)
class Picture:
    """A picture that decodes: its bytes, and its size in pixels when it is upright."""

    sha256: str
    suffix: str  # by its contents
    bytes: int
    width: int
    height: int
    look: str | None  # its difference hash, 16 hexadecimal digits; None for a flat picture


@dataclass(frozen=True)
class Outcome:
    """What became of one request, or of an address in the end."""

    status: str  # `ok`, or the fault in one or two words that are always the same for the same fault
    kind: str  # one of `CLASSES`
    reason: str = ""  # the fault in full
    picture: Picture | None = None
    again: bool = False  # whether it is worth asking again in the same run
    reached: bool = True  # whether the host answered at all
    wait: float | None = None  # seconds that the host asks to wait
    redirect: str | None = None  # the address to ask in place of this one


def origin_of(url: str) -> str | None:
    """Return scheme, host and port (unless it is the standard one) of an address; None if it is not of http or https."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        return None
    if scheme not in _PORTS or not host:
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if port in (None, _PORTS[scheme]) else f"{scheme}://{host}:{port}"


def plain_url(url: str) -> str:
    """Return an address in the form in which it is asked once: without fragment, blanks around it and standard port."""
    url = url.strip()
    origin = origin_of(url)
    if origin is None or "@" in (parts := urlsplit(url)).netloc:
        return url
    return f"{origin}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")


def examine(data: bytes, max_pixels: int = MAX_PIXELS) -> Outcome:
    """Decode a picture; any fault is told in the outcome, never raised."""
    from modeling_2mner.images import FORMATS, load_image, open_picture

    try:
        with open_picture(data) as header:
            (width, height), suffix = header.size, FORMAT_SUFFIXES[str(header.format)]
    except PIL.Image.DecompressionBombError as error:
        return Outcome("too many pixels", "refused", str(error))
    except Exception as error:  # Pillow raises a dozen unrelated kinds for broken files
        is_other = isinstance(error, PIL.UnidentifiedImageError)  # whose message is an address in memory
        reason = f"none of {', '.join(FORMATS)}" if is_other else f"{type(error).__name__}: {error}"
        return Outcome("no picture", "permanent", reason)
    if width * height > max_pixels:
        return Outcome("too many pixels", "refused", f"{width} x {height} pixels, more than {max_pixels}")
    if suffix == ".jpg" and data.count(b"\xff\xda") > MAX_SCANS:
        return Outcome("too many scans", "refused", f"a JPEG of more than {MAX_SCANS} scans")
    loaded = load_image(data)
    if loaded.image is None:
        return Outcome(loaded.status, "permanent", loaded.reason)
    look = difference_hash(loaded.image)
    shown = None if look is None else f"{look:016x}"
    picture = Picture(hashlib.sha256(data).hexdigest(), suffix, len(data), *loaded.image.size, look=shown)
    return Outcome("ok", "ok", picture=picture)


class PictureStore:
    """The pictures of a work folder, and their manifest; used by one thread of one process at a time.

    Args:
        work: the work folder.
        only_read: whether this is one of several that only ask for `image`.
    """

    def __init__(self, work: Path, only_read: bool = False) -> None:
        self.folder = work / "pictures"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._only_read = only_read
        self._base = sqlite3.connect(self.folder / "manifest.sqlite", isolation_level=None)
        if not only_read:
            self._base.execute("PRAGMA journal_mode = WAL")  # what was committed stays when the process is killed
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.executescript(_TABLES)

    def close(self) -> None:
        """Close the manifest, as one file that other machines can read, too."""
        if not self._only_read:
            self._base.execute("PRAGMA journal_mode = DELETE")
        self._base.close()

    def list_records(self, rows: Iterable[tuple[str, str, str | None]]) -> None:
        """Replace the list of records, each a uid, an image id and an address, by this one.

        All records with the same image id share the first address.
        """
        with self._transaction():
            self._base.execute("DELETE FROM records")
            self._base.execute("DELETE FROM images")
            for uid, image_id, address in rows:
                url = plain_url(address) if address and not address.startswith(FOLDER) else address
                self._base.execute("INSERT OR IGNORE INTO records VALUES (?, ?)", (uid, image_id))
                self._base.execute(
                    "INSERT INTO images VALUES (?, ?, ?) ON CONFLICT (image_id) DO UPDATE SET "
                    "url = excluded.url, address = excluded.address WHERE url IS NULL",
                    (image_id, url, address),
                )
                if url:
                    new = "INSERT OR IGNORE INTO pictures (url, host) VALUES (?, ?)"
                    self._base.execute(new, (url, origin_of(url) or ""))

    def forget(self, kinds: Iterable[str] = ()) -> None:
        """Have addresses asked again: those of some classes, and those whose file is gone; attempts are kept."""
        again = "UPDATE pictures SET class = NULL, status = NULL, reason = NULL WHERE"
        self._base.executemany(f"{again} class = ?", ((kind,) for kind in kinds))
        files = self._base.execute("SELECT url, sha256, suffix FROM pictures WHERE sha256 IS NOT NULL")
        lost = [(url,) for url, sha256, suffix in files if not self._path(sha256, suffix).exists()]
        self._base.executemany(f"{again} url = ?", lost)

    def pending(self) -> Iterator[str]:
        """Yield the addresses without a class: one of each host, then a second one of each, and so on."""
        order = "ORDER BY row_number() OVER (PARTITION BY host ORDER BY url), url"  # read to the end before the first
        yield from (url for (url,) in self._base.execute(f"SELECT url {_PENDING} {order}"))

    def count_pending(self) -> int:
        """Return how many addresses have no class."""
        return int(self._base.execute(f"SELECT count(*) {_PENDING}").fetchone()[0])

    def keep(self, url: str, outcome: Outcome, final_url: str, attempts: int) -> None:
        """Write down what became of an address."""
        picture = vars(outcome.picture) if outcome.picture else dict.fromkeys(Picture.__dataclass_fields__)
        values = {"status": outcome.status, "class": outcome.kind, "reason": outcome.reason[:MAX_REASON], **picture}
        values |= {"final_url": final_url, "time": datetime.now(timezone.utc).isoformat(timespec="seconds")}
        places = ", ".join(f"{name} = :{name}" for name in values)
        self._base.execute(
            f"UPDATE pictures SET {places}, attempts = attempts + :attempts WHERE url = :url",
            {**values, "url": url, "attempts": attempts},
        )

    def write(self, data: bytes, picture: Picture) -> None:
        """Write a picture under the name of its contents; called from any thread."""
        path = self._path(picture.sha256, picture.suffix)
        if not path.exists() or path.stat().st_size != len(data):
            write_file(path, data)

    def robots(self, origin: str) -> str | None:
        """Return the text of robots.txt of an origin, if it was read within the last day."""
        query = "SELECT text FROM robots WHERE origin = ? AND time > ?"
        row = self._base.execute(query, (origin, time.time() - SECONDS_OF_ROBOTS)).fetchone()
        return row[0] if row else None

    def keep_robots(self, origin: str, text: str) -> None:
        """Write down the text of robots.txt of an origin."""
        self._base.execute("INSERT OR REPLACE INTO robots VALUES (?, ?, ?)", (origin, text, time.time()))

    def mark_removed(self, examples: Iterable[Picture]) -> None:
        """Take pictures that look like one of the examples, or come from a known address, for what they say: none."""
        mark = "UPDATE pictures SET status = 'removed', class = 'permanent' WHERE class = 'ok' AND"
        self._base.create_function("different_bits", 2, _different_bits, deterministic=True)
        with self._transaction():
            self._base.execute("UPDATE pictures SET status = 'ok', class = 'ok' WHERE status = 'removed'")
            self._base.executemany(f"{mark} final_url LIKE ?", ((pattern,) for pattern in REMOVED_ADDRESSES))
            for example in examples:
                self._base.execute(f"{mark} sha256 = ?", (example.sha256,))
                if example.look:
                    self._base.execute(f"{mark} different_bits(look, ?) <= ?", (example.look, MAX_DIFFERENT_BITS))

    def group_alike(self) -> None:
        """Give pictures that look alike one name, in `alike`: the smallest difference hash among them."""
        used = "class = 'ok' AND look IS NOT NULL AND url IN (SELECT url FROM images)"
        looks = [int(look, 16) for (look,) in self._base.execute(f"SELECT DISTINCT look FROM pictures WHERE {used}")]
        names = ((f"{first:016x}", f"{look:016x}") for look, first in alike_looks(looks).items())
        with self._transaction():
            self._base.execute("UPDATE pictures SET alike = coalesce(look, substr(sha256, 1, 16))")
            self._base.executemany("UPDATE pictures SET alike = ? WHERE look = ?", names)

    def link_images(self) -> None:
        """Make the folder `images` again, with `<image id>.jpg` for every picture that there is now."""
        with TemporaryDirectory(dir=self.folder, prefix=".images-") as workplace:
            fresh = Path(workplace, "images")
            fresh.mkdir()
            for image_id, sha256, suffix in self._base.execute(
                "SELECT image_id, sha256, suffix FROM images JOIN pictures USING (url) WHERE class = 'ok'"
            ):
                if not find_unsafe_part(image_id):
                    link_file(self._path(sha256, suffix), fresh / f"{image_id}.jpg")
            move_folder(fresh, self.folder / "images")

    def image(self, image_id: str) -> dict[str, Any]:
        """Return what is known of the picture of an image id; an empty mapping if it has no address."""
        found = self._base.execute(f"{_IMAGES} WHERE image_id = ? AND url IS NOT NULL", (image_id,))
        row = found.fetchone()
        return dict(zip([column[0] for column in found.description], row, strict=True)) if row else {}

    def digest(self) -> str:
        """Return a hash of all that goes into the records."""
        total = hashlib.sha256()
        for row in self._base.execute(f"{_IMAGES} ORDER BY image_id"):
            total.update(repr(row).encode())
        return total.hexdigest()

    def _path(self, sha256: str, suffix: str) -> Path:
        return self.folder / "files" / sha256[:2] / f"{sha256}{suffix}"

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        with self._base:  # commits, or rolls back
            yield


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where there are no hard links, or too many."""
    with whole_file(target) as draft:
        try:
            os.link(source, draft)
        except OSError:
            shutil.copyfile(source, draft)


def _different_bits(first: str | None, second: str) -> int | None:
    return None if first is None else (int(first, 16) ^ int(second, 16)).bit_count()
