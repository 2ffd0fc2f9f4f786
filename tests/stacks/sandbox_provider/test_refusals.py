"""What the engine prints when something is refused, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pulumi
import pulumi_aws as aws
import pytest

from tests.stacks.cloud_process import CloudProcess
from tests.stacks.sandbox_provider.engine import Engine, Stack
from tests.stacks.sandbox_provider.every_type import trust

# a story: the tests follow each other on one stack
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(engine: Engine) -> Stack:
    return engine.stack("refusals")


def unknown_type() -> None:
    aws.sqs.Queue("queue", name="refused")


def unknown_input() -> None:
    aws.s3.Bucket("data", bucket="refused-data", acl="private")


def missing_inputs() -> None:
    aws.cloudwatch.MetricAlarm(
        "alarm", comparison_operator="LessThanThreshold", evaluation_periods=1
    )


def short_password() -> None:
    aws.rds.Instance(
        "db",
        identifier="refused",
        engine="postgres",
        allocated_storage=20,
        instance_class="db.t4g.micro",
        username="hub",
        password=pulumi.Output.secret("sh0rt!"),
    )


@pytest.mark.parametrize(
    ("program", "sentences"),
    [
        (unknown_type, ["the sandbox provider has no resource type aws:sqs/queue:Queue"]),
        (
            unknown_input,
            ["resource 'data' has a problem: acl is not a known input of the sandbox provider"],
        ),
        (
            missing_inputs,
            [f"{name} is required and missing" for name in ("metricName", "period", "threshold")],
        ),
        (short_password, ["resource 'db' has a problem: password must be 8 to 128 characters"]),
    ],
    ids=["unknown type", "unknown input", "missing inputs", "secret input"],
)
def test_a_program_is_refused_by_name_before_anything_is_done(
    stack: Stack, program: Callable[[], None], sentences: list[str]
) -> None:
    refused = stack.preview(program)
    assert refused.error is not None
    for sentence in sentences:
        assert sentence in refused.text
    assert "sh0rt!" not in refused.text


def taken_name() -> None:
    aws.iam.Role("mine", name="somebody-elses", assume_role_policy=trust("ec2.amazonaws.com"))


def test_an_error_of_the_api_names_resource_operation_and_code(
    stack: Stack, cloud: CloudProcess
) -> None:
    iam = cloud.client("iam")
    iam.create_role(RoleName="somebody-elses", AssumeRolePolicyDocument=trust("ec2.amazonaws.com"))
    refused = stack.up(taken_name)
    sentence = "creating IAM Role (somebody-elses): CreateRole: EntityAlreadyExists: "
    assert refused.error is not None
    assert sentence in refused.text
    assert "mine" not in stack.state
    assert stack.pending == []
    iam.delete_role(RoleName="somebody-elses")


def half(*, source: str) -> None:
    rule = aws.ec2.SecurityGroupIngressArgs(
        protocol="tcp", from_port=443, to_port=443, security_groups=[source]
    )
    aws.ec2.SecurityGroup("group", name="half", description="half", ingress=[rule])


def test_what_was_made_half_way_is_in_the_state_and_completed_by_the_next_run(
    stack: Stack, cloud: CloudProcess
) -> None:
    ec2 = cloud.client("ec2")
    failed = stack.up(partial(half, source="sg-00000000"))
    assert failed.error is not None
    sentence = "creating EC2 Security Group (half): AuthorizeSecurityGroupIngress"
    assert f"{sentence}: InvalidGroup.NotFound" in failed.text
    made = stack.state["group"]
    assert made["initErrors"]

    (other, *_) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    completed = stack.up(partial(half, source=other["GroupId"]))
    assert (completed.error, completed.moved) == (None, {"group": "update"})
    named = [{"Name": "group-name", "Values": ["half"]}]
    (group,) = ec2.describe_security_groups(Filters=named)["SecurityGroups"]
    assert group["GroupId"] == made["id"]
    assert group["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == other["GroupId"]


def tagged_and_not() -> None:
    aws.s3.Bucket("data", bucket="refusals-data", force_destroy=True)
    aws.kms.Key("key", description="key")
    role = aws.iam.Role("role", name="refusals", assume_role_policy=trust("ec2.amazonaws.com"))
    policy = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    aws.iam.RolePolicyAttachment("attached", role=role.name, policy_arn=policy)


def test_other_default_tags_update_the_provider_and_what_has_tags(
    stack: Stack, cloud: CloudProcess
) -> None:
    created = stack.up(tagged_and_not, default_tags={"tags": {"team": "a"}})
    assert created.error is None, created.text
    changed = stack.up(tagged_and_not, default_tags={"tags": {"team": "b", "tenant:id": "1"}})
    assert changed.error is None, changed.text
    assert changed.moved == dict.fromkeys(("aws", "data", "key", "role"), "update")
    assert changed.diffs["data"] == {"tagsAll.team", 'tagsAll["tenant:id"]'}
    tags = cloud.client("s3").get_bucket_tagging(Bucket="refusals-data")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "b", "tenant:id": "1"}


def test_another_region_replaces_the_provider_and_everything_of_it(stack: Stack) -> None:
    planned = stack.preview(
        tagged_and_not,
        default_tags={"tags": {"team": "b", "tenant:id": "1"}},
        region="eu-central-1",
    )
    assert planned.error is None
    assert planned.replaced_by["aws"] == {"region"}
    for name in ("data", "key", "role", "attached"):
        assert "create-replacement" in planned.moved[name], name


def test_an_account_that_is_not_allowed_is_refused(stack: Stack) -> None:
    refused = stack.up(tagged_and_not, allowed_account_ids=["999999999999"])
    assert refused.error is not None
    assert "the AWS account 123456789012 is not allowed by the provider" in refused.text
    destroyed = stack.destroy()
    assert (destroyed.error, stack.state) == (None, {})
