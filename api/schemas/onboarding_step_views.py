"""What the API takes and answers about steps of onboarding."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from api.schemas.requests import Body, Reason
from api.schemas.views import View
from control_plane.domain.actor import Actor
from control_plane.domain.onboarding_answers import Fault
from control_plane.domain.onboarding_document import FaultCode, OnboardingRules, StepCheck
from control_plane.domain.onboarding_step import StepAct, StepStatus
from control_plane.domain.tenant import Tenant
from control_plane.services import onboarding_steps as service
from control_plane.workflows.onboarding_steps import StepState

Version = Annotated[int, Field(ge=0, le=10**9, strict=True)]
Key = Annotated[str, Field(min_length=1, max_length=40)]


class StepAnswers(Body):
    """All answers of a step, and the version that they were entered over: 0 for the first."""

    version: Version
    answers: Annotated[dict[Key, Any], Field(max_length=60)]


class StepCompletion(Body):
    """The version of a step that is complete."""

    version: Version


class StepReopening(Body):
    """The version of a step that is opened again; `resets` are the steps that are open with it."""

    version: Version
    resets: Annotated[list[Key], Field(max_length=30, default_factory=list)]
    reason: Reason


class FaultView(View):
    """Why the answer of a field is missing or cannot be taken."""

    field: str
    code: FaultCode
    detail: str

    @classmethod
    def of(cls, fault: Fault, rules: OnboardingRules) -> Self:
        """Return the view of a fault."""
        return cls(field=fault.key, code=fault.code, detail=fault.sentence(rules.faults))


class CheckView(View):
    """What has to hold before a step is complete, whatever is answered."""

    check: StepCheck
    holds: bool
    why: str


class StepVersionView(View):
    """One version of a step, without its answers."""

    number: int
    act: StepAct
    status: StepStatus
    document: str
    made_by: str
    made_at: datetime


class OnboardingStepView(View):
    """A step with its answers. `missing` keeps it from being complete, `resets` follows it."""

    key: str
    title: str
    who: str
    status: StepStatus
    version: int
    needs: list[str]
    waits_for: list[str]
    resets: list[str]
    answers: dict[str, Any]
    missing: list[FaultView]
    changed_by: str | None
    changed_at: datetime | None
    document: str | None
    allowed_actions: list[str]

    @classmethod
    def of(
        cls, state: StepState, tenant: Tenant, actor: Actor, rules: OnboardingRules, **more: Any
    ) -> Self:
        """Return the view of a step."""
        rule, row = state.rule, state.row
        return cls(
            key=rule.key,
            title=rule.title_for(tenant.mode)["en"],
            who=rule.who,
            status=state.status,
            version=state.version,
            needs=list(rule.needs),
            waits_for=list(state.waits_for),
            resets=list(state.resets),
            answers=dict(state.answers),
            missing=[FaultView.of(each, rules) for each in state.examined.faults],
            changed_by=row.changed_by if row else None,
            changed_at=row.changed_at if row else None,
            document=row.document if row else None,
            allowed_actions=service.allowed_actions(actor, tenant, state),
            **more,
        )


class OnboardingStepDetailsView(OnboardingStepView):
    """A step with the schema of its answers, its checks, and each of its versions."""

    answers_schema: dict[str, Any]
    checks: list[CheckView]
    versions: list[StepVersionView]

    @classmethod
    def details(cls, found: service.StepDetails, actor: Actor, rules: OnboardingRules) -> Self:
        """Return the view of a step with all of it."""
        state = found.state
        return cls.of(
            state, found.tenant, actor, rules,
            answers_schema=state.rule.schema(found.tenant.mode),
            checks=[
                CheckView(check=each.check, holds=each.holds, why=each.why)
                for each in state.looked
            ],
            versions=[StepVersionView.like(each) for each in found.versions],
        )  # fmt: skip


class OnboardingStepsView(View):
    """Every step of a tenant, in order; `document` is the digest of the document in force."""

    tenant_id: str
    mode: str | None
    document: str
    items: list[OnboardingStepView]
