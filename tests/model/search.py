"""Breadth-first search through every situation of a scope, and the way to each."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from control_plane.domain.run import BlockedOn
from tests.model.invariants import wrong, wrong_step
from tests.model.people import acts_of_people, disturbances
from tests.model.situation import Scope, Situation
from tests.model.workers import Action, Next, accidents, acts_of_workers

WORKERS: Final = frozenset({"begin", "continue"})
DISTURBING: Final = frozenset(
    {"change", "look", "drift", "hold", "reject", "cancel", "days_pass", "crash", "cut_off",
     "crash_halfway", "engine_dies", "crash_unheard"}
)  # fmt: skip


class Violation(AssertionError):
    """Something that must hold does not; ``trace`` is a shortest way to it."""

    def __init__(self, scope: Scope, what: str, trace: list[Action]) -> None:
        self.scope, self.what, self.trace = scope, what, trace
        lines = [f"{n:>3}. {told(action)}" for n, action in enumerate(trace, 1)]
        super().__init__("\n".join([f"{what}, after {len(trace)} steps:", *lines]))


@dataclass
class Searched:
    """All situations of a scope: how each was reached, and what follows from it."""

    scope: Scope
    situations: list[Situation] = field(default_factory=list)
    came_from: list[tuple[int, Action]] = field(default_factory=list)
    edges: list[list[tuple[Action, int]]] = field(default_factory=list)
    depth: int = 0
    seconds: float = 0.0

    @property
    def transitions(self) -> int:
        """How many steps there are in all."""
        return sum(map(len, self.edges))

    def way_to(self, number: int) -> list[tuple[Action, int]]:
        """Return the steps to a situation, each with what it leads to."""
        steps: list[tuple[Action, int]] = []
        while number:
            before, action = self.came_from[number]
            steps.append((action, number))
            number = before
        return steps[::-1]


def steps_of(scope: Scope, situation: Situation) -> Iterator[Next]:
    """Yield everything that may happen next."""
    yield from acts_of_workers(scope, situation)
    yield from acts_of_people(scope, situation)
    yield from disturbances(scope, situation)
    yield from accidents(scope, situation)


def search(scope: Scope, *, canonical: bool = True) -> Searched:
    """Search a scope. Raises ``Violation`` with a shortest trace for what does not hold.

    With ``canonical`` situations that differ in the names of workers and of tenants of one mode
    alone are one.
    """
    began = time.monotonic()
    form = _canonical(scope) if canonical else _same
    found = Searched(scope=scope)
    numbers: dict[Situation, int] = {}
    depths: list[int] = []
    waiting: deque[int] = deque()

    def meet(situation: Situation, before: int, action: Action) -> int:
        situation = form(situation)
        number = numbers.get(situation)
        if number is not None:
            return number
        number = numbers[situation] = len(numbers)
        found.situations.append(situation)
        found.came_from.append((before, action))
        found.edges.append([])
        depths.append(depths[before] + 1 if number else 0)
        waiting.append(number)
        for what in wrong(scope, situation):
            raise Violation(scope, what, _trace(found, number, form))
        return number

    meet(scope.start(), 0, ())
    while waiting:
        number = waiting.popleft()
        situation = found.situations[number]
        for action, after in steps_of(scope, situation):
            for what in wrong_step(scope, situation, after):
                found.situations.append(form(after))
                found.came_from.append((number, action))
                raise Violation(scope, what, _trace(found, len(found.came_from) - 1, form))
            found.edges[number].append((action, meet(after, number, action)))
    found.depth = max(depths)
    _require_ends(found, form)
    found.seconds = time.monotonic() - began
    return found


def _require_ends(found: Searched, form: Form) -> None:
    """Require that from everywhere all runs can still end by what workers and people have to do.

    Under fairness they do end then, since what disturbs them is bounded and the workers' own steps
    never come back to where they were.
    """
    back: list[list[int]] = [[] for _ in found.situations]
    for number, edges in enumerate(found.edges):
        for action, after in edges:
            if action[0] not in DISTURBING:
                back[after].append(number)
    good = {n for n, situation in enumerate(found.situations) if _is_at_an_end(situation)}
    waiting = deque(good)
    while waiting:
        for before in back[waiting.popleft()]:
            if before not in good:
                good.add(before)
                waiting.append(before)
    if len(good) < len(found.situations):
        stuck = next(n for n in range(len(found.situations)) if n not in good)
        what = "a run never ends, whatever workers and people do"
        raise Violation(found.scope, what, _trace(found, stuck, form))
    circle = _circle_of_workers(found)
    if circle is not None:
        raise Violation(found.scope, "workers go round in a circle", _trace(found, circle, form))


def _is_at_an_end(situation: Situation) -> bool:
    """Tell whether every run has ended, or waits for a retry that the scope has no run for."""
    return all(
        run.has_ended or run.blocked_on == BlockedOn.STATE_MOVED
        for tenant in situation.tenants
        for run in tenant.runs
    )


def _circle_of_workers(found: Searched) -> int | None:
    """Return a situation on a circle of workers' steps, None where there is none."""
    comes = [0] * len(found.edges)
    after = [[n for action, n in edges if action[0] in WORKERS] for edges in found.edges]
    for edges in after:
        for number in edges:
            comes[number] += 1
    waiting = deque(n for n, count in enumerate(comes) if not count)
    seen = 0
    while waiting:
        seen += 1
        for number in after[waiting.popleft()]:
            comes[number] -= 1
            if not comes[number]:
                waiting.append(number)
    return None if seen == len(comes) else next(n for n, count in enumerate(comes) if count)


