"""What the API takes and answers about keys of approvers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from api.schemas.requests import Body
from api.schemas.views import View
from control_plane.domain.approver_key import ApproverKey

Statement = Annotated[str, Field(min_length=1, max_length=2000)]
Signature = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]{1,4096}$")]
Fingerprint = Annotated[str, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")]


class NewApproverKey(Body):
    """The caller's own public key, and what it signed to prove that they have the private one."""

    public_key: Annotated[str, Field(min_length=1, max_length=2000)]
    statement: Statement
    signature: Signature


class Confirmation(Body):
    """What a second person signed with their own key ``by_key``."""

    by_key: Fingerprint
    statement: Statement
    signature: Signature


class SigningTermsView(View):
    """What each statement of the caller names: the host of the log, and who they are."""

    host: str
    actor: str


class ApproverKeyView(View):
    """A key of an approver: ``enrolled``, ``confirmed`` (it counts) or ``revoked``.

    ``enrollment`` and ``confirmation`` are the signed statements, so that anyone can verify them.
    """

    id: str
    actor_id: str
    kind: str
    public_key: str
    fingerprint: str
    status: str
    enrolled_at: datetime
    confirmed_by: str | None
    confirmed_at: datetime | None
    revoked_by: str | None
    revoked_at: datetime | None
    revoke_reason: str | None
    enrollment: dict[str, Any]
    confirmation: dict[str, Any] | None

    @classmethod
    def of(cls, key: ApproverKey) -> Self:
        """Return the view of a key."""
        confirmation = None
        if key.confirmed_at is not None:
            confirmation = {
                "by_key": key.confirm_key, "statement": key.confirm_statement,
                "signature": key.confirm_signature,
            }  # fmt: skip
        return cls.like(
            key,
            enrollment={"statement": key.statement, "signature": key.signature},
            confirmation=confirmation,
        )
