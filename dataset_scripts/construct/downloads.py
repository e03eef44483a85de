"""Ask for pictures politely: few requests at a host at once, with pauses, after its robots.txt, and again if it asks so.

One thread decides (`Downloads`), others ask (`Web`). A redirect is a new request with the rules of its own host.
"""

from __future__ import annotations

import http.client
import random
import re
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_scripts.build.pictures import read_file_inside
from dataset_scripts.construct.picture_store import (
    FOLDER,
    MAX_PIXELS,
    Outcome,
    PictureStore,
    examine,
    host_of,
    origin_of,
)
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
MAX_PAUSE = 0.5  # seconds until the next look at who may be asked


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
    key: str  # the address as it stands in the manifest
    url: str = ""  # where it is now, behind redirects
    redirects: int = 0
    retries: int = 0
    is_asked: bool = False
    ready: float = 0.0

    def __post_init__(self) -> None:
        self.is_file = self.key.startswith(FOLDER)
        self.move(self.key)

    def move(self, url: str) -> None:
        """Go to another address, as a redirect says."""
        self.url, self.host, self.origin = url, host_of(url), origin_of(url)


@dataclass
class _Host:
    active: int = 0
    free: float = 0.0  # when it may be asked next
    unreached: int = 0
    waits: float = 0.0  # seconds that it asked to wait, together
    closed: str = ""  # why it is not asked any more
    asking: set[str] = field(default_factory=set)  # origins whose robots.txt is on its way


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
        web: what asks.
        store: where it is written down, in the thread that calls `run`.
        done: called for every address that has got its class.
    """

    def __init__(self, rules: Rules, web: Web, store: PictureStore, done: Callable[[], Any]) -> None:
        self._rules, self._web, self._store, self._done = rules, web, store, done
        self._waiting: list[_Task] = []
        self._hosts: defaultdict[str, _Host] = defaultdict(_Host)
        self._rules_of: dict[str, Any] = {}  # by origin: what its robots.txt says

    def run(self, addresses: Iterator[str]) -> None:
        """Ask until every address has a class."""
        running: dict[Future, tuple[_Task, bool]] = {}
        with ThreadPoolExecutor(self._rules.connections) as pool:
            while True:
                new = list(map(_Task, islice(addresses, max(0, WAITING - len(self._waiting)))))
                self._waiting += new
                for task, is_robots in self._next(self._rules.connections - len(running)):
                    ask = (
                        partial(self._web.robots, str(task.origin)) if is_robots else partial(self._web.ask, task.url)
                    )
                    running[pool.submit(ask)] = task, is_robots
                if running:
                    for work in wait(running, self._pause(), FIRST_COMPLETED).done:
                        self._settle(*running.pop(work), work.result())
                elif self._waiting:
                    time.sleep(self._pause())
                elif not new:  # otherwise all of them have ended without being asked, and there may be more
                    return

    def _next(self, room: int) -> list[tuple[_Task, bool]]:
        """Take those out of the waiting that may be asked now, and whether robots.txt is to be asked first."""
        chosen: list[tuple[_Task, bool]] = []
        left: list[_Task] = []
        for task in self._waiting:
            if len(chosen) >= room or not self._may_start(task):
                left.append(task)
            elif fault := self._forbidden(task):
                self._end(task, fault)
            else:
                chosen.append((task, self._start(task)))
        self._waiting = left
        return chosen

    def _may_start(self, task: _Task) -> bool:
        host, now = self._hosts[task.host], time.monotonic()
        if host.closed or task.origin is None:  # it ends, or is a file
            return True
        is_free = host.free <= now and host.active < self._rules.per_host
        return is_free and task.ready <= now and task.origin not in host.asking

    def _forbidden(self, task: _Task) -> Outcome | None:
        """Return why an address is not to be asked, as far as that is known without asking."""
        if task.is_file:
            return None
        if task.origin is None:
            return Outcome("bad address", "refused", f"not an address of http or https: {task.url[:80]!r}")
        if closed := self._hosts[task.host].closed:
            return Outcome("host left alone", "transient", closed)
        robots = self._robots(task)
        if robots is not None and not robots.can_fetch(task.url, AGENT):
            return Outcome("robots.txt", "refused", f"{task.origin}/robots.txt")
        if robots is not None and (robots.crawl_delay(AGENT) or 0) > self._rules.longest_wait:
            return Outcome("crawl delay", "refused", f"{task.origin}/robots.txt asks for more than `longest_wait`")
        return None

    def _start(self, task: _Task) -> bool:
        """Count a request; return whether it is one for robots.txt."""
        host, robots = self._hosts[task.host], self._robots(task)
        is_robots = self._rules.robots == "obey" and not task.is_file and robots is None
        host.active += 1
        if not task.is_file:
            pause = (robots.crawl_delay(AGENT) or 0) if robots else 0
            host.free = max(host.free, time.monotonic() + max(self._rules.delay, pause))
        if is_robots:
            host.asking.add(str(task.origin))
        else:
            task.is_asked = True
        return is_robots

    def _robots(self, task: _Task) -> Any:
        """Return the rules of the robots.txt of an address; None if they are not known, or do not matter."""
        origin = task.origin
        if self._rules.robots != "obey" or origin is None:
            return None
        if origin not in self._rules_of and (text := self._store.robots(origin)) is not None:
            if len(self._rules_of) >= WAITING:
                self._rules_of.clear()
            self._rules_of[origin] = _parse_robots(text)
        return self._rules_of.get(origin)

    def _settle(self, task: _Task, is_robots: bool, result: str | Outcome) -> None:
        """Write down a result, or have the address wait for its next request."""
        host = self._hosts[task.host]
        host.active -= 1
        if is_robots:
            host.asking.discard(str(task.origin))
        if isinstance(result, str):  # robots.txt
            host.unreached = 0
            self._store.keep_robots(str(task.origin), result)
            self._waiting.insert(0, task)
            return
        if is_robots:
            task.is_asked = True
            result = replace(result, reason=f"robots.txt: {result.reason}")
        self._learn(host, result)
        if result.redirect is not None and task.redirects < MAX_REDIRECTS:
            task.move(result.redirect)
            task.redirects += 1
            self._waiting.insert(0, task)
        elif result.again and task.retries + 1 < self._rules.attempts and not host.closed:
            pause = self._rules.first_wait * 2**task.retries * random.uniform(1, 1.5)
            task.retries += 1
            task.ready = time.monotonic() + min(max(pause, result.wait or 0), self._rules.longest_wait)
            self._waiting.append(task)
        else:
            self._end(task, result)

    def _learn(self, host: _Host, result: Outcome) -> None:
        """Keep in mind what a result says about the host."""
        longest = self._rules.longest_wait
        host.unreached = 0 if result.reached else host.unreached + 1
        if host.unreached >= MAX_UNREACHED:
            host.closed = f"{result.status}, {host.unreached} times in a row"
        if result.wait:
            host.waits += result.wait
            host.free = max(host.free, time.monotonic() + result.wait)
            if result.wait > longest or host.waits > MAX_WAITS * longest:
                host.closed = f"asks to wait {result.wait:.0f} s, {host.waits:.0f} s in all"

    def _end(self, task: _Task, outcome: Outcome) -> None:
        if outcome.redirect is not None:
            outcome = Outcome("redirects", "permanent", f"more than {MAX_REDIRECTS}")
        self._store.keep(task.key, outcome, task.url, task.retries + task.is_asked)
        self._done()

    def _pause(self) -> float:
        """Return the seconds until one of the waiting may be ready."""
        ready = min((max(task.ready, self._hosts[task.host].free) for task in self._waiting), default=float("inf"))
        return min(max(ready - time.monotonic(), 0.01), MAX_PAUSE)


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
