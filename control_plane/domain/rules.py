"""The rules in force: documents, parsed."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.domain.approval_rules import ApprovalRules
from control_plane.domain.mode_rules import ModeRules
from control_plane.domain.residency import Regions
from control_plane.domain.slug import SlugRules


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Every rules document that the core reads; policy parameters belong to the policies."""

    mode: ModeRules
    slug: SlugRules
    approvals: ApprovalRules

    @property
    def regions(self) -> Regions:
        """The regions document."""
        return self.mode.regions
