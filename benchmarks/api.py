"""The API: accepting requests of many callers at once, and its lists over full tables."""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Final, Self
from urllib.parse import quote, urlsplit

import psutil

from benchmarks.crowd import Crowd, Filler
from benchmarks.figures import Figure
from benchmarks.site import Site, request_body
from control_plane.cli.serving import EmbeddedInstallation
from control_plane.domain.actor import Role

CALLERS: Final = 8
REQUESTS: Final = 1500
CALLERS_OF_ONE_CONTRACT: Final = 12
KEYS: Final = 200
FEW, MANY = 100, 10_000  # tenants; each has ten runs and a hundred events
LOOKS: Final = 400  # at each list of each side
_WARM: Final = 150
_SUBMIT: Final = "/v1/provisioning-requests"


def measure(site: Site) -> list[Figure]:
    """Measure submissions, then lists over few and over many rows."""
    return [*submissions(site), *lists(site)]


class Caller:
    """One connection of one caller; asks for no more than bytes, since its CPU is measured."""

    def __init__(self, site: Site, role: Role, tenants: Sequence[str] = ("*",)) -> None:
        address = urlsplit(site.running.url)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port)
        token = site.token(str(role), role, tenants=tuple(tenants))
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> bytes:
        """Return the content of an answer, which must be a good one."""
        try:
            self._connection.request(method, path, body, {**self._headers, **headers})
            answer = self._connection.getresponse()
        except ConnectionError:  # it lay idle for longer than the server keeps it
            if method != "GET":
                raise
            self._connection.close()
            self._connection.request(method, path, body, {**self._headers, **headers})
            answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {content[:500]!r}")
        return content


# --- submissions -------------------------------------------------------------------------------
def submissions(site: Site) -> list[Figure]:
    """Measure requests in Mode C, whose work waits for a person.

    So nothing runs because of them but the signer, which gives their events their places as it
    always does; its CPU is reported beside the rest.
    """
    _submit(site, CALLERS, [(f"w{n}", f"w{n}") for n in range(_WARM)])
    meters = Meters(site)
    before, started = meters.read(), time.perf_counter()
    seconds = _submit(site, CALLERS, [(f"p{n}", f"p{n}") for n in range(REQUESTS)])
    rate = REQUESTS / (time.perf_counter() - started)
    each = {name: 1000 * (now - before[name]) / REQUESTS for name, now in meters.read().items()}
    others = ", ".join(f"{name} {value:.1f}" for name, value in each.items() if name != "api")
    _submit(site, 1, [("same", "first")])
    same = [("same", f"same{n}") for n in range(KEYS)]
    repeated = _submit(site, CALLERS_OF_ONE_CONTRACT, same)
    return [
        Figure(name=f"submissions, {CALLERS} callers", value=rate, unit="/s", target=150,
               at_least=True, detail=f"p50 {_middle(seconds):.0f} ms, p99 {_last(seconds):.0f} ms"),
        Figure(name="submission, CPU of the api", value=each["api"], unit="ms", target=12,
               detail=f"ms of CPU each beside it: {others}"),
        Figure(name=f"{KEYS} keys for one contract, {CALLERS_OF_ONE_CONTRACT} callers, p50",
               value=_middle(repeated), unit="ms", detail=f"p99 {_last(repeated):.0f} ms"),
    ]  # fmt: skip


