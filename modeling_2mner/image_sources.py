"""Pictures given as text: data URIs, and web addresses if the caller allows them."""

import base64
import binascii
import http.client
import io
import ipaddress
import re
import socket
import ssl
import time
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from .images import LoadedImage, PictureSource, load_image

MAX_SOURCE_BYTES = 20_000_000
MAX_SECONDS = 20.0
MAX_REDIRECTS = 3
_DATA_URI = re.compile(r"data:[^,]*,", re.IGNORECASE)
_WEB_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_CHUNK = 1 << 16
_IPV6_UNICAST = ipaddress.ip_network("2000::/3")


def load_image_source(source: PictureSource, allow_urls: bool = False) -> LoadedImage:
    """Open a picture as [`load_image`] does, and also from a data URI or, with `allow_urls`, from the web.

    Problems are reported in status and reason, never raised. Addresses are fetched only by http or https, only from
    public hosts, at most `MAX_SOURCE_BYTES` in `MAX_SECONDS`, following up to `MAX_REDIRECTS` redirects.

    Raises:
        TypeError: if `source` cannot be a picture.
    """
    if not isinstance(source, str):
        return load_image(source)
    try:
        if _DATA_URI.match(source):
            return load_image(_read_data_uri(source))
        if _WEB_ADDRESS.match(source):
            if not allow_urls:
                raise ValueError("pictures are only fetched from the web with `allow_urls=True`")
            return load_image(_download(source))
    except TimeoutError:
        return LoadedImage(None, "unreadable", f"no picture within {MAX_SECONDS} seconds")
    except (ValueError, OSError, http.client.HTTPException) as error:
        return LoadedImage(None, "unreadable", f"{type(error).__name__}: {error}")
    return load_image(source)


def _read_data_uri(uri: str) -> bytes:
    header, _, content = uri.partition(",")
    if len(content) > MAX_SOURCE_BYTES * 4 // 3 + 4:
        raise ValueError(f"a data URI of more than {MAX_SOURCE_BYTES} bytes")
    data = unquote_to_bytes(content)
    if not header.lower().endswith(";base64"):
        return data
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError(f"a data URI that is not base64 ({error})") from error


def _download(address: str) -> bytes:
    deadline = time.monotonic() + MAX_SECONDS
    for _ in range(MAX_REDIRECTS + 1):
        connection = _connect(address, deadline)
        try:
            response = _request(connection, address, deadline)
            if response.status not in (301, 302, 303, 307, 308):
                return _read_body(response)
            address = urljoin(address, response.getheader("Location", ""))
        finally:
            connection.close()
    raise ValueError(f"more than {MAX_REDIRECTS} redirects")


def _connect(address: str, deadline: float) -> http.client.HTTPConnection:
    """Connect to the address that was checked, so that a second look-up of the name cannot lead elsewhere."""
    parts = urlsplit(address)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError(f"only http and https addresses are fetched, not {address[:80]!r}")
    if parts.scheme.lower() == "http":
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80)
        connection.sock = _open_socket(connection, deadline)
        return connection
    context = ssl.create_default_context()
    connection = http.client.HTTPSConnection(parts.hostname, parts.port or 443, context=context)
    connection.sock = context.wrap_socket(_open_socket(connection, deadline), server_hostname=parts.hostname)
    return connection


def _open_socket(connection: http.client.HTTPConnection, deadline: float) -> socket.socket:
    address = _public_address(connection.host, connection.port)
    return socket.create_connection((address, connection.port), timeout=_seconds_left(deadline))


def _public_address(hostname: str, port: int) -> str:
    """Look up a host, and refuse it if any of its addresses is private, local or reserved."""
    addresses = [str(info[4][0]) for info in socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)]
    for address in addresses:
        if not _is_public(address):
            raise ValueError(f"{hostname} is at {address}, which is not a public address")
    return addresses[0]


def _is_public(address: str) -> bool:
    number = ipaddress.ip_address(address)
    number = getattr(number, "ipv4_mapped", None) or number  # only of IPv6
    if isinstance(number, ipaddress.IPv6Address) and (number not in _IPV6_UNICAST or number.sixtofour):
        return False  # `is_global` accepts site-local addresses, and those that contain a private IPv4 address
    return number.is_global and not number.is_multicast


class _HurriedReader(io.RawIOBase):
    """A response's socket, with a deadline that also holds for a server that sends byte by byte."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what `BufferedReader` passes
        self._sock.settimeout(_seconds_left(self._deadline))
        return self._sock.recv_into(buffer)


def _request(connection: http.client.HTTPConnection, address: str, deadline: float) -> http.client.HTTPResponse:
    parts = urlsplit(address)
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    target = quote(target, safe="/?%:@!$&'()*+,;=~")  # spaces and non-ASCII letters
    connection.request("GET", target, headers={"User-Agent": "2m-ner", "Accept": "image/*"})
    # A response uses only the `makefile` of a socket.
    response = http.client.HTTPResponse(_HurriedReader(connection.sock, deadline), method="GET")  # type: ignore[arg-type]
    response.begin()
    return response


def _read_body(response: http.client.HTTPResponse) -> bytes:
    if response.status != 200:
        raise ValueError(f"the server answered {response.status} {response.reason}")
    if int(response.getheader("Content-Length") or 0) > MAX_SOURCE_BYTES:
        raise ValueError(f"more than {MAX_SOURCE_BYTES} bytes")
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > MAX_SOURCE_BYTES:
            raise ValueError(f"more than {MAX_SOURCE_BYTES} bytes")
    return bytes(body)


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


__all__ = ["load_image_source"]
