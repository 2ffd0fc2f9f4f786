"""Differences between sources of contracts and this installation: shown, settled, looked for."""

from __future__ import annotations

from typing import Final

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.errors import IllegalTransition, InvalidInput, NotAllowed, NotFound
from control_plane.domain.reconciling import IntakeFinding, IntakeFindingStatus, IntakeLook
from control_plane.services.permission import listed, require_role, require_visibility, visible
from control_plane.workflows.core import Act
from control_plane.workflows.reconciling import enqueue_look, sources_asked, targets_of
from control_plane.workflows.recording import record, refused_as

READERS: Final = (
    Role.AUTOMATION, Role.OPS_APPROVER, Role.PLATFORM_ADMIN, Role.PLATFORM_AUDITOR
)  # fmt: skip
LOOKERS: Final = (Role.AUTOMATION, Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
SETTLERS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
SETTLE: Final = "settle"


def list_intake_findings(
    act: Act,
    *,
    limit: int,
    before: str | None,
    source: str | None = None,
    status: IntakeFindingStatus | None = None,
) -> list[IntakeFinding]:
    """Return findings, newest first."""
    require_role(act, *READERS, wanted="intake_findings.read")
    wanted = listed(act, source=source, status=status)
    return act.uow.intake_findings.page(limit=limit, before=before, **wanted)


def allowed_actions(finding: IntakeFinding, actor: Actor) -> list[str]:
    """Return what somebody may ask of a finding now."""
    is_open = finding.status is IntakeFindingStatus.OPEN
    may = is_open and actor.has(*SETTLERS) and actor.kind is ActorKind.USER
    return [SETTLE] if may else []


def may_settle(act: Act, finding_id: str) -> IntakeFinding:
    """Return a finding that the caller's roles may settle. Raises ``NotFound``, ``NotAllowed``."""
    require_role(act, *SETTLERS, wanted="intake_findings.settle")
    return visible(act, act.uow.intake_findings.get(finding_id), wanted="intake_findings.settle")


def settle_intake_finding(act: Act, finding_id: str, *, reason: str) -> IntakeFinding:
    """Settle a finding, so that the same difference is not found again.

    Raises ``NotAllowed`` for a machine, ``IllegalTransition`` for a finding that has ended.
    """
    may_settle(act, finding_id)
    targets = (("intake_finding", finding_id),)
    with refused_as(act, "intake_finding.refused", tree=None, targets=targets):
        actor = act.caller.actor
        if actor.kind is not ActorKind.USER:
            raise NotAllowed("a person settles a finding, not a machine")
        if not reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        finding = act.uow.intake_findings.need(finding_id, lock=True)
        if finding.status is not IntakeFindingStatus.OPEN:
            raise IllegalTransition(
                f"the finding is {finding.status}: there is nothing to settle",
                present_status=str(finding.status),
            )
        settled = finding.settled(actor, reason.strip(), act.now())
        act.uow.intake_findings.save(settled)
        record(
            act, "intake_finding.settled",
            tree=finding.tenant_id, targets=targets_of(finding),
            personal={"reason": reason.strip()}, source=finding.source, kind=str(finding.kind),
            subject=finding.subject,
        )  # fmt: skip
        return settled


def may_look(act: Act) -> None:
    """Let those pass who may request a look. Raises ``NotAllowed``."""
    require_role(act, *LOOKERS, wanted="intake.look")


def request_look(act: Act, source: str) -> IntakeLook:
    """Let a worker look at a source now; one that waits already is enough.

    Returns how far the looks came. Raises ``NotFound`` for a source that cannot be asked.
    """
    may_look(act)
    require_visibility(act, None, wanted="intake.look")
    if source not in sources_asked(act.core):
        raise NotFound("not found")
    look = enqueue_look(act, source)
    record(
        act, "intake.look_requested",
        tree=None, targets=(("source", source),), source=source, attempt=look.turn,
    )  # fmt: skip
    return look
