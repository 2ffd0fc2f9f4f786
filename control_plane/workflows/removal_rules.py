"""What stands in the way of a removal: asked at its request, before the destroy, at the gate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from control_plane.domain.deployment import Deployment, DeploymentKind, Position
from control_plane.domain.engine import Store
from control_plane.domain.errors import DomainError, RunInProgress
from control_plane.domain.finding import OF_DRIFT, Finding
from control_plane.domain.hub import Hub
from control_plane.domain.removal import (
    RemovalDecision,
    RemovalTopic,
    stores_to_export,
)
from control_plane.domain.removal_errors import (
    AlreadyRemoved,
    ExportMissing,
    HubHasSlices,
    RemovalInProgress,
    RemovalOnHold,
    RetentionNotPassed,
    SagaInProgress,
    TenantDrifted,
)
from control_plane.domain.run import HOLDS_SLOT, Run, RunStatus
from control_plane.domain.saga import Saga, SagaKind
from control_plane.domain.tenant import Tenant
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act
from control_plane.workflows.holding import Owner, standing_on

_NAMED: Final = 5
_IN_PROGRESS: Final[Mapping[SagaKind, type[SagaInProgress]]] = {SagaKind.REMOVAL: RemovalInProgress}


def deployment_of(uow: UnitOfWork, owner: Owner) -> Deployment | None:
    """Return what an owner has; None for a tenant that has nothing yet."""
    if isinstance(owner, Hub):
        return uow.deployments.find(hub_id=owner.id, kind=DeploymentKind.HUB)[0]
    found = uow.deployments.find(tenant_id=owner.id, removed_at=None, position=Position.CURRENT)
    return found[-1] if found else None


def was_applied(deployment: Deployment | None) -> bool:
    """Tell whether the engine ever made something of a deployment, or may have."""
    return deployment is not None and (
        deployment.applied_spec > 0
        or deployment.state_digest is not None
        or deployment.is_unsettled
    )


def ways_in(act: Act, owner: Owner, deployment: Deployment | None) -> Iterator[DomainError]:
    """Yield everything that stands in the way of requesting a removal, the first one first."""
    if owner.removed_at is not None:
        yield AlreadyRemoved(f"it was removed on {owner.removed_at.date()}")
        return
    if owner.saga_id is not None:
        yield in_progress(act.uow, owner.saga_id)
    if owner.hold:
        standing = standing_on(act.uow, owner)
        kinds = ", ".join(sorted({str(hold.kind) for hold in standing}))
        yield RemovalOnHold(
            f"a hold stands, so nothing is removed: {kinds}", holds=[hold.id for hold in standing]
        )
    newest = act.uow.queries.newest_run(deployment.id) if deployment is not None else None
    if newest is not None and _applies(newest):
        yield RunInProgress(f"{newest.id} changes it now: it is {newest.status}", run=newest.id)
    yield from in_the_way(act, owner, deployment)


def in_progress(uow: UnitOfWork, saga_id: str) -> SagaInProgress:
    """Return the error of an owner whose saga is open."""
    kind = uow.sagas.need(saga_id).kind
    error = _IN_PROGRESS.get(kind, SagaInProgress)
    return error(f"in progress: {str(kind).replace('_', ' ')} {saga_id}", saga=saga_id)


def in_the_way(act: Act, owner: Owner, deployment: Deployment | None) -> Iterator[DomainError]:
    """Yield what stands in the way also when the removal was requested: dates, slices, drift."""
    if isinstance(owner, Tenant):
        until = owner.retention_until
        if until is not None and act.now() < until:
            yield RetentionNotPassed(
                f"what this tenant has is kept until {until.isoformat()}", until=until.isoformat()
            )
    else:
        on_it = act.uow.deployments.find(
            hub_id=owner.id, kind=DeploymentKind.SLICE, removed_at=None
        )
        if on_it:
            yield _has_slices(act.uow, on_it)
    findings = (
        act.uow.findings.find(
            deployment_id=deployment.id, closed_at=None, waived_until=None, kind=OF_DRIFT
        )
        if deployment is not None
        else []
    )
    if findings:
        yield _drifted(findings)


def refuse_at_the_gate(act: Act, deployment: Deployment) -> None:
    """Refuse to destroy what stands in the way of its owner's removal now.

    Raises what ``in_the_way`` yields, and ``ExportMissing``. A destroy that belongs to no removal
    is left to whatever requested it. Holds block a run by themselves.
    """
    owner: Owner = (
        act.uow.tenants.need(deployment.tenant_id)
        if deployment.tenant_id is not None
        else act.uow.hubs.need(deployment.hub_id)
    )
    saga = act.uow.sagas.get(owner.saga_id) if owner.saga_id is not None else None
    if saga is None or saga.kind is not SagaKind.REMOVAL or has_begun(act.uow, saga):
        return
    for error in in_the_way(act, owner, deployment):
        raise error
    missing = export_missing(act.uow, saga)
    if missing is not None:
        raise missing


def has_begun(uow: UnitOfWork, saga: Saga) -> bool:
    """Tell whether a destroy of a removal has begun to apply: then it is only completed.

    What is half gone would be called missing, and what is left over foreign.
    """
    steps = uow.saga_steps.find(saga_id=saga.id, name="destroy")
    runs = uow.runs.find(id=tuple(step.run_id for step in steps if step.run_id)) if steps else []
    return any(run.started_at is not None for run in runs)


def stores_of(saga: Saga) -> tuple[Store, ...]:
    """Return what was counted of the data stores."""
    return tuple(Store.from_document(each) for each in saga.data.get("stores", ()))


def decision_on(uow: UnitOfWork, saga: Saga, topic: RemovalTopic) -> RemovalDecision | None:
    """Return what somebody said in a removal on a topic."""
    return next(iter(uow.removal_decisions.find(saga_id=saga.id, topic=topic)), None)


def export_missing(uow: UnitOfWork, saga: Saga) -> ExportMissing | None:
    """Return the error of a removal of data whose export nobody has acknowledged or waived."""
    stores = stores_to_export(stores_of(saga))
    if not stores or decision_on(uow, saga, RemovalTopic.EXPORT) is not None:
        return None
    names = [store.name for store in stores]
    return ExportMissing(f"data of the customer is in {_listed(names)}", stores=names)


def _applies(run: Run) -> bool:
    at = run.blocked_from if run.status is RunStatus.BLOCKED else run.status
    return at in HOLDS_SLOT


def _has_slices(uow: UnitOfWork, slices: list[Deployment]) -> HubHasSlices:
    ids = tuple({str(each.tenant_id) for each in slices})
    slugs = sorted(tenant.slug for tenant in uow.tenants.find(id=ids))
    return HubHasSlices(f"slices on this Hub: {_listed(slugs)}", tenants=slugs)


def _drifted(findings: list[Finding]) -> TenantDrifted:
    rows: list[dict[str, Any]] = [
        {"finding": each.id, "kind": str(each.kind), "subject": each.subject, "path": each.path}
        for each in findings
    ]
    subjects = sorted({each.subject.rpartition("::")[2] for each in findings})
    return TenantDrifted(f"findings are open: {_listed(subjects)}", findings=rows)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
