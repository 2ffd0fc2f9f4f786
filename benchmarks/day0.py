"""Day 0: how soon a signed contract is answered and done, beside many others and many times over.

It has an installation of its own, whose rules name an account of DocuSign and systems outside that
take 50 ms for each call.
"""

from __future__ import annotations

import http.client
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
import psycopg

from benchmarks.figures import Figure, median_and_range
from benchmarks.outside import outside
from benchmarks.site import Site
from control_plane.adapters.intake.keys import FileProviderKeys
from control_plane.bootstrap import read_settings
from control_plane.cli.serving import EmbeddedInstallation
from tests.signed import DOCUSIGN_KEY, as_bytes, docusign, docusign_headers

DELIVERIES: Final = 1000  # of one contract
DISTINCT: Final = 400  # whose cost is measured
CALLERS: Final = 8
_PATH: Final = "/v1/intake/docusign"
_PAUSE: Final = 0.05  # between two deliveries whose answers are timed
_POLL: Final = 0.1
_FEWEST: Final = 100  # a p99 of fewer answers says nothing
_WAIT_SECONDS: Final = 900.0
_NUMBERS = count(1)  # of contracts: each makes a tenant of its own
# what the product has still to do for a signed contract; the kickoff is for people
_OPEN: Final = """
    SELECT count(DISTINCT j.id) FROM journey j JOIN journey_step s ON s.journey_id = j.id
    WHERE s.status IN ('working', 'scheduled') OR s.status = 'waiting' AND s.key <> 'kickoff'
"""
_DONE_OF: Final = """
    SELECT t.status = 'ready' AND EXISTS (
        SELECT FROM message m WHERE m.tenant_id = t.id AND m.event = 'portal.link_issued'
        AND m.status = 'sent'
    ) FROM tenant t JOIN contract c ON c.tenant_id = t.id WHERE c.contract_id = %s
"""
_RUN_OF: Final = """
    SELECT extract(epoch FROM r.ended_at - r.requested_at) FROM run r
    JOIN contract c ON c.tenant_id = r.tenant_id WHERE c.contract_id = %s
"""
_TIMES: Final = "SELECT times_received, status FROM delivery WHERE envelope_id = %s"


def measure(site: Site, *, pairs: int, journeys: int) -> list[Figure]:
    """Measure contracts one by one, a webhook while many journeys run, and one that repeats."""
    home = site.running.settings.home.absolute().with_name("bench-day0")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    with outside(home) as systems:
        settings = read_settings(
            home=home / "home", port=0, log_level="warning", rules_folder=systems.rules
        )
        with EmbeddedInstallation(settings, partial(print, " ")) as running:
            own = Site(running)
            folder = own.parts.home.part("keys") / "intake"
            FileProviderKeys(folder).install("docusign-1", DOCUSIGN_KEY.encode())
            systems.install(own.parts.home.part("keys") / "systems")
            own.hub()
            return [
                *_one_by_one(own, pairs), *_costs(own), *_repeated(own),
                *_beside_journeys(own, journeys),
            ]  # fmt: skip