def _submit(site: Site, callers: int, asked: Sequence[tuple[str, str]]) -> list[float]:
    """Submit requests, each a company and a key, side by side; returns the seconds of each."""
    waiting = iter([(json.dumps(request_body(name, mode="C")), key) for name, key in asked])
    lock, seconds = threading.Lock(), list[float]()

    def work() -> None:
        with Caller(site, Role.AUTOMATION) as caller:
            while True:
                with lock:
                    body, key = next(waiting, ("", ""))
                if not body:
                    return
                started = time.perf_counter()
                caller.ask("POST", _SUBMIT, body, **{"Idempotency-Key": key})
                seconds.append(time.perf_counter() - started)

    threads = [threading.Thread(target=work) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(seconds) != len(asked):
        raise SystemExit("a caller ended early")
    return seconds


class Meters:
    """The CPU seconds of everybody who takes part in a submission."""

    def __init__(self, site: Site) -> None:
        self._processes = {name: site.process(name) for name in ("api", "signer")}
        self._database = site.database_process

    def read(self) -> dict[str, float]:
        """Return the seconds so far by name; those of PostgreSQL with its ended processes."""
        used = {name: _cpu(process) for name, process in self._processes.items()}
        ended = self._database.cpu_times()
        living = sum(_cpu(child) for child in self._database.children())
        used["postgres"] = (
            _cpu(self._database) + living + ended.children_user + ended.children_system
        )
        used["callers"] = time.process_time()
        return used


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # it ended meanwhile, and counts among the ended
        return 0.0
    return float(times.user + times.system)


# --- lists -------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Look:
    """One list as somebody reads it; ``{tenant}`` and ``{run}`` are one of the crowd's."""

    name: str
    path: str
    role: Role = Role.OPS_APPROVER
    is_limited: bool = False  # to a hundred tenants, by the token
    next_page: bool = False


_ARCHITECT, _ADMIN, _AUDITOR = Role.SOLUTIONS_ARCHITECT, Role.PLATFORM_ADMIN, Role.AUDITOR
LISTS: Final = (
    Look(name="requests", path="/v1/provisioning-requests?limit=50"),
    Look(name="requests of 100 tenants", path="/v1/provisioning-requests?limit=50",
         is_limited=True),
    Look(name="requests, next page", path="/v1/provisioning-requests?limit=50", next_page=True),
    Look(name="tenants", path="/v1/tenants?limit=50"),
    Look(name="tenants of the token", path="/v1/tenants?limit=50", is_limited=True),
    Look(name="tenants, next page", path="/v1/tenants?limit=50", next_page=True),
    Look(name="tenants by status", path="/v1/tenants?limit=20&status=pending"),
    Look(name="tenants by a status of none", path="/v1/tenants?limit=50&status=mode_conflict"),
    Look(name="tenants by domain", path="/v1/tenants?domain=bench-k7.example.com"),
    Look(name="tenants by contract", path="/v1/tenants?contract_id=c-k7"),
    Look(name="tenants by envelope", path="/v1/tenants?envelope_id=e-k7"),
    Look(name="runs", path="/v1/runs?limit=50"),
    Look(name="runs of 100 tenants", path="/v1/runs?limit=50", is_limited=True),
    Look(name="runs, next page", path="/v1/runs?limit=50", next_page=True),
    Look(name="runs by status", path="/v1/runs?limit=50&status=applied"),
    Look(name="runs by a rare status", path="/v1/runs?limit=50&status=canceled"),
    Look(name="runs that wait", path="/v1/runs?limit=50&status=awaiting_approval"),
    Look(name="runs of a tenant", path="/v1/runs?tenant_id={tenant}"),
    Look(name="progress of a run", path="/v1/runs/{run}/events"),
    Look(name="approvals", path="/v1/approvals?limit=50"),
    Look(name="approvals that wait", path="/v1/approvals?limit=50&status=waiting"),
    Look(name="approvals of 100 tenants", path="/v1/approvals?limit=50", is_limited=True),
    Look(name="bundles", path="/v1/bundles?limit=50", role=_ARCHITECT),
    Look(name="bundles that wait", path="/v1/bundles?limit=20&status=awaiting_architect",
         role=_ARCHITECT),
    Look(name="bundles of 100 tenants", path="/v1/bundles?limit=50", role=_ARCHITECT,
         is_limited=True),
    Look(name="Hubs", path="/v1/hubs?limit=50", role=_ADMIN),
    Look(name="accounts", path="/v1/accounts?limit=50", role=_ADMIN),
    Look(name="outputs of a tenant", path="/v1/tenants/{tenant}/outputs"),
    Look(name="events of a log", path="/v1/tenants/{tenant}/audit/events?limit=50", role=_AUDITOR),
    Look(name="events by action", role=_AUDITOR,
         path="/v1/tenants/{tenant}/audit/events?limit=10&action=run.verified"),
    Look(name="events of the platform", role=Role.PLATFORM_AUDITOR,
         path="/v1/audit/platform/events?limit=10"),
)  # fmt: skip


def lists(site: Site) -> list[Figure]:
    """Measure every list over few rows and over many, the same page in both.

    Few and many are in two installations that are asked in turn, so that both see the same of
    whatever else the machine does.
    """
    own = site.running.settings
    settings = own.model_copy(update={"home": own.home / "few", "port": 0})
    with (
        EmbeddedInstallation(settings, partial(print, "  few:")) as running,
        closing(Filler(Site(running))) as small,
        closing(Filler(site)) as large,
    ):
        few, many = _looks((small.site, small.grow_to(FEW)), (large.site, large.grow_to(MANY)))
    ratios = {look.name: _last(many[look.name]) / _last(few[look.name]) for look in LISTS}
    slowest = max(LISTS, key=lambda look: _last(many[look.name])).name
    steepest = max(ratios, key=lambda name: ratios[name])
    for name, ratio in ratios.items():
        print(
            f"  {name:28} p50 {_middle(few[name]):6.1f} -> {_middle(many[name]):6.1f} ms, "
            f"p99 {_last(few[name]):6.1f} -> {_last(many[name]):6.1f} ms, ratio {ratio:.2f}"
        )
    middles = {look.name: _middle(many[look.name]) / _middle(few[look.name]) for look in LISTS}
    bent = max(middles, key=lambda name: middles[name])
    return [
        Figure(name=f"slowest list, {MANY:,} tenants, p99", value=_last(many[slowest]), unit="ms",
               target=50, detail=f"{slowest}; {LOOKS} looks at each of {len(LISTS)} lists"),
        Figure(name=f"lists, p99 at {MANY:,} tenants over {FEW}, largest",
               value=ratios[steepest], unit="", target=1.5,
               detail=f"{steepest}; median {statistics.median(ratios.values()):.2f}"),
        Figure(name="the same of p50", value=middles[bent], unit="", target=1.5,
               detail=f"{bent}; median {statistics.median(middles.values()):.2f}"),
    ]  # fmt: skip


Seconds = Mapping[str, list[float]]  # of looks, by list


def _looks(*sides: tuple[Site, Crowd]) -> Sequence[Seconds]:
    """Return the seconds of looks at each list, by side; all in turn, so that all see the same."""
    asks = [_asks(site, crowd) for site, crowd in sides]
    found: list[dict[str, list[float]]] = [{look.name: [] for look in LISTS} for _ in sides]
    for turn in range(-10, LOOKS):  # the first ten warm up
        for look in LISTS:
            for ask, seconds in zip(asks, found, strict=True):
                started = time.perf_counter()
                ask[look.name]()
                if turn >= 0:
                    seconds[look.name].append(time.perf_counter() - started)
    return found


def _asks(site: Site, crowd: Crowd) -> Mapping[str, Callable[[], object]]:
    """Return what asks for each list, by its name."""
    spread = crowd.tenants[:: len(crowd.tenants) // 100 | 1]  # odd: tenants of every mode
    names = {"tenant": spread[50], "run": crowd.run}
    asks: dict[str, Callable[[], object]] = {}
    for look in LISTS:
        caller = Caller(site, look.role, spread if look.is_limited else ("*",))
        path = look.path.format(**names)
        if look.next_page:
            token = json.loads(caller.ask("GET", path))["next_page_token"]
            path = f"{path}&page_token={quote(token)}"
        asks[look.name] = partial(caller.ask, "GET", path)
    return asks


def _middle(seconds: Sequence[float]) -> float:
    return 1000 * statistics.median(seconds)


def _last(seconds: Sequence[float]) -> float:
    """Return the 99th percentile in milliseconds."""
    return 1000 * statistics.quantiles(seconds, n=100)[98]
