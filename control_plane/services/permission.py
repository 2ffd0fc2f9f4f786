"""Who may do what: roles per act, tenants per token; every refusal leaves an event."""

from __future__ import annotations

from control_plane.domain.actor import Role
from control_plane.domain.errors import NotAllowed, NotFound
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.recording import record_denied

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
    record_denied(core, caller, "authz.denied", error, tree=tree, route=act, wanted_roles=wanted)
    raise error


def require_sight(core: Core, caller: Caller, tenant_id: str | None, *, act: str) -> None:
    """Hide what belongs to a tenant outside the caller's token.

    Raises ``NotFound``, the same as for a thing that does not exist, after recording the attempt
    in the platform's tree: it is no business of the other tenant's log who guessed its ids.
    """
    if tenant_id is None or caller.actor.sees(tenant_id):
        return
    error = NotFound("there is no such thing")
    record_denied(core, caller, "authz.denied", error, tree=None, route=act)
    raise error
