"""What a worker holds while it takes a run as far as it goes."""

from __future__ import annotations

from dataclasses import dataclass, field

from control_plane.domain.calls import CallOutcome
from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import StaleCall
from control_plane.domain.next_step import ACTIVE
from control_plane.domain.run import Run
from control_plane.ports.engine import EngineCall
from control_plane.workflows.calling import close_call, newest_number, patiently, register_call
from control_plane.workflows.core import Act, Core
from control_plane.workflows.facts import Findings
from control_plane.workflows.moving import locked_run


@dataclass(kw_only=True)
class Turn:
    """One turn: what it found out, and its engine call, made when it is needed first.

    ``newest`` is the number of the deployment's newest call as far as the turn knows. A higher one
    is that of a worker which took the run over: nothing more of this turn is written then.
    """

    core: Core
    run_id: str
    newest: int
    findings: Findings = field(default_factory=Findings)
    call: EngineCall | None = None

    def engine_call(self) -> EngineCall:
        """Return the call of this turn, registered."""
        if self.call is None:
            self.call = patiently(self._register)
            self.core.calls.add(self.call.call_id)
        return self.call

    def _register(self) -> EngineCall:
        with self.core.act() as act:
            call = register_call(act, *self.locked(act))
            self.newest = newest_number(act.uow, call.deployment_id)
            act.uow.commit()
        return call

    def locked(self, act: Act) -> tuple[Run, Deployment]:
        """Return the run, locked, with its deployment. Raises ``StaleCall``."""
        run, deployment = locked_run(act.uow, self.run_id)
        if newest_number(act.uow, deployment.id) > self.newest:
            raise StaleCall("a newer engine call works on this stack", run=run.id)
        return run, deployment

    def drop_call(self, outcome: CallOutcome) -> None:
        """Close the turn's call."""
        call, self.call = self.call, None
        if call is None:
            return

        def close() -> None:
            with self.core.act() as act:
                close_call(act, call, outcome)
                act.uow.commit()

        patiently(close)
        self.core.calls.discard(call.call_id)


def begin_turn(core: Core, run_id: str) -> Turn | None:
    """Take the run up. A run that somebody seems to work on has been left by a dead process."""
    with core.act() as act:
        run, deployment = locked_run(act.uow, run_id)
        if run.status not in ACTIVE:
            return None
        newest = newest_number(act.uow, deployment.id)
        deaths = run.deaths + 1 if run.is_working else run.deaths
        act.uow.runs.save(run.changed(core.clock.now(), is_working=True, deaths=deaths))
        act.uow.commit()
    return Turn(core=core, run_id=run_id, newest=newest)


def leave_run(turn: Turn) -> None:
    """Say that nobody works on the run. Raises ``StaleCall``."""
    with turn.core.act() as act:
        run, _ = turn.locked(act)
        if run.is_working:
            act.uow.runs.save(run.changed(act.now(), is_working=False))
            act.uow.commit()
