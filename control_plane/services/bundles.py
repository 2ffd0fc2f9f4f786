"""Mode C: an architect takes a bundle, edits its inputs, builds it and hands it over."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from control_plane.domain.actor import Role
from control_plane.domain.bundle import Bundle, BundleStatus, DownloadLink, Handover, Rehearsal
from control_plane.domain.canonical import digest
from control_plane.domain.errors import (
    DomainError,
    IllegalTransition,
    InvalidInput,
    LinkExpired,
    NotFound,
    PreconditionFailed,
    ReceiptAlreadyRegistered,
    TerraformUnavailable,
)
from control_plane.domain.tenant import WaitingOn
from control_plane.ports import UnitOfWork
from control_plane.services.permission import require_role, require_sight
from control_plane.services.starting import next_bundle
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.owners import let_wait
from control_plane.workflows.recording import record, record_denied

READERS = (Role.SOLUTIONS_ARCHITECT, Role.AUDITOR, Role.PLATFORM_ADMIN, Role.OPS_APPROVER)
_S = BundleStatus
REPLACEABLE = frozenset({_S.BUILT, _S.HANDED_OVER, _S.EXPIRED})
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}\Z")


@dataclass(frozen=True, kw_only=True)
class HandedOver:
    """A hand-over; ``token`` opens the download and is shown this once."""

    bundle: Bundle
    handover: Handover
    link: DownloadLink
    token: str


def allowed_actions(bundle: Bundle) -> list[str]:
    """Return what may be asked of a bundle in its present status."""
    actions = {
        _S.AWAITING_ARCHITECT: ["accept"],
        _S.ACCEPTED: ["edit", "build"],
        _S.BUILD_FAILED: ["edit", "build"],
        _S.BUILT: ["hand-over", "edit"],
        _S.HANDED_OVER: ["receipts", "hand-over", "edit"],
        _S.EXPIRED: ["edit"],
    }
    return actions.get(bundle.status, [])


def get_bundle(core: Core, caller: Caller, bundle_id: str) -> Bundle:
    """Return a bundle. Raises ``NotFound``."""
    require_role(core, caller, *READERS, act="bundles.read")
    return visible_bundle(core, caller, bundle_id, act="bundles.read")


def list_bundles(
    core: Core, caller: Caller, *, limit: int, before: str | None, status: str | None
) -> list[Bundle]:
    """Return the bundles of the caller's tenants, newest first."""
    require_role(core, caller, *READERS, act="bundles.read")
    equals: dict[str, object] = {"status": status} if status else {}
    if "*" not in caller.actor.tenants:
        equals["tenant_id"] = caller.actor.tenants
    with core.uow() as uow:
        return uow.bundles.page(limit=limit, before=before, **equals)


def visible_bundle(core: Core, caller: Caller, bundle_id: str, *, act: str) -> Bundle:
    """Return a bundle the caller's token covers. Raises ``NotFound``."""
    with core.uow() as uow:
        bundle = uow.bundles.get(bundle_id)
    if bundle is None:
        raise NotFound("there is no such thing")
    require_sight(core, caller, bundle.tenant_id, act=act)
    return bundle


Act = Callable[[UnitOfWork, Bundle], Any]


def as_architect(core: Core, caller: Caller, bundle_id: str, wanted: str, act: Act) -> Any:
    """Do ``act`` on the locked bundle in one transaction; a refusal leaves an event."""
    bundle = visible_bundle(core, caller, bundle_id, act=f"bundles.{wanted}")
    require_role(
        core, caller, Role.SOLUTIONS_ARCHITECT, act=f"bundles.{wanted}", tree=bundle.tenant_id
    )
    try:
        with core.uow() as uow:
            locked = uow.bundles.get(bundle_id, lock=True) or bundle
            _require_possible(locked, wanted)
            result = act(uow, locked)
            uow.commit()
    except DomainError as error:
        action = "receipt.refused" if wanted == "receipts" else "bundle.refused"
        data = {} if wanted == "receipts" else {"wanted": wanted}
        record_denied(
            core, caller, action, error,
            tree=bundle.tenant_id, targets=(("bundle", bundle_id),), **data,
        )  # fmt: skip
        raise
    return result


def _require_possible(bundle: Bundle, wanted: str) -> None:
    if wanted == "receipts" and bundle.status is _S.APPLIED:
        raise ReceiptAlreadyRegistered("a receipt of this bundle is registered already")
    if wanted not in allowed_actions(bundle):
        raise IllegalTransition(
            f"a bundle that is {bundle.status} has nothing to {wanted}",
            present_status=str(bundle.status),
        )


