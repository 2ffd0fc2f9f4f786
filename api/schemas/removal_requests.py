"""What the API reads about removals."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from api.schemas.requests import Body, Reason

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w.:/@+-]+$")]


class Removal(Body):
    """The removal of a tenant or a Hub; `unprotect` names what is protected, all of it."""

    reason: Reason
    unprotect: Annotated[list[Name], Field(max_length=200, default_factory=list)]


class ExportAcknowledgement(Body):
    """An export of the data: the digest of its manifest, and the items by store."""

    manifest_digest: Digest
    counts: Annotated[dict[Name, Annotated[int, Field(ge=0, strict=True)]], Field(max_length=100)]
    reason: Reason


class Because(Body):
    """A reason alone."""

    reason: Reason


class CustomerAttestation(Body):
    """The receipt of the customer's destroy; null: nobody of the vendor verified it."""

    receipt: Annotated[dict[str, Any], Field(max_length=40)] | None = None
    reason: Reason


class Retention(Body):
    """A date before which nothing of a tenant is removed."""

    until: AwareDatetime
    reason: Reason
