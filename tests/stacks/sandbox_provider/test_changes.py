"""Changes through the engine: update, replacement, deletion, drift, read back from the cloud."""

from __future__ import annotations

import json
from functools import partial

import pulumi
import pulumi_aws as aws
import pytest

from tests.stacks.cloud_process import CloudProcess
from tests.stacks.sandbox_provider.engine import Engine, Outcome, Stack
from tests.stacks.sandbox_provider.every_type import REGION, allow, document, trust

# a story: the tests follow each other on one stack
pytestmark = pytest.mark.slow

SECRETS = ("hunter2-before", "hunter2-after")
Step = tuple[Outcome, Outcome]


def program(*, after: bool) -> None:
    """The program before or after the change."""
    changed_in_place(after=after)
    replaced(after=after)
    network(after=after)
    reworded(after=after)
    if not after:
        aws.ssm.Parameter("leaving", name="/changes/leaving", type="String", value="bye")


BEFORE, AFTER = partial(program, after=False), partial(program, after=True)


def changed_in_place(*, after: bool) -> None:
    aws.cloudwatch.LogGroup(
        "retained",
        name="/changes/retained",
        retention_in_days=30 if after else 7,
        tags={"kept": "1", "new": "2"} if after else {"kept": "1", "old": "2"},
    )
    aws.ssm.Parameter(
        "hidden",
        name="/changes/hidden",
        type="SecureString",
        value=pulumi.Output.secret(SECRETS[after]),
    )
    aws.dynamodb.Table(
        "table",
        name="changes-table",
        billing_mode="PAY_PER_REQUEST",
        hash_key="a",
        attributes=[{"name": name, "type": "S"} for name in ("ab" if after else "a")],
        global_secondary_indexes=[{"name": "by-b", "hash_key": "b", "projection_type": "KEYS_ONLY"}]
        if after
        else None,
        ttl={"attribute_name": "expires", "enabled": True} if after else None,
    )
    aws.iam.Policy(
        "versioned",
        name="changes-versioned",
        policy=document(allow(["s3:GetObject"] if after else ["s3:PutObject"], ["*"])),
    )
    aws.rds.ParameterGroup(
        "settings",
        name="changes-settings",
        family="postgres16",
        parameters=[{"name": "rds.force_ssl", "value": "1" if after else "0"}],
    )
    aws.kms.Key("key", description="after" if after else "before", enable_key_rotation=after)


def replaced(*, after: bool) -> None:
    bucket = aws.s3.Bucket("bucket", bucket=f"changes-{'after' if after else 'before'}")
    aws.s3.BucketVersioning(
        "versions", bucket=bucket.id, versioning_configuration={"status": "Enabled"}
    )
    # the name stays, so the old one has to go first
    aws.iam.Role(
        "role",
        name="changes-role",
        path="/after/" if after else "/before/",
        assume_role_policy=trust("ecs-tasks.amazonaws.com"),
    )


def network(*, after: bool) -> None:
    vpc = aws.ec2.Vpc("vpc", cidr_block="10.30.0.0/16", enable_dns_hostnames=after)
    first = aws.ec2.RouteTable("first", vpc_id=vpc.id)
    second = aws.ec2.RouteTable("second", vpc_id=vpc.id)
    subnet = aws.ec2.Subnet(
        "subnet", vpc_id=vpc.id, cidr_block="10.30.1.0/24", availability_zone=f"{REGION}a"
    )
    aws.ec2.RouteTableAssociation(
        "use", subnet_id=subnet.id, route_table_id=second.id if after else first.id
    )
    group = aws.ec2.SecurityGroup(
        "inline",
        name="changes-inline",
        description="rules inside",
        vpc_id=vpc.id,
        ingress=[
            {
                "protocol": "tcp",
                "from_port": port,
                "to_port": port,
                "cidr_blocks": ["10.30.0.0/16"],
            }
            for port in ((443, 8443) if after else (443, 80))
        ],
    )
    aws.vpc.SecurityGroupEgressRule(
        "out",
        security_group_id=group.id,
        ip_protocol="tcp",
        from_port=443,
        to_port=443,
        cidr_ipv4="10.30.0.0/16" if after else "10.0.0.0/8",
        description="to the services",
    )


