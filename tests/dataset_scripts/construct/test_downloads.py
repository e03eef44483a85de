from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import pairwise
from threading import Barrier, Lock

import pytest

from dataset_scripts.construct import downloads
from dataset_scripts.construct.downloads import Downloads, Rules, _seconds
from dataset_scripts.construct.picture_store import Outcome, origin_of

pytest.importorskip("protego", reason="pip install '2m-ner[construct]'")

OK = Outcome("ok", "ok")
BUSY = Outcome("http 503", "transient", again=True)
UNREACHED = Outcome("no connection", "transient", again=True, reached=False)


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time only goes on when everybody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now, select = 0.0, self._selector.select

        def pass_time(timeout=None):
            self.now += timeout or 0.0
            return select(0 if timeout is not None else None)

        self._selector.select = pass_time

    def time(self) -> float:
        return self.now

    async def run_now(self, _, call, *arguments):
        return call(*arguments)

    def run_in_executor(self, *arguments):
        return self.run_now(*arguments)


class Web:
    """Answers by a table, the last answer of an address again and again, and notes when it was asked."""

    def __init__(self, clock: Clock, answers: dict[str, list[Outcome]], robots: str | Outcome = "") -> None:
        self.clock, self.answers, self.robots_text = clock, answers, robots
        self.asked: defaultdict[str, list[float]] = defaultdict(list)
        self._lock = Lock()

    def ask(self, url: str) -> Outcome:
        with self._lock:
            self.asked[url].append(self.clock.time())
            found = self.answers.get(url, [OK])
            return found[min(len(self.asked[url]), len(found)) - 1]

    def robots(self, origin: str) -> str | Outcome:
        with self._lock:
            self.asked[f"{origin}/robots.txt"].append(self.clock.time())
            return self.robots_text


class Store:
    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.kept: dict[str, tuple[str, str, str, int]] = {}

    def robots(self, origin: str) -> str | None:
        return self.texts.get(origin)

    def keep_robots(self, origin: str, text: str) -> None:
        self.texts[origin] = text

    def keep(self, url: str, outcome: Outcome, final_url: str, attempts: int) -> None:
        assert url not in self.kept
        self.kept[url] = outcome.status, outcome.kind, final_url, attempts


@pytest.fixture
def fetch(monkeypatch):
    """Ask for addresses; return what was kept of each, and the fake web."""

    def run(addresses, answers=None, robots="", loop=None, **rules):
        clock = (loop or Clock)()
        monkeypatch.setattr(downloads.asyncio, "run", clock.run_until_complete)
        web, store, done = Web(clock, answers or {}, robots), Store(), []
        Downloads(Rules(**{"delay": 0.0, **rules}), web, store, lambda: done.append(1)).run(iter(addresses))
        clock.run_until_complete(clock.shutdown_default_executor())
        clock.close()
        assert len(done) == len(store.kept) == len(addresses)
        return store.kept, web

    return run


def addresses(number: int, host: str = "a.example") -> list[str]:
    return [f"http://{host}/{n}" for n in range(number)]


def test_every_address_is_asked_once(fetch):
    kept, web = fetch([*addresses(30), *addresses(30, "b.example")], robots="User-agent: *\nDisallow: /7")
    assert kept.pop("http://a.example/7") == ("robots.txt", "refused", "http://a.example/7", 0)
    assert kept.pop("http://b.example/7")[:2] == ("robots.txt", "refused")
    assert set(kept.values()) == {("ok", "ok", url, 1) for url in kept}
    assert len(web.asked) == 58 + 2 and all(len(times) == 1 for times in web.asked.values())


def test_as_many_requests_at_a_host_at_once_as_allowed(fetch, monkeypatch):
    both, active, peak, ask = Barrier(2, timeout=10), [], [], Web.ask

    def watched(web, url):
        active.append(url)
        peak.append(len(active))
        both.wait()  # there must be two
        active.remove(url)
        return ask(web, url)

    monkeypatch.setattr(Web, "ask", watched)
    fetch(addresses(20), per_host=2, connections=16, loop=asyncio.SelectorEventLoop)
    assert max(peak) == 2


def test_between_requests_at_a_host_there_is_a_pause_and_none_between_hosts(fetch):
    _, web = fetch([*addresses(4), *addresses(4, "b.example")], delay=0.5)
    for host in ("a", "b"):
        times = sorted(time for url, asked in web.asked.items() if url.startswith(f"http://{host}.") for time in asked)
        assert times == pytest.approx([0.5 * n for n in range(5)])  # robots.txt first


def test_the_pause_is_that_of_robots_txt_if_it_is_longer(fetch):
    _, web = fetch(addresses(4), delay=0.5, robots="User-agent: 2m-ner\nCrawl-delay: 7\n\nUser-agent: *\nDisallow: /")
    times = sorted(times[0] for url, times in web.asked.items() if not url.endswith("robots.txt"))
    assert [later - earlier for earlier, later in pairwise(times)] == pytest.approx([7, 7, 7])


def test_pauses_that_are_too_long_are_not_made(fetch):
    kept, web = fetch(addresses(4), robots="User-agent: *\nCrawl-delay: 3600")
    assert {entry[:2] for entry in kept.values()} == {("crawl delay", "refused")}
    assert list(web.asked) == ["http://a.example/robots.txt"]


