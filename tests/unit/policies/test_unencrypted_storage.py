from __future__ import annotations

from dataclasses import replace

import pytest

from policies.catalog import CATALOG
from policies.model import Enforcement
from tests.unit.policies.policy_scenarios import (
    KEY_ARN,
    PARAMETERS,
    PLAN_FORMS,
    Thing,
    Unknown,
    bucket,
    cases,
    database,
    encryption,
    found,
    judged,
    key,
    log_group,
    secret,
    table,
    whole_bucket,
)

RULE = "unencrypted_storage"
SSE = "aws_s3_bucket_server_side_encryption_configuration"
KEY_PATH = "rule.apply_server_side_encryption_by_default.kms_master_key_id"


def sse(rule: object, name: str = "data", of: object = "acme-data") -> Thing:
    return Thing(SSE, name, {"bucket": of, "rule": rule})


def logging(target: object) -> Thing:
    inputs = {"bucket": "acme-data", "target_bucket": target, "target_prefix": "s3-access/"}
    return Thing("aws_s3_bucket_logging", "data", inputs)


def aes(name: str, of: object) -> Thing:
    default = {"sse_algorithm": "AES256"}
    return sse([{"apply_server_side_encryption_by_default": default}], name, of)


@cases(
    ("a whole bucket", whole_bucket(), set()),
    ("a bucket without a configuration", [bucket()], {("aws_s3_bucket.data", "", "violated")}),
    (
        "the configuration is another bucket's",
        [bucket(), encryption(of="other")],
        {("aws_s3_bucket.data", "", "violated")},
    ),
    (
        "a key owned by S3",
        [bucket(), aes("data", "acme-data")],
        {(f"{SSE}.data", "rule.sse_algorithm", "violated")},
    ),
    (
        "no key named, so AWS's own",
        [bucket(), encryption(key_id="")],
        {(f"{SSE}.data", KEY_PATH, "violated")},
    ),
    (
        "AWS's own key by its alias",
        [bucket(), encryption(key_id="alias/aws/s3")],
        {(f"{SSE}.data", KEY_PATH, "violated")},
    ),
    (
        "AWS's own key by the ARN of its alias",
        [bucket(), encryption(key_id="arn:aws:kms:eu-west-1:123456789012:alias/aws/s3")],
        {(f"{SSE}.data", KEY_PATH, "violated")},
    ),
    ("no rule at all", [bucket(), sse([])], {(f"{SSE}.data", "rule", "violated")}),
    (
        "a bucket that takes access logs may have keys of S3",
        [
            *whole_bucket(),
            bucket("logs", "acme-logs"),
            aes("logs", "acme-logs"),
            logging("acme-logs"),
        ],
        set(),
    ),
    (
        "a bucket that takes no access logs may not",
        [*whole_bucket(), bucket("logs", "acme-logs"), aes("logs", "acme-logs")],
        {(f"{SSE}.logs", "rule.sse_algorithm", "violated")},
    ),
    ("a database", [database()], set()),
    (
        "a database in clear",
        [database(storage_encrypted=None)],
        {("aws_db_instance.db", "storage_encrypted", "violated")},
    ),
    (
        "a database with AWS's own key",
        [database(kms_key_id=None)],
        {("aws_db_instance.db", "kms_key_id", "violated")},
    ),
    (
        "a managed password without a key",
        [database(master_user_secret_kms_key_id=None)],
        {("aws_db_instance.db", "master_user_secret_kms_key_id", "violated")},
    ),
    (
        "performance insights without a key",
        [database(performance_insights_enabled=True)],
        {("aws_db_instance.db", "performance_insights_kms_key_id", "violated")},
    ),
    ("a table", [table()], set()),
    (
        "a table with AWS's own key",
        [table(server_side_encryption={"enabled": True})],
        {("aws_dynamodb_table.hub", "server_side_encryption.kms_key_arn", "violated")},
    ),
    (
        "a table that says nothing",
        [table(server_side_encryption=None)],
        {
            ("aws_dynamodb_table.hub", "server_side_encryption.kms_key_arn", "violated"),
            ("aws_dynamodb_table.hub", "server_side_encryption.enabled", "violated"),
        },
    ),
    ("a log group", [log_group()], set()),
    (
        "a log group without a key",
        [log_group(kms_key_id=None)],
        {("aws_cloudwatch_log_group.app", "kms_key_id", "violated")},
    ),
    ("a secret", [secret()], set()),
    (
        "a secret with AWS's own key",
        [secret(kms_key_id="alias/aws/secretsmanager")],
        {("aws_secretsmanager_secret.app", "kms_key_id", "violated")},
    ),
    (
        "a secret parameter without a key",
        [Thing("aws_ssm_parameter", "p", {"name": "/a/b", "type": "SecureString"})],
        {("aws_ssm_parameter.p", "key_id", "violated")},
    ),
    (
        "a plain parameter is no secret",
        [Thing("aws_ssm_parameter", "p", {"name": "/a/b", "type": "String"})],
        set(),
    ),
)
def test_what_keeps_data_is_encrypted_with_an_own_key(form, things, expected):
    assert found(RULE, form, things) == expected


