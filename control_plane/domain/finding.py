"""A finding: one thing in which the cloud is not as it was applied, from look to look.

It is open while the looks see it. The first complete one that does not closes it. One that is
waived stays open and does not count, until the waiver ends or it shows another value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.engine import Drift

Key = tuple[str, str, str]  # kind, subject, path: of a deployment one is open at a time


class FindingKind(StrEnum):
    """In what the cloud differs."""

    CHANGED = "changed"  # a property is not as it was applied
    MISSING = "missing"  # the state has it, and the cloud does not
    FOREIGN = "foreign"  # it belongs to the deployment, and is in no state
    REMAINING = "remaining"  # it was removed and has to stay until a date, which `expected` says
    MISPLACED = "misplaced"  # it is in a region where it was promised not to be


# what makes a tenant `drifted`
OF_DRIFT: Final = (
    FindingKind.CHANGED, FindingKind.MISSING, FindingKind.FOREIGN, FindingKind.MISPLACED,
)  # fmt: skip
# what settling may have read into the state, so that a look no longer sees it
OF_STATE: Final = (FindingKind.CHANGED, FindingKind.MISSING)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What looks saw of one thing.

    ``subject`` is a URN of the state; of something foreign, what AWS calls it and its id.
    ``path`` is that of the property that changed, empty for the thing as a whole. ``expected`` was
    applied and ``actual`` was there when it was seen last, with secrets as ``{"secret": true}``;
    None where there is nothing. ``…_by`` are ids of runs.
    """

    id: str
    deployment_id: str
    tenant_id: str | None
    kind: FindingKind
    subject: str
    type: str
    path: str
    expected: Any
    actual: Any
    first_seen_by: str
    first_seen_at: datetime
    last_seen_by: str
    last_seen_at: datetime
    closed_by: str | None = None
    closed_at: datetime | None = None
    waived_until: datetime | None = None
    version: int = 1

    @property
    def is_open(self) -> bool:
        """Tell whether no look has closed it."""
        return self.closed_at is None

    @property
    def key(self) -> Key:
        """What tells it from the other open ones of its deployment."""
        return str(self.kind), self.subject, self.path

    def shows(self, drift: Drift) -> bool:
        """Tell whether it has the values that a look saw."""
        return (self.expected, self.actual) == (drift.expected, drift.actual)

    def seen(self, drift: Drift, run_id: str, now: datetime) -> Finding:
        """Return it as a look saw it again; another value is not what was waived."""
        return replace(
            self,
            waived_until=self.waived_until if self.shows(drift) else None,
            expected=drift.expected,
            actual=drift.actual,
            last_seen_by=run_id,
            last_seen_at=now,
            version=self.version + 1,
        )

    def closed(self, run_id: str, now: datetime) -> Finding:
        """Return it as a look left it that no longer saw it."""
        return replace(
            self, closed_by=run_id, closed_at=now, waived_until=None, version=self.version + 1
        )

    def waived(self, until: datetime | None) -> Finding:
        """Return it waived until then; None ends a waiver."""
        return replace(self, waived_until=until, version=self.version + 1)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a look says of the open findings of a deployment."""

    new: tuple[Drift, ...]
    again: tuple[tuple[Finding, Drift], ...]
    gone: tuple[Finding, ...]


def compared(known: Sequence[Finding], drift: Sequence[Drift]) -> Comparison:
    """Compare the open findings of a deployment with what a complete look saw."""
    seen = {(each.kind, each.subject, each.path): each for each in drift}
    keys = {finding.key for finding in known}
    return Comparison(
        new=tuple(each for key, each in seen.items() if key not in keys),
        again=tuple((finding, seen[finding.key]) for finding in known if finding.key in seen),
        gone=tuple(finding for finding in known if finding.key not in seen),
    )