def test_a_busy_host_is_asked_again_after_growing_pauses(fetch):
    [url] = addresses(1)
    kept, web = fetch([url], {url: [BUSY]}, attempts=4, first_wait=1.0)
    assert kept == {url: ("http 503", "transient", url, 4)}
    waits = [later - earlier for earlier, later in pairwise(web.asked[url])]
    assert all(2**n <= wait <= 1.5 * 2**n + 0.02 for n, wait in enumerate(waits))
    kept, web = fetch([url], {url: [BUSY, BUSY, OK]}, attempts=4)
    assert kept == {url: ("ok", "ok", url, 3)}


def test_retry_after_holds_for_the_whole_host(fetch):
    first, second = addresses(2)
    wait = Outcome("http 429", "transient", again=True, wait=30.0)
    kept, web = fetch([first, second], {first: [wait, OK]}, per_host=1)
    assert web.asked[first][1] >= 30 and web.asked[second][0] >= 30
    assert {entry[0] for entry in kept.values()} == {"ok"}


def test_a_host_that_asks_for_too_long_a_wait_is_left_alone(fetch):
    urls = addresses(5)
    wait = Outcome("http 429", "transient", again=True, wait=3600.0)
    kept, web = fetch(urls, {urls[0]: [wait]}, per_host=1)
    assert kept[urls[0]][:2] == ("http 429", "transient")
    assert {kept[url][:2] for url in urls[1:]} == {("host left alone", "transient")}
    assert web.clock.now < 10 and set(web.asked) == {"http://a.example/robots.txt", urls[0]}


def test_a_host_that_asks_for_many_waits_is_left_alone(fetch):
    urls = addresses(100)
    wait = Outcome("http 503", "transient", again=True, wait=100.0)
    kept, web = fetch(urls, {url: [wait] for url in urls}, per_host=1, longest_wait=120.0)
    assert {entry[1] for entry in kept.values()} == {"transient"} and web.clock.now < 1_500


def test_a_host_that_cannot_be_reached_is_left_alone(fetch):
    urls = addresses(100)
    kept, web = fetch([*urls, *addresses(3, "b.example")], {url: [UNREACHED] for url in urls}, per_host=1)
    assert {kept[url][1] for url in urls} == {"transient"}
    assert sum(map(len, web.asked.values())) == downloads.MAX_UNREACHED + 1 + 3 + 1
    assert {entry[0] for url, entry in kept.items() if "b.example" in url} == {"ok"}


def test_requests_that_fail_together_count_once(fetch, monkeypatch):
    together, urls = Barrier(12, timeout=10), addresses(12)

    def fail(web, url):
        together.wait()
        return UNREACHED

    monkeypatch.setattr(Web, "ask", fail)
    kept, _ = fetch(urls, per_host=12, attempts=2, loop=asyncio.SelectorEventLoop, first_wait=0.0)
    assert {(entry[0], entry[3]) for entry in kept.values()} == {("no connection", 2)}


def test_robots_txt_that_cannot_be_read_forbids_for_now(fetch):
    [url] = addresses(1)
    kept, web = fetch([url], robots=BUSY, attempts=2)
    assert kept == {url: ("http 503", "transient", url, 2)} and url not in web.asked


def test_redirects_follow_the_rules_of_their_hosts(fetch):
    url, end = "http://a.example/1", "https://b.example:8/2"
    moved = {url: [Outcome("redirect", "permanent", redirect=end)]}
    kept, web = fetch([url], moved)
    assert kept == {url: ("ok", "ok", end, 1)} and "https://b.example:8/robots.txt" in web.asked
    moved[end] = [Outcome("redirect", "permanent", redirect=url)]
    kept, web = fetch([url], moved)
    assert kept[url][:2] == ("redirects", "permanent") and len(web.asked[url]) == len(web.asked[end]) == 3
    moved[end] = [Outcome("redirect", "permanent", redirect="file:///etc/hostname")]
    assert fetch([url], moved)[0][url][:2] == ("bad address", "refused")


def test_more_addresses_than_are_held_at_once(fetch, monkeypatch):
    monkeypatch.setattr(downloads, "WAITING", 3)
    urls = [f"http://{n}.example/" for n in range(20)]
    assert set(fetch(urls)[0]) == set(urls)
    urls = [f"ftp://{n}.example/" for n in range(20)]  # which end without being asked
    assert set(fetch(urls)[0]) == set(urls)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("HTTP://A.example/b", "http://a.example"),
        ("https://a.example:81/b", "https://a.example:81"),
        ("http://[2001:db8::1]:81/", "http://[2001:db8::1]:81"),
        ("http://u:p@a.example/", "http://a.example"),
        *((url, None) for url in ("", "a", "http://", "http://[::1", "ftp://a.example", "http://a:99999/", "//a/b")),
    ],
)
def test_origins(url, origin):
    assert origin_of(url) == origin


def test_retry_after_is_seconds_or_a_date():
    later = datetime.now(timezone.utc) + timedelta(seconds=100)
    assert _seconds("5") == 5 and _seconds(" 5 ") == 5 and _seconds("9" * 5_000) >= 1e9
    assert 90 < _seconds(format_datetime(later, usegmt=True)) <= 100
    assert _seconds(format_datetime(later - timedelta(days=1), usegmt=True)) == 0
    assert [_seconds(text) for text in ("", "soon", "-5", "1.5", "Mon, 99 Foo 2026")] == [None] * 5
