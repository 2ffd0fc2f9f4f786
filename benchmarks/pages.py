"""The console beside ten thousand tenants and a million events: server, live pages, browser.

The server's times are those of one person who asks for one page after the other; what a page takes
on screen is measured in a real browser. Live pages of runs are held open without one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx

from benchmarks.crowd import EVENTS_EACH, Crowd, Filler
from benchmarks.figures import Figure, median_and_range
from benchmarks.site import Site
from control_plane.cli.console import sign_in_code, sign_in_url
from control_plane.domain.actor import Role
from tools.browser import BrowserUnavailable, ensure_browser

TENANTS: Final = 10_000
LOOKS: Final = 200  # at each page
_WARM: Final = 10
_LIVE: Final = 50
_LIVE_SECONDS: Final = 30.0
_SETTLES_SECONDS: Final = 5.0
_PAINTS: Final = 10
_PAINT: Final = (
    "() => performance.getEntriesByType('paint')"
    ".find(entry => entry.name === 'first-contentful-paint')?.startTime"
)
_ROLES: Final = (
    Role.PLATFORM_ADMIN, Role.OPS_APPROVER, Role.SOLUTIONS_ARCHITECT, Role.AUDITOR,
    Role.PLATFORM_AUDITOR,
)  # fmt: skip


def measure(site: Site, *, tenants: int = TENANTS) -> list[Figure]:
    """Measure every page over so many tenants, the live page of a run, and the first paint."""
    with closing(Filler(site)) as filler:
        crowd = filler.grow_to(tenants)
    with _signed_in(site) as visitor:
        paths = _paths(site, crowd)
        figures = _server(visitor, paths, tenants)
        figures.append(_live(site, visitor, paths["run"]))
    return [*figures, *_paint(site, paths)]


def _paths(site: Site, crowd: Crowd) -> Mapping[str, str]:
    """Return the address of each page; the run is one that waits, whose live page stays open."""
    (waiting, *_) = site.ops.get("/v1/runs?limit=1&status=awaiting_approval")["items"]
    tenant = crowd.tenants[len(crowd.tenants) // 2]
    return {
        "home": "/console",
        "tenants": "/console/tenants",
        "tenants by status": "/console/tenants?status=pending",
        "tenant": f"/console/tenants/{tenant}",
        "approvals": "/console/approvals",
        "run": f"/console/runs/{waiting['id']}",
        "operations": "/console/operations",
        "logs": "/console/audit",
        "a log": f"/console/audit/{tenant}",
        "an event": f"/console/audit/{tenant}/event?idx={EVENTS_EACH // 2}",
    }


@contextmanager
def _signed_in(site: Site) -> Iterator[httpx.Client]:
    """Yield a client with a session of the console, opened as a person opens it."""
    base = site.running.url
    with httpx.Client(base_url=base, follow_redirects=True, trust_env=False, timeout=60) as client:
        code = sign_in_code(site.running.child_settings())
        form = client.get(sign_in_url(base, code))
        given = {key: values[0] for key, values in parse_qs(urlsplit(str(form.url)).query).items()}
        data = {**given, "name": "ada", "role": [str(role) for role in _ROLES]}
        home = client.post("/console/who", data=data, headers={"Origin": base})
        if home.url.path != "/console":
            raise SystemExit(f"the sign-in ended at {home.url.path}: {home.status_code}")
        yield client


# --- the server ----------------------------------------------------------------------------------
def _server(visitor: httpx.Client, paths: Mapping[str, str], tenants: int) -> list[Figure]:
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    sizes: dict[str, int] = {}
    for turn in range(-_WARM, LOOKS):
        for name, path in paths.items():
            started = time.perf_counter()
            answer = visitor.get(path)
            if turn >= 0:
                seconds[name].append(time.perf_counter() - started)
            if answer.status_code != 200:
                raise SystemExit(f"{path}: {answer.status_code}")
            sizes[name] = len(answer.content)
    last = {name: 1000 * statistics.quantiles(took, n=100)[98] for name, took in seconds.items()}
    for name, took in seconds.items():
        middle = 1000 * statistics.median(took)
        print(f"  {name:20} p50 {middle:5.0f} ms, p99 {last[name]:5.0f} ms, {sizes[name]:7,} bytes")
    slowest, largest = max(last, key=lambda name: last[name]), max(sizes, key=lambda n: sizes[n])
    return [
        Figure(name=f"slowest page of the console, {tenants:,} tenants, p99", value=last[slowest],
               unit="ms", target=150, detail=f"{slowest}; {LOOKS} looks at each of {len(paths)} "
               f"pages, {EVENTS_EACH * tenants:,} events"),
        Figure(name="largest page of the console", value=sizes[largest] / 1000, unit="kB",
               target=100, detail=largest),
    ]  # fmt: skip


def _live(site: Site, visitor: httpx.Client, path: str) -> Figure:
    """Measure what the API spends while many people watch a run that waits."""
    api = site.process("api")
    with ExitStack() as open_pages:
        for _ in range(_LIVE):
            answer = open_pages.enter_context(visitor.stream("GET", f"{path}/live"))
            if answer.status_code != 200:
                raise SystemExit(f"{path}/live: {answer.status_code}")
        time.sleep(_SETTLES_SECONDS)
        before, started = sum(api.cpu_times()[:2]), time.perf_counter()
        time.sleep(_LIVE_SECONDS)
        spent = sum(api.cpu_times()[:2]) - before
        share = 100 * spent / (time.perf_counter() - started)
    return Figure(
        name=f"{_LIVE} live pages of runs, processor time of the api", value=share, unit="% CPU",
        target=10, detail=f"{_LIVE_SECONDS:.0f} s, nothing happens in the run",
    )  # fmt: skip


# --- the browser ---------------------------------------------------------------------------------
def _paint(site: Site, paths: Mapping[str, str]) -> list[Figure]:
    """Measure the first contentful paint of each page in Chromium, several times."""
    try:
        found = ensure_browser()
    except BrowserUnavailable as reason:
        print(f"  first paint is not measured: {reason}")
        return []
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a browser

    from tests.browsers import FLAGS  # noqa: PLC0415 - as above

    with sync_playwright() as driver:
        running = driver.chromium.launch(
            executable_path=str(found.program), env=dict(found.environment), args=FLAGS
        )
        with closing(running):
            page = running.new_page()
            _sign_in(page, site)
            paints = {name: _paints(page, site.running.url + path) for name, path in paths.items()}
    slowest = max(paints, key=lambda name: statistics.median(paints[name]))
    return [
        Figure(name="first paint of the slowest page", value=statistics.median(paints[slowest]),
               unit="s", target=0.5, detail=f"{slowest}; {median_and_range(paints[slowest])}"),
    ]  # fmt: skip


def _sign_in(page: Any, site: Site) -> None:
    page.goto(sign_in_url(site.running.url, sign_in_code(site.running.child_settings())))
    page.get_by_label("Your name").fill("ada")
    for role in _ROLES:
        page.get_by_label(str(role).replace("_", " "), exact=True).check()
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Home").wait_for()


def _paints(page: Any, url: str) -> Sequence[float]:
    seconds = []
    for _ in range(_PAINTS):
        page.goto(url)
        page.wait_for_function(_PAINT)
        seconds.append(page.evaluate(_PAINT) / 1000)
    return seconds
