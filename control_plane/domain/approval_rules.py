"""Which runs need people's approval before anything is applied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.kinds import KINDS
from control_plane.domain.run import RunKind


@dataclass(frozen=True, kw_only=True)
class ApprovalRule:
    """Runs of these kinds on deployments of these kinds need ``needed`` people of ``roles``.

    ``needed`` is 0 where the rule lets runs apply without a decision. ``irreversible_only``: only
    when the plan holds something that cannot be undone.
    """

    id: str
    deployments: frozenset[DeploymentKind]
    runs: frozenset[RunKind]
    irreversible_only: bool
    needed: int
    roles: tuple[str, ...]
    expires_after: timedelta
    because: str


# What no rule names needs a decision: a document that lost a line must not open a door.
UNNAMED: Final = ApprovalRule(
    id="unnamed",
    deployments=frozenset(DeploymentKind),
    runs=frozenset(RunKind),
    irreversible_only=False,
    needed=1,
    roles=("ops_approver",),
    expires_after=timedelta(hours=72),
    because="No approval rule covers this run, so a person decides.",
)


@dataclass(frozen=True, kw_only=True)
class ApprovalRules:
    """The approval rules document, parsed. The first rule that matches decides.

    ``resumes_within``: how long after its start an interrupted apply may resume under the same
    approval.
    """

    digest: str
    resumes_within: timedelta
    rules: tuple[ApprovalRule, ...]

    def rule_for(
        self, deployment: DeploymentKind, run: RunKind, *, irreversible: bool
    ) -> ApprovalRule:
        """Return the rule for a run; one that needs a decision where no rule matches.

        It needs no fewer people than runs of that kind always need.
        """
        rule = self._named(deployment, run, irreversible=irreversible)
        return replace(rule, needed=max(rule.needed, KINDS[run].decisions))

    def _named(
        self, deployment: DeploymentKind, run: RunKind, *, irreversible: bool
    ) -> ApprovalRule:
        for rule in self.rules:
            if deployment in rule.deployments and run in rule.runs:
                if rule.irreversible_only and not irreversible:
                    continue
                return rule
        return UNNAMED

    def always_asks(self, deployment: DeploymentKind, run: RunKind) -> bool:
        """Return whether a run needs a decision, regardless of its plan."""
        return self.rule_for(deployment, run, irreversible=False).needed > 0
