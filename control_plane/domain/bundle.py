"""Bundle: one version of a Mode C hand-over, with its links and its receipt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.cause import Cause
from control_plane.domain.transitions import move


class BundleStatus(StrEnum):
    """Where a bundle stands."""

    AWAITING_ARCHITECT = "awaiting_architect"
    ACCEPTED = "accepted"  # an architect edits its inputs
    BUILDING = "building"
    BUILD_FAILED = "build_failed"
    BUILT = "built"  # signed; rehearsed as `rehearsal` says
    HANDED_OVER = "handed_over"
    APPLIED = "applied"  # terminal: the receipt is registered; a newer version may follow it
    SUPERSEDED = "superseded"  # a newer version took its place
    EXPIRED = "expired"  # was not used in time; a newer version may take its place


class Rehearsal(StrEnum):
    """What was tried with the emitted bytes."""

    NONE = "none"  # there is no Terraform here
    QUICK = "quick"  # fmt, offline init, validate, test, offline plan, policies
    FULL = "full"  # apply, no-change plan, destroy on the emulated cloud


_B = BundleStatus
BUNDLE_TRANSITIONS: Final[Mapping[BundleStatus, frozenset[BundleStatus]]] = {
    _B.AWAITING_ARCHITECT: frozenset({_B.ACCEPTED, _B.SUPERSEDED, _B.EXPIRED}),
    _B.ACCEPTED: frozenset({_B.BUILDING, _B.SUPERSEDED, _B.EXPIRED}),
    _B.BUILDING: frozenset({_B.BUILT, _B.BUILD_FAILED}),
    _B.BUILD_FAILED: frozenset({_B.BUILDING, _B.SUPERSEDED, _B.EXPIRED}),
    _B.BUILT: frozenset({_B.HANDED_OVER, _B.SUPERSEDED, _B.EXPIRED}),
    _B.HANDED_OVER: frozenset({_B.APPLIED, _B.SUPERSEDED, _B.EXPIRED}),
    _B.APPLIED: frozenset(),
    # The customer may have applied what was handed over, whatever became of it here since: the
    # receipt says so. Of a version that was never handed over there can be no receipt.
    _B.SUPERSEDED: frozenset({_B.APPLIED}),
    _B.EXPIRED: frozenset({_B.APPLIED, _B.SUPERSEDED}),
}
# A deployment has at most one of these. An expired bundle is none: it was taken out of the way.
LIVE_BUNDLE: Final = frozenset(_B) - {_B.APPLIED, _B.SUPERSEDED, _B.EXPIRED}


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """One version of a Mode C hand-over.

    ``inputs`` are the Terraform variables that an architect may edit until the build.
    ``content_digest`` covers module files and inputs and is what the receipt carries;
    ``archive_digest`` is the SHA-256 of the archive's bytes. ``files`` maps names beside the
    archive (signature, attestation, evidence) to object keys. ``builds`` counts the builds that
    were asked for: what an earlier one finds is not kept. ``handed_over_at`` is the newest
    hand-over, from which ``expires_at`` is counted then.
    """

    id: str
    tenant_id: str
    deployment_id: str
    number: int  # version of the hand-over, from 1
    status: BundleStatus
    accepted_by: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    builds: int = 0
    rehearsal: Rehearsal = Rehearsal.NONE
    content_digest: str | None = None
    archive_digest: str | None = None
    archive_name: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Mapping[str, Any], ...] = ()
    error: Mapping[str, Any] | None = None
    cause: Cause | None = None  # the step of a journey that it was made for
    handed_over_at: datetime | None = None
    expires_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def moved(self, status: BundleStatus, now: datetime, **changes: Any) -> Bundle:
        """Return the bundle in ``status``; the only way that its status changes."""
        move(BUNDLE_TRANSITIONS, self.status, status, subject=self.id)
        return replace(self, status=status, updated_at=now, version=self.version + 1, **changes)

    def changed(self, now: datetime, **changes: Any) -> Bundle:
        """Return the bundle with other facts in the same status."""
        if "status" in changes:
            raise ValueError("only moved() changes a status")
        return replace(self, updated_at=now, version=self.version + 1, **changes)


@dataclass(frozen=True, kw_only=True)
class Handover:
    """To whom a bundle was given, by whom, when."""

    id: str
    bundle_id: str
    recipient_name: str
    recipient_email: str
    handed_over_by: str
    handed_over_at: datetime


@dataclass(frozen=True, kw_only=True)
class DownloadLink:
    """An expiring link for a named recipient. The token itself is never stored."""

    id: str
    bundle_id: str
    handover_id: str
    token_hash: str
    expires_at: datetime
    uses: int
    revoked_at: datetime | None = None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What the customer's apply sent back; ``body`` holds ids only, never secrets."""

    id: str
    bundle_id: str
    digest: str
    body: Mapping[str, Any]
    registered_by: str
    registered_at: datetime
