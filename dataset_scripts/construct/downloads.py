"""Ask for pictures politely: few requests at a host at once, with pauses, after its robots.txt, and again if it asks so.

One thread decides, with a coroutine for each address (`Downloads`), others ask (`Web`). A redirect is a new request with
the rules of its own host.
"""

from __future__ import annotations

import asyncio
import http.client
import random
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dataset_scripts.build.pictures import read_file_inside
from dataset_scripts.construct.picture_store import FOLDER, MAX_PIXELS, Outcome, PictureStore, examine, origin_of
from reports_2mner.command_line import at_least, between, option

if TYPE_CHECKING:
    from modeling_2mner.image_sources import WebAnswer  # loads torch, as all of its package

AGENT = "2m-ner"  # the name that robots.txt may use
NOAI = frozenset({"noai", "noimageai"})
MAX_REDIRECTS = 5
# After so many failures to reach it in a row, or when the waits that it asked for are so many times the longest, a host is
# left alone for the rest of the run.
MAX_UNREACHED = 10
MAX_WAITS = 10
MAX_ROBOTS_BYTES = 500 * 1024  # of robots.txt, as RFC 9309 demands at least
WAITING = 1_000  # addresses in memory, and robots.txt
LEFT_ALONE = "host left alone"


@dataclass(frozen=True)
class Rules:
    """How hosts are asked."""

    contact: str | None = option(None, "how the owner of a server reaches you; sent with every request")
    robots: str = option("obey", "whether robots.txt is read: `obey` or `ignore` it", choices=("obey", "ignore"))
    connections: int = option(16, "requests at once", type=at_least(1))
    per_host: int = option(2, "requests at one host at once", type=at_least(1))
    delay: float = option(0.25, "seconds between the beginnings of two requests at one host", type=at_least(0.0))
    attempts: int = option(4, "how often an address is asked in one run", type=at_least(1))
    first_wait: float = option(1.0, "seconds before the second attempt, then doubled", type=at_least(0.0))
    longest_wait: float = option(120.0, "seconds; hosts that ask for more are left alone", type=at_least(0.0))
    max_seconds: float = option(20.0, "for one request", type=at_least(0.1))
    max_bytes: int = option(20_000_000, "of a picture", type=at_least(1))
    max_pixels: int = option(MAX_PIXELS, "of a picture", type=between(1, MAX_PIXELS))

    def __post_init__(self) -> None:
        if self.contact and not (self.contact.isprintable() and self.contact.isascii()):
            raise ValueError(f"`contact` must be plain text such as you@example.org, got {self.contact!r}.")


@dataclass
class _Task:
    url: str  # where it is now, behind redirects
    redirects: int = 0
    retries: int = 0
    is_asked: bool = False


class _Host:
    def __init__(self, per_host: int) -> None:
        self.places = asyncio.Semaphore(per_host)
        self.robots = asyncio.Lock()  # held by whoever reads its robots.txt
        self.free = 0.0  # when it may be asked next
        self.unreached, self.failed = 0, 0.0  # times in a row, and when it was the last time
        self.waits = 0.0  # seconds that it asked to wait, together
        self.closed = ""  # why it is not asked any more


class Web:
    """Asks servers, and reads the pictures of a folder; used by many threads.

    Args:
        store: where pictures are written.
        rules: limits of a picture and a request, and the contact that is sent.
        folder: of pictures that need not be fetched.
        allow_loopback: for tests alone, which ask a server on this machine.
    """

    def __init__(
        self, store: PictureStore, rules: Rules, folder: Path | None = None, allow_loopback: bool = False
    ) -> None:
        self._store, self._rules, self._folder, self._allow_loopback = store, rules, folder, allow_loopback

    def ask(self, url: str) -> Outcome:
        """Ask once for a picture; never raises what a server can cause."""
        if url.startswith(FOLDER):
            return self._from_folder(url.removeprefix(FOLDER))
        answer = self._download(url, "image/*", self._rules.max_bytes, 0)
        if isinstance(answer, Outcome):
            return answer
        if answer.redirect is not None:
            return Outcome("redirect", "permanent", redirect=answer.redirect)
        return _fault_of(answer) or self._keep(answer.body)

    def robots(self, origin: str) -> str | Outcome:
        """Return robots.txt of an origin, empty if it has none, or why it could not be read."""
        answer = self._download(f"{origin}/robots.txt", "text/plain", 10 * MAX_ROBOTS_BYTES, MAX_REDIRECTS)
        if isinstance(answer, Outcome):
            return "" if answer.status in ("bad address", "bad answer") else answer
        if answer.status == 200:
            return answer.body[:MAX_ROBOTS_BYTES].decode("utf-8-sig", "replace")
        fault = _fault_of(answer)
        return fault if fault and fault.again else ""  # without one, all is allowed

    def _download(self, url: str, accept: str, max_bytes: int, max_redirects: int) -> WebAnswer | Outcome:
        from modeling_2mner.image_sources import download

        agent = f"{AGENT}/0.1 ({self._rules.contact})" if self._rules.contact else f"{AGENT}/0.1"
        try:
            return download(
                url,
                headers={"User-Agent": agent, "Accept": accept},
                max_bytes=max_bytes,
                max_seconds=self._rules.max_seconds,
                max_redirects=max_redirects,
                allow_loopback=self._allow_loopback,
            )
        except Exception as error:
            return _outcome_of(error)

    def _from_folder(self, image_id: str) -> Outcome:
        try:
            return self._keep(read_file_inside(self._folder or Path(), f"{image_id}.jpg"))
        except (OSError, ValueError) as error:
            return Outcome("no file", "permanent", str(error))

    def _keep(self, data: bytes) -> Outcome:
        outcome = examine(data, self._rules.max_pixels)
        if outcome.picture:
            self._store.write(data, outcome.picture)
        return outcome


