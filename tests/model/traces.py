"""Traces of a scope, driven through the real services and compared with the model step by step."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from control_plane.adapters.dbos.queue import phase_and_subject
from control_plane.domain.approval import Decision
from control_plane.domain.plan import Plan
from tests.model.driver import Driver, driven
from tests.model.search import Searched, search, told
from tests.model.situation import NOTHING, Run, Scope, Situation, Tenant, left_to_do
from tests.model.workers import Action
from tests.storage import Storage

Trace = list[tuple[Action, Situation]]
Step = tuple[Action, int]
Missing = dict[Any, tuple[int, int]]  # what is to be covered -> where
_LONGEST: Final = 60
_NEAR: Final = 60  # situations among which the next edge is looked for, before a new trace begins
View = dict[str, Any]


class Differs(AssertionError):
    """The product does something else than the model."""

    def __init__(self, trace: Sequence[Action], what: Sequence[str]) -> None:
        self.trace, self.what = list(trace), list(what)
        steps = [f"{n:>3}. {told(action)}" for n, action in enumerate(trace, 1)]
        super().__init__("\n".join(["the product differs from the model after", *steps, *what]))


# --- which traces --------------------------------------------------------------------------------
def covering(found: Searched, *, seed: int = 0) -> Iterator[Trace]:
    """Yield traces that together go along every edge of the graph that people see.

    Two edges are one where the same kind of action leads from what is shown of its tenant, of its
    stack and of the workers there, to the same. Shortest first.
    """
    order = random.Random(seed)  # noqa: S311 - a sample that repeats
    missing: Missing = {}
    for number, edges in enumerate(found.edges):
        for index, (action, after) in enumerate(edges):
            key = _seen(action, found.situations[number], found.situations[after])
            missing.setdefault(key, (number, index))
    while missing:
        number, index = next(iter(missing.values()))
        steps = [*found.way_to(number), found.edges[number][index]]
        at = 0
        for step in steps:
            at = _crossed_off(found, at, step, missing)
        while len(steps) < _LONGEST and (way := _way_on(found, at, missing, order)):
            steps += way
            for step in way:
                at = _crossed_off(found, at, step, missing)
        yield [(action, found.situations[to]) for action, to in steps]


def _crossed_off(found: Searched, at: int, step: Step, missing: Missing) -> int:
    missing.pop(_seen(step[0], found.situations[at], found.situations[step[1]]), None)
    return step[1]


def _way_on(found: Searched, at: int, missing: Missing, order: random.Random) -> list[Step]:
    """Return the shortest way to go along a missing edge from here, if one is near."""
    ways: dict[int, list[Step]] = {at: []}
    waiting = deque([at])
    while waiting and len(ways) < _NEAR:
        number = waiting.popleft()
        edges = found.edges[number]
        for action, after in order.sample(edges, len(edges)):
            way = [*ways[number], (action, after)]
            if _seen(action, found.situations[number], found.situations[after]) in missing:
                return way
            if after not in ways:
                ways[after] = way
                waiting.append(after)
    return []


def _seen(action: Action, before: Situation, after: Situation) -> Any:
    """Return an edge as people see it."""
    at = _tenant_of(action, before)
    return action[0], _shown(before, at), _shown(after, at)


def _tenant_of(action: Action, before: Situation) -> int:
    named = [int(word[1:]) for word in action[1:] if word[0] == "t" and word[1:].isdigit()]
    if named:
        return named[0]
    workers = [int(word[1:]) for word in action[1:] if word[0] == "w"]
    return before.workers[workers[0]].tenant if workers else 0


def _shown(situation: Situation, at: int) -> Any:
    tenant = situation.tenants[at]
    return (
        tuple((run.kind, run.status, run.blocked_on) for run in tenant.runs[-1:]),
        tuple(sorted(w.point for w in situation.workers if w.tenant == at)),
    )


# --- what is compared ----------------------------------------------------------------------------
def expected(tenant: Tenant) -> View:
    """Return what the rows and the stack of a tenant should say."""
    content = tenant.content
    return {
        "tenant": tenant.row,
        "hold": tenant.hold != "none",
        "drifted": tenant.finding,
        "unsettled": tenant.unsettled,
        "applied": tenant.applied_spec,
        "state known": content == NOTHING or tenant.known == tenant.stack,
        "locked": bool(tenant.lock),
        "interrupted": content.pending,
        "runs": [_expected_run(run) for run in tenant.runs],
    }


def _expected_run(run: Run) -> View:
    plan = "none"
    if run.plan:
        plan = "changes" if left_to_do(run.plan[0], run.spec) else "empty"
    return {
        "kind": str(run.kind), "status": str(run.status), "blocked on": run.blocked_on,
        "spec": run.spec, "plan": plan, "approval": run.approval, "people": len(run.yes),
        "cancel": run.cancel, "started": run.started, "evidence": run.evidence,
        "in the queue": run.waits,
    }  # fmt: skip


class Tables:
    """The rows of one moment: each table is read once."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.rows = cache(driver.world.rows)
        waiting = [name for name, status in driver.storage.enqueued() if status == "ENQUEUED"]
        self.waiting = {phase_and_subject(name)[1] for name in waiting}

    def deployment(self, at: int) -> Any:
        """Return the deployment of a tenant."""
        tenant_id = self._driver.tenants[at]
        return next(d for d in self.rows("deployment").values() if d.tenant_id == tenant_id)

    def runs(self, deployment: Any) -> list[Any]:
        """Return the runs of a deployment, in order."""
        found = [r for r in self.rows("run").values() if r.deployment_id == deployment.id]
        return sorted(found, key=lambda run: run.number)


