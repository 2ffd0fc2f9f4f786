"""Which rules are in force stands in the platform's log, once for each change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import pytest

from control_plane.bootstrap import Parts
from control_plane.config import Settings
from control_plane.domain.actor import system
from control_plane.domain.errors import AuditUnavailable
from control_plane.services.performing import perform
from control_plane.services.rules import record_rules
from control_plane.workflows.core import Caller, Core
from tests.world import World

DOCUMENTS = (
    "approval_rules.yaml", "calendars.yaml", "intake.yaml", "messages.yaml", "mode_rules.yaml",
    "onboarding.yaml", "playbooks/day-0.yaml", "policy_parameters.yaml", "regions.yaml",
    "slug_rules.yaml", "systems.yaml", "team.yaml",
    "templates/chat.invited.yaml", "templates/contract.signed.yaml",
    "templates/kickoff.cancelled.yaml", "templates/kickoff.invited.yaml",
    "templates/kickoff.moved.yaml", "templates/onboarding.code.yaml",
    "templates/portal.link_issued.yaml", "templates/step.blocked.yaml",
    "templates/task.reminder.yaml", "templates/tenant.ready.yaml", "versions.yaml",
)  # fmt: skip


def told(core: Core, part: str) -> tuple[str, ...]:
    return perform(core, Caller(actor=system(part)), record_rules)


def changed(core: Core, file: str, digest: str) -> Core:
    return replace(core, rules=replace(core.rules, digests={**core.rules.digests, file: digest}))


def recorded(world: World) -> list[tuple[str, str, str]]:
    return [
        (event.data["document"], event.data["digest"], event.body["actor"]["id"])
        for event in world.events()
        if event.action == "rules.loaded" and event.tree == "platform"
    ]


def test_the_first_process_records_every_document_and_no_other_does(world: World) -> None:
    assert told(world.core, "worker") == DOCUMENTS
    assert told(world.core, "api") == ()
    assert recorded(world) == [
        (file, world.core.rules.digests[file], "system:worker") for file in DOCUMENTS
    ]


def test_processes_that_start_together_record_once(world: World) -> None:
    with ThreadPoolExecutor(6) as pool:
        all_told = list(pool.map(lambda _: told(world.core, "api"), range(6)))
    assert max(all_told, key=len) == DOCUMENTS
    assert len(recorded(world)) == len(DOCUMENTS)


@pytest.mark.requirement("K-077")
def test_a_changed_document_is_recorded_and_so_is_its_return(world: World) -> None:
    told(world.core, "worker")
    other = changed(world.core, "mode_rules.yaml", "sha256:other")
    assert told(other, "worker") == ("mode_rules.yaml",)
    assert told(world.core, "api") == ("mode_rules.yaml",)
    assert [digest for file, digest, _ in recorded(world) if file == "mode_rules.yaml"] == [
        world.core.rules.digests["mode_rules.yaml"], "sha256:other",
        world.core.rules.digests["mode_rules.yaml"],
    ]  # fmt: skip


def test_what_cannot_be_recorded_is_recorded_later(world: World) -> None:
    with world.storage.without_log(), pytest.raises(AuditUnavailable):
        told(world.core, "worker")
    assert told(world.core, "worker") == DOCUMENTS


@pytest.mark.requirement("F-095", "K-003")
def test_a_review_that_is_due_is_told_by_readyz(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(Settings())
    assert parts.background["rules"]() == ""
    late = replace(world.core.rules, reviews={"versions.yaml": date(2020, 1, 31)})
    parts.__dict__["rules"] = late
    assert parts.background["rules"]() == (
        "versions.yaml was due for review on 2020-01-31: look through it and set its next_review"
    )
