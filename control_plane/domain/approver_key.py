"""The key of an approver: enrolled by its owner, confirmed by a second person, revoked for good.

Each of the first two is a statement that was signed with a key, so that from keys which an auditor
knows a chain of statements leads to every other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

from control_plane.domain.actor import Actor
from control_plane.domain.approver_errors import ApproverKeyRefused

FORM: Final = "tenantplane/approver-key/1"
NAMESPACE: Final = "approver-key@tenantplane"
ENROLL: Final = "enroll"
CONFIRM: Final = "confirm"


@dataclass(frozen=True, kw_only=True)
class ApproverKey:
    """A public key of one person. ``statement`` and ``signature`` prove that they have the other.

    The ``confirm_…`` ones are those of the second person, made with ``confirm_key``. It counts from
    ``confirmed_at`` until ``revoked_at``.
    """

    id: str
    actor_id: str
    person: str
    kind: str
    public_key: str
    fingerprint: str
    statement: str
    signature: str
    enrolled_at: datetime
    confirmed_by: str | None = None
    confirmed_person: str | None = None
    confirm_key: str | None = None
    confirm_statement: str | None = None
    confirm_signature: str | None = None
    confirmed_at: datetime | None = None
    revoked_by: str | None = None
    revoke_reason: str | None = None
    revoked_at: datetime | None = None
    version: int = 1

    @property
    def status(self) -> str:
        """``enrolled``, ``confirmed`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "confirmed" if self.confirmed_at is not None else "enrolled"

    def is_of(self, actor: Actor) -> bool:
        """Tell whether it is somebody's, under whatever account."""
        return self.person == actor.person or self.actor_id == actor.id

    def confirmed(
        self, actor: Actor, now: datetime, *, key: str, statement: str, signature: str
    ) -> Self:
        """Return it as a second person confirmed it. Raises ``ApproverKeyRefused``."""
        if self.is_of(actor):
            raise ApproverKeyRefused("a key is confirmed by another person than its owner")
        if self.status != "enrolled":
            raise ApproverKeyRefused(f"the key is already {self.status}")
        return replace(
            self, confirmed_by=actor.id, confirmed_person=actor.person, confirm_key=key,
            confirm_statement=statement, confirm_signature=signature, confirmed_at=now,
            version=self.version + 1,
        )  # fmt: skip

    def revoked(self, actor: Actor, reason: str, now: datetime) -> Self:
        """Return it revoked, for good. Raises ``ApproverKeyRefused``."""
        if self.revoked_at is not None:
            raise ApproverKeyRefused("the key is already revoked")
        return replace(
            self, revoked_by=actor.id, revoke_reason=reason, revoked_at=now,
            version=self.version + 1,
        )  # fmt: skip


def enrolling(host: str, actor: str, public_key: str, fingerprint: str) -> dict[str, str]:
    """Return what the owner of a key signs, beside times and nonce."""
    return {
        "form": FORM, "act": ENROLL, "host": host, "actor": actor, "public_key": public_key,
        "approver_key": fingerprint,
    }  # fmt: skip


def confirming(host: str, key: Mapping[str, Any], actor: str, by_key: str) -> dict[str, str]:
    """Return what a second person signs with their own key ``by_key``, beside times and nonce.

    ``key`` is the key that is confirmed, as the API shows it.
    """
    return {
        **enrolling(host, key["actor_id"], key["public_key"], key["fingerprint"]),
        "act": CONFIRM, "by": actor, "by_key": by_key,
    }  # fmt: skip
