"""The steps of a change of mode to C (``domain/sagas/handover.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from control_plane.domain.bundle import Bundle, BundleStatus
from control_plane.domain.deployment import DeploymentKind, Position
from control_plane.domain.errors import DataDiffers, VerificationFailed
from control_plane.domain.run import Run
from control_plane.domain.saga import Saga, SagaStep
from control_plane.domain.timers import TimerKind
from control_plane.workflows.closing import revoke_links
from control_plane.workflows.core import Act, Core
from control_plane.workflows.erasing import erase_former, forget_former
from control_plane.workflows.listing import has_changed, list_data, make_manifest, manifest_in
from control_plane.workflows.mode_changing import (
    close,
    destroy_source,
    freeze,
    frozen_at,
    keep,
    open_for_reader,
    restore,
    switched,
    take_over,
    unprotect_source,
)
from control_plane.workflows.queueing_bundles import first_bundle
from control_plane.workflows.recording import record_bundle
from control_plane.workflows.saga_steps import (
    Ended,
    Handler,
    InRows,
    Outcome,
    Outside,
    Waits,
    run_step,
)
from control_plane.workflows.transferring import source_of, target_of

_S: Final = BundleStatus
_WITHDRAWN: Final = frozenset(
    {_S.AWAITING_ARCHITECT, _S.ACCEPTED, _S.BUILD_FAILED, _S.BUILT, _S.HANDED_OVER, _S.EXPIRED}
)
_BUILD_LOOKED_AT: Final = timedelta(seconds=30)


def _prepare(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Let the deployment, which the request stored, take over the keys of a slice's data."""
    del step
    source = source_of(act.uow, saga)
    target = act.uow.deployments.need(target_of(act.uow, saga).id, lock=True)
    if source.kind is DeploymentKind.SLICE:
        out = source.outputs
        inherited = {name: str(out[name]) for name in ("data_prefix", "leading_key")}
    else:
        inherited = dict(source.inherited)
    act.uow.deployments.save(target.changed(act.now(), position=Position.NEXT, inherited=inherited))
    return Ended(result={"deployment": target.id})


