"""Mode C: an architect takes a bundle, edits its inputs, builds it and hands it over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from control_plane.domain import spellings
from control_plane.domain.actor import Role
from control_plane.domain.bundle import Bundle, BundleStatus, DownloadLink, Handover, Rehearsal
from control_plane.domain.bundle_inputs import advice, fixed_field, merged
from control_plane.domain.canonical import digest
from control_plane.domain.errors import (
    DomainError,
    IllegalTransition,
    InvalidInput,
    LinkExpired,
    NotFound,
    PreconditionFailed,
    TerraformUnavailable,
)
from control_plane.domain.timers import TimerKind
from control_plane.ports import UnitOfWork
from control_plane.services.permission import record_bounded, require_role, require_sight
from control_plane.services.starting import next_bundle
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.owners import sync_tenant
from control_plane.workflows.recording import record, record_denied

READERS = (Role.SOLUTIONS_ARCHITECT, Role.AUDITOR, Role.PLATFORM_ADMIN, Role.OPS_APPROVER)
_S = BundleStatus
REPLACEABLE = frozenset({_S.BUILT, _S.HANDED_OVER, _S.EXPIRED, _S.APPLIED})
# what is asked for -> how a refusal says it
_CANNOT: Final[Mapping[str, str]] = {
    "accept": "cannot be accepted",
    "edit": "cannot be edited",
    "build": "cannot be built",
    "hand-over": "cannot be handed over",
    "receipts": "takes no receipt: nobody was given it",
    "revoke-link": "has no link that could be revoked",
}
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class HandedOver:
    """A hand-over; ``token`` opens the download and is shown this once."""

    bundle: Bundle
    handover: Handover
    link: DownloadLink
    token: str


@dataclass(frozen=True, kw_only=True)
class IssuedLink:
    """A download link and the hand-over it was made for."""

    link: DownloadLink
    handover: Handover


def allowed_actions(bundle: Bundle) -> list[str]:
    """Return what may be asked of a bundle in its present status.

    A version that was handed over takes its receipt even when it was superseded or has expired
    since: the customer may have applied it.
    """
    given = bundle.handed_over_at is not None
    actions = {
        _S.AWAITING_ARCHITECT: ["accept"],
        _S.ACCEPTED: ["edit", "build"],
        _S.BUILD_FAILED: ["edit", "build"],
        _S.BUILT: ["hand-over", "edit"],
        _S.HANDED_OVER: ["receipts", "hand-over", "edit", "revoke-link"],
        _S.APPLIED: ["receipts", "edit", "revoke-link"],
        _S.SUPERSEDED: ["receipts"] if given else [],
        _S.EXPIRED: ["edit", "receipts"] if given else ["edit"],
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


def as_architect(
    core: Core,
    caller: Caller,
    bundle_id: str,
    wanted: str,
    act: Callable[[UnitOfWork, Bundle], Result],
) -> Result:
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
    if wanted not in allowed_actions(bundle):
        raise IllegalTransition(
            f"the bundle is {str(bundle.status).replace('_', ' ')} and {_CANNOT[wanted]}",
            present_status=str(bundle.status),
        )


def accept_bundle(core: Core, caller: Caller, bundle_id: str) -> Bundle:
    """Take a queued bundle."""

    def act(uow: UnitOfWork, bundle: Bundle) -> Bundle:
        taken = bundle.moved(_S.ACCEPTED, core.clock.now(), accepted_by=caller.actor.id)
        uow.bundles.save(taken)
        _recorded(core, uow, caller, "bundle.accepted", taken)
        return taken

    return as_architect(core, caller, bundle_id, "accept", act)


def edit_bundle(
    core: Core,
    caller: Caller,
    bundle_id: str,
    *,
    inputs: Mapping[str, Any],
    if_version: int,
) -> Bundle:
    """Change inputs; of a bundle that is built, expired or applied that makes the next version.

    ``inputs`` are merged in as ``bundle_inputs.merged`` does, and may be none. The result is
    checked before anything is stored; ``account_id`` may stay empty until the build.
    Raises ``PreconditionFailed`` when somebody else changed the bundle since ``if_version``.
    """

    def act(uow: UnitOfWork, bundle: Bundle) -> Bundle:
        if bundle.version != if_version:
            raise PreconditionFailed("the bundle was changed by somebody else")
        others = uow.bundles.find(deployment_id=bundle.deployment_id)
        _require_newest(bundle, others)
        result = merged(bundle.inputs, inputs)
        _require_changeable(bundle, others, result)
        core.builder.check_variables(result, is_draft=True)
        _require_zones(core, result)
        now = core.clock.now()
        if bundle.status in REPLACEABLE:
            bundle = next_bundle(core, uow, caller, bundle)
            sync_tenant(core, uow, caller, bundle.tenant_id)
        edited = bundle.changed(now, inputs=result)
        uow.bundles.save(edited)
        _recorded(
            core, uow, caller, "bundle.edited", edited, changed=sorted(inputs),
            inputs_digest=digest(result), previous_digest=digest(dict(bundle.inputs)),
        )  # fmt: skip
        return edited

    return as_architect(core, caller, bundle_id, "edit", act)


def _require_newest(bundle: Bundle, others: list[Bundle]) -> None:
    newest = max(others, key=lambda other: other.number, default=bundle)
    if newest.number > bundle.number:
        raise IllegalTransition(
            f"version {newest.number} ({newest.id}) follows this one; edit that",
            present_status=str(bundle.status),
        )


def _require_changeable(bundle: Bundle, others: list[Bundle], result: Mapping[str, Any]) -> None:
    installed = any(other.status is _S.APPLIED for other in others)
    fixed = fixed_field(bundle.inputs, result, installed=installed)
    if fixed == "owner.install_id":
        raise InvalidInput(
            "owner.install_id names what is installed; it can be changed before the first apply, "
            "and after a removal by the customer alone (MODE-C.md, Removal)",
            field=f"inputs.{fixed}",
        )
    if fixed:
        raise InvalidInput(f"{fixed} is fixed by the request", field=f"inputs.{fixed}")


def _require_zones(core: Core, result: Mapping[str, Any]) -> None:
    """Refuse a zone that the region has not: AWS would say so when half of the Hub is built."""
    region = str(result["region"])
    known = core.rules.regions.availability_zones(region)
    foreign = sorted(set(result["network"]["zones"]) - set(known))
    if foreign:
        raise InvalidInput(
            f"network.zones: {region} has no zone {foreign[0]}; it has {', '.join(known)}",
            field="inputs.network.zones",
        )


def warnings(core: Core, bundle: Bundle) -> tuple[str, ...]:
    """Return what is allowed in the inputs and probably not meant, or will soon be too old."""
    today = core.clock.now().date()
    return (*advice(bundle.inputs), *core.rules.versions.warnings(bundle.inputs, today))


def build_bundle(core: Core, caller: Caller, bundle_id: str) -> Bundle:
    """Build, sign and rehearse; the worker does it."""

    def act(uow: UnitOfWork, bundle: Bundle) -> Bundle:
        core.builder.check_variables(bundle.inputs)
        _require_zones(core, bundle.inputs)
        building = bundle.moved(_S.BUILDING, core.clock.now(), error=None, checks=())
        uow.bundles.save(building)
        _recorded(core, uow, caller, "bundle.build_requested", building)
        uow.timers.set(TimerKind.BUNDLE_WATCH, bundle.id, core.clock.now() + core.limits.build_life)
        uow.queue.enqueue(
            "build_bundle", bundle.id, partition=bundle.deployment_id, attempt=building.version
        )
        return building

    return as_architect(core, caller, bundle_id, "build", act)


def hand_over(
    core: Core,
    caller: Caller,
    bundle_id: str,
    *,
    recipient_name: str,
    recipient_email: str,
    revoke_earlier: bool = False,
) -> HandedOver:
    """Hand a built bundle to a named person; the link expires, and nothing is mailed.

    The life of the bundle is counted anew from here. ``revoke_earlier`` ends the links of earlier
    recipients. A bundle that was not rehearsed cannot be handed over (``TerraformUnavailable``).
    """

    def act(uow: UnitOfWork, bundle: Bundle) -> HandedOver:
        for field, read, text in (
            ("recipient_name", spellings.name, recipient_name),
            ("recipient_email", spellings.email, recipient_email),
        ):
            try:
                read(text)
            except ValueError as error:
                raise InvalidInput(f"{field} {error}", field=field) from error
        if bundle.rehearsal is Rehearsal.NONE:
            raise TerraformUnavailable("the bundle was not rehearsed, so it is not handed over")
        now = core.clock.now()
        life = {"handed_over_at": now, "expires_at": now + core.limits.bundle_life}
        if bundle.status is _S.BUILT:
            bundle = bundle.moved(_S.HANDED_OVER, now, **life)
        else:
            bundle = bundle.changed(now, **life)
        uow.bundles.save(bundle)
        if revoke_earlier:
            for link in uow.links.find(bundle_id=bundle.id, revoked_at=None):
                _revoke(core, uow, caller, bundle, link)
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
        sync_tenant(core, uow, caller, bundle.tenant_id)
        return given

    return as_architect(core, caller, bundle_id, "hand-over", act)


def revoke_link(core: Core, caller: Caller, bundle_id: str, link_id: str) -> IssuedLink:
    """End a download link before its time; one that is revoked already stays as it is.

    Raises ``NotFound`` for a link that is none of this bundle.
    """

    def act(uow: UnitOfWork, bundle: Bundle) -> IssuedLink:
        link = uow.links.get(link_id, lock=True)
        handover = uow.handovers.get(link.handover_id) if link else None
        if link is None or handover is None or link.bundle_id != bundle.id:
            raise NotFound("the bundle has no such link")
        if link.revoked_at is None:
            link = _revoke(core, uow, caller, bundle, link)
        return IssuedLink(link=link, handover=handover)

    return as_architect(core, caller, bundle_id, "revoke-link", act)


def _revoke(
    core: Core, uow: UnitOfWork, caller: Caller, bundle: Bundle, link: DownloadLink
) -> DownloadLink:
    revoked = replace(link, revoked_at=core.clock.now())
    uow.links.save(revoked)
    record(
        core, uow, caller, "link.revoked",
        tree=bundle.tenant_id, targets=(("bundle", bundle.id),), link=link.id, uses=link.uses,
    )  # fmt: skip
    return revoked


def list_links(core: Core, caller: Caller, bundle_id: str) -> list[IssuedLink]:
    """Return the download links of a bundle, oldest first; without their secrets."""
    bundle = get_bundle(core, caller, bundle_id)
    with core.uow() as uow:
        given = {handover.id: handover for handover in uow.handovers.find(bundle_id=bundle.id)}
        links = uow.links.find(bundle_id=bundle.id)
    links = sorted(links, key=lambda link: link.id)
    return [IssuedLink(link=link, handover=given[link.handover_id]) for link in links]


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
        expires_at=min(now + core.limits.link_life, bundle.expires_at or now),
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
    core: Core,
    caller: Caller,
    bundle_id: str,
    token: str,
    *,
    name: str | None,
    is_look: bool = False,
) -> Download:
    """Return the archive, or the file ``name`` beside it, to whoever holds a valid link.

    A use is counted and recorded before the bytes are given; a mere look (``is_look``, for HEAD)
    is neither. Unknown, expired, revoked and foreign links answer the same (``LinkExpired``); the
    log has the reason.
    """
    link_id, _, secret = token.partition(".")
    with core.uow() as uow:
        link = uow.links.get(link_id, lock=True)
        bundle = uow.bundles.get(bundle_id)
        reason = _link_fault(core, link, bundle, secret)
        if reason or link is None or bundle is None:
            error = LinkExpired("this link is not valid")
            # a stranger who names a bundle or a link has no business in the log of its tenant
            is_real = reason not in {"unknown", "wrong_secret"}
            tree = bundle.tenant_id if bundle and is_real else None
        else:
            download = _content(core, bundle, name)
            if is_look:
                return download
            used = replace(link, uses=link.uses + 1)
            uow.links.save(used)
            _recorded(
                core, uow, caller, "bundle.downloaded", bundle, link=link.id,
                file=download.name, uses=used.uses,
            )  # fmt: skip
            uow.commit()
            return download
    record_bounded(core, caller, "link.refused", error, tree=tree, status=reason)
    raise error


def _link_fault(core: Core, link: DownloadLink | None, bundle: Bundle | None, secret: str) -> str:
    if link is None or bundle is None or link.bundle_id != bundle.id:
        return "unknown"
    if hashlib.sha256(secret.encode()).hexdigest() != link.token_hash:
        return "wrong_secret"
    if link.revoked_at is not None:
        return "revoked"
    if core.clock.now() >= link.expires_at:
        return "expired"
    if bundle.status not in {_S.HANDED_OVER, _S.APPLIED}:
        return str(bundle.status)
    return ""


def download_as_architect(
    core: Core, caller: Caller, bundle_id: str, *, name: str | None, is_look: bool = False
) -> Download:
    """Return the archive or a file beside it to an architect or auditor; a look is not recorded."""
    bundle = get_bundle(core, caller, bundle_id)
    download = _content(core, bundle, name)
    if is_look:
        return download
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
