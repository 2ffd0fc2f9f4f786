"""Keys of approvers: enrolled by their owner, confirmed by a second person, revoked for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from control_plane.domain.actor import ActorKind, Role
from control_plane.domain.approver_errors import ApproverKeyRefused, SignatureRefused
from control_plane.domain.approver_key import (
    NAMESPACE,
    ApproverKey,
    confirming,
    enrolling,
)
from control_plane.domain.errors import Conflict, MachineMayNotDecide, NotAllowed, NotFound
from control_plane.domain.signed_decision import read, require_in_time
from control_plane.domain.sshsig import KIND, SshInvalid, fingerprint, public_key_of, verify
from control_plane.services.approvals import check_reason
from control_plane.services.permission import require_role
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record, refused_as

HOLDERS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
READERS: Final = (*HOLDERS, Role.AUDITOR, Role.PLATFORM_AUDITOR)


def signing_terms(act: Act) -> dict[str, str]:
    """Return what every statement of the caller names: the log's host, and who they are."""
    require_role(act, *HOLDERS, wanted="approver_keys.read")
    return {"host": act.core.approvers.host, "actor": act.caller.actor.id}


def list_keys(
    act: Act, *, limit: int, before: str | None, actor: str | None = None
) -> list[ApproverKey]:
    """Return keys of approvers, revoked ones too, newest first; those of one person if asked."""
    require_role(act, *READERS, wanted="approver_keys.read")
    wanted = {"actor_id": actor} if actor is not None else {}
    return act.uow.approver_keys.page(limit=limit, before=before, **wanted)


def get_key(act: Act, key_id: str) -> ApproverKey:
    """Return a key of an approver, with what was signed for it. Raises ``NotFound``."""
    require_role(act, *READERS, wanted="approver_keys.read")
    return _found(act, key_id)


def enroll_key(act: Act, *, public_key: str, statement: str, signature: str) -> ApproverKey:
    """Enroll the caller's own key, which signed ``statement``; it counts once it is confirmed.

    Raises ``ApproverKeyRefused``, ``SignatureRefused``, ``MachineMayNotDecide``.
    """
    _require_holder(act)
    with refused_as(act, "approver_key.refused", tree=None, wanted="enroll"):
        _require_person(act)
        actor = act.caller.actor
        try:
            public = public_key_of(public_key)
        except SshInvalid as error:
            raise ApproverKeyRefused(str(error)) from error
        name = fingerprint(public)
        expected = enrolling(act.core.approvers.host, actor.id, public, name)
        _require_signed(act, expected, statement, signature, by=name)
        key = ApproverKey(
            id=act.new_id("approver_key"), actor_id=actor.id, person=actor.person, kind=KIND,
            public_key=public, fingerprint=name, statement=statement, signature=signature,
            enrolled_at=act.now(),
        )  # fmt: skip
        try:
            act.uow.approver_keys.add(key)
        except Conflict:
            raise ApproverKeyRefused("this key was enrolled before") from None
        _record(act, "approver_key.enrolled", key, statement=statement, signature=signature)
        return key


def confirm_key(
    act: Act, key_id: str, *, by_key: str, statement: str, signature: str
) -> ApproverKey:
    """Confirm whose a key is, as a second person with a confirmed key ``by_key`` of their own.

    While no confirmed key stands, two platform admins confirm each other's: the key of the first
    needs no confirmation yet. Raises ``ApproverKeyRefused``, ``SignatureRefused``, ``NotFound``.
    """
    _require_holder(act)
    act.uow.serialize_on("approver_keys")
    key = _found(act, key_id, lock=True)
    with refused_as(
        act, "approver_key.refused", tree=None, targets=(("approver_key", key.id),),
        wanted="confirm", approver_key=key.fingerprint,
    ):  # fmt: skip
        _require_person(act)
        actor = act.caller.actor
        own = act.uow.approver_keys.find(fingerprint=by_key)
        if not own or own[0].actor_id != actor.id or own[0].id == key.id:
            raise ApproverKeyRefused("a key is confirmed with an enrolled key of your own")
        _require_counting(act, own[0])
        host, view = act.core.approvers.host, _shown(key)
        _require_signed(
            act, confirming(host, view, actor.id, by_key), statement, signature, by=by_key
        )
        confirmed = key.confirmed(
            actor, act.now(), key=by_key, statement=statement, signature=signature
        )
        act.uow.approver_keys.save(confirmed)
        _record(
            act, "approver_key.confirmed", confirmed,
            by_key=by_key, statement=statement, signature=signature,
        )  # fmt: skip
        return confirmed


def revoke_key(act: Act, key_id: str, *, reason: str) -> ApproverKey:
    """Revoke a key immediately and for good: its owner, who confirmed it, or a platform admin.

    Raises ``ApproverKeyRefused``, ``NotAllowed``, ``NotFound``.
    """
    _require_holder(act)
    key = _found(act, key_id, lock=True)
    with refused_as(
        act, "approver_key.refused", tree=None, targets=(("approver_key", key.id),),
        wanted="revoke", approver_key=key.fingerprint,
    ):  # fmt: skip
        check_reason(reason)
        actor = act.caller.actor
        is_theirs = key.is_of(actor) or actor.id == key.confirmed_by
        if not is_theirs and not actor.has(Role.PLATFORM_ADMIN):
            raise NotAllowed("a key is revoked by its owner, who confirmed it, or a platform admin")
        revoked = key.revoked(actor, reason.strip(), act.now())
        act.uow.approver_keys.save(revoked)
        _record(act, "approver_key.revoked", revoked, personal={"reason": reason.strip()})
        return revoked


def _require_holder(act: Act) -> None:
    require_role(act, *HOLDERS, wanted="approver_keys.write")


def _require_person(act: Act) -> None:
    if act.caller.actor.kind is not ActorKind.USER:
        raise MachineMayNotDecide("a key of an approver belongs to a person, not to a machine")


def _require_counting(act: Act, own: ApproverKey) -> None:
    """Refuse a key that does not count, except the first ones of two platform admins."""
    if own.status == "confirmed":
        return
    if own.status == "revoked":
        raise ApproverKeyRefused("your key was revoked")
    standing = act.uow.approver_keys.find(revoked_at=None)
    if any(each.confirmed_at is not None for each in standing):
        raise ApproverKeyRefused("your own key is not confirmed yet")
    if not act.caller.actor.has(Role.PLATFORM_ADMIN):
        raise ApproverKeyRefused("the first keys are confirmed by two platform admins")


def _require_signed(
    act: Act, expected: Mapping[str, Any], statement: str, signature: str, *, by: str
) -> None:
    try:
        _, signer = verify(
            statement, signature, namespace=NAMESPACE, check=act.core.approvers.check
        )
    except SshInvalid as error:
        raise SignatureRefused(str(error)) from error
    if signer != by:
        raise SignatureRefused("the statement was signed with another key than it names")
    said = read(statement, expected, more=())
    require_in_time(said, act.now())


def _found(act: Act, key_id: str, *, lock: bool = False) -> ApproverKey:
    found = act.uow.approver_keys.get(key_id, lock=lock)
    if found is None:
        raise NotFound("not found")
    return found


def _shown(key: ApproverKey) -> dict[str, str]:
    return {
        "actor_id": key.actor_id, "public_key": key.public_key, "fingerprint": key.fingerprint,
    }  # fmt: skip


def _record(act: Act, action: str, key: ApproverKey, **given: Any) -> None:
    record(
        act, action, tree=None, targets=(("approver_key", key.id), ("actor", key.actor_id)),
        approver_key=key.fingerprint, public_key=key.public_key, **given,
    )  # fmt: skip
