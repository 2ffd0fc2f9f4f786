"""Addresses that nothing is sent to: added, listed, lifted. They are known by digest."""

from __future__ import annotations

from typing import Final

from control_plane.domain.actor import Role
from control_plane.domain.errors import InvalidInput, NotFound
from control_plane.domain.suppression import Suppression, SuppressionKind, address_digest
from control_plane.services.permission import require_role
from control_plane.workflows.core import Act
from control_plane.workflows.recording import refused_as
from control_plane.workflows.suppressing import record_suppression, suppress

READERS: Final = (
    Role.OPS_APPROVER, Role.SOLUTIONS_ARCHITECT, Role.PLATFORM_ADMIN, Role.PLATFORM_AUDITOR
)  # fmt: skip
DECIDERS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)


def list_suppressions(
    act: Act,
    *,
    limit: int,
    before: str | None,
    email: str | None = None,
    kind: SuppressionKind | None = None,
) -> list[Suppression]:
    """Return suppressions, lifted ones too, newest first; those of one address if asked."""
    require_role(act, *READERS, wanted="suppressions.read")
    wanted: dict[str, object] = {}
    if email is not None:
        wanted["address_sha256"] = address_digest(email)
    if kind is not None:
        wanted["kind"] = kind
    return act.uow.suppressions.page(limit=limit, before=before, **wanted)


def add_suppression(act: Act, *, email: str, kind: SuppressionKind, reason: str) -> Suppression:
    """Send nothing to an address any more; asked for again, the one that stands is returned.

    Somebody who opted out still gets what is needed for the contract.
    """
    require_role(act, *DECIDERS, wanted="suppressions.write")
    with refused_as(act, "suppression.refused", tree=None, wanted="add"):
        _require_reason(reason)
        local, _, domain = email.strip().rpartition("@")
        if not local or not domain or len(email.split()) != 1:
            raise InvalidInput("email: must be one address", field="email")
        return suppress(act, email.strip(), kind, reason=reason.strip())


def lift_suppression(act: Act, suppression_id: str, *, reason: str) -> Suppression:
    """Let an address get messages again. Raises ``NotFound``, ``IllegalTransition``."""
    require_role(act, *DECIDERS, wanted="suppressions.write")
    found = act.uow.suppressions.get(suppression_id, lock=True)
    if found is None:
        raise NotFound("not found")
    targets = (("suppression", suppression_id),)
    with refused_as(act, "suppression.refused", tree=None, targets=targets, wanted="lift"):
        _require_reason(reason)
        lifted = found.lifted(act.caller.actor, reason.strip(), act.now())
        act.uow.suppressions.save(lifted)
        record_suppression(act, "suppression.lifted", lifted, reason.strip())
        return lifted


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidInput("a reason is required", field="reason")
