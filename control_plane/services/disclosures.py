"""Reading personal values of the log: opened now, or granted to an export by a second person."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from control_plane.domain.actor import Role
from control_plane.domain.audit import commitment, event_uuid
from control_plane.domain.canonical import parse_canonical
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.disclosure import (
    GRANT_LIFE_DAYS,
    MAX_GRANT_LIFE_DAYS,
    MAX_OPENED,
    OPENING_LIFE,
    DisclosureGrant,
    GrantKind,
    OpenedValue,
    is_another_person,
)
from control_plane.domain.disclosure_errors import TwoPeopleNeeded
from control_plane.domain.errors import IllegalTransition, InvalidInput, NotFound
from control_plane.services.auditing import PLATFORM_READERS, TENANT_READERS, tree_for
from control_plane.services.performing import perform
from control_plane.services.permission import require_role, require_visibility
from control_plane.services.tenants import find_tenant
from control_plane.workflows.core import Act, Caller, Core
from control_plane.workflows.recording import record, refused_as

_ROOT: Final = re.compile(r"[a-z][a-z0-9_]*\Z")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What was opened of an entry: its commitments, and the values that open them."""

    grant: DisclosureGrant
    idx: int
    commitments: Mapping[str, str]
    values: Sequence[OpenedValue]

    def matches(self, value: OpenedValue) -> bool | None:
        """Tell whether a value is what the entry committed to; None of one that was erased."""
        if value.value is None or value.salt is None:
            return None
        clear = parse_canonical(value.value.encode())
        return commitment(value.salt, clear) == self.commitments.get(value.path)


def open_values(
    core: Core, caller: Caller, key: str, *, idx: int, paths: Sequence[str], reason: str
) -> Opened:
    """Open values of an entry, all if none is named; each is recorded before it is read.

    Raises ``NotFound`` for an entry or path that is not there, ``InvalidInput`` without a reason.
    """
    grant, commitments = perform(
        core, caller, allow_opening, key, idx=idx, paths=paths, reason=reason
    )
    with core.act(caller) as act:
        values = act.uow.disclosures.opened(grant.id, grant.requested_at)
    return Opened(grant=grant, idx=idx, commitments=commitments, values=values)


def allow_opening(
    act: Act, key: str, *, idx: int, paths: Sequence[str], reason: str
) -> tuple[DisclosureGrant, Mapping[str, str]]:
    """Record that somebody opens values of an entry, and let the database show them for a minute.

    Returns that, and the entry's commitments by path.
    """
    tree = tree_for(act, key, wanted="audit.disclosures.open")
    with refused_as(act, "disclosure.refused", tree=_tenant(tree), wanted="open"):
        _require_reason(reason)
        body = _entry(act, tree, idx)
        commitments: Mapping[str, str] = body["pii"]
        wanted = list(dict.fromkeys(paths)) or sorted(commitments)
        for path in wanted:
            if path not in commitments:
                raise NotFound("the entry has no personal value with this path")
        if not wanted:
            raise NotFound("the entry has no personal value")
        if len(wanted) > MAX_OPENED:
            raise InvalidInput(f"at most {MAX_OPENED} values are opened at once", field="paths")
        event = str(event_uuid(body["id"]))
        actor, now = act.caller.actor, act.now()
        grant = DisclosureGrant(
            id=act.new_id("disclosure_grant"), tenant_id=_tenant(tree), kind=GrantKind.OPENING,
            items=tuple([event, path] for path in wanted), reason=reason.strip(),
            requested_by=actor.id, requesters=actor.subjects, requested_at=now,
            expires_at=now + OPENING_LIFE, granted_by=actor.id, granted_person=actor.person,
            granted_kind=actor.kind, granted_at=now,
        )  # fmt: skip
        act.uow.grants.add(grant)
        for path in wanted:
            record(
                act, "disclosure.opened",
                tree=_tenant(tree), targets=(("event", body["id"]), ("disclosure_grant", grant.id)),
                personal={"reason": reason.strip()}, path=path, index=idx,
            )  # fmt: skip
        return grant, commitments


def _entry(act: Act, tree: str, idx: int) -> Mapping[str, Any]:
    found = act.core.trail.events(tree, after=idx, limit=1, action=None)
    if not found or found[0]["idx"] != idx or found[0]["body"] is None:
        raise NotFound("the log has no entry with this index")
    body: Mapping[str, Any] = found[0]["body"]
    return body


# --- grants for exports ------------------------------------------------------------------------
def may_ask(act: Act, key: str) -> str:
    """Return the log whose values the caller may ask a grant for. Raises as ``tree_for`` does."""
    return tree_for(act, key, wanted="audit.grants.create")