def reworded(*, after: bool) -> None:
    """A document in other words of the same meaning, a set in another order: no change."""
    root = "arn:aws:iam::123456789012:root"
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": root}}
    other = {"Principal": {"AWS": [root]}, "Action": ["sts:AssumeRole"], "Effect": "Allow"}
    policy = {"Version": "2012-10-17", "Statement": [other] if after else statement}
    aws.iam.Role(
        "reworded",
        name="changes-reworded",
        assume_role_policy=json.dumps(policy, indent=2 if after else None),
    )
    actions = [f"arn:aws:sns:{REGION}:123456789012:{name}" for name in "ab"]
    aws.cloudwatch.MetricAlarm(
        "reordered",
        name="changes-reordered",
        comparison_operator="GreaterThanThreshold",
        evaluation_periods=1,
        metric_name="Errors",
        namespace="AWS/Lambda",
        period=60,
        statistic="Sum",
        threshold=1,
        alarm_actions=actions[::-1] if after else actions,
        actions_enabled=True if after else None,
    )


IN_PLACE = {
    *("retained", "hidden", "table", "versioned", "settings", "key"),
    *("vpc", "use", "inline", "out"),
}
REPLACED = {"bucket", "versions", "role"}


@pytest.fixture(scope="module")
def stack(engine: Engine) -> Stack:
    made = engine.stack("changes")
    created = made.up(BEFORE)
    assert created.error is None, created.text
    return made


@pytest.fixture(scope="module")
def change(stack: Stack) -> Step:
    return stack.preview(AFTER), stack.up(AFTER)


def test_what_is_previewed_is_what_happens(change: Step) -> None:
    preview, up = change
    assert (preview.error, up.error) == (None, None)
    assert preview.moved.keys() == up.moved.keys() == IN_PLACE | REPLACED | {"leaving"}
    assert preview.moved == up.moved
    assert preview.diffs == up.diffs


def test_what_aws_changes_in_place_is_updated(change: Step, cloud: CloudProcess) -> None:
    _, up = change
    assert up.only("update") == IN_PLACE

    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix="/changes/")["logGroups"]
    assert [group["retentionInDays"] for group in groups] == [30]
    arn = groups[0]["arn"].removesuffix(":*")
    tags = cloud.client("logs").list_tags_for_resource(resourceArn=arn)["tags"]
    assert tags == {"kept": "1", "new": "2"}

    dynamodb = cloud.client("dynamodb")
    table = dynamodb.describe_table(TableName="changes-table")["Table"]
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["by-b"]
    expiry = dynamodb.describe_time_to_live(TableName="changes-table")["TimeToLiveDescription"]
    assert expiry["TimeToLiveStatus"] == "ENABLED"

    iam = cloud.client("iam")
    arn = "arn:aws:iam::123456789012:policy/changes-versioned"
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    assert found["Statement"][0]["Action"] == ["s3:GetObject"]
    parameters = cloud.client("rds").describe_db_parameters(DBParameterGroupName="changes-settings")
    assert [item["ParameterValue"] for item in parameters["Parameters"]] == ["1"]


def test_a_network_is_changed_in_place(change: Step, stack: Stack, cloud: CloudProcess) -> None:
    ec2, state = cloud.client("ec2"), stack.state
    tables = ec2.describe_route_tables(RouteTableIds=[state["second"]["id"]])["RouteTables"]
    used_by = [item.get("SubnetId") for item in tables[0]["Associations"]]
    assert used_by == [state["subnet"]["id"]]
    (group,) = ec2.describe_security_groups(GroupIds=[state["inline"]["id"]])["SecurityGroups"]
    assert {permission["FromPort"] for permission in group["IpPermissions"]} == {443, 8443}
    (rule,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[state["out"]["id"]])[
        "SecurityGroupRules"
    ]
    assert (rule["CidrIpv4"], rule["Description"]) == ("10.30.0.0/16", "to the services")
    attribute = ec2.describe_vpc_attribute(VpcId=state["vpc"]["id"], Attribute="enableDnsHostnames")
    assert attribute["EnableDnsHostnames"]["Value"]


