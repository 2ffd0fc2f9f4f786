"""The steps of a change of mode (``domain/sagas/mode_change.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from control_plane.domain.deployment import Deployment, DeploymentKind, Desired, Position
from control_plane.domain.engine import protected_name
from control_plane.domain.errors import DomainError, VerificationFailed
from control_plane.domain.run import TERMINAL_RUN, Run, RunKind, RunStatus
from control_plane.domain.saga import Saga, SagaStep
from control_plane.domain.spellings import instant
from control_plane.domain.tenant import Tenant
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.closing import let_go
from control_plane.workflows.core import Act
from control_plane.workflows.ending import cancel
from control_plane.workflows.erasing import erase_former, forget_former
from control_plane.workflows.holding import CHECKED_AGAIN, clocks_stand_still
from control_plane.workflows.moving import as_json, locked_run
from control_plane.workflows.owners import is_verified, sync_tenant
from control_plane.workflows.placing import account_of
from control_plane.workflows.recording import record
from control_plane.workflows.requesting import request_run
from control_plane.workflows.saga_steps import (
    Ended,
    Failed,
    Handler,
    InRows,
    Outcome,
    Outside,
    Waits,
    last_of,
    run_step,
)
from control_plane.workflows.transferring import (
    compare_data,
    copy_data,
    remove_copies,
    require_empty,
    source_of,
    survey,
    target_of,
)

_DONE: Final = frozenset({RunStatus.APPLIED, RunStatus.NO_CHANGES})


# --- the slice ---------------------------------------------------------------------------------
def _transfer(act: Act, saga: Saga, **facts: Any) -> Run:
    """Request the run that gives the present place other facts of its transfer."""
    deployment = act.uow.deployments.need(source_of(act.uow, saga).id, lock=True)
    deployment = deployment.changed(act.now(), transfer=facts)
    act.uow.deployments.save(deployment)
    return request_run(act, deployment, saga=saga)


def _reader(uow: UnitOfWork, deployment: Deployment) -> str | None:
    account = account_of(uow, deployment.account_id)
    return account.role_arn if account is not None else None


def open_for_reader(act: Act, saga: Saga) -> Run | str:
    """Let the control plane's role read the objects of the slice."""
    reader = _reader(act.uow, source_of(act.uow, saga))
    if reader is None:
        return "the account's own credentials read the objects"
    return _transfer(act, saga, reader_arn=reader, frozen=False)


def freeze(act: Act, saga: Saga) -> Run | str:
    """Deny the application every write to the present place."""
    source = source_of(act.uow, saga)
    if not _ever_applied(act.uow, source):
        return "nothing was ever applied"
    if source.kind is DeploymentKind.DEDICATED:
        return _transfer(act, saga, frozen=True)
    return _transfer(act, saga, reader_arn=_reader(act.uow, source), frozen=True)


def restore(act: Act, saga: Saga) -> Run | str:
    """Take reader and freeze away together: of both undone steps the first one does it."""
    if not source_of(act.uow, saga).transfer:
        return "the application may write as before"
    return _transfer(act, saga)


def _ever_applied(uow: UnitOfWork, deployment: Deployment) -> bool:
    runs = uow.runs.find(deployment_id=deployment.id)
    return any(run.started_at is not None for run in runs)