class Downloads:
    """Asks for many addresses by the rules, and writes down what became of each.

    Args:
        rules: how hosts are asked.
        web: what asks, in other threads.
        store: where it is written down, in the thread that calls `run`.
        done: called for every address that has got its class.
    """

    def __init__(self, rules: Rules, web: Web, store: PictureStore, done: Callable[[], Any]) -> None:
        self._rules, self._web, self._store, self._done = rules, web, store, done
        self._hosts: dict[str, _Host] = {}
        self._robots_of: dict[str, Any] = {}  # by origin: what its robots.txt says

    def run(self, addresses: Iterator[str]) -> None:
        """Ask until every address has a class."""
        asyncio.run(self._run(addresses))

    async def _run(self, addresses: Iterator[str]) -> None:
        self._places = asyncio.Semaphore(self._rules.connections)
        with ThreadPoolExecutor(self._rules.connections) as self._pool:
            await asyncio.gather(*(self._work(addresses) for _ in range(WAITING)))

    async def _work(self, addresses: Iterator[str]) -> None:
        for key in addresses:  # which all workers share
            task = _Task(key)
            outcome = await self._settle(task)
            self._store.keep(key, outcome, task.url, task.retries + task.is_asked)
            self._done()

    async def _settle(self, task: _Task) -> Outcome:
        """Ask, follow redirects, and ask again, until there is an outcome to write down."""
        while True:
            outcome = await self._ask(task)
            if outcome.redirect is not None:
                if task.redirects == MAX_REDIRECTS:
                    return Outcome("redirects", "permanent", f"more than {MAX_REDIRECTS}")
                task.url, task.redirects = outcome.redirect, task.redirects + 1
            elif outcome.again and task.retries + 1 < self._rules.attempts and not self._host(task.url).closed:
                pause = self._rules.first_wait * 2**task.retries * random.uniform(1, 1.5)
                task.retries += 1
                await asyncio.sleep(min(max(pause, outcome.wait or 0), self._rules.longest_wait))
            else:
                return outcome

    async def _ask(self, task: _Task) -> Outcome:
        """Ask once, if robots.txt allows it."""
        if task.url.startswith(FOLDER) and not task.redirects:
            task.is_asked = True
            async with self._places:
                return await self._in_thread(self._web.ask, task.url)
        origin, pause = origin_of(task.url), self._rules.delay
        if origin is None:
            return Outcome("bad address", "refused", f"not an address of http or https: {task.url[:80]!r}")
        if self._rules.robots == "obey":
            robots = await self._robots(origin)
            if isinstance(robots, Outcome):
                task.is_asked |= robots.status != LEFT_ALONE
                return robots
            if not robots.can_fetch(task.url, AGENT):
                return Outcome("robots.txt", "refused", f"{origin}/robots.txt")
            pause = max(pause, robots.crawl_delay(AGENT) or 0)
            if pause > max(self._rules.longest_wait, self._rules.delay):
                return Outcome("crawl delay", "refused", f"{origin}/robots.txt asks for more than `longest_wait`")
        outcome = await self._request(self._host(origin), pause, self._web.ask, task.url)
        task.is_asked |= outcome.status != LEFT_ALONE
        return outcome

    async def _robots(self, origin: str) -> Any:
        """Return the rules of robots.txt of an origin, or why it could not be read."""
        host = self._host(origin)
        async with host.robots:
            if origin not in self._robots_of:
                if (text := self._store.robots(origin)) is None:
                    text = await self._request(host, self._rules.delay, self._web.robots, origin)
                    if isinstance(text, Outcome):
                        return replace(text, reason=f"robots.txt: {text.reason}")
                    self._store.keep_robots(origin, text)
                if len(self._robots_of) >= WAITING:
                    self._robots_of.clear()
                self._robots_of[origin] = _parse_robots(text)
            return self._robots_of[origin]

    async def _request(self, host: _Host, pause: float, call: Callable[[str], Any], url: str) -> Any:
        """Call in another thread when the host may be asked, and leave it alone for a while."""
        async with host.places:
            while not host.closed:
                await asyncio.sleep(host.free - self._now())
                async with self._places:
                    if host.closed or host.free > self._now():
                        continue
                    began = self._now()
                    host.free = began + pause
                    result = await self._in_thread(call, url)
                self._learn(host, result, began)
                return result
        return Outcome(LEFT_ALONE, "transient", host.closed)

    def _learn(self, host: _Host, result: str | Outcome, began: float) -> None:
        """Keep in mind what a result says about the host."""
        if isinstance(result, str) or result.reached:
            host.unreached = 0
        elif began >= host.failed:  # those that were on their way together fail together, and count once
            host.unreached, host.failed = host.unreached + 1, self._now()
        if isinstance(result, str):  # robots.txt
            return
        if host.unreached >= MAX_UNREACHED:
            host.closed = f"{result.status}, {host.unreached} times in a row"
        if result.wait:
            longest = self._rules.longest_wait
            host.waits += result.wait
            host.free = max(host.free, self._now() + result.wait)
            if result.wait > longest or host.waits > MAX_WAITS * longest:
                host.closed = f"asks to wait {result.wait:.0f} s, {host.waits:.0f} s in all"

    def _host(self, url: str) -> _Host:
        name = urlsplit(origin_of(url) or "").hostname or ""
        if name not in self._hosts:
            self._hosts[name] = _Host(self._rules.per_host)
        return self._hosts[name]

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _in_thread(self, call: Callable[[str], Any], url: str) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, url)


