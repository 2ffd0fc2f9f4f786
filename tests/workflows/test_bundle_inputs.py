"""Editing inputs at the architect's desk: partly, one field at a time, with sentences."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from control_plane.domain.bundle import BundleStatus
from control_plane.domain.errors import InvalidInput
from control_plane.services import bundles
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from tests.workflows.desk import CUSTOMERS_ACCOUNT, Desk
from tests.world import ARCHITECT, World

EXISTING = {
    "mode": "existing",
    "zones": ["eu-west-1a", "eu-west-1b"],
    "vpc_id": "vpc-0123456789abcdef0",
    "private_subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
    "route_table_ids": ["rtb-0123456789abcdef0"],
}
ENDPOINTS = {
    "security_group_id": "sg-0123456789abcdef0",
    "prefix_list_ids": {"s3": "pl-01234567", "dynamodb": "pl-01234568"},
}


@pytest.fixture
def desk(world: World) -> Desk:
    desk = Desk(world)
    desk.accept()
    return desk


def test_what_is_known_is_kept_before_the_account_is(desk: Desk) -> None:
    edited = desk.edit(network={"client_cidrs": ["10.20.0.0/16"]})
    assert edited.inputs["network"]["client_cidrs"] == ["10.20.0.0/16"]
    assert edited.inputs["account_id"] == ""
    error = desk.refused(
        InvalidInput, lambda: perform(desk.core, ARCHITECT, bundles.build_bundle, desk.bundle_id)
    )
    assert error.data["field"] == "inputs.account_id"
    assert "12 digits" in str(error)
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    assert desk.build().status is BundleStatus.BUILT


def test_one_field_of_an_object_is_changed_and_the_others_stay(desk: Desk) -> None:
    before = desk.bundle().inputs["database"]
    after = desk.edit(database={"storage_gb": 100}).inputs["database"]
    assert after == {**before, "storage_gb": 100}


def test_an_object_of_another_mode_is_taken_as_given(desk: Desk) -> None:
    assert desk.edit(network=EXISTING).inputs["network"] == EXISTING
    # and from then on merged again; null takes a field away
    edited = desk.edit(network={"route_table_ids": None, "endpoints": ENDPOINTS})
    expected = {**EXISTING, "endpoints": ENDPOINTS}
    del expected["route_table_ids"]
    assert edited.inputs["network"] == expected
    nested = desk.edit(network={"endpoints": {"prefix_list_ids": {"s3": "pl-0aaaaaaa"}}})
    assert nested.inputs["network"]["endpoints"]["prefix_list_ids"] == {
        "s3": "pl-0aaaaaaa",
        "dynamodb": "pl-01234568",
    }


def test_the_endpoints_group_of_another_account_is_taken(desk: Desk) -> None:
    shared = {**ENDPOINTS, "security_group_id": "111122223333/sg-0123456789abcdef0"}
    network = {**EXISTING, "endpoints": shared}
    del network["route_table_ids"]
    assert desk.edit(network=network).inputs["network"]["endpoints"] == shared


def test_every_wrong_field_is_told_at_once(desk: Desk) -> None:
    error = desk.refused(
        InvalidInput,
        lambda: desk.edit(
            account_id="12", surprise=1, database={"storage_gb": 1, "engine_version": "15"}
        ),
    )
    assert [item["field"] for item in error.data["fields"]] == [
        "inputs.account_id",
        "inputs.database.engine_version",
        "inputs.database.storage_gb",
        "inputs.surprise",
    ]
    for part in ("12 digits", "16 or 17", "at least 20", "is unknown"):
        assert part in str(error)


@pytest.mark.parametrize(
    ("inputs", "field", "sentence"),
    [
        ({"network": {k: v for k, v in EXISTING.items() if k != "route_table_ids"}},
         "inputs.network", "give either route_table_ids"),
        ({"network": {**EXISTING, "endpoints": ENDPOINTS}},
         "inputs.network", "give either route_table_ids"),
        ({"network": {"client_cidrs": ["0.0.0.0/0"]}},
         "inputs.network.client_cidrs.0", "/8 or narrower"),
        ({"network": {"client_cidrs": ["2001:db8::/32"]}},
         "inputs.network.client_cidrs.0", "IPv4 network"),
        ({"network": {"client_cidrs": ["10.0.0.0/16", "10.0.0.0/16"]}},
         "inputs.network.client_cidrs", "must not name a network twice"),
        ({"network": {"cidr": "10.0.0.0/8"}}, "inputs.network.cidr", "from /16 to /22"),
        ({"network": {"zones": ["eu-west-1a"]}}, "inputs.network.zones", "two or three"),
        ({"network": {"zones": ["eu-west-1a", "eu-west-1z"]}},
         "inputs.network.zones", "eu-west-1 has no zone eu-west-1z; it has eu-west-1a"),
        ({"network": {"zones": ["eu-west-1a", "us-east-1b"]}},
         "inputs.network.zones", "eu-west-1 has no zone us-east-1b"),
        ({"keys": {"mode": "existing"}}, "inputs.keys.data_key_arn", "is missing"),
        ({"permissions_boundary": {"mode": "existing", "arn": "x"}},
         "inputs.permissions_boundary.arn", "ARN of a managed policy"),
        ({"database": {"instance_class": "big"}},
         "inputs.database.instance_class", "db.m7g.large"),
        ({"database": {"multi_az": None}}, "inputs.database.multi_az", "is missing"),
        ({"retention": {"log_days": 100}}, "inputs.retention.log_days", "must be one of 7, 14"),
        ({"uninstall": "no"}, "inputs.uninstall", "boolean"),
        ({"extra_tags": {"tenantplane:tenant": "x"}}, "inputs.extra_tags", "tenantplane:"),
        ({"extra_tags": {"AWS:x": "x", "aws:x": "x"}}, "inputs.extra_tags", "aws:"),
        ({"extra_tags": {"CostCenter": 4711}}, "inputs.extra_tags.CostCenter", "string"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_by_a_sentence_and_never_by_a_pattern(
    desk: Desk, inputs: dict[str, Any], field: str, sentence: str
) -> None:
    error = desk.refused(InvalidInput, lambda: desk.edit(**inputs))
    assert error.data["field"] == field
    assert sentence in str(error)
    for fragment in ("^[", "does not match", "under any of the given schemas"):
        assert fragment not in str(error)


# --- warnings --------------------------------------------------------------------------------
def at(desk: Desk, day: date) -> None:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    desk.world.clock.advance(seconds=(noon - desk.core.clock.now()).total_seconds())


def warnings(desk: Desk) -> tuple[str, ...]:
    return bundles.warnings(desk.core, desk.bundle())


def test_a_hub_that_nobody_can_reach_is_warned_about(desk: Desk) -> None:
    desk.edit(network={"client_cidrs": []})
    (warning,) = warnings(desk)
    assert "nobody could reach the Hub" in warning
    desk.edit(network={"client_cidrs": ["10.20.0.0/16"]})
    assert warnings(desk) == ()


@pytest.mark.parametrize(
    ("version", "day", "part"),
    [
        ("16", date(2028, 8, 31), None),
        ("16", date(2028, 9, 1), "ends on 2029-02-28; plan the upgrade"),
        ("16", date(2029, 2, 28), "ends on 2029-02-28"),
        ("16", date(2029, 3, 1), "ended on 2029-02-28"),
        ("17", date(2029, 3, 1), None),
        ("17", date(2030, 3, 1), "ended on 2030-02-28"),
        ("16.4", date(2028, 1, 1), "no new instance of PostgreSQL 16.4; the oldest is 16.9"),
        ("16.9", date(2028, 1, 1), None),
        ("17.4", date(2028, 1, 1), "the oldest is 17.5"),
    ],
)
def test_a_version_near_its_end_is_warned_about(
    desk: Desk, version: str, day: date, part: str | None
) -> None:
    desk.edit(network={"client_cidrs": ["10.20.0.0/16"]}, database={"engine_version": version})
    at(desk, day)
    found = warnings(desk)
    assert (len(found) == 0) if part is None else (part in found[0])


def test_the_default_version_is_no_minor_version(desk: Desk) -> None:
    assert desk.bundle().inputs["database"]["engine_version"] == "16"


def test_a_warning_stops_nothing(desk: Desk) -> None:
    desk.edit(account_id=CUSTOMERS_ACCOUNT, network={"client_cidrs": []})
    assert desk.build().status is BundleStatus.BUILT
    assert warnings(desk)
    assert desk.hand_over().bundle.status is BundleStatus.HANDED_OVER


def test_somebody_elses_edit_is_merged_into_what_is_there_now(desk: Desk) -> None:
    other: Caller = ARCHITECT
    desk.edit(database={"storage_gb": 100})
    assert desk.edit(other, database={"backup_days": 21}).inputs["database"]["storage_gb"] == 100