@pytest.mark.parametrize("form", PLAN_FORMS)
@pytest.mark.parametrize(
    ("thing", "path"),
    [
        (lambda value: log_group(kms_key_id=value), "kms_key_id"),
        (lambda value: secret(kms_key_id=value), "kms_key_id"),
        (lambda value: database(kms_key_id=value), "kms_key_id"),
        (
            lambda value: table(server_side_encryption={"enabled": True, "kms_key_arn": value}),
            "server_side_encryption.kms_key_arn",
        ),
        (lambda value: encryption(key_id=value), KEY_PATH),
    ],
)
def test_the_unknown_arn_of_a_key_is_good_only_when_the_plan_makes_that_key(form, thing, path):
    own = thing(Unknown(of="aws_kms_key.data"))
    nobodys = thing(Unknown())
    others = thing(Unknown(of="aws_iam_role.app"))
    undecided = {(own.address, path, "unknown")}
    around = whole_bucket()[:1] if "apply" in path else []
    assert found(RULE, form, [*around, key(), own]) == set()
    assert found(RULE, form, [*around, key(), nobodys]) == undecided
    assert found(RULE, form, [*around, key(), others]) == undecided
    assert found(RULE, form, [*around, own]) == undecided  # the plan makes no such key


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_an_undecided_key_is_advisory_in_a_plan_and_a_missing_one_is_not(form):
    undecided = judged(form, [log_group(kms_key_id=Unknown())])
    missing = judged(form, [log_group(kms_key_id=None)])
    assert undecided.passed
    assert [v.enforcement for v in undecided.violations] == [Enforcement.ADVISORY]
    assert not missing.passed


def test_an_undecided_key_is_mandatory_after_the_apply():
    assert not judged("state", [log_group(kms_key_id=Unknown())]).passed


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_a_configuration_of_an_unknown_bucket_may_be_any_bucket_s(form):
    things = [bucket(), encryption(of=Unknown())]
    assert found(RULE, form, things) == {("aws_s3_bucket.data", "bucket", "unknown")}


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_a_configuration_that_refers_to_the_bucket_is_that_bucket_s(form):
    things = [bucket(), encryption(of=Unknown(of="aws_s3_bucket.data"))]
    assert found(RULE, form, things) == set()


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_a_whole_block_or_switch_that_is_unknown_is_undecided(form):
    assert found(RULE, form, [bucket(), sse(Unknown())]) == {(f"{SSE}.data", "rule", "unknown")}
    assert found(RULE, form, [database(storage_encrypted=Unknown())]) == {
        ("aws_db_instance.db", "storage_encrypted", "unknown")
    }


@pytest.mark.parametrize("form", ["pulumi", "terraform", "state"])
def test_the_parameters_may_be_content_with_keys_of_aws(form):
    relaxed = replace(
        PARAMETERS,
        encryption=dict.fromkeys(
            ("aws_s3_bucket", "aws_db_instance", "aws_cloudwatch_log_group"), "provider_key"
        ),
    )
    things = [bucket(), database(kms_key_id=None), log_group(kms_key_id=None)]
    assert found(RULE, form, things, relaxed) == set()
    assert found(RULE, form, [database(storage_encrypted=False)], relaxed) == {
        ("aws_db_instance.db", "storage_encrypted", "violated")
    }


def test_no_message_quotes_a_masked_value():
    masked = {"secret": True}
    evaluation = judged("state", [log_group(kms_key_id=masked)])
    assert KEY_ARN not in str(evaluation)
    assert {v.verdict.value for v in evaluation.violations} == {"unknown"}


@pytest.mark.parametrize("kind", sorted(k for k, facts in CATALOG.items() if facts.encryptable))
def test_every_type_that_the_catalogue_wants_encrypted_is_judged(kind):
    bare = Thing(kind, "bare", {"type": "SecureString"})
    assert found(RULE, "pulumi", [bare])