def test_what_aws_cannot_change_is_replaced_with_what_depends_on_it(
    change: Step, cloud: CloudProcess
) -> None:
    _, up = change
    replacements = {name: done for name, done in up.moved.items() if name in REPLACED}
    assert replacements["bucket"] == "create-replacement, delete-replaced"
    assert replacements["versions"] == "create-replacement, delete-replaced"
    # one name cannot be had twice
    assert replacements["role"] == "delete-replaced, create-replacement"
    assert up.replaced_by["bucket"] == {"bucket"}
    assert up.replaced_by["role"] == {"path"}

    s3 = cloud.client("s3")
    names = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    assert names & {"changes-before", "changes-after"} == {"changes-after"}
    assert s3.get_bucket_versioning(Bucket="changes-after")["Status"] == "Enabled"
    role = cloud.client("iam").get_role(RoleName="changes-role")["Role"]
    assert role["Path"] == "/after/"


def test_what_leaves_the_program_is_deleted(change: Step, cloud: CloudProcess) -> None:
    _, up = change
    assert up.only("delete") == {"leaving"}
    ssm = cloud.client("ssm")
    assert ssm.get_parameters(Names=["/changes/leaving"])["InvalidParameters"]


def test_other_words_and_another_order_are_no_change(change: Step) -> None:
    _, up = change
    assert {"reworded", "reordered"} <= up.only("same")


def test_a_changed_secret_stays_secret(change: Step, stack: Stack, cloud: CloudProcess) -> None:
    preview, up = change
    for secret in SECRETS:
        assert secret not in stack.state_text
        assert secret not in preview.text + up.text
    stored = cloud.client("ssm").get_parameter(Name="/changes/hidden", WithDecryption=True)
    assert (stored["Parameter"]["Value"], stored["Parameter"]["Version"]) == (SECRETS[True], 2)
    assert stack.state["hidden"]["outputs"]["version"] == 2


@pytest.fixture(scope="module")
def drift(change: Step, stack: Stack, cloud: CloudProcess) -> Step:
    cloud.client("logs").put_retention_policy(logGroupName="/changes/retained", retentionInDays=90)
    cloud.client("s3").put_bucket_tagging(
        Bucket="changes-after", Tagging={"TagSet": [{"Key": "stray", "Value": "yes"}]}
    )
    cloud.client("ssm").delete_parameter(Name="/changes/hidden")
    return stack.refresh(), stack.up(AFTER)


def test_a_refresh_finds_what_changed_and_what_is_missing(drift: Step) -> None:
    refreshed, _ = drift
    assert refreshed.error is None
    assert "~ 2 updated" in refreshed.text
    assert "- 1 deleted" in refreshed.text
    assert refreshed.diffs == {
        "retained": {"retentionInDays"},
        "bucket": {"tags.stray", "tagsAll.stray"},
    }


def test_the_next_up_repairs_drift(drift: Step, cloud: CloudProcess) -> None:
    _, repaired = drift
    assert repaired.error is None
    assert repaired.moved == {"retained": "update", "bucket": "update", "hidden": "create"}
    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix="/changes/")["logGroups"]
    assert [group["retentionInDays"] for group in groups] == [30]
    stored = cloud.client("ssm").get_parameter(Name="/changes/hidden", WithDecryption=True)
    assert stored["Parameter"]["Value"] == SECRETS[True]


def test_deleting_what_is_gone_succeeds_and_says_so(
    drift: Step, stack: Stack, cloud: CloudProcess
) -> None:
    cloud.client("s3").delete_bucket(Bucket="changes-after")
    cloud.client("logs").delete_log_group(logGroupName="/changes/retained")
    destroyed = stack.destroy()
    assert destroyed.error is None
    assert stack.state == {}
    assert "S3 Bucket (changes-after) was gone already" in destroyed.text
    assert "CloudWatch Logs Log Group (/changes/retained) was gone already" in destroyed.text
