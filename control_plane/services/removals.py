"""Removing a tenant or a Hub: asked for with what stands in the way, shown, and decided on.

What follows is a saga (``domain/sagas/removal.py``); its runs are approved as all runs are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.actor import Role
from control_plane.domain.deployment import Deployment
from control_plane.domain.engine import PlannedResource
from control_plane.domain.errors import (
    Conflict,
    DomainError,
    IllegalTransition,
    InvalidInput,
    NotFound,
)
from control_plane.domain.finding import Finding, FindingKind
from control_plane.domain.removal import Certificate, RemovalDecision, protected_names
from control_plane.domain.removal_errors import CertificateNotSigned, ProtectionNotNamed
from control_plane.domain.run import TERMINAL_RUN, Run
from control_plane.domain.saga import SagaKind
from control_plane.domain.tenant import Tenant
from control_plane.ports.rows import UnitOfWork
from control_plane.services.hubs import find_hub
from control_plane.services.permission import READ_TENANTS, require_role
from control_plane.services.sagas import SagaProgress, newest_of, progress_of
from control_plane.services.tenants import get_tenant
from control_plane.workflows.core import Act
from control_plane.workflows.ending import CANCELABLE_BEFORE_APPLY, cancel
from control_plane.workflows.holding import Owner, locked
from control_plane.workflows.recording import record, refused_as
from control_plane.workflows.removal_rules import deployment_of, was_applied, ways_in
from control_plane.workflows.sagas import start_saga

REQUESTERS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
READERS: Final = tuple(READ_TENANTS | {Role.PLATFORM_AUDITOR})
_ENTRIES: Final = 500  # of a log that name certificates: an owner is removed once


@dataclass(frozen=True, kw_only=True)
class Doomed:
    """A resource that a removal destroys; ``says`` what that destroys for good and leaves."""

    name: str
    type: str
    protected: bool
    says: str


@dataclass(frozen=True, kw_only=True)
class RemovalPreview:
    """What a removal would come to, from what is known without asking the cloud.

    ``resources`` has what cannot be undone first. ``unprotect`` are the names that a request has to
    give. ``obstacles`` is everything that it would be refused for now.
    """

    owner: Owner
    deployment: Deployment | None
    resources: Sequence[Doomed]
    unprotect: tuple[str, ...]
    obstacles: Sequence[DomainError]


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A removal with its progress, what people said in it, and what must remain."""

    progress: SagaProgress
    decisions: Sequence[RemovalDecision]
    remaining: Sequence[Finding]
    certificate: Certificate | None


Find = Callable[[Act, str], Owner]


def may_remove_tenant(act: Act, key: str) -> Tenant:
    """Return a tenant whose removal the caller may request. Raises ``NotFound``, ``NotAllowed``."""
    tenant = get_tenant(act, key)
    require_role(act, *REQUESTERS, wanted="removals.create", tree=tenant.id)
    return tenant


def may_remove_hub(act: Act, hub_id: str) -> Owner:
    """Return a Hub whose removal the caller may request. Raises ``NotFound``, ``NotAllowed``."""
    hub = find_hub(act, hub_id)
    require_role(act, Role.PLATFORM_ADMIN, wanted="removals.create")
    return hub


def dry_run_removal(act: Act, key: str, find: Find) -> RemovalPreview:
    """Say what a removal would come to; stores nothing. ``find`` returns the owner, if it may."""
    owner = find(act, key)
    deployment = deployment_of(act.uow, owner)
    known = resources_of(act.uow, deployment)
    resources = [
        Doomed(
            name=each.name, type=each.type, protected=each.protect,
            says=act.core.policies.on_removal(each),
        )
        for each in known
    ]  # fmt: skip
    return RemovalPreview(
        owner=owner,
        deployment=deployment,
        resources=sorted(resources, key=lambda each: (not each.says, each.type, each.name)),
        unprotect=protected_names(known),
        obstacles=tuple(ways_in(act, owner, deployment)),
    )


def request_removal(
    act: Act, key: str, find: Find, *, reason: str, unprotect: Sequence[str]
) -> SagaProgress:
    """Request the removal of a tenant or a Hub; ``find`` returns it, if the caller may.

    Raises the first of what stands in the way (``domain/removal_errors.py``), and
    ``ProtectionNotNamed`` unless ``unprotect`` names exactly what is protected.
    """
    owner = find(act, key)
    with refused_as(
        act, "removal.refused", tree=tree_of(owner), targets=(target_of(owner),), wanted="request"
    ):
        if not reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        act.uow.serialize_on(f"change:{owner.id}")  # of two at once, the second sees the first
        deployment = deployment_of(act.uow, owner)
        newest = _locked_newest(act.uow, deployment)
        owner = locked(act.uow, owner)
        for error in ways_in(act, owner, deployment):
            raise error
        _require_named(act.uow, deployment, unprotect)
        if newest is not None and deployment is not None and not was_applied(deployment):
            _end_first_build(act, newest, deployment)
            owner = locked(act.uow, owner)
        saga = start_saga(
            act, owner, SagaKind.REMOVAL, reason=reason.strip(),
            data={
                "unprotect": sorted(unprotect),
                "deployment_id": deployment.id if deployment is not None else None,
            },
        )  # fmt: skip
        record(
            act, "removal.requested",
            tree=saga.tenant_id, targets=(target_of(owner), ("saga", saga.id)),
            personal={"reason": reason.strip()}, saga=saga.id, unprotect=sorted(unprotect),
        )  # fmt: skip
        return progress_of(act.uow, saga)