def _parse_robots(text: str) -> Any:
    from protego import Protego

    try:
        return Protego.parse(text)
    except Exception:  # whatever is in it, it must not stop the run; an unreadable file has no rules
        return Protego.parse("")


def _outcome_of(error: Exception) -> Outcome:
    """Say what an exception means: the first fault that fits."""
    from modeling_2mner.image_sources import DownloadRefused, PrivateAddress, TooLarge

    faults: tuple[tuple[type[Exception], str, str, bool, bool], ...] = (  # status, class, again, reached
        (PrivateAddress, "private address", "refused", False, True),
        (TooLarge, "too large", "refused", False, True),
        (DownloadRefused, "bad address", "refused", False, True),
        (ssl.SSLCertVerificationError, "certificate", "permanent", False, True),
        (TimeoutError, "time-out", "transient", True, False),
        (socket.gaierror, "unknown host", "transient", False, False),
        (UnicodeError, "bad address", "permanent", False, True),
        (http.client.InvalidURL, "bad address", "permanent", False, True),
        (ConnectionRefusedError, "no connection", "transient", True, False),
        (ConnectionError, "connection lost", "transient", True, True),
        (OSError, "no connection", "transient", True, False),
        (http.client.HTTPException, "bad answer", "transient", True, True),
        (ValueError, "bad answer", "permanent", False, True),
        (Exception, "bad answer", "transient", False, True),
    )
    _, status, kind, again, reached = next(fault for fault in faults if isinstance(error, fault[0]))
    return Outcome(status, kind, f"{type(error).__name__}: {error}", again=again, reached=reached)


def _fault_of(answer: WebAnswer) -> Outcome | None:
    """Return what keeps an answer from being a picture that we may have."""
    headers, reason = answer.headers, f"{answer.status} {answer.reason}"
    if NOAI & set(re.split(r"[\s,:]+", headers.get("x-robots-tag", "").lower())):
        return Outcome("noai", "refused", "X-Robots-Tag")
    if answer.status == 200:
        announced = "" if "transfer-encoding" in headers else headers.get("content-length", "")
        if announced.isdecimal() and len(answer.body) < int(announced):
            return Outcome("cut short", "transient", f"{len(answer.body)} of {announced} bytes", again=True)
        return None
    if answer.status in (408, 425, 429) or answer.status >= 500:
        seconds = _seconds(headers.get("retry-after", ""))
        return Outcome(f"http {answer.status}", "transient", reason, again=True, wait=seconds)
    return Outcome(f"http {answer.status}", "permanent", reason)


def _seconds(retry_after: str) -> float | None:
    """Read Retry-After, which is a number of seconds or a date."""
    if retry_after.strip().isdecimal():
        return float(retry_after[:12])
    try:
        date = parsedate_to_datetime(retry_after)
        now = datetime.now(timezone.utc)
        return max(0.0, (date.replace(tzinfo=date.tzinfo or timezone.utc) - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
