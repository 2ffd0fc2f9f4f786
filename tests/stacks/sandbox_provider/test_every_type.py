"""Every type: create, nothing to do, refresh without a difference, destroy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pulumi
import pytest

from stacks.sandbox.provider.catalogue import all_types, find_type
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.sandbox_provider import every_change, every_type
from tests.stacks.sandbox_provider.engine import Engine, Outcome, Stack

# a story: the tests follow each other on one stack
pytestmark = pytest.mark.slow

TAGS = {"tenantplane:tenant": "every", "managed-by": "tenantplane"}
Life = dict[str, Outcome]


def contents(stack: Stack) -> dict[str, tuple[object, ...]]:
    """Return what a state says of each resource, without times and places in the program."""
    return {
        name: (item.get("id"), item.get("inputs"), item.get("outputs"))
        for name, item in stack.state.items()
        if item["type"].startswith("aws:")
    }


@pytest.fixture(scope="module")
def stack(engine: Engine) -> Stack:
    return engine.stack("every")


@pytest.fixture(scope="module")
def life(stack: Stack) -> Life:
    given = {"default_tags": {"tags": TAGS}}
    found: Life = {"preview": stack.preview(every_type.program, **given)}
    found["create"] = stack.up(every_type.program, **given)
    found["again"] = stack.up(every_type.program, **given)
    return found


def test_the_preview_of_a_new_stack_creates_nothing_and_knows_what_it_would(
    life: Life, cloud: CloudProcess
) -> None:
    preview, created = life["preview"], life["create"]
    assert preview.error is None
    assert preview.operations == created.operations


def test_every_type_of_the_catalogue_is_created(life: Life, stack: Stack) -> None:
    assert life["create"].error is None
    made = {item["type"] for item in stack.state.values() if item["type"].startswith("aws:")}
    assert made == {kind.urn_type for kind in all_types()}


def test_a_second_up_changes_nothing(life: Life) -> None:
    assert life["again"].error is None
    assert life["again"].moved == {}


def test_the_outputs_are_the_documented_ones(life: Life, stack: Stack) -> None:
    for item in stack.state.values():
        kind = next((one for one in all_types() if one.urn_type == item["type"]), None)
        if kind is not None:
            allowed = {*kind.compared, *kind.outputs} | ({"region"} if kind.regional else set())
            assert set(item["outputs"]) <= allowed, item["urn"]


def test_the_cloud_has_what_the_state_says(life: Life, stack: Stack, cloud: CloudProcess) -> None:
    state = stack.state
    ec2, s3, kms = cloud.client("ec2"), cloud.client("s3"), cloud.client("kms")

    key = kms.describe_key(KeyId=state["key"]["id"])["KeyMetadata"]
    assert (key["Description"], key["Enabled"]) == ("key of everything", True)
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["RotationPeriodInDays"] == 180
    aliases = {item["AliasName"]: item.get("TargetKeyId") for item in kms.list_aliases()["Aliases"]}
    assert aliases["alias/every-type"] == key["KeyId"]

    rule = s3.get_bucket_encryption(Bucket="every-type-data")["ServerSideEncryptionConfiguration"]
    default = rule["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert default == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"]}
    assert s3.get_bucket_versioning(Bucket="every-type-data")["Status"] == "Enabled"
    blocked = s3.get_public_access_block(Bucket="every-type-data")
    assert all(blocked["PublicAccessBlockConfiguration"].values())
    lifecycle = s3.get_bucket_lifecycle_configuration(Bucket="every-type-data")["Rules"]
    assert [item["ID"] for item in lifecycle] == ["old-versions", "cheap"]
    assert lifecycle[1]["Filter"]["And"]["Prefix"] == "archive/"
    logging = s3.get_bucket_logging(Bucket="every-type-data")["LoggingEnabled"]
    assert logging["TargetBucket"] == "every-type-logs"

    vpc = state["vpc"]["id"]
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    by_name = {group["GroupName"]: group for group in groups["SecurityGroups"]}
    assert by_name["default"]["IpPermissions"] == by_name["default"]["IpPermissionsEgress"] == []
    assert len(by_name["every-type-inline"]["IpPermissions"]) == 2
    (permission,) = by_name["every-type-group"]["IpPermissions"]
    (source,) = permission["UserIdGroupPairs"]
    assert source["GroupId"] == state["inline"]["id"]
    for name in ("to-s3", "to-kms"):
        (endpoint,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[state[name]["id"]])["VpcEndpoints"]
        assert endpoint["State"] == "available"
    (flow,) = ec2.describe_flow_logs(FlowLogIds=[state["flow"]["id"]])["FlowLogs"]
    assert flow["ResourceId"] == vpc


def test_the_cloud_has_databases_tables_and_identities(
    life: Life, stack: Stack, cloud: CloudProcess
) -> None:
    state = stack.state
    found = cloud.client("rds").describe_db_instances(DBInstanceIdentifier="every-type-database")
    (database,) = found["DBInstances"]
    assert database["StorageEncrypted"]
    assert database["KmsKeyId"] == state["key"]["outputs"]["arn"]
    assert database["DbiResourceId"] == state["database"]["id"]
    secrets = state["database"]["outputs"]["masterUserSecrets"]
    assert secrets[0]["secretArn"] == database["MasterUserSecret"]["SecretArn"]

    dynamodb = cloud.client("dynamodb")
    table = dynamodb.describe_table(TableName="every-type-records")["Table"]
    assert table["SSEDescription"]["KMSMasterKeyArn"] == state["key"]["outputs"]["arn"]
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["by-kind"]
    expiry = dynamodb.describe_time_to_live(TableName="every-type-records")
    assert expiry["TimeToLiveDescription"]["AttributeName"] == "expires"

    iam = cloud.client("iam")
    role = iam.get_role(RoleName="every-type-role")["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"].endswith("policy/boundary")
    attached = iam.list_attached_role_policies(RoleName="every-type-role")["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["every-type-policy"]

    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix="/every-type/")
    assert [group["retentionInDays"] for group in groups["logGroups"]] == [30]
    alarms = cloud.client("cloudwatch").describe_alarms(AlarmNames=["every-type-alarm"])
    assert alarms["MetricAlarms"][0]["Threshold"] == 1.5
    parameter = cloud.client("ssm").get_parameter(Name="/every-type/hidden", WithDecryption=True)
    assert parameter["Parameter"]["Value"] == "hunter2-hidden"
    secret = cloud.client("secretsmanager").describe_secret(SecretId="every-type/shell")
    assert secret["KmsKeyId"] == state["key"]["outputs"]["arn"]


def test_default_tags_are_on_everything_that_can_be_tagged(life: Life, stack: Stack) -> None:
    tagged = {kind.urn_type for kind in all_types() if kind.taggable}
    for item in stack.state.values():
        if item["type"] in tagged:
            assert TAGS.items() <= item["outputs"]["tagsAll"].items(), item["urn"]
            assert not TAGS.keys() & item["outputs"].get("tags", {}).keys(), item["urn"]


def test_secret_values_are_nowhere_in_the_state(life: Life, stack: Stack) -> None:
    # the last one was given in clear, yet the SDK and the provider keep values of parameters secret
    for secret in ("hunter2-hidden", "correct-horse-1", "visible-value"):
        assert secret not in stack.state_text, secret
    hidden = stack.state["hidden"]
    for value in (hidden["inputs"]["value"], hidden["outputs"]["value"]):
        assert "ciphertext" in value
    assert "ciphertext" in stack.state["second"]["outputs"]["password"]


def test_a_refresh_finds_no_difference_and_leaves_the_state_as_it_was(
    life: Life, stack: Stack
) -> None:
    before = contents(stack)
    refreshed = stack.refresh()
    assert refreshed.error is None
    assert refreshed.diffs == {}
    assert "Resources:\n    43 unchanged" in refreshed.text
    after = contents(stack)
    # Secrets are encrypted anew each time; the group got its rules, the policy its role later.
    moved = {"hidden", "plain", "second", "group", "policy"}
    for name in before.keys() - moved:
        for was, becomes in zip(before[name], after[name], strict=True):
            assert was == becomes, name


def imported(ids: Mapping[str, str]) -> None:
    """The same program, everything of it imported under these ids."""

    def by_id(
        args: pulumi.ResourceTransformationArgs,
    ) -> pulumi.ResourceTransformationResult | None:
        kind = find_type(args.type_)
        if kind is None:
            return None
        local = [name for name, known in kind.fields.items() if known.local]
        options = pulumi.ResourceOptions(import_=ids[args.name], ignore_changes=local)
        merged = pulumi.ResourceOptions.merge(args.opts, options)
        return pulumi.ResourceTransformationResult(args.props, merged)

    pulumi.runtime.register_stack_transformation(by_id)
    every_type.program()


def import_id(item: dict[str, Any]) -> str:
    """Return the import id the official provider documents, where it is not the id."""
    outputs = item["outputs"]
    match item["type"]:
        case "aws:ec2/routeTableAssociation:RouteTableAssociation":
            return f"{outputs['subnetId']}/{outputs['routeTableId']}"
        case "aws:rds/instance:Instance":
            return str(outputs["identifier"])
        case _:
            return str(item["id"])


def test_every_type_can_be_imported_by_its_documented_id(
    life: Life, stack: Stack, engine: Engine
) -> None:
    here = {name: item for name, item in stack.state.items() if item["type"].startswith("aws:")}
    ids = {name: import_id(item) for name, item in here.items()}
    other = engine.stack("imported")
    program = partial(imported, ids)
    taken_over = other.up(program, default_tags={"tags": TAGS})
    assert taken_over.error is None, taken_over.text
    assert taken_over.only("import") == here.keys()
    there = other.state
    assert {name: there[name]["id"] for name in here} == {
        name: item["id"] for name, item in here.items()
    }
    again = other.up(program, default_tags={"tags": TAGS})
    assert (again.error, again.moved) == (None, {})


def test_every_type_changes_in_place_and_comes_to_rest(life: Life, stack: Stack) -> None:
    given = {"default_tags": {"tags": TAGS}}
    stack.environment["PULUMI_CONTINUE_ON_ERROR"] = "true"  # all failures at once
    changed = stack.up(every_change.changed_program, **given)
    assert changed.error is None, changed.text
    assert changed.moved == dict.fromkeys(every_change.CHANGES, "update")
    again = stack.up(every_change.changed_program, **given)
    assert (again.error, again.moved) == (None, {})
    refreshed = stack.refresh()
    assert (refreshed.error, refreshed.diffs) == (None, {})


def test_destroying_leaves_nothing(life: Life, stack: Stack, cloud: CloudProcess) -> None:
    destroyed = stack.destroy()
    assert destroyed.error is None
    assert stack.state == {}
    assert cloud.client("s3").list_buckets()["Buckets"] == []
    assert cloud.client("rds").describe_db_instances()["DBInstances"] == []
    assert cloud.client("dynamodb").list_tables()["TableNames"] == []
    assert cloud.client("iam").list_roles()["Roles"] == []
    ids = [{"Name": "cidr", "Values": ["10.20.0.0/16"]}]
    assert cloud.client("ec2").describe_vpcs(Filters=ids)["Vpcs"] == []
