"""The steps of a removal (``domain/sagas/removal.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from control_plane.domain.deployment import Deployment, DeploymentKind, Desired
from control_plane.domain.engine import Store
from control_plane.domain.errors import DomainError
from control_plane.domain.finding import Finding, FindingKind
from control_plane.domain.removal import RemovalTopic
from control_plane.domain.run import TERMINAL_RUN, Run, RunStatus
from control_plane.domain.saga import Saga, SagaStep
from control_plane.workflows.calling import reading_call
from control_plane.workflows.certifying import certify
from control_plane.workflows.closing import close
from control_plane.workflows.core import Act, Core
from control_plane.workflows.erasing import erase, forget
from control_plane.workflows.holding import CHECKED_AGAIN, clocks_stand_still
from control_plane.workflows.moving import as_json
from control_plane.workflows.recording import record
from control_plane.workflows.removal_rules import (
    decision_on,
    deployment_of,
    export_missing,
    has_begun,
    in_the_way,
    stores_of,
    was_applied,
)
from control_plane.workflows.requesting import request_run
from control_plane.workflows.saga_rows import owner_of_saga
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

NOTHING: Final = "nothing of it was ever applied"
BY_CUSTOMER: Final = "the customer applies it, and destroys it"
_LOOKED_AGAIN: Final = timedelta(days=1)  # at what should be gone and is still there


def _is_customers(deployment: Deployment | None) -> bool:
    return deployment is not None and deployment.kind is DeploymentKind.CUSTOMER_RUN


def _without_engine(deployment: Deployment | None) -> str:
    """Say why a removal needs no engine; empty where it does."""
    if _is_customers(deployment):
        return BY_CUSTOMER
    return "" if was_applied(deployment) else NOTHING


# --- count, export -----------------------------------------------------------------------------
def _count(core: Core, saga: Saga, step: SagaStep) -> Outcome:
    """Ask the engine what the data stores hold."""
    with core.act() as act:
        deployment = deployment_of(act.uow, owner_of_saga(act.uow, saga))
        skipped = _without_engine(deployment)
        if skipped or deployment is None:
            return Ended(skipped=skipped or NOTHING)
        call = reading_call(act, deployment, step.id)
    found = core.engine.contents(call)
    with core.act() as act:
        record(
            act, "removal.counted",
            tree=saga.tenant_id, targets=(("deployment", deployment.id),), saga=saga.id,
            stores=[_counted(store) for store in found],
        )  # fmt: skip
        act.uow.commit()
    stores = [store.to_document() for store in found]
    return Ended(result={"stores": len(stores)}, data={"stores": stores})


def _counted(store: Store) -> dict[str, Any]:
    return {
        "name": store.name, "type": store.type, "class": store.data_class, "items": store.items,
    }  # fmt: skip


def _export(act: Act, saga: Saga, _: SagaStep) -> Outcome:
    decision = decision_on(act.uow, saga, RemovalTopic.EXPORT)
    if decision is not None:
        return Ended(result={"word": str(decision.word), "by": decision.actor_id})
    missing = export_missing(act.uow, saga)
    if missing is None:
        counted = bool(stores_of(saga))
        return Ended(skipped="no data store holds data of the customer" if counted else NOTHING)
    return Waits(says=f"the acknowledgement of the export: {missing.message}")


# --- runs --------------------------------------------------------------------------------------
def _unprotect(act: Act, saga: Saga) -> Run | str:
    names = tuple(saga.data.get("unprotect", ()))
    if not names:
        return "no resource is protected"
    return _protect_all_but(act, saga, names)


def _protect_again(act: Act, saga: Saga) -> Run | str:
    return _protect_all_but(act, saga, ())


def _protect_all_but(act: Act, saga: Saga, names: tuple[str, ...]) -> Run | str:
    found = deployment_of(act.uow, owner_of_saga(act.uow, saga))
    if found is None:
        return NOTHING
    deployment = act.uow.deployments.need(found.id, lock=True)
    act.uow.deployments.save(deployment.changed(act.now(), unprotected=names))
    return request_run(act, deployment, saga=saga)


def _destroy(act: Act, saga: Saga) -> Run | str:
    """Request the destroy; what stands in the way by now is refused before anything is planned."""
    owner = owner_of_saga(act.uow, saga)
    deployment = deployment_of(act.uow, owner)
    skipped = _without_engine(deployment)
    if skipped or deployment is None:
        return skipped or NOTHING
    if not has_begun(act.uow, saga):
        for error in in_the_way(act, owner, deployment):
            raise error
    return request_run(act, deployment, desired=Desired.ABSENT, saga=saga)


def _customer(act: Act, saga: Saga, _: SagaStep) -> Outcome:
    deployment = deployment_of(act.uow, owner_of_saga(act.uow, saga))
    if deployment is None or not _is_customers(deployment):
        return Ended(skipped="the vendor destroyed it")
    bundles = act.uow.bundles.find(deployment_id=deployment.id)
    if not any(bundle.handed_over_at is not None for bundle in bundles):
        return Ended(skipped="no bundle was handed over")
    decision = decision_on(act.uow, saga, RemovalTopic.CUSTOMER)
    if decision is None:
        return Waits(says="the customer's receipt of its destroy, or that nobody verifies it")
    return Ended(result={"word": str(decision.word), "by": decision.actor_id})


# --- what remains ------------------------------------------------------------------------------
def _remaining(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Wait for the end of what has to remain; look at it again then, by a destroy of nothing."""
    found = act.uow.deployments.find(id=saga.data.get("deployment_id") or "")
    if not found:
        return Ended(skipped=NOTHING)
    deployment = found[0]
    if step.run_id is not None:
        run = act.uow.runs.need(last_of(act.uow, step.run_id), lock=True)
        if run.status not in TERMINAL_RUN:
            return Waits(says=f"{run.id} to end; it is {run.status}", run_id=run.id)
        if run.status is not RunStatus.NO_CHANGES:
            error = run.error or as_json(DomainError(f"{run.id} ended as {run.status}"))
            return Failed(error=dict(error))
    left = act.uow.findings.find(
        deployment_id=deployment.id, kind=FindingKind.REMAINING, closed_at=None
    )
    dates = [due for due in map(_due, left) if due is not None]
    if not dates:
        return Ended(result={"kept_without_end": [each.subject for each in left]})
    now, due = act.now(), min(dates)
    if due > now:
        return Waits(says="the end of what has to remain", until=due)
    if clocks_stand_still(act.uow, owner_of_saga(act.uow, saga)):
        return Waits(says="the release of a hold that stops dates", until=now + CHECKED_AGAIN)
    run = request_run(act, deployment, desired=Desired.ABSENT, saga=saga)
    return Waits(says=f"{run.id} to look at what remains", run_id=run.id)


def _due(finding: Finding) -> datetime | None:
    """Return when to look at something again; None for what stays until somebody deletes it."""
    until = (finding.expected or {}).get("until")
    if until is None:
        return None
    end = datetime.fromisoformat(until)
    return end if finding.last_seen_at < end else finding.last_seen_at + _LOOKED_AGAIN


STEPS: Final[Mapping[str, Handler]] = {
    "count": Handler(do=Outside(_count)),
    "export": Handler(do=InRows(_export)),
    "unprotect": Handler(do=run_step(_unprotect), undo=run_step(_protect_again)),
    "destroy": Handler(do=run_step(_destroy)),
    "customer": Handler(do=InRows(_customer)),
    "close": Handler(do=InRows(close)),
    "forget": Handler(do=Outside(forget)),
    "erase": Handler(do=InRows(erase)),
    "certify": Handler(do=InRows(certify)),
    "remaining": Handler(do=InRows(_remaining)),
}
