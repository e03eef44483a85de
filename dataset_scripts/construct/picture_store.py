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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import PIL
import PIL.Image

from dataset_scripts.audit.looks import MAX_DIFFERENT_BITS, difference_hash, similar_looks
from dataset_scripts.build.pictures import FORMAT_SUFFIXES, find_unsafe_part
from dataset_scripts.parquet import file_sha256
from modeling_2mner.images import FORMATS, MAX_PIXELS, load_image, open_picture
from reports_2mner.files import whole_file, write_file

CLASSES = ("ok", "permanent", "transient", "refused")
FOLDER = "folder:"  # before an image id: a picture that was not fetched
MAX_REASON = 300  # characters
MAX_SCANS = 100  # of a JPEG; each is decoded at full size, so that a small file can take hours
SECONDS_OF_ROBOTS = 24 * 3600  # how long robots.txt is believed (RFC 9309)
# Where known sites lead to once a picture is gone (SQL patterns of final addresses).
REMOVED_ADDRESSES = ("%://i.imgur.com/removed.png%", "%/photo_unavailable%.png%", "%tinypic.com/images/404.gif%")
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


@dataclass(frozen=True)
class Picture:
    """A picture that decodes.

    Args:
        sha256: of its bytes.
        suffix: such as .jpg, by its contents.
        bytes: how many.
        width: in pixels, upright.
        height: in pixels.
        look: 16 hexadecimal digits of its difference hash; None for a flat one.
    """

    sha256: str
    suffix: str
    bytes: int
    width: int
    height: int
    look: str | None


@dataclass(frozen=True)
class Outcome:
    """What became of one request, or of an address in the end.

    Args:
        status: `ok`, or the fault in one or two words that are always the same for the same fault.
        kind: one of `CLASSES`.
        reason: the fault in full.
        picture: if there is one.
        again: whether it is worth asking again in the same run.
        reached: whether the host answered at all.
        wait: seconds that the host asks to wait.
        redirect: the address to ask in place of this one.
    """

    status: str
    kind: str
    reason: str = ""
    picture: Picture | None = None
    again: bool = False
    reached: bool = True
    wait: float | None = None
    redirect: str | None = None


def plain_url(url: str) -> str:
    """Return an address in the form in which it is asked once: without fragment, blanks around it and standard port."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        return url
    if scheme not in ("http", "https") or not host or "@" in parts.netloc:
        return url
    host = f"[{host}]" if ":" in host else host
    netloc = host if port in (None, {"http": 80, "https": 443}[scheme]) else f"{host}:{port}"
    return urlunsplit((scheme, netloc, parts.path or "/", parts.query, ""))


def host_of(url: str) -> str:
    """Return the host of an address; empty if it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def examine(data: bytes, max_pixels: int = MAX_PIXELS) -> Outcome:
    """Decode a picture; any fault is told in the outcome, never raised."""
    try:
        with open_picture(data) as header:
            size, suffix = header.size, FORMAT_SUFFIXES[str(header.format)]
    except PIL.Image.DecompressionBombError as error:
        return Outcome("too many pixels", "refused", str(error))
    except Exception as error:  # Pillow raises a dozen unrelated kinds for broken files
        is_other = isinstance(error, PIL.UnidentifiedImageError)  # whose message is an address in memory
        reason = f"none of {', '.join(FORMATS)}" if is_other else f"{type(error).__name__}: {error}"
        return Outcome("no picture", "permanent", reason)
    if size[0] * size[1] > max_pixels:
        return Outcome("too many pixels", "refused", f"{size[0]} x {size[1]} pixels, more than {max_pixels}")
    if suffix == ".jpg" and data.count(b"\xff\xda") > MAX_SCANS:
        return Outcome("too many scans", "refused", f"a JPEG of more than {MAX_SCANS} scans")
    loaded = load_image(data)
    if loaded.image is None:
        return Outcome(loaded.status, "permanent", loaded.reason)
    look = difference_hash(loaded.image)
    digest = hashlib.sha256(data).hexdigest()
    width, height = loaded.image.size
    return Outcome(
        "ok",
        "ok",
        picture=Picture(digest, suffix, len(data), width, height, None if look is None else f"{look:016x}"),
    )


