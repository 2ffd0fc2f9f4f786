"""``tenantctl tenant watch`` and the lists of journeys, over the API in memory."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import takewhile

import pytest

from control_plane.cli.client import Api
from control_plane.cli.errors import HIDDEN, USAGE
from control_plane.domain.actor import Role
from control_plane.domain.hold import HoldKind
from control_plane.services import holds
from control_plane.services.performing import perform
from tests.journeys import go_on, sample, with_playbooks
from tests.unit.cli.terminal import Terminal
from tests.world import OPS as BY_OPS

ADMIN, OPS = Role.PLATFORM_ADMIN, Role.OPS_APPROVER
TALK = (
    "- {key: talk, kind: task, title: Talk, owner: ops,"
    " due: {anchor: signed, amount: 1, unit: elapsed_hour}}\n"
)


@pytest.fixture
def slug(tenantctl: Terminal) -> str:
    """A tenant on a journey with one task."""
    with_playbooks(tenantctl.world, sample(TALK))
    found = tenantctl.world.submit().tenant
    go_on(tenantctl.world)
    return found.slug


def test_what_happened_is_printed_line_by_line(tenantctl: Terminal, slug: str) -> None:
    lines = tenantctl("tenant", "watch", slug, "--once", who=OPS).out.splitlines()
    assert any("journey.step_waiting  talk asked" in line for line in lines)
    assert any("task.opened  talk step/" in line and "ops" in line for line in lines)
    assert [line.split()[0] for line in lines] == [str(n + 1) for n in range(len(lines))]
    told = tenantctl("tenant", "watch", slug, "--once", "--json", who=OPS).out.splitlines()
    events = [json.loads(line) for line in told]
    assert [event["seq"] for event in events] == list(range(1, len(lines) + 1))
    assert events[0].keys() == {"seq", "id", "time", "name", "data"}
    rest = tenantctl("tenant", "watch", slug, "--once", "--after", "3", who=OPS).out
    assert rest.splitlines() == lines[3:]


def test_a_stream_goes_on_where_it_was_and_shows_what_happens(
    tenantctl: Terminal, slug: str
) -> None:
    world, path = tenantctl.world, f"/v1/tenants/{slug}/events"
    with closing(Api(url=tenantctl.url, token=tenantctl.token(OPS))) as api:
        stream = api.follow(path, last=2)
        assert next(stream)["seq"] == 3
        with ThreadPoolExecutor(1) as pool:
            placed = pool.submit(
                perform, world.core, BY_OPS, holds.place_on_tenant, slug,
                kind=HoldKind.SAFETY, reason="x",
            )  # fmt: skip
            names = takewhile(lambda name: name != "tenant.held", (e["name"] for e in stream))
            assert "journey.step_waiting" in list(names)
            placed.result(60)


def test_who_may_not_see_a_tenant_cannot_watch_it(tenantctl: Terminal, slug: str) -> None:
    tenantctl("tenant", "watch", "nobody", "--once", who=OPS, code=HIDDEN)
    tenantctl("tenant", "watch", "nobody", who=OPS, code=HIDDEN)
    tenantctl("tenant", "watch", slug, "--once", who=Role.PLATFORM_AUDITOR, code=HIDDEN)
    tenantctl("tenant", "watch", slug, "--after", "-1", who=OPS, code=USAGE)
    assert "--once" in tenantctl("tenant", "watch", "--help").out


def test_all_journeys_and_those_that_are_late_are_listed(tenantctl: Terminal, slug: str) -> None:
    (journey_id,) = tenantctl.world.rows("journey")
    assert journey_id in tenantctl("tenant", "journey", slug, "--all", who=OPS).out
    listed = tenantctl("tenant", "journey", slug, "--all", "--json", who=OPS).out
    assert [each["id"] for each in json.loads(listed)] == [journey_id]
    assert journey_id not in tenantctl("journey", "list", "--late", who=OPS).out
    tenantctl.world.clock.advance(days=30)
    assert journey_id in tenantctl("journey", "list", "--late", who=OPS).out
    assert "Talk" in tenantctl("task", "list", "--late", who=OPS).out
    tenantctl("tenant", "journey", "nobody", "--all", who=OPS, code=HIDDEN)


@pytest.mark.parametrize(("mode", "group"), [("A", "run"), ("C", "bundle")])
def test_what_a_journey_follows_names_its_step(tenantctl: Terminal, mode: str, group: str) -> None:
    follows = (
        "- {key: exists, kind: action, title: It exists, owner: automation,"
        " action: tenant.provision}\n"
    )
    with_playbooks(tenantctl.world, sample(follows))
    accepted = tenantctl.world.submit(mode)
    made = accepted.run_id or accepted.bundle_id or ""
    shown = tenantctl(group, "show", made, who=Role.SOLUTIONS_ARCHITECT).out
    rows = dict(line.split(maxsplit=1) for line in shown.splitlines() if " " in line.strip())
    assert (rows["playbook"].strip(), rows["step"].strip()) == ("sample/1", "exists")
    cause = tenantctl(group, "show", made, "--json", who=Role.SOLUTIONS_ARCHITECT).json["cause"]
    (journey_id,) = tenantctl.world.rows("journey")
    assert (cause["journey"], cause["round"]) == (journey_id, 1)


def test_what_no_journey_follows_names_none(tenantctl: Terminal) -> None:
    run_id = tenantctl.world.submit("A").run_id or ""
    assert tenantctl("run", "show", run_id, "--json", who=OPS).json["cause"] is None
