"""What people decide of a finding: it is adopted, reverted, or waived until a date.

Decisions are never changed. What follows from one is in the run that it requests, or in the
finding that it waives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from control_plane.domain.actor import ActorKind
from control_plane.domain.finding import Finding, FindingKind

LONGEST_WAIVER: Final = timedelta(days=90)


class Verdict(StrEnum):
    """What becomes of what differs."""

    ADOPT = "adopt"  # the value that is there is wanted from now on
    REVERT = "revert"  # what was applied is brought back
    WAIVE = "waive"  # it stays as it is until a date, and does not count until then


@dataclass(frozen=True, kw_only=True)
class FindingDecision:
    """One person's decision on one finding, as it was then.

    ``value_digest`` is that of both values that were decided on, ``until`` the end of a waiver,
    ``run_id`` the run that adopts or reverts.
    """

    id: str
    finding_id: str
    tenant_id: str | None
    verdict: Verdict
    value_digest: str
    until: datetime | None
    run_id: str | None
    reason: str
    decided_by: str
    person: str
    actor_kind: ActorKind
    decided_at: datetime


# How a thing that no state has is removed by hand. Nothing deletes it by itself: no record of ours
# says who needs it.
_BY_HAND: Final[Mapping[str, str]] = {
    "ec2:security-group-rule": (
        "aws ec2 revoke-security-group-{direction} --group-id {securityGroupId} "
        "--security-group-rule-ids {id}"
    ),
    "ec2:route": (
        "aws ec2 delete-route --route-table-id {routeTableId} "
        "--destination-cidr-block {destination}"
    ),
    "iam:role-policy": "aws iam delete-role-policy --role-name {role} --policy-name {name}",
    "iam:role-policy-attachment": (
        "aws iam detach-role-policy --role-name {role} --policy-arn {policyArn}"
    ),
}


def verdicts_for(finding: Finding) -> tuple[Verdict, ...]:
    """Return what can be decided of a finding by its kind; adopting also needs a known property."""
    if not finding.is_open or finding.kind in {FindingKind.MISPLACED, FindingKind.REMAINING}:
        return ()
    if finding.kind is FindingKind.FOREIGN:
        return (Verdict.WAIVE,)
    if finding.kind is FindingKind.MISSING:
        return (Verdict.REVERT, Verdict.WAIVE)
    return tuple(Verdict)


def by_hand(finding: Finding) -> str:
    """Return what a person does who wants a thing gone that no state has."""
    told = finding.actual if isinstance(finding.actual, Mapping) else {}
    identity = finding.subject.partition(" ")[2]
    template = _BY_HAND.get(finding.type, "")
    try:
        command = template.format(id=identity, name=identity.rpartition(":")[2], **told)
    except (KeyError, IndexError):
        command = ""
    if command:
        return f"If nobody needs it, remove it by hand: {command}"
    return f"If nobody needs it, remove {finding.subject} by hand."
