"""Steps of a tenant's onboarding, for the vendor's people; ``portal_steps.py`` has the pages."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import CallerDep, SharedDep, WriterDep
from api.schemas import onboarding_step_views as views
from api.strict_json import StrictRoute
from control_plane.services import onboarding_steps as service
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1", tags=["onboarding"], route_class=StrictRoute)


@router.get("/tenants/{key}/onboarding/steps")
def list_steps(have: SharedDep, who: CallerDep, key: str) -> views.OnboardingStepsView:
    """Show every step of a tenant's onboarding with its answers."""
    found = perform(have.core, who, service.list_steps, key)
    rules = have.core.rules.onboarding
    return views.OnboardingStepsView(
        tenant_id=found.tenant.id,
        mode=found.tenant.mode,
        document=found.document,
        items=[
            views.OnboardingStepView.of(each, found.tenant, who.actor, rules)
            for each in found.steps
        ],
    )


@router.get("/tenants/{key}/onboarding/steps/{step_key}")
def get_step(
    have: SharedDep, who: CallerDep, key: str, step_key: str
) -> views.OnboardingStepDetailsView:
    """Show a step: the schema of its answers, what its checks find now, and its versions."""
    found = perform(have.core, who, service.get_step, key, step_key)
    return views.OnboardingStepDetailsView.details(found, who.actor, have.core.rules.onboarding)


@router.put("/tenants/{key}/onboarding/steps/{step_key}")
def save_step(
    have: SharedDep, who: WriterDep, key: str, step_key: str, body: views.StepAnswers
) -> views.OnboardingStepDetailsView:
    """Save all answers of a step, also when some are missing; wrong ones are refused."""
    found = perform(
        have.core, who, service.save_step, key, step_key, answers=body.answers, version=body.version
    )
    return views.OnboardingStepDetailsView.details(found, who.actor, have.core.rules.onboarding)


@router.post("/tenants/{key}/onboarding/steps/{step_key}/complete")
def complete_step(
    have: SharedDep, who: WriterDep, key: str, step_key: str, body: views.StepCompletion
) -> views.OnboardingStepDetailsView:
    """Complete a step with what was saved; the last one launches."""
    found = perform(have.core, who, service.complete_step, key, step_key, version=body.version)
    return views.OnboardingStepDetailsView.details(found, who.actor, have.core.rules.onboarding)


@router.post("/tenants/{key}/onboarding/steps/{step_key}/reopen")
def reopen_step(
    have: SharedDep, who: WriterDep, key: str, step_key: str, body: views.StepReopening
) -> views.OnboardingStepDetailsView:
    """Open a complete step again, and the complete ones that need it, which the body names."""
    found = perform(
        have.core, who, service.reopen_step, key, step_key,
        resets=body.resets, version=body.version, reason=body.reason,
    )  # fmt: skip
    return views.OnboardingStepDetailsView.details(found, who.actor, have.core.rules.onboarding)
