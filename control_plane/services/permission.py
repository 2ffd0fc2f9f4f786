"""Who may do what: roles per act, tenants per token; every refusal leaves an event.

Of many refusals in a short time the log has a count: nobody fills it by being refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from control_plane.domain.actor import Role, system
from control_plane.domain.audit_catalogue import Stage
from control_plane.domain.errors import DomainError, NotAllowed, NotFound
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.recording import record, record_denied

READ_TENANTS = frozenset(
    {Role.AUTOMATION, Role.OPS_APPROVER, Role.SOLUTIONS_ARCHITECT, Role.AUDITOR,
     Role.PLATFORM_ADMIN}
)  # fmt: skip


def require_role(
    core: Core, caller: Caller, *roles: Role, act: str, tree: str | None = None
) -> None:
    """Let only ``roles`` pass. Raises ``NotAllowed`` after recording the attempt.

    ``act`` names what was wanted, such as ``decisions.create``.
    """
    if caller.actor.has(*roles):
        return
    wanted = sorted(str(role) for role in roles)
    error = NotAllowed(f"this takes one of the roles {', '.join(wanted)}", roles=wanted)
    record_bounded(core, caller, "authz.denied", error, tree=tree, route=act, wanted_roles=wanted)
    raise error


def require_sight(core: Core, caller: Caller, tenant_id: str | None, *, act: str) -> None:
    """Hide what belongs to a tenant outside the caller's token, or to none (``Actor.sees``).

    Raises ``NotFound``, the same as for a thing that does not exist, after recording the attempt
    in the platform's tree: it is no business of the other tenant's log who guessed its ids.
    """
    if caller.actor.sees(tenant_id):
        return
    error = NotFound("there is no such thing")
    record_bounded(core, caller, "authz.denied", error, tree=None, route=act)
    raise error


def record_bounded(
    core: Core, caller: Caller, action: str, error: DomainError, *, tree: str | None, **data: Any
) -> None:
    """Record a refusal as ``record_denied`` does, or count it when there are too many.

    Raises ``AuditUnavailable``.
    """
    within_budget(
        core, caller, action,
        lambda: record_denied(core, caller, action, error, tree=tree, **data),
    )  # fmt: skip
    error.is_recorded = True


def within_budget(core: Core, caller: Caller, action: str, write: Callable[[], None]) -> None:
    """Call ``write``, which records one refusal, unless its source has had its share.

    The source is an authenticated caller, else an address.
    """
    actor = caller.actor
    source = actor.id if actor.issuer is not None else caller.address or actor.id
    if core.refusals.take(action, source):
        write()
    report_suppressed(core)


def report_suppressed(core: Core, *, at_once: bool = False) -> None:
    """Record how many refusals were not recorded one by one, when such a report is due.

    Raises ``AuditUnavailable``; the counts are kept then.
    """
    counts = core.refusals.due(at_once=at_once)
    if not counts:
        return
    try:
        with core.uow() as uow:
            for action, count in sorted(counts.items()):
                record(
                    core, uow, Caller(actor=system("api")), action,
                    tree=None, stage=Stage.DENIED, suppressed=count,
                )  # fmt: skip
            uow.commit()
    except Exception:
        core.refusals.give_back(counts)
        raise


def visible_tenants(caller: Caller) -> tuple[str | None, ...]:
    """Return whose things a list shows, None among them for what belongs to no tenant."""
    actor = caller.actor
    return (*actor.tenants, None) if actor.sees(None) else actor.tenants