def _give_up(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Give the deployment up for good; what the customer applied is its own to destroy."""
    del step
    target = act.uow.deployments.need(target_of(act.uow, saga).id, lock=True)
    applied = act.uow.queries.was_applied(target.id)
    now = act.now()
    act.uow.deployments.save(
        target.changed(now, position=Position.FORMER, inherited={}, removed_at=now)
    )
    return Ended(result={"deployment": target.id, "customer_has_applied": applied})


def _open(act: Act, saga: Saga) -> Run | str:
    if source_of(act.uow, saga).kind is not DeploymentKind.SLICE:
        return "the keys of a dedicated Hub let its account read"
    return open_for_reader(act, saga)


def _forget(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    del step
    act.uow.transfers.forget_all(saga.id)
    return Ended()


# --- the bundle ----------------------------------------------------------------------------------
def _bundles(act: Act, saga: Saga) -> list[Bundle]:
    return act.uow.bundles.find(deployment_id=str(saga.data["target"]))


def _bundle(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Queue the first bundle, with the facts of the new mode; wait until one is handed over."""
    del step
    found = _bundles(act, saga)
    if not found:
        bundle = first_bundle(
            act,
            act.uow.tenants.need(str(saga.tenant_id)),
            target_of(act.uow, saga),
            facts=saga.data["facts"],
        )
        act.uow.bundles.add(bundle)
        if bundle.expires_at is not None:
            act.uow.timers.set(TimerKind.BUNDLE_EXPIRY, bundle.id, bundle.expires_at)
        record_bundle(act, "bundle.queued", bundle, region=target_of(act.uow, saga).region)
        found = [bundle]
    given = [bundle for bundle in found if bundle.handed_over_at is not None]
    if given:
        return Ended(result={"bundle": given[-1].id, "content_digest": given[-1].content_digest})
    newest = found[-1]
    return Waits(
        says=f"an architect to hand over the bundle {newest.id}; it is "
        f"{str(newest.status).replace('_', ' ')}"
    )


def _withdraw_bundle(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Supersede what was not applied, and end every link; a build that runs ends first."""
    del step
    found = _bundles(act, saga)
    if any(bundle.status is _S.BUILDING for bundle in found):
        return Waits(says="the build of the bundle to end", until=act.now() + _BUILD_LOOKED_AT)
    for bundle in found:
        if bundle.status in _WITHDRAWN:
            locked = act.uow.bundles.need(bundle.id, lock=True)
            act.uow.bundles.save(locked.moved(_S.SUPERSEDED, act.now()))
            record_bundle(act, "bundle.superseded", locked, superseded_by=None)
    revoke_links(act, target_of(act.uow, saga))
    return Ended(result={"withdrawn_bundles": len(found)})


def _apply(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Wait for the receipt of any version that was handed over."""
    del step
    applied = [bundle for bundle in _bundles(act, saga) if bundle.status is _S.APPLIED]
    if applied:
        return Ended(
            result={"bundle": applied[-1].id, "account_id": applied[-1].inputs["account_id"]}
        )
    return Waits(says="the receipt of the customer's apply: `tenantctl bundle receipt`")


# --- what people say -----------------------------------------------------------------------------
def _first_copy(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    del act, step
    said = saga.data.get("first_copy")
    if said is not None:
        return Ended(result=said)
    return Waits(
        says="the word that the first copy has arrived and writes may stop: "
        "`tenantctl tenant first-copy`"
    )


def _dump(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    del step
    if source_of(act.uow, saga).kind is not DeploymentKind.DEDICATED:
        return Ended(skipped="a slice has no database")
    said = saga.data.get("dump")
    if said is not None:
        return Ended(result=said)
    return Waits(says="the digest of the database's dump: `tenantctl tenant record-dump`")


def _import(core: Core, saga: Saga, step: SagaStep) -> Outcome:
    """Wait for a report that equals the newest manifest, and that the source still does.

    A source that has changed under the freeze, by the hand of somebody who may, gets another
    manifest, which has to arrive.
    """
    del step
    with core.act() as act:
        made = manifest_in(act.uow.sagas.need(saga.id))
        if made is None:
            raise DataDiffers("nothing was listed")
        reports = act.uow.import_reports.find(saga_id=saga.id, manifest_digest=made.digest)
    if not reports:
        return Waits(says=_awaited(made.number))
    if has_changed(core, saga):
        again = make_manifest(core, saga, is_frozen=True)
        if again is None:
            return Ended(result={"withdrawn": True})
        return Waits(
            says=f"{_awaited(again.number)}; the source has changed since number {made.number}",
            data={"manifest": again.to_document()},
        )
    return Ended(
        result={"report": reports[-1].id, "manifest": made.number, "digest": made.digest},
        data={"evidence": dict(made.totals)},
    )


def _awaited(number: int) -> str:
    return f"the customer's import report on manifest {number}: `tenantctl tenant import-report`"


# --- the switch ----------------------------------------------------------------------------------
def _switch(act: Act, saga: Saga, step: SagaStep) -> Outcome:
    """Let the customer's Hub take the former place, in one transaction; holds do not stop it."""
    del step
    target = act.uow.deployments.need(target_of(act.uow, saga).id, lock=True)
    if not act.uow.queries.was_applied(target.id):
        raise VerificationFailed("no receipt says that the customer's Hub exists")
    since, now = frozen_at(act.uow, saga), act.now()
    outputs = {**target.outputs, **target.inherited}
    act.uow.deployments.save(target.changed(now, outputs=outputs))
    take_over(act, saga, act.uow.deployments.need(target.id, lock=True))
    return switched(act, saga, since, now)


HANDOVER: Final[Mapping[str, Handler]] = {
    "prepare": Handler(do=InRows(_prepare), undo=InRows(_give_up)),
    "open": Handler(do=run_step(_open), undo=run_step(restore)),
    "manifest": Handler(do=Outside(list_data), undo=InRows(_forget)),
    "bundle": Handler(do=InRows(_bundle), undo=InRows(_withdraw_bundle)),
    "apply": Handler(do=InRows(_apply)),
    "first_copy": Handler(do=InRows(_first_copy)),
    "freeze": Handler(do=run_step(freeze), undo=run_step(restore)),
    "delta": Handler(do=Outside(list_data)),
    "dump": Handler(do=InRows(_dump)),
    "import": Handler(do=Outside(_import)),
    "switch": Handler(do=InRows(_switch)),
    "keep": Handler(do=InRows(keep)),
    "unprotect": Handler(do=run_step(unprotect_source)),
    "destroy": Handler(do=run_step(destroy_source)),
    "close": Handler(do=InRows(close)),
    "forget": Handler(do=Outside(forget_former)),
    "erase": Handler(do=InRows(erase_former)),
}
