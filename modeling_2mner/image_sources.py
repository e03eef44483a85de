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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from .images import LoadedImage, OpenedPictures, PictureSource, load_image

MAX_SOURCE_BYTES = 20_000_000
MAX_SECONDS = 20.0
MAX_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)
HEADERS: Mapping[str, str] = MappingProxyType({"User-Agent": "2m-ner", "Accept": "image/*"})
_DATA_URI = re.compile(r"data:[^,]*,", re.IGNORECASE)
_WEB_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_CHUNK = 1 << 16
_IPV6_UNICAST = ipaddress.ip_network("2000::/3")


class DownloadRefused(ValueError):
    """An address that must not be asked, or an answer beyond the limits."""


class PrivateAddress(DownloadRefused):
    """A host that is not public."""


class TooLarge(DownloadRefused):
    """A body of too many bytes."""


@dataclass(frozen=True)
class WebAnswer:
    """What a server answered.

    Args:
        address (`str`): what was asked; behind redirects, the last one.
        status (`int`): of HTTP, such as 200.
        reason (`str`): the words beside it.
        headers (`Mapping[str, str]`): by lower-case names; repeated ones are joined by ", ".
        body (`bytes`): empty unless the status is 200.
    """

    address: str
    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def redirect(self) -> str | None:
        """The address to ask in place of this one; `None` if this is the end."""
        if self.status not in REDIRECTS:
            return None
        return urljoin(self.address, self.headers.get("location", ""))


def load_image_source(
    source: PictureSource, allow_urls: bool = False, opened: OpenedPictures | None = None
) -> LoadedImage:
    """Open a picture as [`load_image`] does, and also from a data URI or, with `allow_urls`, from the web.

    Problems are reported in status and reason, never raised. Addresses are fetched only by http or https, only from
    public hosts, at most `MAX_SOURCE_BYTES` in `MAX_SECONDS`, following up to `MAX_REDIRECTS` redirects. Pictures in
    `opened` are not decoded again.

    Raises:
        TypeError: if `source` cannot be a picture.
    """
    if isinstance(source, str):
        read = read_image_source(source, allow_urls)
        return read if isinstance(read, LoadedImage) else load_image(source if read is None else read, opened)
    return load_image(source, opened)


def read_image_source(source: str, allow_urls: bool = False) -> bytes | LoadedImage | None:
    """The bytes of a data URI or, with `allow_urls`, of a web address; `None` if the text is neither.

    A picture that cannot be had is a [`LoadedImage`] without an image, with status and reason.
    """
    try:
        if _DATA_URI.match(source):
            return _read_data_uri(source)
        if _WEB_ADDRESS.match(source):
            if not allow_urls:
                raise ValueError("pictures are only fetched from the web with `allow_urls=True`")
            return _download_picture(source)
    except TimeoutError:
        return LoadedImage(None, "unreadable", f"no picture within {MAX_SECONDS} seconds")
    except (ValueError, OSError, http.client.HTTPException) as error:
        return LoadedImage(None, "unreadable", f"{type(error).__name__}: {error}")
    return None


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


def _download_picture(address: str) -> bytes:
    answer = download(address)
    if answer.status != 200:
        raise ValueError(f"the server answered {answer.status} {answer.reason}")
    return answer.body


def download(
    address: str,
    *,
    headers: Mapping[str, str] = HEADERS,
    max_bytes: int | None = None,
    max_seconds: float | None = None,
    max_redirects: int | None = None,
    allow_loopback: bool = False,
) -> WebAnswer:
    """Ask a public host, and follow redirects to public hosts.

    Each host is looked up once, and the connection goes to the address that was checked.

    Args:
        address (`str`): http or https.
        headers (`Mapping[str, str]`): what is sent.
        max_bytes (`int`, *optional*): of a body; `MAX_SOURCE_BYTES` by default.
        max_seconds (`float`, *optional*): for everything together; `MAX_SECONDS` by default. Only the look-up of a
            name may take longer, as long as the system lets it.
        max_redirects (`int`, *optional*): `MAX_REDIRECTS` by default; with 0, a redirect is the answer.
        allow_loopback (`bool`): also ask this machine; for tests with a server of their own.

    Raises:
        PrivateAddress, TooLarge, DownloadRefused: for a host that is not public, a large body, and another scheme or
            too many redirects.
        TimeoutError: if the time is over.
        OSError, ValueError, http.client.HTTPException: if there is no answer, or none that can be read.
    """
    deadline = time.monotonic() + (MAX_SECONDS if max_seconds is None else max_seconds)
    max_bytes = MAX_SOURCE_BYTES if max_bytes is None else max_bytes
    max_redirects = MAX_REDIRECTS if max_redirects is None else max_redirects
    is_allowed = _is_public_or_loopback if allow_loopback else _is_public
    for _ in range(max_redirects + 1):
        answer = _ask(address, deadline, headers, max_bytes, is_allowed)
        if answer.redirect is None or max_redirects == 0:
            return answer
        address = answer.redirect
    raise DownloadRefused(f"more than {max_redirects} redirects")


