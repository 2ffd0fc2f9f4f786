"""Changes of tenants and Hubs at a terminal: shown before, planned before, made, refused."""

from __future__ import annotations

import json
import re

import pytest

from control_plane.cli.errors import FAILED, HIDDEN, REFUSED, USAGE
from control_plane.domain.actor import Role
from control_plane.domain.errors import EngineFailed
from control_plane.ports.engine import EngineCall
from tests.unit.cli.terminal import Terminal
from tests.workflows.test_hub_changes import Shared

ADMIN, OPS = Role.PLATFORM_ADMIN, Role.OPS_APPROVER
REASON = ("--reason", "more room")


@pytest.fixture
def shared(tenantctl: Terminal) -> Shared:
    return Shared(tenantctl.world)


def test_more_capacity_needs_no_run_and_says_what_is_next(
    tenantctl: Terminal, shared: Shared
) -> None:
    change = ("hub", "change", shared.hub_id, *REASON, "--capacity", "20")
    dry = tenantctl(*change, "--dry-run", who=ADMIN).out
    assert re.search(r"^capacity +20$", dry, re.MULTILINE)
    assert re.search(r"^run_id +-$", dry, re.MULTILINE)
    assert tenantctl("hub", "show", shared.hub_id, "--json", who=OPS).json["capacity"] == 10
    made = tenantctl(*change, who=ADMIN).out
    assert "to follow it" not in made
    assert tenantctl("hub", "show", shared.hub_id, "--json", who=OPS).json["capacity"] == 20


def test_a_version_names_the_tenants_on_the_hub_and_the_run_to_follow(
    tenantctl: Terminal, shared: Shared
) -> None:
    change = ("hub", "change", shared.hub_id, *REASON, "--version", "2026.2")
    dry = tenantctl(*change, "--dry-run", who=ADMIN).out
    assert re.search(r"version +\S+ +2026\.2", dry)
    assert "to follow it" not in dry
    for each in shared.tenants:
        assert re.search(rf"{each.slug} +{each.id}", dry)
    key = ("--key", "of-ada")
    first, again = (tenantctl(*change, *key, "--json", who=ADMIN).json for _ in range(2))
    assert first["run_id"] == again["run_id"]
    tenantctl.world.work()
    page = tenantctl("run", "show", first["run_id"], who=OPS).out
    assert all(each.slug in page for each in shared.tenants)
    shown = tenantctl(*change, who=ADMIN).out  # the same once more: on its way already
    assert f"to follow it: tenantctl run watch {first['run_id']}" in shown


def test_a_plan_of_a_change_is_shown_before_it_is_made(tenantctl: Terminal, shared: Shared) -> None:
    change = ("hub", "change", shared.hub_id, *REASON, "--version", "2026.2")
    known = len(tenantctl("run", "list", "--json", who=OPS).json)
    with tenantctl.working():
        page = tenantctl(*change, "--dry-run", "--with-plan", who=ADMIN).out
        found = tenantctl(*change, "--dry-run", "--with-plan", "--json", who=ADMIN).json
    assert "planned" in page
    assert re.search(r"^plan pln_\w+  sha256:", page, re.MULTILINE)
    assert found["run_id"] is None
    assert found["plan"]["run_id"] == found["plan_run_id"]
    assert any(item["name"] == "version" for item in found["plan"]["operations"])
    runs = tenantctl("run", "list", "--json", who=OPS).json
    assert [each["status"] for each in runs[:-known]] == ["planned", "planned"]
    assert tenantctl("hub", "show", shared.hub_id, "--json", who=OPS).json["version"] != "2026.2"


def test_a_plan_of_a_change_of_a_tenant_is_shown_before_it_is_made(tenantctl: Terminal) -> None:
    made = tenantctl.submit("B")
    tenantctl.world.approve(made["run_id"])
    slug = made["tenant"]["slug"]
    change = ("tenant", "change", slug, *REASON, "--size", "large")
    with tenantctl.working():
        page = tenantctl(*change, "--dry-run", "--with-plan", who=ADMIN).out
    assert re.search(r"^plan pln_\w+  sha256:", page, re.MULTILINE)
    assert tenantctl("tenant", "show", slug, "--json").json["status"] == "ready"


def test_a_plan_that_cannot_be_made_says_why(tenantctl: Terminal, shared: Shared) -> None:
    change = ("hub", "change", shared.hub_id, *REASON, "--version", "2026.2")

    def fails(_phase: str, _call: EngineCall) -> None:
        raise EngineFailed("the program did not compile", reason="program")

    tenantctl.world.engine.during = fails
    with tenantctl.working():
        failed = tenantctl(*change, "--dry-run", "--with-plan", who=ADMIN, code=FAILED)
    assert "the run that plans it is errored: the program did not compile" in failed.err


def test_slices_are_updated_and_those_that_are_not_say_why(
    tenantctl: Terminal, shared: Shared
) -> None:
    shared.world.approve(shared.change(environment={"zones": 3}).run_id)
    page = tenantctl("hub", "show", shared.hub_id, who=OPS).out
    assert re.search(r"^outdated_slices +2$", page, re.MULTILINE)
    update = ("hub", "update-slices", shared.hub_id, *REASON)
    made = tenantctl(*update, "--json", who=ADMIN).json
    assert (len(made["run_ids"]), made["left"]) == (2, 0)
    again = tenantctl(*update, who=ADMIN).out
    for each in made["run_ids"]:
        assert each in tenantctl("run", "list", who=OPS).out
    assert "run_ids" in again


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (("--capacity", "1"), REFUSED, "2 slices are on this Hub, more than 1"),
        (("--capacity", "many"), USAGE, "hub change -h"),
        (("--zones", "9"), USAGE, "zones"),
        (("--version", "1999.1"), USAGE, "Known are: 2026.1"),
        (("--version", "x"), USAGE, "version"),
        ((), USAGE, "name a capacity or one choice"),
        (("--version", "2026.2", "--with-plan"), USAGE, "--with-plan belongs to --dry-run"),
    ],
)
def test_what_a_hub_cannot_become_is_refused_in_a_sentence(
    tenantctl: Terminal, shared: Shared, given: tuple[str, ...], code: int, words: str
) -> None:
    tables = ("hub", "run", "deployment")
    before = [shared.world.rows(name) for name in tables]
    refused = tenantctl("hub", "change", shared.hub_id, *REASON, *given, who=ADMIN, code=code)
    assert words in refused.err
    assert refused.out == ""
    assert [shared.world.rows(name) for name in tables] == before


def test_who_may_not_change_a_hub_learns_which_role_may(
    tenantctl: Terminal, shared: Shared
) -> None:
    change = ("hub", "change", shared.hub_id, *REASON, "--capacity", "20", "--json")
    refused = tenantctl(*change, who=OPS, code=HIDDEN)
    assert "platform_admin" in json.loads(refused.err)["detail"]
    tenantctl("hub", "change", "hub_nobody", *REASON, "--capacity", "20", who=ADMIN, code=HIDDEN)
    tenantctl("hub", "change", shared.hub_id, "--capacity", "20", who=ADMIN, code=USAGE)
