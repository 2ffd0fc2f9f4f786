"""Requesting a run of a deployment: use cases do, and steps of sagas."""

from __future__ import annotations

from typing import Final

from control_plane.domain.cause import Cause
from control_plane.domain.deployment import Deployment, DeploymentKind, Desired
from control_plane.domain.kinds import kind_between
from control_plane.domain.removal_errors import AlreadyRemoved, RemovalInProgress
from control_plane.domain.run import TERMINAL_RUN, Run, RunStatus, Scope
from control_plane.domain.saga import Saga, SagaKind
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act, Caller
from control_plane.workflows.ending import end_run
from control_plane.workflows.facts import Findings
from control_plane.workflows.holding import owner_of
from control_plane.workflows.moving import add_run, enqueue_present_turn
from control_plane.workflows.owners import sync_owner
from control_plane.workflows.placing import spec_of

# runs that wait for somebody and apply nothing: a newer run takes their place at once
_WAITING: Final = frozenset({RunStatus.AWAITING_APPROVAL, RunStatus.BLOCKED})


def request_run(
    act: Act,
    deployment: Deployment,
    *,
    desired: Desired = Desired.PRESENT,
    retry_of: Run | None = None,
    scope: Scope | None = None,
    saga: Saga | None = None,
    cause: Cause | None = None,
) -> Run:
    """Add a run, enqueue its first turn, and let the runs that wait give way to it.

    Its kind follows from the spec that was applied last and from ``desired``. Who asked for the
    runs since the last one that was applied has asked for this one as well, and of a step of a
    ``saga`` everyone who stands behind that. ``scope`` limits an update. ``cause`` is the step of a
    journey that it is made for; a retry has that of the run before.
    """
    gives_way = [  # locked before the deployment, as everywhere
        act.uow.runs.need(waiting.id, lock=True)
        for waiting in act.uow.runs.find(deployment_id=deployment.id, status=tuple(_WAITING))
    ]
    deployment = act.uow.deployments.need(deployment.id, lock=True)
    if saga is None:
        _refuse_removed(act.uow, deployment, retry_of)
    newest = act.uow.queries.newest_run(deployment.id)
    run = add_run(
        act, deployment, kind_between(_applied(act.uow, deployment), desired),
        spec_version=deployment.spec_number,
        requested_by=saga.requested_by if saga is not None else act.caller.actor.id,
        requesters=_requesters(act.uow, act.caller, deployment, newest, saga),
        retry_of=retry_of.id if retry_of else None,
        scope=scope,
        cause=cause or (retry_of.cause if retry_of else None),
        supersedes=newest.id if newest is not None and newest.status not in TERMINAL_RUN else None,
    )  # fmt: skip
    for old in gives_way:
        if old.status in _WAITING:
            end_run(act, old, deployment, RunStatus.SUPERSEDED, Findings())
    enqueue_present_turn(act, run)
    sync_owner(act, deployment.id, run=run)
    return run


def _refuse_removed(uow: UnitOfWork, deployment: Deployment, retry_of: Run | None) -> None:
    """Refuse a run of what was removed, or is being removed; that of the removal may be retried.

    Raises ``AlreadyRemoved``, ``RemovalInProgress``.
    """
    if deployment.removed_at is not None and retry_of is None:
        raise AlreadyRemoved(f"it was removed on {deployment.removed_at.date()}")
    if deployment.tenant_id is None and deployment.kind is not DeploymentKind.HUB:
        return
    owner = owner_of(uow, deployment)
    saga = uow.sagas.get(owner.saga_id) if owner.saga_id is not None else None
    if saga is None or saga.kind is not SagaKind.REMOVAL:
        return
    own = {step.run_id for step in uow.saga_steps.find(saga_id=saga.id) if step.run_id}
    if retry_of is None or not own & {retry_of.id, *_earlier(uow, retry_of)}:
        raise RemovalInProgress(f"it is being removed: {saga.id}", saga=saga.id)


def _earlier(uow: UnitOfWork, run: Run) -> list[str]:
    found = []
    while run.retry_of is not None:
        found.append(run.retry_of)
        run = uow.runs.need(run.retry_of)
    return found


def _applied(uow: UnitOfWork, deployment: Deployment) -> Desired | None:
    number = deployment.applied_spec
    return spec_of(uow, deployment, number).desired if number else None


def _requesters(
    uow: UnitOfWork,
    caller: Caller,
    deployment: Deployment,
    newest: Run | None,
    saga: Saga | None,
) -> tuple[str, ...]:
    asking = caller.actor.subjects if saga is None else saga.behind
    earlier: tuple[str, ...] = ()
    if newest is not None and newest.status not in {RunStatus.APPLIED, RunStatus.NO_CHANGES}:
        earlier = newest.requesters
    is_hub = deployment.kind is DeploymentKind.HUB
    of_hub = uow.hubs.need(deployment.hub_id).requesters if is_hub else ()
    return tuple(dict.fromkeys((*asking, *earlier, *of_hub)))
