"""Scenes of use cases about steps of onboarding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from control_plane.services import onboarding_steps
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from tests.workflows.onboarded import Walk
from tests.workflows.use_case_scenes import Act, Scene
from tests.world import ARCHITECT

STEP = "verify_identity"


def on_step(
    wanted: str, who: Caller = ARCHITECT, *, is_redeemed: bool = True, **given: Any
) -> Callable[[Scene], Act]:
    """Do something with the first step; it was saved or completed before, as that needs."""

    def prepare(scene: Scene) -> Act:
        tenant_id = scene.linked(is_issued=False)
        walk = Walk.of(scene, tenant_id)
        if is_redeemed:
            walk.holder.signed_in()
        facts: dict[str, Any] = {"version": {"save": 0, "complete": 1, "reopen": 2}[wanted]}
        if wanted == "save":
            facts["answers"] = {"name": "Ida Admin"}
        else:
            walk.save(STEP)
        if wanted == "reopen":
            walk.complete(STEP)
            facts |= {"resets": (), "reason": "it changed"}
        service = getattr(onboarding_steps, f"{wanted}_step")
        return lambda: perform(scene.core, who, service, tenant_id, STEP, **{**facts, **given})

    return prepare