# --- the deployment beside it --------------------------------------------------------------------
def _prepare(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Let the deployment, which the request stored, take over the keys of the slice's data."""
    del step
    out = source_of(act.uow, saga).outputs
    target = act.uow.deployments.need(target_of(act.uow, saga).id, lock=True)
    inherited = {name: str(out[name]) for name in ("data_prefix", "leading_key")}
    act.uow.deployments.save(target.changed(act.now(), position=Position.NEXT, inherited=inherited))
    return Ended(result={"deployment": target.id})


def _build(act: Act, saga: Saga) -> Run | str:
    return request_run(act, target_of(act.uow, saga), saga=saga)


def _take_down(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Destroy what was built beside, and give up its place; nothing is destroyed that never was."""
    target = target_of(act.uow, saga)
    newest = act.uow.queries.newest_run(target.id)
    run = locked_run(act.uow, newest.id)[0] if newest is not None else None
    if run is not None and run.status not in TERMINAL_RUN:
        if step.run_id is None and not run.cancel_requested:
            run = cancel(act, run, target)
        if run.status not in TERMINAL_RUN:
            return Waits(says=f"{run.id} to end; it is {run.status}", run_id=run.id)
    if run is None or not _ever_applied(act.uow, target):
        return _given_up(act, target)
    if _is_gone(run):
        ended = _given_up(act, target)
        retired = let_go(act, saga, target.id)
        return replace(ended, result={**ended.result, "account_retired": retired})
    if step.run_id is None:
        return _wait(_unprotected(act, saga, target))
    run = act.uow.runs.need(last_of(act.uow, step.run_id), lock=True)
    if run.kind is RunKind.DESTROY or run.status not in _DONE:
        return Failed(error=_ended_as(run))
    return _wait(request_run(act, target, desired=Desired.ABSENT, saga=saga))


def _is_gone(run: Run) -> bool:
    return run.kind is RunKind.DESTROY and run.status in _DONE


def _given_up(act: Act, target: Deployment) -> Ended:
    target = act.uow.deployments.need(target.id, lock=True)
    act.uow.deployments.save(
        target.changed(act.now(), position=Position.FORMER, inherited={}, unprotected=())
    )
    return Ended(result={"deployment": target.id, "position": str(Position.FORMER)})


def _unprotected(act: Act, saga: Saga, deployment: Deployment) -> Run:
    deployment = act.uow.deployments.need(deployment.id, lock=True)
    names = _protected(act.uow, deployment)
    act.uow.deployments.save(deployment.changed(act.now(), unprotected=names))
    return request_run(act, deployment, saga=saga)


def _protected(uow: UnitOfWork, deployment: Deployment) -> tuple[str, ...]:
    """Return the names of what is protected, by its newest plan, or was before it lost that."""
    planned = [run.plan_id for run in uow.runs.find(deployment_id=deployment.id) if run.plan_id]
    plan = uow.plans.need(planned[-1])
    found = {protected_name(each.type, each.name) for each in plan.resources if each.protect}
    return tuple(sorted(found | set(deployment.unprotected)))


def _wait(run: Run) -> Waits:
    return Waits(says=f"{run.id} to end; it is {run.status}", run_id=run.id)


def _ended_as(run: Run) -> Mapping[str, Any]:
    return run.error or as_json(DomainError(f"{run.id} ended as {run.status}", run=run.id))


# --- the switch ----------------------------------------------------------------------------------
def _switch(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Let the dedicated Hub take the slice's place, in one transaction.

    It does not wait for the release of a hold: nothing is applied or destroyed, and the slice would
    stay frozen meanwhile.
    """
    del step
    target = act.uow.deployments.need(target_of(act.uow, saga).id, lock=True)
    if not is_verified(act.uow, target):
        raise VerificationFailed("the dedicated Hub is not verified in the state that it has now")
    since, now = frozen_at(act.uow, saga), act.now()
    take_over(act, saga, target)
    return switched(act, saga, since, now)


def switched(act: Act, saga: Saga, since: datetime, now: datetime) -> Ended:
    """Record that the new place was switched to, frozen ``since``, and return the step's end."""
    evidence: list[tuple[str, Mapping[str, Any]]] = sorted(saga.data["evidence"].items())
    seconds = round((now - since).total_seconds(), 3)
    record(
        act, "mode.switched",
        tree=saga.tenant_id, targets=targets_of_change(saga), mode=str(saga.data["to"]),
        previous_mode=str(saga.data["from"]), frozen_ms=round(seconds * 1000),
        amendment=saga.data["amendment"],
        counts=[f"{kind} {of['count']}" for kind, of in evidence],
        digests=[f"{kind} {of['digest']}" for kind, of in evidence],
    )  # fmt: skip
    return Ended(
        result={"frozen_at": since.isoformat(), "frozen_seconds": str(seconds)},
        data={"switched_at": now.isoformat()},
    )


def _replace(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Give the tenant its new mode, and request the run of the dedicated Hub."""
    del step
    target = act.uow.deployments.need(target_of(act.uow, saga).id, lock=True)
    target = target.changed(act.now(), position=Position.NEXT)
    act.uow.deployments.save(target)
    take_over(act, saga, target)
    record(
        act, "mode.switched",
        tree=saga.tenant_id, targets=targets_of_change(saga), mode=str(saga.data["to"]),
        previous_mode=str(saga.data["from"]), amendment=saga.data["amendment"],
    )  # fmt: skip
    run = request_run(act, act.uow.deployments.need(target.id), saga=saga)
    return Ended(result={"run": run.id})


def take_over(act: Act, saga: Saga, target: Deployment) -> Tenant:
    """Let a deployment take the place of the present one, with mode, facts and decision."""
    source = act.uow.deployments.need(source_of(act.uow, saga).id, lock=True)
    tenant = act.uow.tenants.need(str(saga.tenant_id), lock=True)
    now = act.now()
    # the former first: of current ones there is one at any time
    act.uow.deployments.save(source.changed(now, position=Position.FORMER))
    act.uow.deployments.save(target.changed(now, position=Position.CURRENT))
    decision = dict(saga.data["decision"])
    editors = tuple(dict.fromkeys((*tenant.editors, *saga.behind)))
    act.uow.tenants.save(
        replace(
            tenant, mode=str(saga.data["to"]), facts={**tenant.facts, **saga.data["facts"]},
            decision=decision, editors=editors, updated_at=now, version=tenant.version + 1,
        )
    )  # fmt: skip
    return sync_tenant(act, tenant.id)


def targets_of_change(saga: Saga) -> tuple[tuple[str, str], ...]:
    """Return what an event about a change of mode is about."""
    return (
        ("tenant", str(saga.tenant_id)), ("deployment", str(saga.data["source"])),
        ("deployment", str(saga.data["target"])),
    )  # fmt: skip


def frozen_at(uow: UnitOfWork, saga: Saga) -> datetime:
    """Return since when the application could not write: since the apply of the freeze began."""
    steps = uow.saga_steps.find(saga_id=saga.id, name="freeze", is_undo=False)
    run = uow.runs.need(last_of(uow, str(steps[-1].run_id)))
    return run.started_at or run.requested_at


# --- the end of the slice ----------------------------------------------------------------------
def keep(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Keep the former place for the time that was asked for."""
    del step
    now, until = act.now(), instant(str(saga.data["switched_at"])) + _days(saga)
    if now < until:
        return Waits(says="the end of the time for which the former place is kept", until=until)
    if clocks_stand_still(act.uow, act.uow.tenants.need(str(saga.tenant_id))):
        says = "the release of a hold: dates do not pass while it stands"
        return Waits(says=says, until=now + CHECKED_AGAIN)
    return Ended()


def _days(saga: Saga) -> timedelta:
    return timedelta(days=int(saga.data["keep_days"]))


def unprotect_source(act: Act, saga: Saga) -> Run | str:
    """Take protection away from the resources of the former place."""
    source = source_of(act.uow, saga)
    if not _ever_applied(act.uow, source):
        return "nothing was ever applied"
    return _unprotected(act, saga, source)


def destroy_source(act: Act, saga: Saga) -> Run | str:
    """Destroy the former place."""
    source = source_of(act.uow, saga)
    if not _ever_applied(act.uow, source):
        return "nothing was ever applied"
    return request_run(act, source, desired=Desired.ABSENT, saga=saga)


def close(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Give up the former place, and forget what was copied."""
    del step
    act.uow.transfers.forget_all(saga.id)
    let_go(act, saga, source_of(act.uow, saga).id)
    return Ended()


UPGRADE: Final[Mapping[str, Handler]] = {
    "prepare": Handler(do=InRows(_prepare), undo=InRows(_take_down)),
    "survey": Handler(do=Outside(survey)),
    "open": Handler(do=run_step(open_for_reader), undo=run_step(restore)),
    "build": Handler(do=run_step(_build)),
    "copy": Handler(do=Outside(copy_data), undo=Outside(remove_copies)),
    "freeze": Handler(do=run_step(freeze), undo=run_step(restore)),
    "delta": Handler(do=Outside(copy_data)),
    "compare": Handler(do=Outside(compare_data)),
    "switch": Handler(do=InRows(_switch)),
    "keep": Handler(do=InRows(keep)),
    "unprotect": Handler(do=run_step(unprotect_source)),
    "destroy": Handler(do=run_step(destroy_source)),
    "close": Handler(do=InRows(close)),
    "forget": Handler(do=Outside(forget_former)),
    "erase": Handler(do=InRows(erase_former)),
}
REPLACEMENT: Final[Mapping[str, Handler]] = {
    "freeze": Handler(do=run_step(freeze), undo=run_step(restore)),
    "check": Handler(do=Outside(require_empty)),
    "switch": Handler(do=InRows(_replace)),
    "unprotect": Handler(do=run_step(unprotect_source)),
    "destroy": Handler(do=run_step(destroy_source)),
    "close": Handler(do=InRows(close)),
    "forget": Handler(do=Outside(forget_former)),
    "erase": Handler(do=InRows(erase_former)),
}
