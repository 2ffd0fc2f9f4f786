from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.policies.policy_scenarios import (
    FORMS,
    PLAN_FORMS,
    Thing,
    Unknown,
    bucket,
    cases,
    database,
    found,
    key,
    log_group,
    secret,
    table,
)

RULE = "unprotected_stateful"


@cases(
    ("protected things", [bucket(), database(), table(), key(), secret()], set()),
    (
        "a database that AWS lets go",
        [database(deletion_protection=None)],
        {("aws_db_instance.db", "deletion_protection", "violated")},
    ),
    (
        "a table that AWS lets go",
        [table(deletion_protection_enabled=False)],
        {("aws_dynamodb_table.hub", "deletion_protection_enabled", "violated")},
    ),
    (
        "a bucket that is emptied",
        [bucket(force_destroy=True)],
        {("aws_s3_bucket.data", "force_destroy", "violated")},
    ),
    (
        "a secret that goes at once",
        [secret(recovery_window_in_days=0)],
        {("aws_secretsmanager_secret.app", "recovery_window_in_days", "violated")},
    ),
    (
        "what holds no data",
        [Thing("aws_vpc", "v", {"cidr_block": "10.0.0.0/16"}, protect=False)],
        set(),
    ),
)
def test_what_holds_data_is_protected(form, things, expected):
    assert found(RULE, form, things) == expected


@pytest.mark.parametrize("form", ["pulumi", "state"])
def test_pulumi_s_own_protection_is_demanded_of_every_stateful_type(form):
    things = [replace(t, protect=False) for t in (bucket(), database(), table(), key(), secret())]
    assert found(RULE, form, things) == {(thing.address, "", "violated") for thing in things}


def test_terraform_has_no_such_notion_in_its_plan():
    things = [replace(key(), protect=False), replace(bucket(), protect=False)]
    assert found(RULE, "terraform", things) == set()


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_an_unknown_guard_is_undecided(form):
    assert found(RULE, form, [database(deletion_protection=Unknown())]) == {
        ("aws_db_instance.db", "deletion_protection", "unknown")
    }
    assert found(RULE, form, [bucket(force_destroy=Unknown())]) == {
        ("aws_s3_bucket.data", "force_destroy", "unknown")
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_log_group_need_not_be_protected_although_it_holds_data(form):
    assert found(RULE, form, [replace(log_group(), protect=False)]) == set()