def _ask(
    address: str, deadline: float, headers: Mapping[str, str], max_bytes: int, is_allowed: Callable[[str], bool]
) -> WebAnswer:
    connection = _connect(address, deadline, is_allowed)
    try:
        response = _request(connection, address, deadline, headers)
        body = _read_body(response, max_bytes) if response.status == 200 else b""
        received: dict[str, str] = {}
        for name, value in response.getheaders():
            name = name.lower()
            received[name] = f"{received[name]}, {value}" if name in received else value
        return WebAnswer(address, response.status, response.reason, received, body)
    finally:
        connection.close()


def _connect(address: str, deadline: float, is_allowed: Callable[[str], bool]) -> http.client.HTTPConnection:
    """Connect to the address that was checked, so that a second look-up of the name cannot lead elsewhere."""
    parts = urlsplit(address)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise DownloadRefused(f"only http and https addresses are fetched, not {address[:80]!r}")
    if parts.scheme.lower() == "http":
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80)
        connection.sock = _open_socket(connection, deadline, is_allowed)
        return connection
    context = ssl.create_default_context()
    connection = http.client.HTTPSConnection(parts.hostname, parts.port or 443, context=context)
    connection.sock = context.wrap_socket(
        _open_socket(connection, deadline, is_allowed), server_hostname=parts.hostname
    )
    return connection


def _open_socket(
    connection: http.client.HTTPConnection, deadline: float, is_allowed: Callable[[str], bool]
) -> socket.socket:
    address = _checked_address(connection.host, connection.port, is_allowed)
    return socket.create_connection((address, connection.port), timeout=_seconds_left(deadline))


def _checked_address(hostname: str, port: int, is_allowed: Callable[[str], bool]) -> str:
    """Look up a host, and refuse it if any of its addresses is private, local or reserved."""
    addresses = [str(info[4][0]) for info in socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)]
    for address in addresses:
        if not is_allowed(address):
            raise PrivateAddress(f"{hostname} is at {address}, which is not a public address")
    return addresses[0]


def _is_public(address: str) -> bool:
    number = ipaddress.ip_address(address)
    number = getattr(number, "ipv4_mapped", None) or number  # only of IPv6
    if isinstance(number, ipaddress.IPv6Address) and (number not in _IPV6_UNICAST or number.sixtofour):
        return False  # `is_global` accepts site-local addresses, and those that contain a private IPv4 address
    return number.is_global and not number.is_multicast


def _is_public_or_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback or _is_public(address)


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


def _request(
    connection: http.client.HTTPConnection, address: str, deadline: float, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    parts = urlsplit(address)
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    target = quote(target, safe="/?%:@!$&'()*+,;=~")  # spaces and non-ASCII letters
    connection.request("GET", target, headers=dict(headers))
    # A response uses only the `makefile` of a socket.
    response = http.client.HTTPResponse(_HurriedReader(connection.sock, deadline), method="GET")  # type: ignore[arg-type]
    response.begin()
    return response


def _read_body(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    if int(response.getheader("Content-Length") or 0) > max_bytes:
        raise TooLarge(f"more than {max_bytes} bytes")
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > max_bytes:
            raise TooLarge(f"more than {max_bytes} bytes")
    return bytes(body)


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


__all__ = [
    "DownloadRefused",
    "PrivateAddress",
    "TooLarge",
    "WebAnswer",
    "download",
    "load_image_source",
    "read_image_source",
]
