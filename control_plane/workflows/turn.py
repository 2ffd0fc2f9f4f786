"""What a worker holds while it takes a run as far as it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from control_plane.domain.calls import CallOutcome, CallRecord
from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import StaleCall
from control_plane.domain.kinds import KINDS
from control_plane.domain.next_step import ACTIVE
from control_plane.domain.run import Run
from control_plane.ports.engine import EngineCall
from control_plane.workflows.calling import register_call, require_newest
from control_plane.workflows.core import Act, Core
from control_plane.workflows.facts import Findings
from control_plane.workflows.moving import locked_run, tell_interrupted


@dataclass(kw_only=True)
class Turn:
    """One turn: what it found out, and its engine call, made when it is needed first.

    ``newest`` is the deployment's newest call as far as the turn knows. One after it is that of a
    worker which took the run over: nothing more of this turn is written then. ``found`` stores what
    the engine found last; it waits for the turn's next transaction. ``always_asks``: no plan of the
    run is applied without a decision. ``looks``: the run plans and applies nothing.
    """

    core: Core
    run_id: str
    newest: CallRecord | None
    always_asks: bool
    looks: bool = False
    findings: Findings = field(default_factory=Findings)
    found: Callable[[Act, Run, Deployment], object] | None = None
    call: EngineCall | None = None

    def locked(self, act: Act) -> tuple[Run, Deployment]:
        """Return the run, locked, with its deployment. Raises ``StaleCall``."""
        run, deployment = locked_run(act.uow, self.run_id)
        if self.call is not None:
            self.newest = require_newest(act.uow, self.call)
        elif _number(act.uow.queries.newest_call(deployment.id)) > _number(self.newest):
            raise StaleCall("a newer engine call works on this stack", run=run.id)
        return run, deployment

    def engine_call(self, act: Act, run: Run, deployment: Deployment) -> EngineCall:
        """Return the call of this turn, or a new one: it is this turn's when that is committed."""
        if self.call is not None:
            return self.call
        call = register_call(act, run, deployment)
        self.newest = act.uow.calls.need(call.call_id)  # also if the answer to the commit is lost
        return call

    def close_call(self, act: Act, outcome: CallOutcome) -> None:
        """Record that the turn's call has ended, in a transaction that has locked its run."""
        if self.call is not None and self.newest is not None:
            act.uow.calls.save(self.newest.ended(outcome, act.now()))

    def keep_call(self, call: EngineCall | None) -> None:
        """Let ``call`` be the turn's from now on: rows that are committed say so."""
        if call is not None:
            self.core.calls.add(call.call_id)
        elif self.call is not None:
            self.core.calls.discard(self.call.call_id)
        self.call = call


def begin_turn(core: Core, run_id: str) -> Turn | None:
    """Take the run up. A run that somebody seems to work on has been left by a dead process."""
    with core.act() as act:
        run, deployment = locked_run(act.uow, run_id)
        if run.status not in ACTIVE:
            return None
        newest = act.uow.queries.newest_call(deployment.id)
        deaths = run.deaths + 1 if run.is_working else run.deaths
        act.uow.runs.save(run.changed(core.clock.now(), is_working=True, deaths=deaths))
        if deaths > run.deaths:
            tell_interrupted(act, run, "the worker that had it stopped")
        act.uow.commit()
    always_asks = core.rules.approvals.always_asks(deployment.kind, run.kind)
    looks = KINDS[run.kind].looks
    return Turn(core=core, run_id=run_id, newest=newest, always_asks=always_asks, looks=looks)


def _number(call: CallRecord | None) -> int:
    return call.number if call is not None else 0
