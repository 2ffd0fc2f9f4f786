"""Who acts, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """The roles a token can carry."""

    AUTOMATION = "automation"  # calls the API after a contract is signed; a machine
    OPS_APPROVER = "ops_approver"  # decides on plans of Mode B and Hubs; a person
    SOLUTIONS_ARCHITECT = "solutions_architect"  # Mode C bundles and mode conflicts; a person
    AUDITOR = "auditor"  # reads the audit logs of the tenants in the token
    PLATFORM_AUDITOR = "platform_auditor"  # reads the tree of what belongs to no tenant
    PLATFORM_ADMIN = "platform_admin"  # Hubs and accounts; a person


class ActorKind(StrEnum):
    """What sort of caller an actor is."""

    USER = "user"
    SERVICE = "service"
    SYSTEM = "system"  # the control plane itself: workers, sweeps


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Somebody or something that acts.

    ``tenants`` limits what is seen: ``("*",)`` means all. ``on_behalf_of`` is the person for whom
    a machine asks; it counts as a requester when duties are separated.
    """

    id: str
    kind: ActorKind
    roles: tuple[Role, ...] = ()
    tenants: tuple[str, ...] = ()
    on_behalf_of: str | None = None
    issuer: str | None = None
    session: str | None = None
    methods: tuple[str, ...] = ()

    def has(self, *roles: Role) -> bool:
        """Tell whether the actor has one of ``roles``."""
        return any(role in self.roles for role in roles)

    def sees(self, tenant_id: str) -> bool:
        """Tell whether the actor's token covers the tenant."""
        return "*" in self.tenants or tenant_id in self.tenants


def system(part: str) -> Actor:
    """Return the actor of the control plane's own ``part``, such as ``worker``."""
    return Actor(id=f"system:{part}", kind=ActorKind.SYSTEM, tenants=("*",))