class Poster:
    """One connection of a provider that posts signed messages."""

    def __init__(self, site: Site) -> None:
        address = urlsplit(site.running.url)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def post(self, payload: dict[str, Any]) -> float:
        """Post a message, which must be taken; returns the seconds until its answer."""
        body = as_bytes(payload)
        headers = {"Content-Type": "application/json", **docusign_headers(body)}
        started = time.perf_counter()
        self._connection.request("POST", _PATH, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - started
        if answer.status != 202:
            raise SystemExit(f"a delivery was answered with {answer.status}: {content[:300]!r}")
        return seconds


@contextmanager
def _posting(site: Site) -> Iterator[Poster]:
    poster = Poster(site)
    try:
        yield poster
    finally:
        poster.close()


def _signed(number: int, **more: Any) -> dict[str, Any]:
    """Return a contract of a company of its own, with everybody who gets a message."""
    fields: dict[str, Any] = {
        "Legal entity": f"Bench {number} Ltd", "Domain": f"bench-{number}.example.com",
        "IT admin e-mail": f"ida@bench-{number}.example.com",
        "Executive sponsor": "Edda", "Executive sponsor e-mail": f"edda@bench-{number}.example.com",
        "Business sponsor": "Bo", "Business sponsor e-mail": f"bo@bench-{number}.example.com",
    }  # fmt: skip
    return docusign(number, **fields, **more)


def _contract(number: int) -> str:
    return f"C-2026-{number:04d}"


# --- one by one --------------------------------------------------------------------------------
def _one_by_one(site: Site, pairs: int) -> list[Figure]:
    """Measure what a signature takes beyond the run that is part of it."""
    whole, runs = [], []
    with psycopg.connect(site.database_url, autocommit=True) as rows:
        for _ in range(pairs):
            number = next(_NUMBERS)
            started = time.perf_counter()
            with _posting(site) as poster:  # the server keeps no connection for so long
                poster.post(_signed(number))
            _wait(partial(_is_true, rows, _DONE_OF, _contract(number)))
            whole.append(time.perf_counter() - started)
            runs.append(float(_value(rows, _RUN_OF, _contract(number))))
            print(f"  signature to ready and link {whole[-1]:.2f} s, its run {runs[-1]:.2f} s")
            _wait(lambda: not _value(rows, _OPEN))  # nothing of it is beside the next one
    more = [both - run for both, run in zip(whole, runs, strict=True)]
    ratios = [both / run for both, run in zip(whole, runs, strict=True)]
    return [
        Figure(name="signature to ready and link sent, beyond its Mode A run",
               value=statistics.median(more), unit="s", target=3,
               detail=f"{median_and_range(more)}; stubs take 50 ms; over the run "
               f"{statistics.median(ratios):.2f}"),
    ]  # fmt: skip


# --- what a delivery costs ---------------------------------------------------------------------
def _costs(site: Site) -> list[Figure]:
    """Measure the processor time of the API for deliveries that all differ."""
    api = site.process("api")
    _post_all(site, [_sent(next(_NUMBERS)) for _ in range(CALLERS * 5)])  # warm
    before = _cpu(api)
    _post_all(site, [_sent(next(_NUMBERS)) for _ in range(DISTINCT)])
    each = 1000 * (_cpu(api) - before) / DISTINCT
    return [
        Figure(name="accepted delivery, CPU of the api", value=each, unit="ms", target=12,
                detail=f"{DISTINCT} deliveries, {CALLERS} callers"),
    ]  # fmt: skip


def _sent(number: int) -> dict[str, Any]:
    """Return an event that asks for nothing, so that what follows it costs little."""
    return _signed(number, event="envelope-sent")


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# --- one contract, many times ------------------------------------------------------------------
def _repeated(site: Site) -> list[Figure]:
    number = next(_NUMBERS)
    started = time.perf_counter()
    _post_all(site, [_signed(number, retry=retry) for retry in range(DELIVERIES)])
    seconds = time.perf_counter() - started
    envelope = docusign(number)["data"]["envelopeId"]
    with psycopg.connect(site.database_url, autocommit=True) as rows:
        _wait(lambda: not _value(rows, _OPEN) and _is_true(rows, _DONE_OF, _contract(number)))
        found = rows.execute(_TIMES, [envelope]).fetchall()
    if found != [(DELIVERIES, "accepted")]:
        raise SystemExit(f"one contract became {found}")
    return [
        Figure(name=f"{DELIVERIES} deliveries of one contract", value=seconds, unit="s", target=10,
               detail=f"{CALLERS} callers; one delivery, one tenant"),
    ]  # fmt: skip


def _post_all(site: Site, payloads: Sequence[dict[str, Any]]) -> None:
    """Post messages of several callers side by side."""
    waiting, lock, done = iter(payloads), threading.Lock(), list[float]()

    def work() -> None:
        with _posting(site) as poster:
            while True:
                with lock:
                    payload = next(waiting, None)
                if payload is None:
                    return
                done.append(poster.post(payload))

    threads = [threading.Thread(target=work) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(done) != len(payloads):
        raise SystemExit("a caller ended early")


# --- beside journeys ---------------------------------------------------------------------------
def _beside_journeys(site: Site, journeys: int) -> list[Figure]:
    """Measure answers as long as the product works on so many journeys."""
    _post_all(site, [_signed(next(_NUMBERS)) for _ in range(journeys)])
    with psycopg.connect(site.database_url, autocommit=True) as rows, _posting(site) as poster:
        most, seconds = 0, list[float]()
        begun = time.monotonic()
        while (under_way := int(_value(rows, _OPEN))) or not most:
            most = max(most, under_way)
            seconds.append(poster.post(_sent(next(_NUMBERS))))
            time.sleep(_PAUSE)
            if time.monotonic() - begun > _WAIT_SECONDS:
                raise SystemExit("the journeys did not end")
    if len(seconds) < _FEWEST:
        raise SystemExit(f"{len(seconds)} answers are too few: use more journeys")
    seconds.sort()
    return [
        Figure(name=f"webhook answered while {journeys} journeys run, p99",
               value=1000 * seconds[int(0.99 * len(seconds))], unit="ms", target=100,
               detail=f"p50 {1000 * statistics.median(seconds):.0f} ms, {len(seconds)} answers, up "
               f"to {most} journeys at once"),
    ]  # fmt: skip


def _value(rows: psycopg.Connection[Any], query: str, *values: object) -> Any:
    found = rows.execute(query, values).fetchone()
    return found[0] if found else None


def _is_true(rows: psycopg.Connection[Any], query: str, *values: object) -> bool:
    return _value(rows, query, *values) is True


def _wait(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise SystemExit("a journey did not come so far")
        time.sleep(_POLL)