def observed(driver: Driver, tables: Tables, at: int) -> View:
    """Return what they say."""
    world = driver.world
    tenant, deployment = tables.rows("tenant")[driver.tenants[at]], tables.deployment(at)
    stack = world.engine.stacks.get(deployment.stack)
    digest = stack.state_digest() if stack is not None else None
    is_empty = stack is None or not (stack.resources or stack.pending)
    return {
        "tenant": (str(tenant.status), str(tenant.waiting_on or "")),
        "hold": tenant.hold,
        "drifted": tenant.drifted,
        "unsettled": deployment.is_unsettled,
        "applied": _facts_of(tables, deployment, deployment.applied_spec),
        "state known": is_empty or deployment.state_digest == digest,
        "locked": bool(stack and stack.locks),
        "interrupted": bool(stack and stack.pending),
        "runs": [_observed_run(tables, deployment, run) for run in tables.runs(deployment)],
    }


def _observed_run(tables: Tables, deployment: Any, run: Any) -> View:
    rows = tables.rows
    plan: Plan | None = rows("plan").get(run.plan_id)
    approval = rows("approval").get(run.approval_id)
    evidence = rows("evidence").get(run.evidence_id)
    decided: list[Decision] = [
        each for each in rows("decision").values()
        if each.approval_id == run.approval_id and each.decision == "approve"
    ]  # fmt: skip
    return {
        "kind": str(run.kind), "status": str(run.status), "blocked on": str(run.blocked_on or ""),
        "spec": _facts_of(tables, deployment, run.spec_number),
        "plan": "none" if plan is None else "empty" if plan.is_empty else "changes",
        "approval": str(approval.status) if approval else "",
        "people": len({each.person for each in decided}),
        "cancel": run.cancel_requested, "started": run.started_at is not None,
        "evidence": "none" if evidence is None else "held" if evidence.ok else "failed",
        "in the queue": run.id in tables.waiting,
    }  # fmt: skip


def _facts_of(tables: Tables, deployment: Any, number: int) -> int:
    """Return which facts a spec was made of: 1 as submitted, 2 as changed, 0 without a spec."""
    if not number:
        return 0
    spec = tables.rows("deployment_spec")[f"{deployment.id}.{number}"]
    return 2 if "203.0.113.0/24" in str(spec.document) else 1


