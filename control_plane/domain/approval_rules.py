"""Which runs need a person's approval before anything is applied."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.run import RunKind


@dataclass(frozen=True, kw_only=True)
class ApprovalRule:
    """Runs of these kinds on deployments of these kinds wait for a decision.

    ``irreversible_only``: only when the plan holds something that cannot be undone.
    """

    id: str
    deployments: frozenset[DeploymentKind]
    runs: frozenset[RunKind]
    irreversible_only: bool
    roles: tuple[str, ...]
    expires_after: timedelta
    because: str


@dataclass(frozen=True, kw_only=True)
class ApprovalRules:
    """The approval rules document, parsed. The first rule that matches decides."""

    digest: str
    rules: tuple[ApprovalRule, ...]

    def required(
        self, deployment: DeploymentKind, run: RunKind, *, irreversible: bool = False
    ) -> ApprovalRule | None:
        """Return the rule that wants an approval of the run, or None when it may go on at once."""
        for rule in self.rules:
            if deployment in rule.deployments and run in rule.runs:
                if rule.irreversible_only and not irreversible:
                    continue
                return rule
        return None
