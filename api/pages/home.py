"""The first page of the portal: where the environment stands, and the steps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from fastapi.responses import Response

from api.pages.rendering import page
from api.pages.steps import lines_of
from api.pages.wording import TEXTS, Language
from control_plane.domain.onboarding_step import StepStatus
from control_plane.domain.tenant import Tenant, TenantStatus, WaitingOn
from control_plane.services.onboarding_portal import Portal

_S = TenantStatus
_STATES: Final[Mapping[TenantStatus, str]] = {
    _S.REQUESTED: "working",
    _S.MODE_CONFLICT: "clarifying",
    _S.PROVISIONING: "working",
    _S.READY: "ready",
    _S.FAILED: "failed",
    _S.DEPROVISIONING: "leaving",
    _S.DEPROVISIONED: "leaving",
}
_TURN: Final[Mapping[WaitingOn | None, str]] = {
    WaitingOn.OPS: "ops",
    WaitingOn.ARCHITECT: "architect",
    WaitingOn.CUSTOMER: "customer",
}


def standing(tenant: Tenant, language: Language) -> dict[str, Any]:
    """Return where the environment of a tenant stands, in words, and how it is delivered."""
    texts = TEXTS[language]
    state = _STATES.get(tenant.status) or _TURN.get(tenant.waiting_on, "working")
    return {
        "company": tenant.legal_name,
        "state": texts[state],
        "state_text": texts[f"{state}_text"],
        "tone": "good" if state == "ready" else "",
        "delivery": texts[f"delivery_{tenant.mode or 'none'}"],
        "region": tenant.region,
    }


def home_page(found: Portal, language: Language, now: datetime) -> Response:
    """Return the page with state and steps of the session's tenant."""
    tenant, texts = found.welcome.tenant, TEXTS[language]
    return page(
        "welcome.html", language,
        name=found.welcome.name,
        now=now.isoformat(timespec="seconds"), now_shown=f"{now:%Y-%m-%d %H:%M} UTC",
        is_launched=all(each.status is StepStatus.COMPLETE for each in found.steps),
        steps=lines_of(found.steps, tenant.mode, language, texts),
        **standing(tenant, language),
    )  # fmt: skip
