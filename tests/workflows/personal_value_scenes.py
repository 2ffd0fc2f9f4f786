"""Scenes of use cases about personal values of the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from control_plane.domain.disclosure import DisclosureGrant, Erasure
from control_plane.services import disclosures, erasures
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from tests.workflows.use_case_scenes import Act, Scene
from tests.world import AUDITOR, person

Prepare = Callable[[Scene], Act]
SECOND = person("second-auditor", *AUDITOR.actor.roles)


def entry_of(scene: Scene, tenant_id: str) -> int:
    """Return the index of the tenant's entry with contacts."""
    own = [event for event in scene.events() if event.tree == tenant_id]
    return [event.action for event in own].index("request.accepted")


def opening(who: Caller, **given: Any) -> Prepare:
    """Open values of the entry that has the contacts of a request."""

    def prepare(scene: Scene) -> Act:
        tenant_id = scene.submit("B").tenant.id
        wanted = {
            "idx": entry_of(scene, tenant_id), "paths": ["contacts.0.email"], "reason": "a claim",
            **given,
        }  # fmt: skip
        return lambda: disclosures.open_values(scene.core, who, tenant_id, **wanted)

    return prepare


def asking_for_grant(who: Caller, **given: Any) -> Prepare:
    """Ask for a grant."""

    def prepare(scene: Scene) -> Act:
        tenant_id = scene.submit("B").tenant.id
        wanted = {"reason": "the yearly audit", "paths": ["contacts"], **given}
        return lambda: perform(scene.core, who, disclosures.ask_for_grant, tenant_id, **wanted)

    return prepare


def giving_grant(who: Caller, reason: str = "agreed") -> Prepare:
    """Give a grant that the auditor has asked for."""

    def prepare(scene: Scene) -> Act:
        grant: DisclosureGrant = asking_for_grant(AUDITOR)(scene)()  # type: ignore[assignment]  # what the act returns
        return lambda: perform(
            scene.core, who, disclosures.give_grant, grant.tenant_id or "", grant.id, reason=reason
        )

    return prepare


def asking_for_erasure(who: Caller, *, held: bool = False, **given: Any) -> Prepare:
    """Name the values of the first contact of a request."""

    def prepare(scene: Scene) -> Act:
        tenant_id = scene.submit("B").tenant.id
        if held:
            scene.legal_hold(tenant_id)
        wanted = {
            "reason": "they asked", "legal_reference": "GDPR Art. 17", "subject": email_of(scene),
            **given,
        }  # fmt: skip
        return lambda: perform(scene.core, who, erasures.ask_for_erasure, tenant_id, **wanted)

    return prepare


def confirming(who: Caller, *, held: bool = False, **given: Any) -> Prepare:
    """Confirm an erasure that the auditor has asked for."""

    def prepare(scene: Scene) -> Act:
        erasure: Erasure = asking_for_erasure(AUDITOR)(scene)()  # type: ignore[assignment]  # as above
        if held:
            scene.legal_hold(erasure.tenant_id or "")
        wanted = {"digest": erasure.digest, "reason": "it is right", **given}
        return lambda: perform(
            scene.core, who, erasures.confirm_erasure, erasure.tenant_id or "", erasure.id, **wanted
        )

    return prepare


def email_of(scene: Scene) -> str:
    """Return the address of the first contact that the log has."""
    return next(
        str(event.personal["contacts.0.email"])
        for event in scene.events()
        if "contacts.0.email" in event.personal
    )
