"""Engine calls of a run: registered before they begin, fenced while they write, closed at the end.

The newest call of a deployment owns its stack. What an older one would write is refused with
``StaleCall``, so that a worker that was cut off and comes back changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from control_plane.domain import spec as specs
from control_plane.domain.calls import CallOutcome, CallRecord
from control_plane.domain.deployment import Deployment, DeploymentSpec
from control_plane.domain.errors import Conflict, DomainError, StaleCall, Unavailable
from control_plane.domain.kinds import KINDS
from control_plane.domain.run import TERMINAL_RUN, Run, RunKind
from control_plane.domain.stack_salt import StackSalt
from control_plane.ports.engine import EngineCall, EngineEvent
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act, Core
from control_plane.workflows.moving import locked_run, progress
from control_plane.workflows.placing import account_of, spec_of
from control_plane.workflows.residence import is_search_due
from control_plane.workflows.salting import salted

T = TypeVar("T")
CALLS_KEPT: Final = 200  # of a deployment, newest first: whose traces are looked for
PATIENCE_SECONDS: Final = 900.0  # an engine waits as long for the database as its gate would
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0


def register_call(act: Act, run: Run, deployment: Deployment) -> EngineCall:
    """Take the stack for a new call; every earlier call of the deployment is stale now."""
    act.uow.deployments.get(deployment.id, lock=True)
    newest = act.uow.queries.newest_call(deployment.id)
    if newest is not None and newest.outcome is None:
        act.uow.calls.save(newest.ended(CallOutcome.DIED, act.now()))
    now = act.now()
    number = newest.number + 1 if newest is not None else 1
    record = CallRecord(
        id=f"{run.id}.{number}",
        run_id=run.id,
        deployment_id=deployment.id,
        number=number,
        worker=act.core.here.worker,
        host=act.core.here.host,
        begun_at=now,
        deadline_at=now + act.core.limits.call_life,
    )
    act.uow.calls.add(record)
    act.uow.queries.forget_calls(deployment.id, below=number - CALLS_KEPT + 1)
    spec = spec_of(act.uow, deployment, run.spec_number)
    salt = salted(act, deployment.id, is_first=newest is None)
    call = _call(act, deployment, spec, call_id=record.id, run_id=run.id, salt=salt)
    return replace(
        call,
        spec=run.draft or call.spec,
        scope=run.scope.urns if run.scope is not None and not run.scope.adopts else (),
        known=_known(act.uow, run),
        everywhere=KINDS[run.kind].looks and is_search_due(act.uow, deployment.id, now),
    )


def _call(
    act: Act,
    deployment: Deployment,
    spec: DeploymentSpec,
    *,
    call_id: str,
    run_id: str,
    salt: StackSalt | None,
) -> EngineCall:
    account = account_of(act.uow, deployment.account_id)
    return EngineCall(
        call_id=call_id,
        run_id=run_id,
        deployment_id=deployment.id,
        stack=deployment.stack,
        program=specs.PROGRAMS[deployment.kind],
        spec=spec.document,
        desired=spec.desired,
        region=deployment.region,
        account_id=deployment.account_id,
        role_arn=account.role_arn if account else None,
        external_id=account.external_id if account else None,
        # once its key is erased, the state is deleted too
        has_state=deployment.applied_spec > 0 and (salt is None or salt.erased_at is None),
        salt=salt,
    )


def reading_call(act: Act, deployment: Deployment, call_id: str) -> EngineCall:
    """Return a call that only reads: it takes the stack from nobody, and no run makes it."""
    spec = spec_of(act.uow, deployment, deployment.applied_spec or None)
    salt = act.uow.salts.get(deployment.id)
    return _call(act, deployment, spec, call_id=call_id, run_id=call_id, salt=salt)


def _known(uow: UnitOfWork, run: Run) -> tuple[str, ...]:
    """Return what is known to differ and does not concern a run: it fails none of its checks."""
    if run.kind is not RunKind.UPDATE:
        return ()
    mine = set(run.scope.urns) if run.scope is not None else set()
    open_ = uow.findings.find(deployment_id=run.deployment_id, closed_at=None)
    return tuple(sorted({each.subject for each in open_} - mine))


def require_newest(uow: UnitOfWork, call: EngineCall) -> CallRecord:
    """Return the record of a call that still owns its stack. Raises ``StaleCall``."""
    newest = uow.queries.newest_call(call.deployment_id)
    if newest is None or newest.id != call.call_id or newest.outcome is not None:
        raise StaleCall("a newer engine call has taken over this stack", call=call.call_id)
    return newest


def patiently(transaction: Callable[[], T], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Repeat a transaction while the database is unavailable or others change the same rows.

    Raises the transient error or ``Conflict`` when that does not pass within ``seconds``.
    """
    end, pause = time.monotonic() + seconds, _FIRST_PAUSE_SECONDS
    while True:
        try:
            return transaction()
        except DomainError as error:
            is_passing = error.transient or isinstance(error, Conflict)
            if not is_passing or time.monotonic() + pause > end:
                raise
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def write(core: Core, call: EngineCall, do: Callable[[Act, Run, Deployment], T]) -> T:
    """Do something in a transaction of its own, patiently, with the call's run locked.

    Raises ``StaleCall`` unless the call still owns its stack.
    """

    def once() -> T:
        with core.act() as act:
            run, deployment = locked_run(act.uow, call.run_id)
            require_newest(act.uow, call)
            result = do(act, run, deployment)
            act.uow.commit()
        return result

    return patiently(once)


class Listener:
    """Keeps the engine's progress; lines wait when the database is unavailable."""

    def __init__(self, core: Core, call: EngineCall) -> None:
        self._core = core
        self._call = call
        self._waiting: list[EngineEvent] = []

    def __call__(self, events: Sequence[EngineEvent]) -> None:
        """Store lines. Raises ``StaleCall`` when a newer call owns the stack."""
        self._waiting += events
        try:
            self._store()
        except (Unavailable, Conflict):
            return  # with the next ones, or at the end

    def flush(self) -> None:
        """Store what waits, as far as the database is there."""
        self(())

    def _store(self) -> None:
        if not self._waiting:
            return
        with self._core.act() as act:
            require_newest(act.uow, self._call)
            run = act.uow.runs.get(self._call.run_id)
            if run is not None and run.status not in TERMINAL_RUN:  # an end is the last line
                progress(act, run.id, *self._waiting)
            act.uow.commit()
        self._waiting = []
