"""Copying a tenant's data from its slice to its dedicated Hub, in parts that are kept as they end.

The rows of what was copied say where to resume. A copy that died is repeated from the last part
that was kept; what of the part after it has arrived is found there and not written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final

from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.errors import SliceHoldsData
from control_plane.domain.saga import Saga, SagaStep
from control_plane.domain.transfer import (
    KINDS,
    Copied,
    Kind,
    Place,
    Thing,
    delta,
    require_equal,
    totals,
)
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.calling import patiently
from control_plane.workflows.core import Core
from control_plane.workflows.placing import account_of
from control_plane.workflows.saga_steps import Ended, Outcome

_AT_ONCE: Final = 100


def source_of(uow: UnitOfWork, saga: Saga) -> Deployment:
    """Return the slice that a saga moves data from."""
    return uow.deployments.need(str(saga.data["source"]))


def target_of(uow: UnitOfWork, saga: Saga) -> Deployment:
    """Return the deployment that a saga builds."""
    return uow.deployments.need(str(saga.data["target"]))


def place_of_slice(uow: UnitOfWork, deployment: Deployment) -> Place:
    """Return where the data of a slice lies; its outputs say so."""
    out = deployment.outputs
    return replace(
        _place(uow, deployment),
        prefix=str(out["data_prefix"]),
        leading_key=str(out["leading_key"]),
        parameters=str(out["parameter_path"]),
    )


def place_of_dedicated(uow: UnitOfWork, deployment: Deployment) -> Place:
    """Return where the data of a dedicated Hub lies, under the keys that it inherits."""
    inherited = deployment.inherited
    return replace(
        _place(uow, deployment),
        prefix=str(inherited["data_prefix"]),
        leading_key=str(inherited["leading_key"]),
        parameters=str(deployment.outputs["app_log_group"]).removesuffix("/app"),
    )


def place_of(uow: UnitOfWork, deployment: Deployment) -> Place:
    """Return where the data of a deployment of ours lies.

    In a dedicated Hub that inherited no keys of a slice everything is the tenant's.
    """
    if deployment.kind is DeploymentKind.SLICE:
        return place_of_slice(uow, deployment)
    inherited = deployment.inherited or {"data_prefix": "", "leading_key": ""}
    return place_of_dedicated(uow, replace(deployment, inherited=inherited))


def _place(uow: UnitOfWork, deployment: Deployment) -> Place:
    account, out = account_of(uow, deployment.account_id), deployment.outputs
    return Place(
        deployment_id=deployment.id,
        region=deployment.region,
        account_id=deployment.account_id,
        role_arn=account.role_arn if account else None,
        external_id=account.external_id if account else None,
        bucket=str(out["data_bucket"]),
        prefix="",
        table=str(out["table_name"]),
        leading_key="",
        secrets=dict(out["secret_names"]),
        parameters="",
        data_key_arn=str(out["data_key_arn"]),
    )


def survey(core: Core, saga: Saga, step: SagaStep) -> Outcome:
    """Count what the slice holds, and name what will not be copied."""
    del step
    with core.act() as act:
        source = place_of_slice(act.uow, source_of(act.uow, saga))
    found = {str(kind): _count(core.data.things(source, kind)) for kind in KINDS}
    left = core.data.left_behind(source)
    return Ended(
        result={
            "holds": found,
            "left_behind": {"older_versions": left.older_versions, "secrets": list(left.secrets)},
        },
        data={"survey": found},
    )


def _count(things: Iterator[Thing]) -> dict[str, int]:
    count = size = 0
    for thing in things:
        count, size = count + 1, size + thing.size
    return {"count": count, "bytes": size}


def copy_data(core: Core, saga: Saga, step: SagaStep) -> Outcome:
    """Copy what differs from what was copied before; ends early when the saga is withdrawn."""
    del step
    with core.act() as act:
        source = place_of_slice(act.uow, source_of(act.uow, saga))
        target = place_of_dedicated(act.uow, target_of(act.uow, saga))
    done = {}
    for kind in KINDS:
        counted = _copy_kind(core, saga, source, target, kind)
        if counted is None:
            return Ended(result={"withdrawn": True})
        done[str(kind)] = counted
    return Ended(result={"copied": done})


def _copy_kind(
    core: Core, saga: Saga, source: Place, target: Place, kind: Kind
) -> Mapping[str, int] | None:
    with core.act() as act:
        known = act.uow.transfers.known(saga.id, kind)
    seen: set[str] = set()
    changed = 0
    for part in parts(differing(core.data.things(source, kind), known, seen)):
        changed += len(part)
        if not keep_rows(core, saga, kind, copied=core.data.copy(source, target, part)):
            return None
    gone = sorted(set(known) - seen)
    if gone:
        core.data.remove(target, kind, gone)
        if not keep_rows(core, saga, kind, gone=gone):
            return None
    return {"changed": changed, "gone": len(gone)}


def differing(
    things: Iterable[Thing], known: Mapping[str, Copied], seen: set[str]
) -> Iterator[Thing]:
    """Yield what differs from what was copied, while it is listed; add every name to ``seen``."""
    for thing in things:
        seen.add(thing.name)
        before = known.get(thing.name)
        if before is None or before.version != thing.version:
            yield thing


def parts(things: Iterator[Thing]) -> Iterator[Sequence[Thing]]:
    """Yield things in parts that are kept as they end."""
    while part := list(islice(things, _AT_ONCE)):
        yield part


def keep_rows(
    core: Core, saga: Saga, kind: Kind, *, copied: Sequence[Copied] = (), gone: Sequence[str] = ()
) -> bool:
    """Write what was done, patiently; False when the saga was withdrawn meanwhile."""

    def once() -> bool:
        with core.act() as act:
            present = act.uow.sagas.need(saga.id)
            act.uow.transfers.put(saga.id, copied)
            act.uow.transfers.forget(saga.id, kind, gone)
            act.uow.commit()
            return not present.is_undoing

    return bool(patiently(once))


def compare_data(core: Core, saga: Saga, step: SagaStep) -> Outcome:
    """Compare both places, and return the counts and digests by kind as evidence.

    What the source has and the rows do not, after a comparison that failed, is copied first.
    """
    del step
    with core.act() as act:
        source = place_of_slice(act.uow, source_of(act.uow, saga))
        target = place_of_dedicated(act.uow, target_of(act.uow, saga))
    evidence = {}
    for kind in KINDS:
        there = _listed(core, source, kind)
        with core.act() as act:
            known = act.uow.transfers.known(saga.id, kind)
        left = delta(there, known)
        if left.changed or left.gone:
            if _copy_kind(core, saga, source, target, kind) is None:
                return Ended(result={"withdrawn": True})
            there = _listed(core, source, kind)
            with core.act() as act:
                known = act.uow.transfers.known(saga.id, kind)
        require_equal(kind, there, core.data.things(target, kind), known)
        evidence[str(kind)] = totals(known.values()).to_document()
    return Ended(result={"equal": evidence}, data={"evidence": evidence})


def _listed(core: Core, place: Place, kind: Kind) -> list[Thing]:
    """Return what a place holds of a kind, without content: names and versions are compared."""
    return [replace(thing, content=None) for thing in core.data.things(place, kind)]


def remove_copies(core: Core, saga: Saga, step: SagaStep) -> Outcome:
    """Remove everything that was copied, also what was not recorded: nobody else writes there."""
    del step
    with core.act() as act:
        deployment = target_of(act.uow, saga)
        target = place_of_dedicated(act.uow, deployment) if deployment.outputs else None
    if target is None:
        return Ended(skipped="nothing was ever applied")
    removed = {}
    for kind in KINDS:
        names = [thing.name for thing in core.data.things(target, kind)]
        core.data.remove(target, kind, names)
        removed[str(kind)] = len(names)
    patiently(partial(_forget, core, saga))
    return Ended(result={"removed": removed})


def _forget(core: Core, saga: Saga) -> None:
    with core.act() as act:
        act.uow.transfers.forget_all(saga.id)
        act.uow.commit()


def require_empty(core: Core, saga: Saga, step: SagaStep) -> Outcome:
    """Check that a slice holds nothing at all, no older version either.

    Raises ``SliceHoldsData``.
    """
    del step
    with core.act() as act:
        deployment = source_of(act.uow, saga)
        place = place_of_slice(act.uow, deployment) if deployment.outputs else None
    if place is None:
        return Ended(skipped="nothing was ever applied")
    found = {str(kind): _count(core.data.things(place, kind))["count"] for kind in KINDS}
    left = core.data.left_behind(place)
    found |= {"older_version": left.older_versions, "other_secret": len(left.secrets)}
    there = {name: count for name, count in found.items() if count}
    if there:
        named = ", ".join(f"{count} of {name}" for name, count in sorted(there.items()))
        raise SliceHoldsData(f"the slice holds data: {named}", holds=there)
    return Ended(result={"holds": {}})
