"""``tenantctl people`` and ``tenantctl meeting``, over the API in memory."""

from __future__ import annotations

import json

from control_plane.cli.errors import REFUSED, USAGE
from control_plane.domain.actor import Role
from tests.entities import Entities
from tests.unit.cli.terminal import Terminal

ADMIN = Role.PLATFORM_ADMIN


def test_the_team_is_listed_and_one_of_it_shown(tenantctl: Terminal) -> None:
    listed = tenantctl("people", "list", who=ADMIN).out
    assert "csm-1" in listed
    assert "Carla Example" in listed
    shown = tenantctl("people", "show", "csm-2", "--json", who=ADMIN).out
    assert json.loads(shown)["away"] == ["2026-12-21 to 2027-01-06"]
    refused = tenantctl("people", "show", "csm-9", who=ADMIN, code=USAGE)
    assert "no person csm-9" in refused.err


def test_somebody_is_assigned_and_it_is_explained(tenantctl: Terminal) -> None:
    tenant = tenantctl.world.submit().tenant
    assert "nobody is assigned" in tenantctl("tenant", "people", tenant.slug, who=ADMIN).out
    done = tenantctl("people", "assign", tenant.slug, "csm", "--reason", "new", who=ADMIN)
    assert "Carla Example" in done.out
    explained = tenantctl("people", "explain", tenant.slug, who=ADMIN).out
    assert "does not speak it" in explained
    assert "segment: standard" in explained
    refused = tenantctl(
        "people", "assign", tenant.slug, "csm", "--person", "csm-1", "--reason", "x",
        who=ADMIN, code=REFUSED,
    )  # fmt: skip
    assert "csm-1 has it now" in refused.err


def test_a_meeting_is_listed_moved_and_canceled(tenantctl: Terminal) -> None:
    world = tenantctl.world
    tenant = world.submit().tenant
    with world.core.uow() as uow:
        meeting = Entities(clock=world.clock, ids=world.ids).meeting(tenant)
        uow.meetings.add(meeting)
        uow.commit()
    assert meeting.id in tenantctl("meeting", "list", "--tenant", tenant.slug, who=ADMIN).out
    moved = tenantctl(
        "meeting", "move", meeting.id, "--to", "2026-12-04T10:00:00+01:00", "--reason", "asked",
        "--json", who=ADMIN,
    )  # fmt: skip
    assert json.loads(moved.out)["sequence"] == 1
    assert json.loads(moved.out)["starts_at"] == "2026-12-04T09:00:00Z"
    done = tenantctl("meeting", "cancel", meeting.id, "--reason", "asked", who=ADMIN)
    assert "canceled" in done.out
    assert "Ida Admin" in tenantctl("meeting", "show", meeting.id, who=ADMIN).out
