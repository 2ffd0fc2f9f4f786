"""Why somebody may not decide on an approval now, in a sentence; '' where they may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.approval import Approval, ApprovalStatus, Decision

_BECAUSE: Final = {
    "requester": "you asked for this change, or for a run of it",
    "editor": "you edited the facts that it is made of",
}


def why_not(
    actor: Actor,
    approval: Approval,
    barred: Sequence[tuple[str, str]],
    given: Sequence[Decision],
    now: datetime,
) -> str:
    """Return the first thing that keeps somebody from deciding.

    ``barred`` are subjects with their reasons, ``given`` the decisions that stand.
    """
    if approval.status is not ApprovalStatus.WAITING:
        return f"it is {approval.status} already"
    if now >= approval.expires_at:
        return "it has expired"
    if actor.kind is not ActorKind.USER:
        return "decisions are made by people"
    if not actor.has(*map(Role, approval.roles)):
        roles = " or ".join(each.replace("_", " ") for each in approval.roles)
        return f"it takes the role {roles}"
    own = [reason for subject, reason in barred if subject in actor.subjects]
    if own:
        return _BECAUSE.get(own[0], own[0])
    if any(each.is_by(actor) for each in given):
        return "you have decided already"
    return ""
