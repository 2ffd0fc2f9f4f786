"""Who may do what: roles per act, tenants per token; every refusal leaves an event.

Of many refusals in a short time the log has a count: nobody fills it by being refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

from control_plane.domain.actor import Role, system
from control_plane.domain.audit_catalogue import Stage
from control_plane.domain.errors import DomainError, NotAllowed, NotFound
from control_plane.workflows.core import Act, Caller, Core
from control_plane.workflows.recording import leave_trace, record, record_denied

READ_TENANTS = frozenset(
    {Role.AUTOMATION, Role.OPS_APPROVER, Role.SOLUTIONS_ARCHITECT, Role.AUDITOR,
     Role.PLATFORM_ADMIN}
)  # fmt: skip


def require_role(act: Act, *roles: Role, wanted: str, tree: str | None = None) -> None:
    """Let only ``roles`` pass. Raises ``NotAllowed``; the attempt leaves an event.

    ``wanted`` names what was asked for, such as ``decisions.create``.
    """
    if act.caller.actor.has(*roles):
        return
    names = sorted(str(role) for role in roles)
    error = NotAllowed(f"this needs one of the roles {', '.join(names)}", roles=names)
    raise refused(act, "authz.denied", error, tree=tree, route=wanted, wanted_roles=names)


def require_visibility(act: Act, tenant_id: str | None, *, wanted: str) -> None:
    """Hide what belongs to a tenant outside the caller's token, or to none (``Actor.sees``).

    Raises ``NotFound``, the same as for a thing that does not exist. The attempt leaves an event in
    the platform's tree: who guessed its ids does not concern the other tenant's log.
    """
    if not act.caller.actor.sees(tenant_id):
        error = NotFound("not found")
        raise refused(act, "authz.denied", error, tree=None, route=wanted)


class _Owned(Protocol):
    @property
    def tenant_id(self) -> str | None: ...


T = TypeVar("T", bound=_Owned)


def visible(act: Act, found: T | None, *, wanted: str) -> T:
    """Return what was found if it exists and the caller's token covers it. Raises ``NotFound``."""
    if found is None:
        raise NotFound("not found")
    require_visibility(act, found.tenant_id, wanted=wanted)
    return found


def refused(
    act: Act, action: str, error: DomainError, *, tree: str | None, **data: Any
) -> DomainError:
    """Return a refusal that is recorded as ``record_bounded`` does, after its transaction."""
    leave_trace(
        error, partial(record_bounded, act.core, act.caller, action, error, tree=tree, **data)
    )
    return error


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
        with core.act(Caller(actor=system("api"))) as act:
            for action, count in sorted(counts.items()):
                record(act, action, tree=None, stage=Stage.DENIED, suppressed=count)
            act.uow.commit()
    except Exception:
        core.refusals.give_back(counts)
        raise


def listed(act: Act, *, owner: str = "tenant_id", **wanted: object) -> dict[str, Any]:
    """Return what the rows of a list equal: the filters that are given, and whom the caller sees.

    None is among the owners for a caller who sees what belongs to no tenant.
    """
    actor = act.caller.actor
    equals = {name: value for name, value in wanted.items() if value is not None}
    if "*" not in actor.tenants:
        equals[owner] = (*actor.tenants, None) if actor.sees(None) else actor.tenants
    return equals
