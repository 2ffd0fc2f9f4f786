"""Who acts, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """The roles a token can carry."""

    AUTOMATION = "automation"  # calls the API after a contract is signed; a machine
    OPS_APPROVER = "ops_approver"  # decides on plans of Mode B and Hubs; a person
    SOLUTIONS_ARCHITECT = "solutions_architect"  # Mode C bundles and mode conflicts; a person
    AUDITOR = "auditor"  # reads the audit logs of the tenants in the token
    PLATFORM_AUDITOR = "platform_auditor"  # reads the tree of what belongs to no tenant
    PLATFORM_ADMIN = "platform_admin"  # Hubs and accounts; a person


PLATFORM_ROLES: Final = (Role.PLATFORM_ADMIN, Role.PLATFORM_AUDITOR)


class ActorKind(StrEnum):
    """What sort of caller an actor is."""

    USER = "user"
    SERVICE = "service"
    SYSTEM = "system"  # the control plane itself: workers, sweeps


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Somebody or something that acts.

    ``tenants`` limits what is seen: ``("*",)`` means all. ``on_behalf_of`` is the person for whom
    a machine asks; it counts as a requester when duties are separated. ``person`` identifies the
    human behind an account, so that two accounts of one person are one when duties are separated:
    of a machine with a delegated token it is the person who delegated. By default it is ``id``.
    """

    id: str
    kind: ActorKind
    roles: tuple[Role, ...] = ()
    tenants: tuple[str, ...] = ()
    on_behalf_of: str | None = None
    issuer: str | None = None
    session: str | None = None
    methods: tuple[str, ...] = ()
    person: str = ""

    def __post_init__(self) -> None:
        """Let an account stand for itself when nothing says whose it is."""
        if not self.person:
            object.__setattr__(self, "person", self.id)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Everyone who stands behind what the actor does: account, person, whom it acts for."""
        found = (self.id, self.person, self.on_behalf_of)
        return tuple(dict.fromkeys(subject for subject in found if subject))

    def has(self, *roles: Role) -> bool:
        """Tell whether the actor has one of ``roles``."""
        return any(role in self.roles for role in roles)

    def sees(self, tenant_id: str | None) -> bool:
        """Tell whether the actor's token covers the tenant.

        None is what belongs to no tenant, such as a Hub: it takes all tenants or a platform role.
        """
        if tenant_id is None and self.has(*PLATFORM_ROLES):
            return True
        return "*" in self.tenants or tenant_id in self.tenants


def system(part: str) -> Actor:
    """Return the actor of the control plane's own ``part``, such as ``worker``."""
    return Actor(id=f"system:{part}", kind=ActorKind.SYSTEM, tenants=("*",))