def accept_bundle(core: Core, caller: Caller, bundle_id: str) -> Bundle:
    """Take a queued bundle."""

    def act(uow: UnitOfWork, bundle: Bundle) -> Bundle:
        taken = bundle.moved(_S.ACCEPTED, core.clock.now(), accepted_by=caller.actor.id)
        uow.bundles.save(taken)
        _recorded(core, uow, caller, "bundle.accepted", taken)
        return taken

    return _bundle(as_architect(core, caller, bundle_id, "accept", act))


def edit_bundle(
    core: Core,
    caller: Caller,
    bundle_id: str,
    *,
    inputs: Mapping[str, Any],
    if_version: int,
) -> Bundle:
    """Change inputs; of a built or expired bundle that makes a version which supersedes it.

    ``inputs`` replace the variables of the same names, and may be none; the result is checked
    before anything is stored.
    Raises ``PreconditionFailed`` when somebody else changed the bundle since ``if_version``.
    """

    def act(uow: UnitOfWork, bundle: Bundle) -> Bundle:
        if bundle.version != if_version:
            raise PreconditionFailed("the bundle was changed by somebody else")
        merged = {**bundle.inputs, **inputs}
        fixed = sorted(name for name in FIXED_INPUTS if merged.get(name) != bundle.inputs.get(name))
        if fixed:
            raise InvalidInput(f"{fixed[0]} is fixed by the request", field=f"inputs.{fixed[0]}")
        core.builder.check_variables(merged)
        now = core.clock.now()
        if bundle.status in REPLACEABLE:
            bundle = next_bundle(core, uow, caller, bundle)
            let_wait(core, uow, caller, bundle.tenant_id, WaitingOn.ARCHITECT)
        edited = bundle.changed(now, inputs=merged)
        uow.bundles.save(edited)
        _recorded(
            core, uow, caller, "bundle.edited", edited, changed=sorted(inputs),
            inputs_digest=digest(merged), previous_digest=digest(dict(bundle.inputs)),
        )  # fmt: skip
        return edited

    return _bundle(as_architect(core, caller, bundle_id, "edit", act))


FIXED_INPUTS = ("schema_version", "owner", "region")


def build_bundle(core: Core, caller: Caller, bundle_id: str) -> Bundle:
    """Build, sign and rehearse; the worker does it."""

    def act(uow: UnitOfWork, bundle: Bundle) -> Bundle:
        core.builder.check_variables(bundle.inputs)
        building = bundle.moved(_S.BUILDING, core.clock.now(), error=None, checks=())
        uow.bundles.save(building)
        _recorded(core, uow, caller, "bundle.build_requested", building)
        uow.queue.enqueue(
            "build_bundle", bundle.id, partition=bundle.deployment_id, attempt=building.version
        )
        return building

    return _bundle(as_architect(core, caller, bundle_id, "build", act))


def hand_over(
    core: Core, caller: Caller, bundle_id: str, *, recipient_name: str, recipient_email: str
) -> HandedOver:
    """Hand a built bundle to a named person; the link expires.

    A bundle that was not rehearsed cannot be handed over (``TerraformUnavailable``).
    """

    def act(uow: UnitOfWork, bundle: Bundle) -> HandedOver:
        if not _EMAIL.match(recipient_email) or not recipient_name.strip():
            raise InvalidInput("a recipient has a name and an e-mail address", field="recipient")
        if bundle.rehearsal is Rehearsal.NONE:
            raise TerraformUnavailable("the bundle was not rehearsed, so it is not handed over")
        now = core.clock.now()
        if bundle.status is _S.BUILT:
            bundle = bundle.moved(_S.HANDED_OVER, now)
            uow.bundles.save(bundle)
        handover = Handover(
            id=core.ids.new("handover"),
            bundle_id=bundle.id,
            recipient_name=recipient_name.strip(),
            recipient_email=recipient_email,
            handed_over_by=caller.actor.id,
            handed_over_at=now,
        )
        uow.handovers.add(handover)
        given = _issue_link(core, uow, caller, bundle, handover)
        let_wait(core, uow, caller, bundle.tenant_id, WaitingOn.CUSTOMER)
        return given

    result = as_architect(core, caller, bundle_id, "hand-over", act)
    if not isinstance(result, HandedOver):
        raise TypeError
    return result


