from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from policies import annotate
from policies.catalog import CATALOG, KIND_OF_TOKEN


def sdk_file(token: str) -> Path:
    """Return the SDK's file of a type; the SDK itself takes seconds to import."""
    spec = importlib.util.find_spec("pulumi_aws")
    assert spec is not None
    assert spec.origin is not None
    module, _, name = re.split("[:/]", token)[1:]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return Path(spec.origin).parent / module / f"{snake}.py"


@pytest.mark.parametrize("kind", sorted(CATALOG))
def test_token_and_taggable_agree_with_the_sdk(kind):
    facts = CATALOG[kind]
    text = sdk_file(facts.token).read_text(encoding="utf-8")
    assert f"'{facts.token}'" in text
    assert ("def tags(" in text) is facts.taggable


@pytest.mark.parametrize("kind", sorted(CATALOG))
def test_the_inputs_that_the_catalog_names_exist_in_the_sdk(kind):
    facts = CATALOG[kind]
    text = sdk_file(facts.token).read_text(encoding="utf-8")
    backwards = {terraform: pulumi for pulumi, terraform in facts.renames.items()}
    inputs = [*facts.names, *facts.buckets, *(p.partition(".")[0] for p in facts.policies)]
    inputs += [*facts.losses, *filter(None, [facts.guard])]
    inputs += [facts.disarmed[0]] if facts.disarmed else []
    for name in inputs:
        assert f"def {backwards.get(name, name)}(self)" in text, name
    for pulumi in facts.renames:
        assert f"def {pulumi}(self)" in text, pulumi


def test_every_type_has_one_token():
    assert len(KIND_OF_TOKEN) == len(CATALOG)


@pytest.mark.parametrize("kind", sorted(CATALOG))
def test_every_entry_is_complete(kind):
    facts = CATALOG[kind]
    assert facts.label
    assert bool(facts.on_removal) is facts.holds_data
    if facts.unprotected_because:
        assert facts.holds_data
    if facts.guard or facts.disarmed:
        assert facts.must_be_protected


def test_what_holds_data_is_said_in_one_place():
    assert {kind for kind, facts in CATALOG.items() if facts.holds_data} == {
        "aws_cloudwatch_log_group",
        "aws_db_instance",
        "aws_dynamodb_table",
        "aws_kms_key",
        "aws_s3_bucket",
        "aws_secretsmanager_secret",
    }
    unprotected = {kind for kind, facts in CATALOG.items() if facts.unprotected_because}
    assert unprotected == {"aws_cloudwatch_log_group"}


BUCKET, LOGS = "aws:s3/bucket:Bucket", "aws:cloudwatch/logGroup:LogGroup"
TABLE, DATABASE = "aws:dynamodb/table:Table", "aws:rds/instance:Instance"
LIFE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"


@pytest.mark.parametrize(
    ("resource_type", "op", "paths", "expected"),
    [
        (BUCKET, "create", (), (True, False)),
        (BUCKET, "same", (), (True, False)),
        (BUCKET, "update", ("tags.Name",), (True, False)),
        (BUCKET, "delete", (), (True, True)),
        (BUCKET, "replace", (), (True, True)),
        (BUCKET, "delete-replaced", (), (True, True)),  # what a failed replacement has left
        (BUCKET, "create-replacement", (), (True, True)),
        ("aws_s3_bucket", "delete", (), (True, True)),
        (LOGS, "delete", (), (True, True)),
        (LOGS, "update", ("retentionInDays",), (True, True)),
        ("aws_cloudwatch_log_group", "update", ("retention_in_days",), (True, True)),
        (LOGS, "update", ("kmsKeyId",), (True, False)),
        (DATABASE, "update", ("backupRetentionPeriod", "tags"), (True, True)),
        (DATABASE, "update", ("engineVersion",), (True, True)),
        (DATABASE, "update", ("allocatedStorage",), (True, False)),
        (TABLE, "update", ("pointInTimeRecovery.enabled",), (True, True)),
        (TABLE, "update", ("replicas[0].regionName",), (True, True)),
        (LIFE, "update", ("rules[0].expiration.days",), (False, True)),
        (LIFE, "delete", (), (False, False)),
        ("aws:iam/role:Role", "delete", (), (False, False)),
        ("aws:sqs/queue:Queue", "delete", (), (True, True)),  # nobody looked at it
        ("aws:sqs/queue:Queue", "create", (), (True, False)),
        ("tenantplane:components:Key", "delete", (), (False, False)),
        ("pulumi:providers:aws", "delete", (), (False, False)),
    ],
)
def test_what_cannot_be_undone_is_known(resource_type, op, paths, expected):
    assert annotate(resource_type, op, paths) == expected


@pytest.mark.parametrize(
    ("resource_type", "path", "before", "after", "irreversible"),
    [
        (LOGS, "retentionInDays", 365, 30, True),
        (LOGS, "retentionInDays", 30, 365, False),
        (LOGS, "retentionInDays", 0, 365, True),  # 0: for ever
        (LOGS, "retentionInDays", 365, None, False),
        (LOGS, "retentionInDays", 365, "unknown", True),
        (DATABASE, "backupRetentionPeriod", 14, 7, True),
        (DATABASE, "backupRetentionPeriod", 14, 0, True),  # 0: no backups
        (DATABASE, "backupRetentionPeriod", 0, 14, False),
        (TABLE, "pointInTimeRecovery.enabled", True, False, True),
        (TABLE, "pointInTimeRecovery.enabled", True, None, True),
        (TABLE, "pointInTimeRecovery.enabled", False, True, False),
    ],
)
def test_a_change_that_loses_nothing_can_be_undone(
    resource_type, path, before, after, irreversible
):
    changes = {path: (before, after)}
    assert annotate(resource_type, "update", [path], changes=changes) == (True, irreversible)