# --- driving -------------------------------------------------------------------------------------
def drive(storage: Storage, scope: Scope, trace: Trace) -> int:
    """Drive a trace and return its steps. Raises ``Differs`` where the product does otherwise."""
    done: list[Action] = []
    with driven(storage, scope) as driver:
        for action, situation in trace:
            done.append(action)
            try:
                driver.do(action)
            except Exception as error:
                raise Differs(done, [f"the product refuses: {error!r}"]) from error
            what = list(_differences(driver, situation))
            if what:
                raise Differs(done, what)
        wrong = list(unpaired(driver)) + list(undecided(driver))
        if wrong:
            raise Differs(done, wrong)
    return len(done)


def _differences(driver: Driver, situation: Situation) -> Iterator[str]:
    for number, (worker, real) in enumerate(zip(situation.workers, driver.workers, strict=True)):
        if worker.point != real.point:
            yield f"worker {number}: the model has it at {worker.point!r}, it is at {real.point!r}"
    tables = Tables(driver)
    for at in driver.tenants:
        wanted, found = expected(situation.tenants[at]), observed(driver, tables, at)
        for name in wanted:
            if wanted[name] != found[name] and name != "runs":
                yield f"tenant {at}, {name}: model {wanted[name]}, product {found[name]}"
        if len(wanted["runs"]) != len(found["runs"]):
            yield f"tenant {at}: model {len(wanted['runs'])} runs, product {len(found['runs'])}"
            continue
        for index, pair in enumerate(zip(wanted["runs"], found["runs"], strict=True)):
            for name in pair[0]:
                if pair[0][name] != pair[1][name]:
                    yield (f"tenant {at}, run {index}, {name}: model {pair[0][name]},"
                           f" product {pair[1][name]}")  # fmt: skip


_OUTCOMES: Final = frozenset(
    {"run.apply:completed", "run.apply:failed", "run.verified:completed", "run.verified:failed",
     "run.canceled:completed", "run.expired:completed", "run.errored:failed",
     "run.superseded:completed"}
)  # fmt: skip


def unpaired(driver: Driver) -> Iterator[str]:
    """Look for an attempt of a run that has ended without an event of what became of it."""
    open_attempts: dict[str, bool] = {}
    for event in driver.world.events():
        run = dict(event.targets).get("run") or str(event.body.get("run") or "")
        name = f"{event.action}:{event.stage}"
        if name == "run.apply:attempted":
            open_attempts[run] = True
        elif name in _OUTCOMES:
            open_attempts[run] = False
    for run_id, run in driver.world.rows("run").items():
        if run.ended_at is not None and open_attempts.get(run_id):
            yield f"{run_id} has ended, and no event says what became of its last attempt"


def undecided(driver: Driver) -> Iterator[str]:
    """Look for a run that began to apply without enough people on exactly its plan's digest."""
    rows = driver.world.rows
    for run in rows("run").values():
        approval = rows("approval").get(run.approval_id)
        if run.started_at is None or approval is None:
            continue
        plan = rows("plan")[run.plan_id]
        people = {
            each.person for each in rows("decision").values()
            if each.approval_id == approval.id and each.plan_digest == plan.digest
            and each.decision == "approve"
        }  # fmt: skip
        if len(people) < approval.needed:
            yield f"{run.id} applies, and {len(people)} of {approval.needed} people approved it"


def drive_all(
    storage: Storage, scope: Scope, *, seed: int = 0, most: int | None = None
) -> tuple[int, int, int]:
    """Drive covering traces of a scope; returns how many of how many, and their steps.

    With ``most`` a sample by ``seed`` that has about so many steps. Shortest first, so that what
    differs is found after few steps.
    """
    traces = list(covering(search(scope, canonical=False), seed=seed))
    order = random.Random(seed)  # noqa: S311 - a sample that repeats
    chosen = _sample(traces, most, order) if most is not None else traces
    steps = sum(drive(storage, scope, trace) for trace in sorted(chosen, key=len))
    return len(chosen), len(traces), steps


def _sample(traces: list[Trace], most: int, order: random.Random) -> list[Trace]:
    chosen: list[Trace] = []
    for trace in order.sample(traces, len(traces)):
        if sum(map(len, chosen)) + len(trace) <= most:
            chosen.append(trace)
    return chosen