def _issue_link(
    core: Core, uow: UnitOfWork, caller: Caller, bundle: Bundle, handover: Handover
) -> HandedOver:
    now = core.clock.now()
    secret = core.ids.secret()
    link = DownloadLink(
        id=core.ids.new("link"),
        bundle_id=bundle.id,
        handover_id=handover.id,
        token_hash=hashlib.sha256(secret.encode()).hexdigest(),
        expires_at=now + core.limits.link_life,
        uses=0,
        created_at=now,
    )
    uow.links.add(link)
    recipient = {
        "recipient.name": handover.recipient_name,
        "recipient.email": handover.recipient_email,
    }
    _recorded(
        core, uow, caller, "bundle.handed_over", bundle, personal=recipient,
        content_digest=bundle.content_digest, archive_digest=bundle.archive_digest,
        handover=handover.id,
    )  # fmt: skip
    record(
        core, uow, caller, "link.issued",
        tree=bundle.tenant_id, targets=(("bundle", bundle.id),), personal=recipient,
        link=link.id, expires_at=link.expires_at.isoformat(),
    )  # fmt: skip
    return HandedOver(bundle=bundle, handover=handover, link=link, token=f"{link.id}.{secret}")


@dataclass(frozen=True, kw_only=True)
class Download:
    """The bytes behind a link."""

    name: str
    content: bytes
    digest: str | None


def download_by_link(
    core: Core, caller: Caller, bundle_id: str, token: str, *, name: str | None
) -> Download:
    """Return the archive, or the file ``name`` beside it, to whoever holds a valid link.

    Unknown, expired and foreign links answer the same (``LinkExpired``); the log has the reason.
    """
    link_id, _, secret = token.partition(".")
    with core.uow() as uow:
        link = uow.links.get(link_id, lock=True)
        bundle = uow.bundles.get(bundle_id)
        reason = _link_fault(core, link, bundle, secret)
        if reason or link is None or bundle is None:
            error = LinkExpired("this link is not valid")
            tree = bundle.tenant_id if bundle and link else None
        else:
            download = _content(core, bundle, name)
            used = replace(link, uses=link.uses + 1)
            uow.links.save(used)
            _recorded(
                core, uow, caller, "bundle.downloaded", bundle, link=link.id,
                file=download.name, uses=used.uses,
            )  # fmt: skip
            uow.commit()
            return download
    record_denied(core, caller, "link.refused", error, tree=tree, status=reason)
    raise error


def _link_fault(core: Core, link: DownloadLink | None, bundle: Bundle | None, secret: str) -> str:
    if link is None or bundle is None or link.bundle_id != bundle.id:
        return "unknown"
    if hashlib.sha256(secret.encode()).hexdigest() != link.token_hash:
        return "wrong_secret"
    if core.clock.now() >= link.expires_at:
        return "expired"
    if bundle.status not in {_S.HANDED_OVER, _S.APPLIED}:
        return str(bundle.status)
    return ""


def download_as_architect(
    core: Core, caller: Caller, bundle_id: str, *, name: str | None
) -> Download:
    """Return the archive or a file beside it to an architect or auditor."""
    bundle = get_bundle(core, caller, bundle_id)
    download = _content(core, bundle, name)
    with core.uow() as uow:
        _recorded(core, uow, caller, "bundle.downloaded", bundle, file=download.name)
        uow.commit()
    return download


def _content(core: Core, bundle: Bundle, name: str | None) -> Download:
    wanted = name or bundle.archive_name
    if wanted is None or wanted not in bundle.files:
        raise NotFound("the bundle has no such file")
    archive = wanted == bundle.archive_name
    return Download(
        name=wanted,
        content=core.objects.get(bundle.files[wanted]),
        digest=bundle.archive_digest if archive else None,
    )


def _recorded(
    core: Core,
    uow: UnitOfWork,
    caller: Caller,
    action: str,
    bundle: Bundle,
    *,
    personal: Mapping[str, Any] | None = None,
    **data: Any,
) -> None:
    record(
        core, uow, caller, action,
        tree=bundle.tenant_id, targets=(("bundle", bundle.id),), personal=personal,
        number=bundle.number, **data,
    )  # fmt: skip


def _bundle(result: Any) -> Bundle:
    if not isinstance(result, Bundle):
        raise TypeError
    return result