def ask_for_grant(
    act: Act,
    key: str,
    *,
    reason: str,
    paths: Sequence[str] = (),
    first_idx: int | None = None,
    last_idx: int | None = None,
    days: int = GRANT_LIFE_DAYS,
) -> DisclosureGrant:
    """Ask that exports of a log may hold values below ``paths``, of some entries, for ``days``.

    Nothing is granted until another person confirms it (``give_grant``).
    """
    tree = may_ask(act, key)
    with refused_as(act, "disclosure.refused", tree=_tenant(tree), wanted="grant"):
        _require_reason(reason)
        _require_scope(paths, first_idx, last_idx, days)
        actor, now = act.caller.actor, act.now()
        if not is_another_person((), actor):
            raise TwoPeopleNeeded("a grant is asked for by a person, not by a machine")
        grant = DisclosureGrant(
            id=act.new_id("disclosure_grant"), tenant_id=_tenant(tree), kind=GrantKind.EXPORT,
            paths=tuple(sorted(set(paths))), first_idx=first_idx, last_idx=last_idx,
            reason=reason.strip(), requested_by=actor.id, requesters=actor.subjects,
            requested_at=now, expires_at=now + timedelta(days=days),
        )  # fmt: skip
        act.uow.grants.add(grant)
        _record_grant(act, "disclosure.requested", grant, reason.strip())
        return grant


def give_grant(act: Act, key: str, grant_id: str, *, reason: str) -> DisclosureGrant:
    """Give a grant that another person asked for.

    Raises ``TwoPeopleNeeded``, ``IllegalTransition`` for one that was given or has expired.
    """
    found = _grant(act, key, grant_id, wanted="audit.grants.confirm")
    with refused_as(
        act, "disclosure.refused",
        tree=found.tenant_id, targets=(("disclosure_grant", found.id),), wanted="confirm",
    ):  # fmt: skip
        _require_reason(reason)
        grant = act.uow.grants.need(found.id, lock=True)
        status = grant.status_at(act.now())
        if status != "requested":
            raise IllegalTransition(f"this grant is {status}", present_status=status)
        if not is_another_person(grant.requesters, act.caller.actor):
            raise TwoPeopleNeeded(
                "You stand behind this request, or are a machine, so another person confirms it."
            )
        given = grant.granted(act.caller.actor, act.now())
        act.uow.grants.save(given)
        _record_grant(act, "disclosure.granted", given, reason.strip())
        return given


def get_grant(act: Act, key: str, grant_id: str) -> DisclosureGrant:
    """Return a grant for an export. Raises ``NotFound``."""
    return _grant(act, key, grant_id, wanted="audit.grants.read")


def list_grants(act: Act, key: str, *, limit: int, before: str | None) -> Sequence[DisclosureGrant]:
    """Return the grants for exports of a log, newest first."""
    tenant_id = keepers_log(act, key, wanted="audit.grants.read")
    return act.uow.grants.page(
        limit=limit, before=before, tenant_id=tenant_id, kind=GrantKind.EXPORT
    )


def _grant(act: Act, key: str, grant_id: str, *, wanted: str) -> DisclosureGrant:
    tenant_id = keepers_log(act, key, wanted=wanted)
    found = act.uow.grants.get(grant_id)
    if found is None or found.tenant_id != tenant_id or found.kind is not GrantKind.EXPORT:
        raise NotFound("not found")
    return found


def keepers_log(act: Act, key: str, *, wanted: str) -> str | None:
    """Return the tenant of a log on whose values the caller decides, None for the platform's.

    These are the log's auditors, and platform admins. Raises ``NotFound``, ``NotAllowed``.
    """
    if key == PLATFORM:
        require_role(act, *PLATFORM_READERS, Role.PLATFORM_ADMIN, wanted=wanted)
        return None
    require_role(act, *TENANT_READERS, Role.PLATFORM_ADMIN, wanted=wanted)
    tenant = find_tenant(act.uow, key)
    if tenant is None:
        raise NotFound("not found")
    require_visibility(act, tenant.id, wanted=wanted)
    return tenant.id


def _record_grant(act: Act, action: str, grant: DisclosureGrant, reason: str) -> None:
    record(
        act, action,
        tree=grant.tenant_id, targets=(("disclosure_grant", grant.id),),
        personal={"reason": reason}, paths=list(grant.paths), first_idx=grant.first_idx,
        last_idx=grant.last_idx, expires_at=grant.expires_at.isoformat(),
    )  # fmt: skip


def _require_scope(
    paths: Sequence[str], first_idx: int | None, last_idx: int | None, days: int
) -> None:
    for path in paths:
        if not _ROOT.match(path):
            raise InvalidInput(
                "paths: name a path by its first word, such as contacts", field="paths"
            )
    if first_idx is not None and last_idx is not None and first_idx > last_idx:
        raise InvalidInput("first_idx: must not be after last_idx", field="first_idx")
    if not 1 <= days <= MAX_GRANT_LIFE_DAYS:
        raise InvalidInput(f"days: must be 1 to {MAX_GRANT_LIFE_DAYS}", field="days")


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidInput("a reason is required", field="reason")


def _tenant(tree: str) -> str | None:
    return None if tree == PLATFORM else tree