class PictureStore:
    """The pictures of a work folder, and their manifest; used by one thread of one process at a time.

    Args:
        work: the work folder.
        only_read: whether this is one of several that only ask for `image`.
    """

    def __init__(self, work: Path, only_read: bool = False) -> None:
        self.folder = work / "pictures"
        self.images = self.folder / "images"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._only_read = only_read
        self._base = sqlite3.connect(self.folder / "manifest.sqlite", isolation_level=None)
        if not only_read:
            self._base.execute("PRAGMA journal_mode = WAL")  # what was committed stays when the process is killed
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.executescript(_TABLES)
        self._base.create_function("different_bits", 2, _different_bits, deterministic=True)

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
                url = plain_url(address) if address else None
                self._base.execute("INSERT OR IGNORE INTO records VALUES (?, ?)", (uid, image_id))
                self._base.execute(
                    "INSERT INTO images VALUES (?, ?, ?) ON CONFLICT (image_id) DO UPDATE SET "
                    "url = excluded.url, address = excluded.address WHERE url IS NULL",
                    (image_id, url, address),
                )
                if url:
                    row = (url, "" if url.startswith(FOLDER) else host_of(url))
                    self._base.execute("INSERT OR IGNORE INTO pictures (url, host) VALUES (?, ?)", row)

    def forget(self, kinds: Iterable[str]) -> None:
        """Have addresses of some classes asked again; the number of attempts is kept."""
        for kind in kinds:
            self._base.execute(
                "UPDATE pictures SET class = NULL, status = NULL, reason = NULL WHERE class = ?", (kind,)
            )

    def forget_lost(self) -> None:
        """Have addresses asked again whose file is gone from the folder."""
        rows = self._base.execute(
            "SELECT url, sha256, suffix FROM pictures WHERE sha256 IS NOT NULL AND class IS NOT NULL"
        )
        lost = [(url,) for url, *names in rows if not self._path(*names).exists()]
        self._base.executemany("UPDATE pictures SET class = NULL WHERE url = ?", lost)

    def pending(self) -> Iterator[str]:
        """Yield the addresses without a class: one of each host, then a second one of each, and so on."""
        self._base.execute("CREATE TEMP TABLE IF NOT EXISTS queue (url TEXT)")
        self._base.execute("DELETE FROM queue")
        self._base.execute(
            "INSERT INTO queue SELECT url FROM pictures WHERE class IS NULL AND url IN (SELECT url FROM images) "
            "ORDER BY row_number() OVER (PARTITION BY host ORDER BY url), url"
        )
        yield from (url for (url,) in self._base.execute("SELECT url FROM queue ORDER BY rowid"))

    def count_pending(self) -> int:
        """Return how many addresses have no class."""
        query = "SELECT count(*) FROM pictures WHERE class IS NULL AND url IN (SELECT url FROM images)"
        return int(self._base.execute(query).fetchone()[0])

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
        with self._transaction():
            self._base.execute("UPDATE pictures SET status = 'ok', class = 'ok' WHERE status = 'removed'")
            mark = "UPDATE pictures SET status = 'removed', class = 'permanent' WHERE class = 'ok' AND "
            for pattern in REMOVED_ADDRESSES:
                self._base.execute(f"{mark} final_url LIKE ?", (pattern,))
            for example in examples:
                self._base.execute(f"{mark} sha256 = ?", (example.sha256,))
                if example.look:
                    self._base.execute(f"{mark} different_bits(look, ?) <= ?", (example.look, MAX_DIFFERENT_BITS))

    def group_alike(self) -> None:
        """Give pictures that look alike one name, in `alike`: the smallest difference hash among them."""
        used = "class = 'ok' AND url IN (SELECT url FROM images)"
        looks = [
            int(look, 16) for (look,) in self._base.execute(f"SELECT DISTINCT look FROM pictures WHERE {used}") if look
        ]
        with self._transaction():
            self._base.execute("UPDATE pictures SET alike = coalesce(look, substr(sha256, 1, 16))")
            self._base.executemany(
                "UPDATE pictures SET alike = ? WHERE look = ?",
                ((f"{first:016x}", f"{look:016x}") for look, first in _smallest(similar_looks(looks)).items()),
            )

    def link_images(self) -> None:
        """Make `images/<image id>.jpg` for every picture, and remove what is none any more."""
        self.images.mkdir(exist_ok=True)
        with os.scandir(self.images) as entries:
            for entry in entries:
                if not self._is_current(entry):
                    os.unlink(entry.path)
        query = "SELECT image_id, sha256, suffix FROM images JOIN pictures USING (url) WHERE class = 'ok'"
        for image_id, sha256, suffix in self._base.execute(query):
            path = self.images / f"{image_id}.jpg"
            if not find_unsafe_part(image_id) and not path.exists():
                with whole_file(path) as draft:
                    _link(self._path(sha256, suffix), draft)

    def _is_current(self, entry: os.DirEntry[str]) -> bool:
        query = "SELECT sha256, suffix FROM images JOIN pictures USING (url) WHERE class = 'ok' AND image_id = ?"
        row = self._base.execute(query, (entry.name.removesuffix(".jpg"),)).fetchone()
        path = self._path(*row) if row else None
        return path is not None and (os.path.samefile(entry.path, path) or file_sha256(Path(entry.path)) == row[0])

    def image(self, image_id: str) -> Mapping[str, Any]:
        """Return what is known of the picture of an image id; an empty mapping if it has no address."""
        found = self._base.execute(
            "SELECT url, address, status, class, sha256, suffix, width, height, alike FROM images "
            "JOIN pictures USING (url) WHERE image_id = ?",
            (image_id,),
        )
        row = found.fetchone()
        return dict(zip([column[0] for column in found.description], row, strict=True)) if row else {}

    def digest(self) -> str:
        """Return a hash of all that goes into the records."""
        total = hashlib.sha256()
        for row in self._base.execute(
            "SELECT image_id, address, status, class, sha256, suffix, width, height, alike FROM images "
            "LEFT JOIN pictures USING (url) ORDER BY image_id"
        ):
            total.update(repr(row).encode())
        return total.hexdigest()

    def _path(self, sha256: str, suffix: str) -> Path:
        return self.folder / "files" / sha256[:2] / f"{sha256}{suffix}"

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")


def _different_bits(first: str | None, second: str) -> int | None:
    return None if first is None else (int(first, 16) ^ int(second, 16)).bit_count()


def _smallest(near: Mapping[int, Iterable[int]]) -> dict[int, int]:
    """Return for each hash the smallest of those that can be reached through neighbours."""
    smallest: dict[int, int] = {}
    for look in sorted(near):
        reached = [] if look in smallest else [look]
        while reached:
            other = reached.pop()
            if other not in smallest:
                smallest[other] = look
                reached += near[other]
    return smallest


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
