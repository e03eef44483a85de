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
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dataset_scripts.build.pictures import read_file_inside
from dataset_scripts.construct.picture_store import FOLDER, Outcome, PictureStore, examine, host_of
from modeling_2mner.image_sources import DownloadRefused, PrivateAddress, TooLarge, WebAnswer, download

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
    """How hosts are asked.

    Args:
        per_host: requests at one host at once.
        delay: seconds between the beginnings of two of them; a longer Crawl-delay of robots.txt takes precedence.
        connections: requests at once.
        attempts: how often an address is asked in one run.
        first_wait: seconds before the second attempt, doubled for each further one, with up to half of it by chance.
        longest_wait: seconds; a host that asks for a longer one is left for a later run.
        obey_robots: whether robots.txt is read.
    """

    per_host: int = 2
    delay: float = 0.25
    connections: int = 16
    attempts: int = 4
    first_wait: float = 1.0
    longest_wait: float = 120.0
    obey_robots: bool = True


class _Task:
    def __init__(self, key: str) -> None:
        self.key = key  # the address as it stands in the manifest
        self.redirects = self.retries = 0
        self.is_asked = False
        self.ready = 0.0
        self.move(key)

    def move(self, url: str) -> None:
        """Go to the address where it is now, behind a redirect."""
        self.url, self.host = url, host_of(url)
        self.origin = None if self.is_file else _origin(url)

    @property
    def is_file(self) -> bool:
        return self.key.startswith(FOLDER)


@dataclass
class _Host:
    active: int = 0
    free: float = 0.0  # when it may be asked next
    unreached: int = 0
    waits: float = 0.0  # seconds that it asked to wait, together
    closed: str = ""  # why it is not asked any more


