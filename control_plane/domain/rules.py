"""The rules in force: documents, parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from control_plane.domain.approval_rules import ApprovalRules
from control_plane.domain.calendars.rules import CalendarRules
from control_plane.domain.intake import IntakeRules
from control_plane.domain.message_rules import MessageRules
from control_plane.domain.mode_rules import ModeRules
from control_plane.domain.onboarding_document import OnboardingRules
from control_plane.domain.residency import Regions
from control_plane.domain.slug import SlugRules
from control_plane.domain.systems import SystemRules
from control_plane.domain.team import TeamRules
from control_plane.domain.versions import Versions


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Every rules document that the core reads; policy parameters belong to the policies.

    ``reviews`` are the days on which somebody has to look at a document again, ``digests`` those of
    the documents' contents, both by file name.
    """

    mode: ModeRules
    slug: SlugRules
    approvals: ApprovalRules
    versions: Versions
    calendars: CalendarRules
    intake: IntakeRules
    team: TeamRules
    messages: MessageRules
    systems: SystemRules
    onboarding: OnboardingRules
    reviews: Mapping[str, date]
    digests: Mapping[str, str]

    @property
    def regions(self) -> Regions:
        """The regions document."""
        return self.mode.regions

    def overdue(self, today: date) -> tuple[str, ...]:
        """Return a sentence for each document that should have been reviewed by now."""
        return tuple(
            f"{file} was due for review on {due}: look through it and set its next_review"
            for file, due in sorted(self.reviews.items())
            if due < today
        )


@dataclass(frozen=True, kw_only=True)
class LoadedDocument:
    """What a process began to work with last: a rules document, or the database's schema."""

    id: str  # a file name, or what is no file
    digest: str  # of its content; the revision of a schema
    loaded_at: datetime