# --- names that do not matter ---------------------------------------------------------------------
Form = Callable[[Situation], Situation]


def _same(situation: Situation) -> Situation:
    return situation


def _canonical(scope: Scope) -> Form:
    workers = list(itertools.permutations(range(scope.workers)))
    tenants = [
        order
        for order in itertools.permutations(range(len(scope.modes)))
        if all(scope.modes[new] == scope.modes[old] for new, old in enumerate(order))
    ]
    orders = list(itertools.product(workers, tenants))

    def form(situation: Situation) -> Situation:
        return min(_renamed(situation, *order) for order in orders)

    return form


def _renamed(situation: Situation, workers: tuple[int, ...], tenants: tuple[int, ...]) -> Situation:
    """Return a situation in which place ``n`` has what place ``workers[n]`` had; tenants alike."""
    host = {old: new for new, old in enumerate(workers)} | {-1: -1}
    place = {old: new for new, old in enumerate(tenants)} | {-1: -1}
    return situation._replace(
        tenants=tuple(
            tenant._replace(
                call=host[tenant.call],
                lock=tuple(lock._replace(host=host[lock.host]) for lock in tenant.lock),
            )
            for tenant in (situation.tenants[old] for old in tenants)
        ),
        workers=tuple(
            worker._replace(tenant=place[worker.tenant])
            for worker in (situation.workers[old] for old in workers)
        ),
    )


def _trace(found: Searched, number: int, form: Form) -> list[Action]:
    """Return the actions to a situation, under the names that they have from the start."""
    way = []
    while number:
        way.append(found.situations[number])
        number = found.came_from[number][0]
    present, trace = found.scope.start(), []
    for wanted in reversed(way):
        for action, after in steps_of(found.scope, present):
            if form(after) == wanted:
                present = after
                trace.append(action)
                break
    return trace


_SAID: Final = {
    "begin": "a worker takes the turn of a run",
    "continue": "its engine call goes to its next point",
    "crash": "a worker and its engine are killed",
    "crash_halfway": "a worker is killed, and its engine between two operations",
    "crash_unheard": "a worker is killed when all is made, and nothing of it stored",
    "engine_dies": "an engine is killed between two operations",
    "cut_off": "a worker is cut off, and works on",
    "submit": "a contract is submitted",
    "change": "somebody changes the tenant's facts",
    "look": "somebody asks for a look",
    "approve": "a person approves the plan",
    "reject": "a person rejects the plan",
    "cancel": "somebody cancels the newest run",
    "retry": "somebody retries the newest run",
    "hold": "a hold is placed; an apply that began",
    "release": "the hold is released",
    "drift": "somebody deletes a resource in the cloud by hand",
    "timer": "a timer looks again at a run that is blocked by a lock",
    "expire": "the timer of an approval falls due",
    "hours_pass": "the deadline of every engine call passes",
    "days_pass": "days pass: approvals, and resumes, are late",
    "hub_ready": "the Hub is ready",
}


def told(action: Action) -> str:
    """Return an action as people read it."""
    return f"{_SAID[action[0]]} [{' '.join(action)}]"