# What an exception means: status, class, whether to ask again, whether the host was reached. The first that fits.
_FAULTS: tuple[tuple[type[Exception], str, str, bool, bool], ...] = (
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


class Web:
    """Asks servers, and reads the pictures of a folder; used by many threads.

    Args:
        store: where pictures are written.
        contact: an address for the owners of servers, sent with every request.
        max_bytes: of a picture.
        max_seconds: for a request.
        max_pixels: of a picture.
        folder: of pictures that need not be fetched.
        allow_loopback: for tests alone, which ask a server on this machine.
    """

    def __init__(
        self,
        store: PictureStore,
        contact: str,
        max_bytes: int,
        max_seconds: float,
        max_pixels: int,
        folder: Path | None = None,
        allow_loopback: bool = False,
    ) -> None:
        agent = f"{AGENT}/0.1 ({contact})" if contact else f"{AGENT}/0.1"
        self._limits: dict[str, Any] = {"max_seconds": max_seconds, "allow_loopback": allow_loopback}
        self._headers = {"User-Agent": agent, "Accept": "image/*"}
        self._store, self._folder = store, folder
        self._max_bytes, self._max_pixels = max_bytes, max_pixels

    def ask(self, url: str) -> Outcome:
        """Ask once for a picture; never raises what a server can cause."""
        if url.startswith(FOLDER):
            return self._from_folder(url.removeprefix(FOLDER))
        try:
            answer = download(url, headers=self._headers, max_bytes=self._max_bytes, max_redirects=0, **self._limits)
        except Exception as error:
            return _outcome_of(error)
        if answer.redirect is not None:
            return Outcome("redirect", "permanent", redirect=answer.redirect)
        return fault if (fault := _fault_of(answer)) else self._keep(answer.body)

    def robots(self, origin: str) -> str | Outcome:
        """Return robots.txt of an origin, empty if it has none, or why it could not be read."""
        headers = {**self._headers, "Accept": "text/plain"}
        try:
            answer = download(
                f"{origin}/robots.txt",
                headers=headers,
                max_bytes=10 * MAX_ROBOTS_BYTES,
                max_redirects=MAX_REDIRECTS,
                **self._limits,
            )
        except Exception as error:
            outcome = _outcome_of(error)
            return "" if outcome.status in ("bad address", "bad answer") else outcome
        if answer.status == 200:
            return answer.body[:MAX_ROBOTS_BYTES].decode("utf-8-sig", "replace")
        fault = _fault_of(answer)
        return fault if fault and fault.again else ""  # without one, all is allowed

    def _from_folder(self, image_id: str) -> Outcome:
        try:
            data = read_file_inside(self._folder or Path(), f"{image_id}.jpg")
        except (OSError, ValueError) as error:
            return Outcome("no file", "permanent", str(error))
        return self._keep(data)

    def _keep(self, data: bytes) -> Outcome:
        outcome = examine(data, self._max_pixels)
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
        self._asking: set[str] = set()  # origins whose robots.txt is on its way

    def run(self, addresses: Iterator[str]) -> None:
        """Ask until every address has a class."""
        running: dict[Future, tuple[_Task, bool]] = {}
        with ThreadPoolExecutor(self._rules.connections) as pool:
            while True:
                new = list(map(_Task, islice(addresses, max(0, WAITING - len(self._waiting)))))
                self._waiting += new
                for task, is_robots in self._next(self._rules.connections - len(running)):
                    call = (
                        partial(self._web.robots, str(task.origin)) if is_robots else partial(self._web.ask, task.url)
                    )
                    running[pool.submit(call)] = task, is_robots
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
                is_robots = self._rules.obey_robots and not task.is_file and self._robots(task.origin) is None
                self._start(task, is_robots)
                chosen.append((task, is_robots))
        self._waiting = left
        return chosen

    def _may_start(self, task: _Task) -> bool:
        host, now = self._hosts[task.host], time.monotonic()
        if task.is_file or host.closed or task.origin is None:
            return True
        is_free = host.free <= now and host.active < self._rules.per_host
        return is_free and task.ready <= now and task.origin not in self._asking

    def _forbidden(self, task: _Task) -> Outcome | None:
        """Return why an address is not to be asked, as far as that is known without asking."""
        if task.is_file:
            return None
        if task.origin is None:
            return Outcome("bad address", "refused", f"not an address of http or https: {task.url[:80]!r}")
        if closed := self._hosts[task.host].closed:
            return Outcome("host left alone", "transient", closed)
        robots = self._robots(task.origin)
        if robots is not None and not robots.can_fetch(task.url, AGENT):
            return Outcome("robots.txt", "refused", f"{task.origin}/robots.txt")
        if robots is not None and (robots.crawl_delay(AGENT) or 0) > self._rules.longest_wait:
            return Outcome("crawl delay", "refused", f"{task.origin}/robots.txt asks for more than `longest_wait`")
        return None

    def _start(self, task: _Task, is_robots: bool) -> None:
        host, robots = self._hosts[task.host], None if task.is_file else self._robots(task.origin)
        pause = max(self._rules.delay, (robots.crawl_delay(AGENT) or 0) if robots else 0)
        host.active += 1
        host.free = max(host.free, time.monotonic() + pause)
        if is_robots:
            self._asking.add(str(task.origin))
        else:
            task.is_asked = True

    def _robots(self, origin: str | None) -> Any:
        """Return the rules of an origin's robots.txt; None if they are not known, or do not matter."""
        if not self._rules.obey_robots or origin is None:
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
            self._asking.discard(str(task.origin))
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
        host.unreached = 0 if result.reached else host.unreached + 1
        if host.unreached >= MAX_UNREACHED:
            host.closed = f"{result.status}, {host.unreached} times in a row"
        if result.wait:
            host.waits += result.wait
            host.free = max(host.free, time.monotonic() + result.wait)
        if result.wait and (
            result.wait > self._rules.longest_wait or host.waits > MAX_WAITS * self._rules.longest_wait
        ):
            host.closed = f"asks to wait {result.wait:.0f} s, {host.waits:.0f} s in all"

    def _end(self, task: _Task, outcome: Outcome) -> None:
        if outcome.redirect is not None:
            outcome = Outcome("redirects", "permanent", f"more than {MAX_REDIRECTS}")
        self._store.keep(task.key, outcome, task.url, task.retries + task.is_asked)
        self._done()

    def _pause(self) -> float:
        """Return the seconds until one of the waiting may be ready."""
        ready = min((max(task.ready, self._hosts[task.host].free) for task in self._waiting), default=0.0)
        return min(max(ready - time.monotonic(), 0.01), MAX_PAUSE) if self._waiting else MAX_PAUSE


def _parse_robots(text: str) -> Any:
    from protego import Protego

    try:
        return Protego.parse(text)
    except Exception:  # whatever is in it, it must not stop the run; an unreadable file has no rules
        return Protego.parse("")


def _origin(url: str) -> str | None:
    """Return scheme, host and port of an address; None if it is not one of http or https."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme.lower()}://{host}" + (f":{port}" if port else "")


def _outcome_of(error: Exception) -> Outcome:
    fault = next(fault for fault in _FAULTS if isinstance(error, fault[0]))
    _, status, kind, again, reached = fault
    return Outcome(status, kind, f"{type(error).__name__}: {error}", again=again, reached=reached)


def _fault_of(answer: WebAnswer) -> Outcome | None:
    """Return what keeps an answer from being a picture that we may have."""
    if NOAI & set(re.split(r"[\s,:]+", answer.headers.get("x-robots-tag", "").lower())):
        return Outcome("noai", "refused", "X-Robots-Tag")
    if answer.status == 200:
        announced = answer.headers.get("content-length", "")
        is_short = (
            announced.isdecimal() and "transfer-encoding" not in answer.headers and len(answer.body) < int(announced)
        )
        return (
            Outcome("cut short", "transient", f"{len(answer.body)} of {announced} bytes", again=True)
            if is_short
            else None
        )
    reason = f"{answer.status} {answer.reason}"
    if answer.status in (408, 425, 429) or answer.status >= 500:
        seconds = _seconds(answer.headers.get("retry-after", ""))
        return Outcome(f"http {answer.status}", "transient", reason, again=True, wait=seconds)
    return Outcome(f"http {answer.status}", "permanent", reason)


def _seconds(retry_after: str) -> float | None:
    """Read Retry-After, which is a number of seconds or a date."""
    if retry_after.strip().isdecimal():
        return float(retry_after[:12])
    try:
        date = parsedate_to_datetime(retry_after)
        return max(
            0.0, (date.replace(tzinfo=date.tzinfo or timezone.utc) - datetime.now(timezone.utc)).total_seconds()
        )
    except (TypeError, ValueError, OverflowError):
        return None
