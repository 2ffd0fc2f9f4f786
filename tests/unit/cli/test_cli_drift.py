"""Drift by commands: what is to be done, decisions on it, sweeps, Hubs, and where everything is."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from control_plane.cli.errors import REFUSED, USAGE
from control_plane.domain.actor import Role
from control_plane.domain.engine import Drift, Place
from tests.unit.cli.terminal import Terminal

OPS = Role.OPS_APPROVER
TAG = Drift(
    kind="changed", subject="urn:pulumi:a::tenantplane::aws:kms/key:Key::data",
    type="aws:kms/key:Key", path="tags.a", expected="1", actual="2",
)  # fmt: skip
RULE = Drift(
    kind="foreign", subject="ec2:security-group-rule sgr-1", type="ec2:security-group-rule",
    actual={"direction": "ingress", "securityGroupId": "sg-1"},
)  # fmt: skip


class Desk:
    """A ready Mode B tenant whose drift is handled in a terminal."""

    def __init__(self, tenantctl: Terminal) -> None:
        self.tenantctl, self.world = tenantctl, tenantctl.world
        accepted = self.world.submit("B")
        self.world.work()
        self.world.approve(accepted.run_id)
        self.slug = accepted.tenant.slug

    def look(self, *drift: Drift) -> None:
        self.world.engine.drift = drift
        self.tenantctl("tenant", "check-drift", self.slug, who=OPS)
        self.world.work()

    def ids(self) -> list[str]:
        return [each["id"] for each in self.tenantctl("drift", "list", "--json", who=OPS).json]


@pytest.fixture
def desk(tenantctl: Terminal) -> Desk:
    return Desk(tenantctl)


def test_what_is_to_be_done_is_listed_with_the_command_that_does_it(desk: Desk) -> None:
    assert desk.tenantctl("drift", "list", who=OPS).out == "no findings\n"
    desk.look(TAG, RULE)
    listed = desk.tenantctl("drift", "list", who=OPS).out
    assert "aws:kms/key:Key data" in listed
    assert "Decide: revert or waive." in listed
    rule = next(i for i in desk.ids() if "sgr-1" in desk.tenantctl("drift", "show", i, who=OPS).out)
    shown = desk.tenantctl("drift", "show", rule, who=OPS).out
    assert "aws ec2 revoke-security-group-ingress --group-id sg-1" in shown


def test_a_revert_names_the_run_to_follow(desk: Desk) -> None:
    desk.look(TAG)
    (found,) = desk.ids()
    done = desk.tenantctl("drift", "decide", found, "--as", "revert", "--reason", "no", who=OPS)
    run_id = re.search(r"tenantctl run watch (run_\w+)", done.out)
    assert run_id is not None
    assert desk.world.run(run_id[1]).scope.urns == (TAG.subject,)
    again = desk.tenantctl(
        "drift", "decide", found, "--as", "revert", "--reason", "no", who=OPS, code=REFUSED
    )
    assert run_id[1] in again.err


def test_several_are_waived_at_once_until_days_from_now(desk: Desk) -> None:
    desk.look(TAG, replace(TAG, path="tags.b"))
    done = desk.tenantctl(
        "drift", "decide", *desk.ids(), "--as", "waive", "--until", "14d", "--reason", "known",
        "--json", who=OPS,
    ).json  # fmt: skip
    assert done["run_id"] is None
    assert {each["verdict"] for each in done["decisions"]} == {"waive"}
    assert "Waived until" in desk.tenantctl("drift", "list", who=OPS).out
    assert re.search(r"drifted +no", desk.tenantctl("tenant", "show", desk.slug, who=OPS).out)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--as", "waive"], USAGE),
        (["--as", "waive", "--until", "soon"], USAGE),
        (["--as", "forget"], USAGE),
        (["--as", "adopt"], REFUSED),
    ],
)
def test_what_cannot_be_decided_says_why_in_one_sentence(
    desk: Desk, arguments: list[str], code: int
) -> None:
    desk.look(TAG)
    done = desk.tenantctl(
        "drift", "decide", *desk.ids(), *arguments, "--reason", "no", who=OPS, code=code
    )
    assert done.err.strip()


def test_a_sweep_is_followed_to_its_end(desk: Desk) -> None:
    done = desk.tenantctl("drift", "sweep", "--minutes", "0", who=OPS).out
    sweep_id = re.search(r"tenantctl drift show-sweep (swp_\w+)", done)
    assert sweep_id is not None
    shown = desk.tenantctl("drift", "show-sweep", sweep_id[1], who=OPS).out
    assert re.search(r"waiting +1\b", shown)
    assert sweep_id[1] in desk.tenantctl("drift", "sweeps", who=OPS).out


def test_a_hub_is_looked_at_and_its_findings_are_listed(desk: Desk) -> None:
    hub_id = desk.world.ready_hub()
    desk.world.engine.drift = (TAG,)
    desk.tenantctl("drift", "check-hub", hub_id, who=OPS)
    desk.world.work()
    assert "tags.a" in desk.tenantctl("drift", "hub", hub_id, who=OPS).out


def test_where_everything_is_says_what_was_promised(desk: Desk) -> None:
    shown = desk.tenantctl("tenant", "residency", desk.slug, who=OPS).out
    assert "Everything is where it was promised to be." in shown
    assert "eu-west-1" in shown
    desk.world.engine.places = (
        Place(subject="s3:bucket far", type="aws:s3/bucket:Bucket", what="replica",
              region="us-east-1"),
    )  # fmt: skip
    desk.look()
    shown = desk.tenantctl("tenant", "residency", desk.slug, who=OPS).out
    assert "compliance hold" in shown
    assert "Remove it from us-east-1" in shown
    found = desk.tenantctl("tenant", "residency", desk.slug, "--json", who=OPS).json
    assert [each["path"] for each in found["misplaced"]] == ["us-east-1"]
