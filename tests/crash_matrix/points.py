"""One point: a run is requested, something is killed, and what became of it is followed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from control_plane.domain.run import TERMINAL_RUN, RunKind, RunStatus
from tests.crash_matrix.checks import wrong_after
from tests.crash_matrix.owners import GOOD, approve, row_of
from tests.crash_matrix.scenarios import SCENARIOS
from tests.crash_matrix.site import Site
from tests.crash_matrix.victims import Blow

_SECONDS: Final = 420.0  # for a run to come to its end, on a busy machine
_SECONDS_OF_HOSTS: Final = 1500.0  # a call that had not begun to apply has a long deadline
_STOPS: Final = 4  # one point is stopped at most so often
_SELDOM_SECONDS: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where something is killed: in a run of a kind and mode, at an engine event."""

    kind: str
    mode: str
    victim: str
    event: int

    @property
    def name(self) -> str:
        """How it is known in the file of results."""
        return f"{self.kind}/{self.mode}/{self.victim}/{self.event}"


@dataclass(kw_only=True)
class Result:
    """What became of a point. ``end`` is ``applied``, ``stopped``, ``missed`` or ``wrong``.

    A point is ``stopped`` where a person had to take the one next action that was shown, with the
    codes in ``stops``; what followed was applied. It is ``missed`` where the victim lived at no
    moment that was left. ``wrong`` is what must not be.
    """

    point: str
    end: str
    struck_at: int = 0
    was_taken_over: bool = False  # by the other worker, from one whose call did not end
    stops: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)  # what was shown at each stop
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    spent: dict[str, float] = field(default_factory=dict)  # the same, by what they went into


@dataclass
class Spent:
    """Says where the seconds of a point went: each part is named when it ends."""

    parts: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with the first part."""
        self._since = time.monotonic()

    def on(self, part: str) -> None:
        """End a part."""
        now = time.monotonic()
        self.parts[part], self._since = round(now - self._since, 2), now


def tried(site: Site, point: Point, foreign: str) -> Result:
    """Try a point."""
    spent = Spent()
    scenario = SCENARIOS[point.kind, point.mode]
    run_id = site.patiently(lambda: scenario.request(site))
    spent.on("made")
    blow = Blow(
        site, run_id, point.victim, point.event, progress=scenario.progress, ended=scenario.ended
    )
    stops: list[str] = []
    site.said.clear()
    try:
        wrong = (scenario.follow or followed)(site, run_id, stops, scenario.request)
    finally:
        blow.stop()
    spent.on("followed")
    wrong = wrong or scenario.finish(site, run_id)
    spent.on("finished")
    run_id = scenario.run(site, run_id)
    result = Result(
        point=point.name,
        end="applied",
        struck_at=blow.struck_at,
        stops=stops,
        reasons=list(site.said),
    )
    calls = site.rows("SELECT * FROM engine_call WHERE run_id = %s ORDER BY number", run_id)
    result.was_taken_over = any(
        one["outcome"] == "died" and one["worker"] != other["worker"]
        for one, other in pairwise(calls)
    )
    result.wrong = wrong or list(wrong_after(site, run_id, foreign))
    spent.on("checked")
    result.end = _end(result)
    result.seconds, result.spent = round(sum(spent.parts.values()), 1), spent.parts
    return result


def _end(result: Result) -> str:
    if result.wrong:
        return "wrong"
    if not result.struck_at:
        return "missed"
    return "stopped" if result.stops else "applied"


def reference(site: Site, kind: str, mode: str, foreign: str) -> tuple[int, list[str]]:
    """Make a run that nothing happens to; returns how many events it has, and what is wrong."""
    scenario = SCENARIOS[kind, mode]
    run_id = scenario.request(site)
    follow = scenario.follow or followed
    wrong = follow(site, run_id, [], scenario.request) or scenario.finish(site, run_id)
    (found,) = site.rows(scenario.progress, run_id)
    (count,) = found.values()
    run_id = scenario.run(site, run_id)
    return count, wrong or list(wrong_after(site, run_id, foreign))


def followed(
    site: Site, run_id: str, stops: list[str], request: Callable[[Site], str]
) -> list[str]:
    """Follow a run to a good end, and do what people have to; returns what is wrong.

    A run that only reads has no retry: ``request`` asks for another one.
    """
    deadline = time.monotonic() + (_SECONDS_OF_HOSTS if site.hosts else _SECONDS)
    while time.monotonic() < deadline:
        run = row_of(site, run_id)
        status = RunStatus(run["status"])
        if status in GOOD:
            return _shown(site, run)
        if status is RunStatus.AWAITING_APPROVAL:
            approve(site, run)
        elif status is RunStatus.BLOCKED or status in TERMINAL_RUN:
            if len(stops) == _STOPS:
                said = (run["error"] or {}).get("message")
                return [f"stopped again and again: {stops}, at last: {said}"]
            again, wrong = _next_action(site, run, stops, request)
            if wrong:
                return wrong
            run_id = again or run_id
            time.sleep(_SELDOM_SECONDS)  # each look is a request too
        time.sleep(0.05)  # between two looks at the row
    return [f"{run_id} comes to no end: {row_of(site, run_id)}"]


def _shown(site: Site, run: dict[str, Any]) -> list[str]:
    """Ask the API for what the row says."""
    shown = site.patiently(lambda: site.api("olga").get(f"/v1/runs/{run['id']}"))
    wrong = [] if shown["status"] == run["status"] else ["the API shows another status"]
    return wrong + [f"a check failed: {each}" for each in shown["checks"] if not each["ok"]]


def _next_action(
    site: Site, run: dict[str, Any], stops: list[str], request: Callable[[Site], str]
) -> tuple[str | None, list[str]]:
    """Take the one next action of a run that was stopped; returns the run that follows."""
    shown = site.patiently(lambda: site.api("olga").get(f"/v1/runs/{run['id']}"))
    if shown["status"] != run["status"]:
        return None, []  # it has moved meanwhile
    if shown["next_action"] == "wait":
        return None, []
    error = shown["error"] or {}
    if error.get("code") == "foreign_lock" and (error.get("data") or {}).get("call"):
        return None, []  # a lock of ours: it is broken as soon as its engine cannot write any more
    is_explained = bool(error.get("code") and error.get("remedy"))
    if not is_explained and not shown["cancel_requested"]:  # those who canceled it know why
        return None, [f"a stop without an explanation: {shown}"]
    stops.append(f"{shown['status']}:{error.get('code', 'before_it_applied')}")
    said = f"{error.get('message', '')} {error.get('data') or ''}"
    site.said.append(f"{shown['status']}: {said}".strip())
    reads = run["kind"] in {RunKind.REFRESH, RunKind.PLAN}
    allowed = [each for each in shown["allowed_actions"] if each != "cancel"]
    if allowed != ([] if reads else ["retry"]):
        return None, [f"a stop with other next actions than one: {allowed}"]
    if reads:
        return str(site.patiently(lambda: request(site))), []
    again = site.patiently(lambda: site.api("ada").post(f"/v1/runs/{run['id']}/retry"))
    return str(again["id"]), []
