from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Event, Thread
from urllib.parse import quote_from_bytes

import numpy as np
import pytest

from modeling_2mner import image_sources
from modeling_2mner.image_sources import PrivateAddress, TooLarge, download, load_image_source
from modeling_2mner.images import LoadedImage


class Web:
    """A web server on this machine: `routes` says how to answer a path, `requests` holds what was asked for."""

    def __init__(self) -> None:
        self.routes: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.requests: list[tuple[str, str]] = []  # path and the header `Host`
        self.over = Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.requests.append((self.path, self.headers["Host"]))
                with suppress(OSError):  # the client may have hung up
                    web.routes.get(self.path.split("?")[0], answer(status=404))(self)

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def address(self, path: str = "/picture.png", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


def answer(body: bytes = b"", status: int = 200, with_length: bool = True, **headers) -> Callable:
    def write(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        if with_length and "Content_Length" not in headers:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return write


def redirect(location: str, status: int = 302) -> Callable:
    return answer(status=status, Location=location)


def drip(whole: bytes, pieces: int = 10) -> Callable:
    """Send a whole response, within half a second."""

    def write(request: BaseHTTPRequestHandler) -> None:
        size = len(whole) // pieces + 1
        for start in range(0, len(whole), size):
            request.wfile.write(whole[start : start + size])
            request.wfile.flush()
            time.sleep(0.05)

    return write


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


@pytest.fixture
def loopback_is_public(monkeypatch):
    """Let pictures be fetched from 127.0.0.1, and from nowhere else."""
    monkeypatch.setattr(image_sources, "_is_public", lambda address: address == "127.0.0.1")


@pytest.fixture
def nothing_connects(monkeypatch):
    def refuse(address, **_):
        raise AssertionError(f"connects to {address}")

    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture
def png(make_picture) -> bytes:
    buffer = BytesIO()
    make_picture(5).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def same(make_picture):
    """Tell whether a picture was read, and is the right one."""

    def compare(loaded: LoadedImage) -> bool:
        right = (loaded.status, loaded.reason) == ("ok", "")
        return right and np.array_equal(np.asarray(loaded.image), np.asarray(make_picture(5)))

    return compare


def unreadable(loaded: LoadedImage, reason: str) -> bool:
    return loaded.image is None and loaded.status == "unreadable" and reason in loaded.reason


def data_uri(data: bytes, kind: str = "image/png;base64") -> str:
    return f"data:{kind},{base64.b64encode(data).decode()}"


class TestNotFromTheWeb:
    @pytest.mark.parametrize("allow_urls", [False, True])
    def test_what_load_image_opens_is_opened(self, png, same, make_picture, tmp_path, allow_urls):
        path = tmp_path / "a.png"
        path.write_bytes(png)
        sources = [png, bytearray(png), path, str(path), make_picture(5)]
        sources += [{"bytes": png, "path": None}, {"bytes": None, "path": str(path)}]
        assert all(same(load_image_source(source, allow_urls)) for source in sources)
        assert load_image_source(None, allow_urls).status == "missing"
        assert load_image_source(str(tmp_path / "b.png"), allow_urls).status == "missing"

    @pytest.mark.parametrize("source", [5, [b"a"], object(), np.zeros((9, 9, 3))])
    def test_what_is_no_picture_is_refused(self, source):
        with pytest.raises(TypeError, match="PIL image, a path, bytes or None"):
            load_image_source(source)

    @pytest.mark.parametrize("kind", ["image/png;base64", "IMAGE/PNG;BASE64", ";base64", "image/png;name=a;base64"])
    def test_a_data_uri(self, png, same, kind):
        uri = data_uri(png, kind)
        assert same(load_image_source(uri))
        assert same(load_image_source(uri.replace("+", "%2B").replace("=", "%3D")))
        assert same(load_image_source("DATA" + uri[4:]))

    def test_a_data_uri_without_base64(self, png, same):
        assert same(load_image_source(f"data:image/png,{quote_from_bytes(png)}"))

    @pytest.mark.parametrize(
        ("uri", "reason"),
        [
            ("data:image/png;base64,a", "not base64"),
            ("data:image/png;base64,äöü", "not base64"),
            ("data:image/png;base64,ab!d", "not base64"),
            ("data:image/png;base64,", "cannot identify"),
            ("data:,hello", "cannot identify"),
            (data_uri(b"GIF89a"), ""),
        ],
    )
    def test_a_data_uri_that_holds_no_picture(self, uri, reason):
        assert unreadable(load_image_source(uri), reason)

    def test_a_data_uri_that_is_too_large(self, png, same, monkeypatch):
        monkeypatch.setattr(image_sources, "MAX_SOURCE_BYTES", len(png))
        assert same(load_image_source(data_uri(png)))
        monkeypatch.setattr(image_sources, "MAX_SOURCE_BYTES", len(png) - 8)
        assert unreadable(load_image_source(data_uri(png)), f"more than {len(png) - 8} bytes")

    def test_addresses_are_not_fetched_unasked(self, web, nothing_connects, loopback_is_public):
        assert unreadable(load_image_source(web.address()), "`allow_urls=True`")
        assert unreadable(load_image_source(web.address().upper()), "`allow_urls=True`")
        assert web.requests == []

    @pytest.mark.parametrize("allow_urls", [False, True])
    @pytest.mark.parametrize("scheme", ["ftp", "file", "gopher", "FILE", "s3"])
    def test_other_schemes_are_never_fetched(self, web, nothing_connects, loopback_is_public, scheme, allow_urls):
        assert unreadable(load_image_source(web.address().replace("http", scheme), allow_urls), "not fetched")
        assert web.requests == []


class TestHosts:
    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1", "127.1", "127.255.255.254", "localhost", "0.0.0.0", "0", "10.1.2.3", "172.16.0.1"),
            *("192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1"),
            *("2130706433", "0x7f000001", "0177.0.0.1", "user:word@127.0.0.1", "192.0.2.1"),
            *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::127.0.0.1]", "[fe80::1]", "[fec0::1]"),
            *("[fc00::1]", "[fd12::1]", "[ff02::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:db8::1]"),
            "[2001:0:7f00:1::]",
        ],
    )
    def test_hosts_that_are_not_public_are_refused(self, web, nothing_connects, host):
        assert unreadable(load_image_source(web.address(host=host), allow_urls=True), "which is not a public address")

    @pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"])
    def test_public_addresses_are_not(self, address):
        assert image_sources._is_public(address)

    @pytest.mark.parametrize("private", ["10.0.0.1", "::1", "fe80::1%2"])
    def test_a_host_with_one_private_address_is_refused(self, nothing_connects, monkeypatch, private):
        found = [(0, 0, 0, "", (address, 80)) for address in ("8.8.8.8", private)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert unreadable(load_image_source("http://picture.example/", True), f"picture.example is at {private}")

    def test_a_host_is_looked_up_once(self, web, png, same, monkeypatch, loopback_is_public):
        web.routes["/picture.png"] = answer(png)
        answers = [[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", web.port))]]
        look_up = socket.getaddrinfo
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *rest, **named: answers.pop() if host == "picture.example" else look_up(host, *rest, **named),
        )
        assert same(load_image_source(web.address(host="picture.example"), True))
        assert web.requests == [("/picture.png", f"picture.example:{web.port}")] and not answers

    def test_a_host_that_does_not_exist_is_told(self, monkeypatch):
        def look_up(*_, **__):
            raise socket.gaierror("Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        assert unreadable(load_image_source("http://picture.example/a.png", True), "Name or service not known")

    @pytest.mark.parametrize(
        "address", ["http://", "http:///a.png", "http://[::1/", "http://8.8.8.8:99999/", "http://."]
    )
    def test_an_address_that_is_none_is_told(self, nothing_connects, address):
        assert unreadable(load_image_source(address, True), "")

    def test_https_is_not_http(self, web, loopback_is_public):
        assert unreadable(load_image_source(web.address().replace("http", "https"), True), "SSL")
        assert web.requests == []


@pytest.mark.usefixtures("loopback_is_public")
class TestDownload:
    @pytest.mark.parametrize("with_length", [True, False])
    def test_a_picture(self, web, png, same, with_length):
        web.routes["/picture.png"] = answer(png, with_length=with_length)
        assert same(load_image_source(web.address(), True))
        assert same(load_image_source(web.address().replace("http", "HTTP"), True))
        assert [path for path, _ in web.requests] == ["/picture.png"] * 2

    def test_a_picture_in_chunks(self, web, png, same):
        body = b"%x\r\n%s\r\n5\r\n%s\r\n0\r\n\r\n" % (len(png) - 5, png[:-5], png[-5:])
        web.routes["/picture.png"] = drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body, pieces=2)
        assert same(load_image_source(web.address(), True))

    def test_blanks_and_umlauts_are_quoted_once(self, web, png, same):
        web.routes["/K%C3%B6ln%20(1).png"] = answer(png)
        assert same(load_image_source(web.address("/Köln (1).png?größe=a+b&c=%20#teil"), True))
        assert web.requests[0][0] == "/K%C3%B6ln%20(1).png?gr%C3%B6%C3%9Fe=a+b&c=%20"

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirects_are_followed(self, web, png, same, status):
        web.routes["/picture.png"] = redirect("moved", status)
        web.routes["/moved"] = redirect(web.address("/again"), status)
        web.routes["/again"] = answer(png)
        assert same(load_image_source(web.address(), True))

    def test_redirects_have_an_end(self, web, png, same):
        web.routes |= {f"/{number}": redirect(f"/{number + 1}") for number in range(4)}
        web.routes["/4"] = answer(png)
        assert same(load_image_source(web.address("/1"), True))
        web.requests.clear()
        assert unreadable(load_image_source(web.address("/0"), True), "more than 3 redirects")
        assert [path for path, _ in web.requests] == ["/0", "/1", "/2", "/3"]

    @pytest.mark.parametrize(
        ("location", "reason"),
        [
            ("http://127.0.0.2:{port}/b.png", "not a public address"),
            ("http://[::1]:{port}/b.png", "not a public address"),
            ("//10.0.0.1/b.png", "not a public address"),
            ("file:///etc/hostname", "only http and https"),
            ("ftp://127.0.0.1:{port}/b.png", "only http and https"),
            ("data:image/png;base64,AAAA", "only http and https"),
        ],
    )
    def test_redirects_lead_nowhere_else(self, web, location, reason):
        web.routes["/picture.png"] = redirect(location.format(port=web.port))
        assert unreadable(load_image_source(web.address(), True), reason)
        assert len(web.requests) == 1

    @pytest.mark.parametrize("status", [204, 206, 404, 500])
    def test_other_answers_are_told(self, web, png, status):
        web.routes["/picture.png"] = answer(png, status)
        assert unreadable(load_image_source(web.address(), True), f"the server answered {status}")

    @pytest.mark.parametrize("answered", [b"", b"nonsense\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: x\r\n\r\n"])
    def test_an_answer_that_is_none_is_told(self, web, answered):
        web.routes["/picture.png"] = drip(answered, pieces=1)
        assert unreadable(load_image_source(web.address(), True), "")

    def test_a_page_is_no_picture(self, web):
        web.routes["/picture.png"] = answer(b"<html></html>")
        assert unreadable(load_image_source(web.address(), True), "cannot identify image")

    def test_a_picture_that_ends_early_is_none(self, web, png):
        web.routes["/picture.png"] = answer(png[:-900], Content_Length=str(len(png)))
        assert unreadable(load_image_source(web.address(), True), "")

    @pytest.mark.parametrize("with_length", [True, False])
    def test_a_large_picture_is_left(self, web, png, same, monkeypatch, with_length):
        web.routes["/picture.png"] = answer(png, with_length=with_length)
        monkeypatch.setattr(image_sources, "MAX_SOURCE_BYTES", len(png))
        assert same(load_image_source(web.address(), True))
        monkeypatch.setattr(image_sources, "MAX_SOURCE_BYTES", len(png) - 1)
        assert unreadable(load_image_source(web.address(), True), f"more than {len(png) - 1} bytes")

    def test_a_picture_that_is_announced_as_large_is_not_read(self, web, png):
        web.routes["/picture.png"] = answer(png, Content_Length=str(image_sources.MAX_SOURCE_BYTES + 1))
        assert unreadable(load_image_source(web.address(), True), f"more than {image_sources.MAX_SOURCE_BYTES} bytes")

    @pytest.mark.parametrize("part", ["header", "body"])
    def test_a_dripping_server_is_left(self, web, png, same, monkeypatch, part):
        head = b"HTTP/1.0 200 OK\r\n"
        slow = head + b"X: %s\r\n\r\n" % (b"y" * 5 * len(png)) + png if part == "header" else head + b"\r\n" + png
        web.routes["/picture.png"] = drip(slow)
        assert same(load_image_source(web.address(), True))
        monkeypatch.setattr(image_sources, "MAX_SECONDS", 0.15)
        assert unreadable(load_image_source(web.address(), True), "no picture within 0.15 seconds")

    def test_a_silent_server_is_left(self, web, monkeypatch):
        web.routes["/picture.png"] = lambda _: web.over.wait(10)
        monkeypatch.setattr(image_sources, "MAX_SECONDS", 0.1)
        assert unreadable(load_image_source(web.address(), True), "no picture within 0.1 seconds")

    def test_redirects_share_one_time_limit(self, web, png, monkeypatch):
        def slow_redirect(request: BaseHTTPRequestHandler) -> None:
            time.sleep(0.15)
            redirect("/b")(request)

        web.routes |= {"/picture.png": slow_redirect, "/b": slow_redirect}
        monkeypatch.setattr(image_sources, "MAX_SECONDS", 0.2)
        assert unreadable(load_image_source(web.address(), True), "no picture within 0.2 seconds")


class TestPublicDownload:
    def test_this_machine_is_asked_only_with_leave(self, web, png):
        web.routes["/picture.png"] = answer(png, Content_Type="image/png")
        with pytest.raises(PrivateAddress, match="not a public address"):
            download(web.address())
        with pytest.raises(PrivateAddress, match="which is not a public address"):
            download("http://10.0.0.1/", allow_loopback=True)
        answered = download(web.address(), allow_loopback=True)
        assert (answered.status, answered.body, answered.headers["content-type"]) == (200, png, "image/png")
        assert [path for path, _ in web.requests] == ["/picture.png"]

    def test_limits_are_parameters(self, web, png):
        web.routes |= {"/picture.png": redirect("/b"), "/b": answer(png)}
        with pytest.raises(TooLarge, match="more than 99 bytes"):
            download(web.address(), max_bytes=99, allow_loopback=True)
        first = download(web.address(), max_redirects=0, allow_loopback=True)
        assert (first.status, first.redirect, first.body) == (302, web.address("/b"), b"")
        web.routes["/picture.png"] = lambda _: web.over.wait(10)
        with pytest.raises(TimeoutError):
            download(web.address(), max_seconds=0.1, allow_loopback=True)

    def test_headers_are_sent_and_repeated_ones_are_joined(self, web):
        def echo(request: BaseHTTPRequestHandler) -> None:
            request.send_response(404)
            for value in (request.headers["User-Agent"], "b"):
                request.send_header("X-Robots-Tag", value)
            request.end_headers()

        web.routes["/picture.png"] = echo
        answered = download(web.address(), headers={"User-Agent": "me"}, allow_loopback=True)
        assert (answered.status, answered.headers["x-robots-tag"], answered.redirect) == (404, "me, b", None)
