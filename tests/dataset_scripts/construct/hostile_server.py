"""A web server on this machine with good, broken and hostile answers, chosen by the first part of the path.

`/KIND/NAME` is answered by `ANSWERS[KIND]`; `requests` counts the paths that were asked for.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Event, Lock, Thread

import numpy as np
from PIL import Image

ROBOTS = "User-agent: *\nDisallow: /disallowed/\nDisallow: /*a*a*a*a*a*a*a*a*b$\n"


def draw(name: str, kind: str = "JPEG", size: tuple[int, int] = (48, 40)) -> bytes:
    """A picture of blocks; the same name gives the same picture."""
    seed = zlib.crc32(name.encode())
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    out = BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).save(out, kind)
    return out.getvalue()


def large_png() -> bytes:
    """The beginning of a picture of 400 megapixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + b"\0\0\0\x40IDAT"
        + b"\0" * 68
    )


def plain(body: bytes = b"", status: int = 200, **headers: str) -> Callable:
    def write(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return write


def raw(*parts: bytes, forever: bytes = b"", pause: float = 0.0) -> Callable:
    """Send bytes as they are, and then others again and again until the client hangs up."""

    def write(request: BaseHTTPRequestHandler) -> None:
        for part in parts:
            request.wfile.write(part)
        while forever and not request.server.over.is_set():  # type: ignore[attr-defined]
            request.wfile.write(forever)
            request.server.over.wait(pause)  # type: ignore[attr-defined]

    return write


def picture(kind: str = "JPEG", **headers: str) -> Callable:
    return lambda request: plain(draw(request.path, kind), **headers)(request)


def silent(request: BaseHTTPRequestHandler) -> None:
    request.server.over.wait(30)  # type: ignore[attr-defined]


def at_second(status: int, **headers: str) -> Callable:
    def write(request: BaseHTTPRequestHandler) -> None:
        first = request.server.requests[request.path] == 1  # type: ignore[attr-defined]
        (plain(status=status, **headers) if first else picture())(request)

    return write


def to_picture(request: BaseHTTPRequestHandler) -> None:
    plain(status=302, Location=request.path.replace("/redirect/", "/good/"))(request)


def loop(request: BaseHTTPRequestHandler) -> None:
    plain(status=302, Location=request.path)(request)


GOOD = draw("good")
HEAD = b"HTTP/1.1 200 OK\r\n"
SOON = format_datetime(datetime.now(timezone.utc) - timedelta(hours=1), usegmt=True)
# By the class that an address ends in.
ANSWERS: dict[str, dict[str, Callable]] = {
    "ok": {
        "good": picture(),
        "png": picture("PNG"),
        "gif": picture("GIF"),
        "webp": picture("WEBP"),
        "same": plain(GOOD),
        "redirect": to_picture,
        "no-length": raw(HEAD + b"\r\n" + GOOD),
        "chunked": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)),
        "wrong-type": picture(**{"Content-Type": "text/html"}),
        "negative-length": raw(HEAD + b"Content-Length: -1\r\n\r\n" + GOOD),
        "flaky-503": at_second(503),
        "flaky-429": at_second(429, Retry_After="0"),
        "flaky-date": at_second(429, Retry_After=SOON),
        "flaky-nonsense": at_second(503, Retry_After="-7 moons"),
    },
    "permanent": {
        "missing": plain(status=404),
        "gone": plain(status=410),
        "forbidden": plain(status=403),
        "no-content": plain(status=204),
        "partial": plain(GOOD, status=206),
        "html": plain(b"<html>not here</html>", Content_Type="image/jpeg"),
        "empty": plain(),
        "svg": plain(b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        "truncated": plain(GOOD[: len(GOOD) // 2]),
        "corrupt": plain(GOOD[:200] + b"\xff\xd9" * 300),
        "tiny": plain(draw("tiny", "GIF", (1, 1))),
        "ruler": plain(draw("ruler", "PNG", (1000, 9))),
        "loop": loop,
        "to-nonsense": plain(status=302, Location="http://[::1/"),
        "bad-length": raw(HEAD + b"Content-Length: many\r\n\r\n"),
        "compressed": plain(zlib.compress(b"\0" * 1_000_000), Content_Encoding="deflate"),
    },
    "transient": {
        "error": plain(status=500),
        "busy": plain(status=503, Retry_After="0"),
        "too-many": plain(status=429),
        "early": plain(status=425),
        "slow": plain(status=408),
        "strange": plain(status=599),
        "cut-short": plain(GOOD, **{"Content-Length": "999999"}),
        "hang-up": raw(b""),
        "garbage": raw(b"\0\1\2 nonsense\r\n\r\n"),
        "many-headers": raw(HEAD + b"X: y\r\n" * 500 + b"\r\n"),
        "long-header": raw(HEAD + b"X: " + b"y" * 100_000 + b"\r\n\r\n"),
        "bad-chunk": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "silent": silent,
        "drip": raw(HEAD + b"\r\n", forever=b"x", pause=0.05),
        "drip-header": raw(HEAD + b"X: ", forever=b"x", pause=0.05),
        "continue": raw(forever=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.01),
    },
    "refused": {
        "disallowed": picture(),
        "noai": picture(X_Robots_Tag="noindex, NoAI"),
        "noimageai": picture(X_Robots_Tag="otherbot: noimageai"),
        "announced": plain(GOOD, **{"Content-Length": "99999999"}),
        "endless": raw(HEAD + b"\r\n", forever=b"x" * 65_536),
        "many-pixels": plain(large_png()),
        "many-scans": plain(GOOD[:-2] + b"\xff\xda" * 2_000),
        "to-metadata": plain(status=302, Location="http://169.254.169.254/latest/meta-data"),
        "to-private": plain(status=301, Location="//10.0.0.1/a.jpg"),
        "to-mapped": plain(status=307, Location="http://[::ffff:192.168.0.1]/a.jpg"),
        "to-file": plain(status=302, Location="file:///etc/hostname"),
        "to-data": plain(status=302, Location="data:image/gif;base64,R0lGOD=="),
        "to-disallowed": plain(status=302, Location="/disallowed/a.jpg"),
    },
}
KIND_OF = {name: kind for kind, answers in ANSWERS.items() for name in answers}
# Addresses that no server need answer, by the class that they end in.
NOWHERE = {
    "refused": [
        *("http://10.0.0.1/a.jpg", "http://192.168.1.1/", "http://172.16.0.1/a", "http://169.254.169.254/latest"),
        *("http://[fc00::1]/a.jpg", "http://[fe80::1]/", "http://[::ffff:10.0.0.1]/", "http://0.0.0.0/", "http://0/"),
        *(
            "http://100.64.0.1/",
            "http://224.0.0.1/",
            "http://user:word@10.0.0.1/",
            "https://10.0.0.2/",
            "http://0x0a000001/",
        ),
        *(
            "http://",
            "http:///a.jpg",
            "http://[::1",
            "http://8.8.8.8:99999/",
            "http://8.8.8.8:port/",
            "not an address",
        ),
        *("file:///etc/passwd", "ftp://example.org/a.jpg", "gopher://example.org", "data:image/png;base64,AAAA"),
        *("javascript:alert(1)", "//example.org/a.jpg", "C:\\a.jpg", "../a.jpg", "HTTP:", "s3://bucket/a.jpg"),
    ],
    "permanent": ["http://ex\0ample/", "http://exa mple/a.jpg", f"http://{'a' * 70}.example/", "http://a..example/"],
    "transient": ["http://127.0.0.1:9/closed.jpg", "http://nowhere.example/a.jpg"],
}


class HostileServer(ThreadingHTTPServer):
    """Answers until it is closed."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.over = Event()
        self.robots = plain(ROBOTS.encode())
        self._lock = Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def count(self, path: str, agent: str) -> None:
        with self._lock:
            self.requests[path] += 1
            self.agents.add(agent)

    def close(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    server: HostileServer

    def do_GET(self) -> None:
        self.server.count(self.path, self.headers.get("User-Agent", ""))
        if self.path == "/robots.txt":
            return self.server.robots(self)
        kind = self.path.split("/")[1]
        with suppress(OSError):
            ANSWERS[KIND_OF[kind]][kind](self) if kind in KIND_OF else plain(status=404)(self)

    def log_message(self, *_) -> None:
        pass


if __name__ == "__main__":  # serve until stopped
    print(HostileServer().url("/"), flush=True)
    time.sleep(1e9)
