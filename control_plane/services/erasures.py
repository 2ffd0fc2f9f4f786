"""Erasing personal values of the log: one person names them, another one confirms the list.

What is erased is the value and its salt. The entry keeps the commitment, which nobody can open any
more, and no hash of the log changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from control_plane.domain.actor import Role
from control_plane.domain.audit import AuditEventInvalid, event_uuid
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.disclosure import (
    ERASURE_LIFE,
    MAX_ERASED,
    Erasure,
    ErasureScope,
    ValueKey,
    digest_of,
    is_another_person,
    listed,
    parts_of,
    tree_of,
)
from control_plane.domain.disclosure_errors import (
    ErasureChanged,
    ErasureOnHold,
    TwoPeopleNeeded,
)
from control_plane.domain.errors import IllegalTransition, InvalidInput, NotFound
from control_plane.domain.hold import STOPS_CLOCKS
from control_plane.services.disclosures import keepers_log
from control_plane.services.permission import require_role, require_visibility
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record, refused_as

EVERYWHERE: Final = "all"
SHORTEST_SUBJECT: Final = 4  # letters: fewer are in too many words
_EVERYWHERE_ROLES: Final = (Role.PLATFORM_AUDITOR, Role.PLATFORM_ADMIN)


def may_ask_for_erasure(act: Act, key: str) -> str | None:
    """Return the tenant of the log that is named, None for the platform's or for all logs.

    Raises ``NotFound``, ``NotAllowed``.
    """
    return _log(act, key, wanted="audit.erasures.create")


def _log(act: Act, key: str, *, wanted: str) -> str | None:
    if key == EVERYWHERE:
        require_role(act, *_EVERYWHERE_ROLES, wanted=wanted)
        if "*" not in act.caller.actor.tenants:
            require_visibility(act, EVERYWHERE, wanted=wanted)
        return None
    return keepers_log(act, key, wanted=wanted)


def ask_for_erasure(
    act: Act,
    key: str,
    *,
    reason: str,
    legal_reference: str,
    subject: str | None = None,
    values: Sequence[tuple[str, str]] = (),
) -> Erasure:
    """Name values to be erased: all of one person, or a list of (event id, path).

    ``key`` is a tenant's id or slug, ``platform``, or ``all`` for a person in every log. Values of
    a person are those that are ``subject`` or name it, with those beside them. The subject itself
    is not kept. Raises ``InvalidInput``, ``NotFound`` when there is nothing, ``ErasureOnHold``.
    """
    tenant_id = may_ask_for_erasure(act, key)
    with refused_as(act, "erasure.refused", tree=tenant_id, wanted="ask"):
        _require_texts(reason=reason, legal_reference=legal_reference)
        actor, now = act.caller.actor, act.now()
        if not is_another_person((), actor):
            raise TwoPeopleNeeded("an erasure is asked for by a person, not by a machine")
        keys = _named(act, key, tenant_id, subject, values)
        if not keys:
            raise NotFound("no value that is not erased yet is there under what was named")
        if len(keys) > MAX_ERASED:
            raise InvalidInput(f"these are more than {MAX_ERASED} values", field="subject")
        parts = parts_of(keys)
        erasure_id = act.new_id("erasure")
        event = record(
            act, "erasure.requested",
            tree=tenant_id, targets=(("erasure", erasure_id),),
            personal={"reason": reason.strip()}, reference=legal_reference.strip(),
            count=len(keys), digest=digest_of(parts),
            scope=str(ErasureScope.SUBJECT if subject else ErasureScope.PATHS),
        )  # fmt: skip
        erasure = Erasure(
            id=erasure_id, tenant_id=tenant_id, is_everywhere=key == EVERYWHERE,
            scope=ErasureScope.SUBJECT if subject else ErasureScope.PATHS, parts=parts,
            digest=digest_of(parts), count=len(keys), reason=reason.strip(),
            legal_reference=legal_reference.strip(), requested_by=actor.id,
            requesters=actor.subjects, requested_at=now, requested_event=str(event_uuid(event)),
            expires_at=now + ERASURE_LIFE,
        )  # fmt: skip
        _require_no_hold(act, erasure)
        act.uow.erasures.add(erasure)
        return erasure


def confirm_erasure(act: Act, key: str, erasure_id: str, *, digest: str, reason: str) -> Erasure:
    """Erase what another person named; ``digest`` is that of the list that was read.

    Raises ``TwoPeopleNeeded``, ``ErasureChanged``, ``ErasureOnHold``, and ``IllegalTransition`` for
    one that is done or has expired.
    """
    found = _erasure(act, key, erasure_id, wanted="audit.erasures.confirm")
    with refused_as(
        act, "erasure.refused",
        tree=found.tenant_id, targets=(("erasure", found.id),), wanted="confirm",
    ):  # fmt: skip
        _require_texts(reason=reason)
        erasure = act.uow.erasures.need(found.id, lock=True)
        status = erasure.status_at(act.now())
        if status != "requested":
            raise IllegalTransition(f"this erasure is {status}", present_status=status)
        if not is_another_person(erasure.requesters, act.caller.actor):
            raise TwoPeopleNeeded(
                "You stand behind this request, or are a machine, so another person confirms it."
            )
        if digest != erasure.digest:
            raise ErasureChanged("the digest is another one", digest=erasure.digest)
        _require_no_hold(act, erasure)
        events = [
            record(
                act, "erasure.done",
                tree=None if part["tree"] == PLATFORM else part["tree"],
                targets=(("erasure", erasure.id),), personal={"reason": reason.strip()},
                reference=erasure.legal_reference,
                digest=erasure.digest, values=listed(part), count=len(part["values"]),
            )
            for part in erasure.parts
        ]  # fmt: skip
        done = erasure.confirmed(
            act.caller.actor, reason.strip(), act.now(), [str(event_uuid(each)) for each in events]
        )
        act.uow.erasures.save(done)
        act.uow.disclosures.erase(done.id)
        return done


def get_erasure(act: Act, key: str, erasure_id: str) -> Erasure:
    """Return an erasure with its list. Raises ``NotFound``."""
    return _erasure(act, key, erasure_id, wanted="audit.erasures.read")


def list_erasures(act: Act, key: str, *, limit: int, before: str | None) -> Sequence[Erasure]:
    """Return the erasures of a log, or with ``all`` those of every log, newest first."""
    tenant_id = _log(act, key, wanted="audit.erasures.read")
    return act.uow.erasures.page(
        limit=limit, before=before, tenant_id=tenant_id, is_everywhere=key == EVERYWHERE
    )


def _named(
    act: Act,
    key: str,
    tenant_id: str | None,
    subject: str | None,
    values: Sequence[tuple[str, str]],
) -> Sequence[ValueKey]:
    if (subject is None) == (not values):
        raise InvalidInput("name a subject or a list of values, one of the two", field="subject")
    if subject is not None:
        wanted = subject.strip()
        if len(wanted) < SHORTEST_SUBJECT:
            raise InvalidInput(
                f"subject: at least {SHORTEST_SUBJECT} letters, best an e-mail address",
                field="subject",
            )
        tree = None if key == EVERYWHERE else tree_of(tenant_id)
        return act.uow.disclosures.of_subject(wanted, tree)
    if key == EVERYWHERE:
        raise InvalidInput("a list of values is of one log", field="values")
    return act.uow.disclosures.standing(_keys(tree_of(tenant_id), values))


def _keys(tree: str, values: Iterable[tuple[str, str]]) -> list[ValueKey]:
    try:
        return [
            ValueKey(tree=tree, event=str(event_uuid(event)), path=path) for event, path in values
        ]
    except AuditEventInvalid:
        raise InvalidInput("values: each begins with an event id", field="values") from None


def _require_no_hold(act: Act, erasure: Erasure) -> None:
    """Refuse what a legal or compliance hold wants to stay.

    The platform's log has what concerns Hubs, so a hold on any of them keeps it.
    """
    standing = [
        hold for hold in act.uow.holds.find(released_at=None, kind=tuple(STOPS_CLOCKS))
        if (hold.tenant_id or PLATFORM) in erasure.trees
    ]  # fmt: skip
    if standing:
        held = sorted({hold.tenant_id or PLATFORM for hold in standing})
        raise ErasureOnHold(
            "a legal or compliance hold stands on what these values belong to", trees=held
        )


def _erasure(act: Act, key: str, erasure_id: str, *, wanted: str) -> Erasure:
    tenant_id = _log(act, key, wanted=wanted)
    found = act.uow.erasures.get(erasure_id)
    if found is None or (found.tenant_id, found.is_everywhere) != (tenant_id, key == EVERYWHERE):
        raise NotFound("not found")
    return found


def _require_texts(**texts: str) -> None:
    for name, value in texts.items():
        if not value.strip():
            raise InvalidInput(f"a {name.replace('_', ' ')} is required", field=name)
