"""Handing a bundle over: the named recipient, the links, and each download."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from control_plane.domain import spellings
from control_plane.domain.bundle import Bundle, BundleStatus, DownloadLink, Handover, Rehearsal
from control_plane.domain.errors import InvalidInput, LinkExpired, NotFound, TerraformUnavailable
from control_plane.domain.timers import TimerKind
from control_plane.services.bundles import get_bundle, taken_up
from control_plane.services.permission import refused
from control_plane.workflows.core import Act, Core
from control_plane.workflows.holding import clocks_stand_still
from control_plane.workflows.owners import let_saga_look, sync_tenant
from control_plane.workflows.recording import record, record_bundle


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


def hand_over(
    act: Act,
    bundle_id: str,
    *,
    recipient_name: str,
    recipient_email: str,
    revoke_earlier: bool = False,
) -> HandedOver:
    """Hand a built bundle to a named person; the link expires, and nothing is mailed.

    The lifetime of the bundle restarts here. ``revoke_earlier`` ends the links of earlier
    recipients. A bundle that was not rehearsed cannot be handed over (``TerraformUnavailable``).
    """
    with taken_up(act, bundle_id, "hand-over") as bundle:
        for field, read, text in (
            ("recipient_name", spellings.name, recipient_name),
            ("recipient_email", spellings.email, recipient_email),
        ):
            try:
                read(text)
            except ValueError as error:
                raise InvalidInput(f"{field} {error}", field=field) from error
        if bundle.rehearsal is Rehearsal.NONE:
            raise TerraformUnavailable("the bundle was not rehearsed, so it cannot be handed over")
        now = act.now()
        life = {"handed_over_at": now, "expires_at": now + act.core.limits.bundle_life}
        if bundle.status is BundleStatus.BUILT:
            given = bundle.moved(BundleStatus.HANDED_OVER, now, **life)
        else:
            given = bundle.changed(now, **life)
        act.uow.bundles.save(given)
        act.uow.timers.set(TimerKind.BUNDLE_EXPIRY, given.id, life["expires_at"])
        if revoke_earlier:
            for found in act.uow.links.find(bundle_id=bundle.id, revoked_at=None):
                # locked: a download that counts its use comes before or after
                link = act.uow.links.get(found.id, lock=True)
                if link is not None and link.revoked_at is None:
                    _revoke(act, given, link)
        handover = Handover(
            id=act.new_id("handover"),
            bundle_id=given.id,
            recipient_name=recipient_name.strip(),
            recipient_email=recipient_email,
            handed_over_by=act.caller.actor.id,
            handed_over_at=now,
        )
        act.uow.handovers.add(handover)
        issued = _issue_link(act, given, handover)
        let_saga_look(act, sync_tenant(act, given.tenant_id))
        return issued


def revoke_link(act: Act, bundle_id: str, link_id: str) -> IssuedLink:
    """End a download link before its time; one that is revoked already stays as it is.

    Raises ``NotFound`` for a link that is none of this bundle.
    """
    with taken_up(act, bundle_id, "revoke-link") as bundle:
        link = act.uow.links.get(link_id, lock=True)
        handover = act.uow.handovers.get(link.handover_id) if link else None
        if link is None or handover is None or link.bundle_id != bundle.id:
            raise NotFound("link not found")
        if link.revoked_at is None:
            link = _revoke(act, bundle, link)
        return IssuedLink(link=link, handover=handover)


def _revoke(act: Act, bundle: Bundle, link: DownloadLink) -> DownloadLink:
    revoked = replace(link, revoked_at=act.now())
    act.uow.links.save(revoked)
    record(
        act, "link.revoked",
        tree=bundle.tenant_id, targets=(("bundle", bundle.id),), link=link.id, uses=link.uses,
    )  # fmt: skip
    return revoked


def list_links(act: Act, bundle_id: str) -> list[IssuedLink]:
    """Return the download links of a bundle, oldest first; without their secrets."""
    bundle = get_bundle(act, bundle_id)
    given = {handover.id: handover for handover in act.uow.handovers.find(bundle_id=bundle.id)}
    links = act.uow.links.find(bundle_id=bundle.id)
    return [IssuedLink(link=link, handover=given[link.handover_id]) for link in links]


def _issue_link(act: Act, bundle: Bundle, handover: Handover) -> HandedOver:
    now = act.now()
    secret = act.core.ids.secret()
    link = DownloadLink(
        id=act.new_id("link"),
        bundle_id=bundle.id,
        handover_id=handover.id,
        token_hash=hashlib.sha256(secret.encode()).hexdigest(),
        expires_at=min(now + act.core.limits.link_life, bundle.expires_at or now),
        uses=0,
        created_at=now,
    )
    act.uow.links.add(link)
    recipient = {
        "recipient.name": handover.recipient_name,
        "recipient.email": handover.recipient_email,
    }
    record_bundle(
        act, "bundle.handed_over", bundle, personal=recipient,
        content_digest=bundle.content_digest, archive_digest=bundle.archive_digest,
        handover=handover.id,
    )  # fmt: skip
    record(
        act, "link.issued",
        tree=bundle.tenant_id, targets=(("bundle", bundle.id),), personal=recipient,
        link=link.id, expires_at=link.expires_at.isoformat(),
    )  # fmt: skip
    return HandedOver(bundle=bundle, handover=handover, link=link, token=f"{link.id}.{secret}")


@dataclass(frozen=True, kw_only=True)
class Download:
    """The bytes behind a link; ``files`` are the names of all that a bundle has."""

    name: str
    content: bytes
    digest: str | None
    files: tuple[str, ...]


def download_by_link(
    act: Act,
    bundle_id: str,
    token: str,
    *,
    name: str | None,
    is_look: bool = False,
) -> Download:
    """Return the archive, or the file ``name`` beside it, to anyone with a valid link.

    A use is counted and recorded, with the address it came from, before the bytes are given; a
    mere look (``is_look``, for HEAD) is neither. Unknown, expired, revoked and foreign links answer
    the same (``LinkExpired``); the log has the reason.
    """
    link_id, _, secret = token.partition(".")
    link = act.uow.links.get(link_id, lock=True)
    # a link that somebody made up costs one look, and not one for each thing that it names
    bundle = act.uow.bundles.get(bundle_id) if link is not None else None
    reason = _link_fault(act, link, bundle, secret)
    if reason or link is None or bundle is None:
        # a stranger who names a bundle or a link has no business in the log of its tenant
        is_real = reason not in {"unknown", "wrong_secret"}
        raise refused(
            act, "link.refused", LinkExpired("this link is invalid or has expired"),
            tree=bundle.tenant_id if bundle and is_real else None, status=reason,
            **({"link": link.id} if link and is_real else {}),
        )  # fmt: skip
    download = _content(act.core, bundle, name)
    if not is_look:
        used = replace(link, uses=link.uses + 1)
        act.uow.links.save(used)
        record_bundle(
            act, "bundle.downloaded", bundle, link=link.id,
            file=download.name, uses=used.uses,
            personal={"remote_address": act.caller.address} if act.caller.address else {},
        )  # fmt: skip
    return download


def _link_fault(act: Act, link: DownloadLink | None, bundle: Bundle | None, secret: str) -> str:
    if link is None or bundle is None or link.bundle_id != bundle.id:
        return "unknown"
    if hashlib.sha256(secret.encode()).hexdigest() != link.token_hash:
        return "wrong_secret"
    if link.revoked_at is not None:
        return "revoked"
    if _has_expired(act, link, bundle):
        return "expired"
    if bundle.status not in {BundleStatus.HANDED_OVER, BundleStatus.APPLIED}:
        return str(bundle.status)
    return ""


def _has_expired(act: Act, link: DownloadLink, bundle: Bundle) -> bool:
    """Tell whether a link's date has passed; it does not while some holds stand."""
    return act.now() >= link.expires_at and not clocks_stand_still(
        act.uow, act.uow.tenants.need(bundle.tenant_id)
    )


def download_as_architect(
    act: Act, bundle_id: str, *, name: str | None, is_look: bool = False
) -> Download:
    """Return the archive or a file beside it to an architect or auditor; a look is not recorded."""
    bundle = get_bundle(act, bundle_id)
    download = _content(act.core, bundle, name)
    if not is_look:
        record_bundle(act, "bundle.downloaded", bundle, file=download.name)
    return download


def _content(core: Core, bundle: Bundle, name: str | None) -> Download:
    wanted = name or bundle.archive_name
    if wanted is None or wanted not in bundle.files:
        raise NotFound("file not found")
    archive = wanted == bundle.archive_name
    return Download(
        name=wanted,
        content=core.objects.get(bundle.files[wanted]),
        digest=bundle.archive_digest if archive else None,
        files=tuple(sorted(bundle.files)),
    )