def _locked_newest(uow: UnitOfWork, deployment: Deployment | None) -> Run | None:
    """Lock the newest run, then its deployment, in the order in which they are locked everywhere.

    Raises ``Conflict`` if another run was requested meanwhile.
    """
    newest = uow.queries.newest_run(deployment.id) if deployment is not None else None
    if newest is None or deployment is None:
        return None
    run = uow.runs.need(newest.id, lock=True)
    uow.deployments.need(deployment.id, lock=True)
    present = uow.queries.newest_run(deployment.id)
    if present is not None and present.id != run.id:
        raise Conflict("another run was requested meanwhile", constraint="version")
    return run


def _end_first_build(act: Act, run: Run, deployment: Deployment) -> None:
    """Cancel the build of what never existed: it would make what is to be removed."""
    if run.status in TERMINAL_RUN:
        return
    if run.status not in CANCELABLE_BEFORE_APPLY:
        raise IllegalTransition(f"{run.id} is {run.status}", present_status=str(run.status))
    cancel(act, run, deployment)


def resources_of(uow: UnitOfWork, deployment: Deployment | None) -> Sequence[PlannedResource]:
    """Return what exists of a deployment, as the plan that was verified last has it."""
    if deployment is None or deployment.evidence_id is None:
        return ()
    run = uow.runs.need(uow.evidence.need(deployment.evidence_id).run_id)
    return uow.plans.need(run.plan_id).resources if run.plan_id is not None else ()


def _require_named(
    uow: UnitOfWork, deployment: Deployment | None, unprotect: Sequence[str]
) -> None:
    wanted = set(protected_names(resources_of(uow, deployment)))
    missing, unknown = sorted(wanted - set(unprotect)), sorted(set(unprotect) - wanted)
    if missing or unknown:
        words = [f"not named: {', '.join(missing)}"] if missing else []
        words += [f"not protected: {', '.join(unknown)}"] if unknown else []
        raise ProtectionNotNamed("; ".join(words), missing=missing, unknown=unknown)


# --- looking -----------------------------------------------------------------------------------
def removal_of_tenant(act: Act, key: str) -> Removal:
    """Return the newest removal of a tenant. Raises ``NotFound`` when there is none."""
    return _removal(act, get_tenant(act, key))


def removal_of_hub(act: Act, hub_id: str) -> Removal:
    """Return the newest removal of a Hub. Raises ``NotFound`` when there is none."""
    return _removal(act, find_hub(act, hub_id))


def _removal(act: Act, owner: Owner) -> Removal:
    saga = newest_of(act.uow, owner, SagaKind.REMOVAL)
    if saga is None:
        raise NotFound("no removal was requested")
    deployment_id = saga.data.get("deployment_id") or ""
    certificates = act.uow.certificates.find(saga_id=saga.id)
    return Removal(
        progress=progress_of(act.uow, saga),
        decisions=act.uow.removal_decisions.find(saga_id=saga.id),
        remaining=act.uow.findings.find(deployment_id=deployment_id, kind=FindingKind.REMAINING),
        certificate=certificates[0] if certificates else None,
    )


def _certified(act: Act, removal: Removal) -> Mapping[str, Any]:
    """Return a certificate with the proof that the log binds it: verified without anybody.

    Raises ``NotFound`` before it is issued, ``CertificateNotSigned`` until a checkpoint covers it.
    """
    issued = removal.certificate
    if issued is None:
        raise NotFound("the certificate is not issued yet")
    tree = issued.tenant_id or "platform"
    entries = act.core.trail.events(tree, after=0, limit=_ENTRIES, action="removal.certified")
    own = [each for each in entries if each["body"]["data"].get("digest") == issued.digest]
    if not own:
        raise CertificateNotSigned("the log has not taken up the certificate yet")
    try:
        proof = act.core.trail.proof(tree, own[0]["idx"])
    except NotFound:
        raise CertificateNotSigned("no checkpoint covers the certificate yet") from None
    return {
        "certificate": dict(issued.body),
        "digest": issued.digest,
        "log": {
            "tree": tree, "header": own[0]["header"], "body": own[0]["body"], "proof": dict(proof),
        },
    }  # fmt: skip


def tenant_certificate(act: Act, key: str) -> Mapping[str, Any]:
    """Return the certificate of a tenant's removal. Raises as ``hub_certificate``."""
    return _certified(act, removal_of_tenant(act, key))


def hub_certificate(act: Act, hub_id: str) -> Mapping[str, Any]:
    """Return the certificate of a Hub's removal, with the proof that the log binds it.

    Raises ``NotFound`` before it is issued, ``CertificateNotSigned`` until a checkpoint covers it.
    """
    return _certified(act, removal_of_hub(act, hub_id))


def tree_of(owner: Owner) -> str | None:
    """Return the audit log of an owner; None for the platform's."""
    return owner.id if isinstance(owner, Tenant) else None


def target_of(owner: Owner) -> tuple[str, str]:
    """Return an owner as a target of an event."""
    return ("tenant" if isinstance(owner, Tenant) else "hub", owner.id)
