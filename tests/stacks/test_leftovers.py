"""What is left of a deployment is found by tag or by name, and what has to remain is told apart.

Nothing is deployed here: what is found was made by hand, as whatever a removal overlooked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.stacks.cloud_process import CloudProcess, silent
from tests.stacks.runner_calls import Desk, Message

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TAG = "tenantplane:deployment"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "x.amazonaws.com"}}
]})  # fmt: skip
ANYTHING = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::x/*"}
]})  # fmt: skip
Make = Callable[[CloudProcess, str, str], str]  # short, deployment -> what is found


def look(desk: Desk, **changes: Any) -> Message:
    found: Message = desk.result("look", desired="absent", **changes)["look"]
    return found


def failing(found: Message) -> dict[str, str]:
    return {c["name"]: c["detail"] for c in found["checks"] if not c["ok"]}


def pairs(deployment: str) -> list[dict[str, str]]:
    return [{"Key": TAG, "Value": deployment}]


# --- tagged, and called something else ----------------------------------------------------------
def queue(cloud: CloudProcess, _short: str, deployment: str) -> str:
    """A service that no program of ours uses."""
    cloud.client("sqs").create_queue(QueueName=f"of-{deployment}", tags={TAG: deployment})
    return f"of-{deployment}"


def key(cloud: CloudProcess, _short: str, deployment: str) -> str:
    tags = [{"TagKey": TAG, "TagValue": deployment}]
    made = cloud.client("kms").create_key(Tags=tags)
    return str(made["KeyMetadata"]["KeyId"])


def role(cloud: CloudProcess, _short: str, deployment: str) -> str:
    cloud.client("iam").create_role(
        RoleName=f"of-{deployment}", AssumeRolePolicyDocument=TRUST, Tags=pairs(deployment)
    )
    return f"of-{deployment}"


def policy(cloud: CloudProcess, _short: str, deployment: str) -> str:
    cloud.client("iam").create_policy(
        PolicyName=f"of-{deployment}", Tags=pairs(deployment),
        PolicyDocument=ANYTHING,
    )  # fmt: skip
    return f"of-{deployment}"


def network(cloud: CloudProcess, _short: str, deployment: str) -> str:
    tags = [{"ResourceType": "vpc", "Tags": pairs(deployment)}]
    made = cloud.client("ec2").create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tags)
    return str(made["Vpc"]["VpcId"])


def parameter_group(cloud: CloudProcess, _short: str, deployment: str) -> str:
    name = f"of-{deployment.lower().replace('_', '-')}"
    cloud.client("rds").create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily="postgres16", Description="x",
        Tags=pairs(deployment),
    )  # fmt: skip
    return name


@pytest.mark.parametrize("make", [queue, key, role, policy, network, parameter_group])
def test_what_only_carries_the_tag_is_found(
    desk: Desk, runner_cloud: CloudProcess, make: Make
) -> None:
    owner = desk.spec["owner"]
    name = make(runner_cloud, owner["short"], owner["deployment"])
    found = look(desk)
    assert set(failing(found)) == {"nothing_by_tag"}
    assert name in failing(found)["nothing_by_tag"]
    assert [(d["kind"], name in d["subject"]) for d in found["drift"]] == [("foreign", True)]
    assert (found["unanswered"], found["remaining"]) == ("", [])


# --- called so, and without a tag ---------------------------------------------------------------
def named_role(cloud: CloudProcess, short: str, _deployment: str) -> str:
    cloud.client("iam").create_role(RoleName=f"{short}-more", AssumeRolePolicyDocument=TRUST)
    return f"iam:role {short}-more"


def named_bucket(cloud: CloudProcess, short: str, _deployment: str) -> str:
    place = {"LocationConstraint": "eu-west-1"}
    cloud.client("s3").create_bucket(Bucket=f"{short}-x", CreateBucketConfiguration=place)
    return f"s3:bucket {short}-x"


def named_table(cloud: CloudProcess, short: str, _deployment: str) -> str:
    cloud.client("dynamodb").create_table(
        TableName=f"{short}-x", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )  # fmt: skip
    return f"dynamodb:table {short}-x"


def named_secret(cloud: CloudProcess, short: str, _deployment: str) -> str:
    made = cloud.client("secretsmanager").create_secret(Name=f"{short}/x", SecretString="x")
    return f"secretsmanager:secret {made['ARN'].rpartition(':')[2]}"


def named_parameter(cloud: CloudProcess, short: str, _deployment: str) -> str:
    name = f"/tenantplane/{short}/x"
    cloud.client("ssm").put_parameter(Name=name, Value="1", Type="String")
    return f"ssm:parameter {name}"


def named_logs(cloud: CloudProcess, short: str, _deployment: str) -> str:
    name = f"/tenantplane/hub-a-k3m9x2/tenants/{short}/x"
    cloud.client("logs").create_log_group(logGroupName=name)
    return f"logs:log-group {name}"


def named_alias(cloud: CloudProcess, short: str, _deployment: str) -> str:
    kms = cloud.client("kms")
    made = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=f"alias/{short}-x", TargetKeyId=made)
    return f"kms:alias {short}-x"


def named_database(cloud: CloudProcess, short: str, _deployment: str) -> str:
    cloud.client("rds").create_db_instance(
        DBInstanceIdentifier=f"{short}-x", DBInstanceClass="db.t4g.micro", Engine="postgres",
        MasterUsername="somebody", MasterUserPassword="something", AllocatedStorage=20,
    )  # fmt: skip
    return f"rds:db {short}-x"


def named_alarm(cloud: CloudProcess, short: str, _deployment: str) -> str:
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{short}-x", Namespace="x", MetricName="x", Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    return f"cloudwatch:alarm {short}-x"


def named_network(cloud: CloudProcess, short: str, _deployment: str) -> str:
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": f"{short}-vpc"}]}]
    made = cloud.client("ec2").create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tags)
    return f"ec2:vpc {made['Vpc']['VpcId']}"


def named_group(cloud: CloudProcess, short: str, _deployment: str) -> str:
    made = cloud.client("ec2").create_security_group(GroupName=f"{short}-x", Description="x")
    return f"ec2:security-group {made['GroupId']}"


@pytest.mark.parametrize(
    "make",
    [
        named_role,
        named_bucket,
        named_table,
        named_secret,
        named_parameter,
        named_logs,
        named_alias,
        named_database,
        named_alarm,
        named_network,
        named_group,
    ],
)
def test_what_only_has_the_name_is_found(
    desk: Desk, runner_cloud: CloudProcess, make: Make
) -> None:
    owner = desk.spec["owner"]
    name = make(runner_cloud, owner["short"], owner["deployment"])
    found = look(desk)
    assert failing(found) == {"nothing_by_name": f"still in the cloud: {name}"}
    assert [(d["kind"], d["subject"]) for d in found["drift"]] == [("foreign", name)]


def test_what_a_slice_has_in_the_stores_of_its_hub_is_found(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    short, hub = desk.spec["owner"]["short"], desk.spec["hub"]
    bucket, table = f"hub-{short}-data", f"hub-{short}-hub"
    desk.spec = {**desk.spec, "hub": {**hub, "data_bucket": bucket, "table_name": table}}
    assert failing(look(desk)) == {}
    s3, dynamodb = runner_cloud.client("s3"), runner_cloud.client("dynamodb")
    place = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    types = {"pk": "HASH", "sk": "RANGE"}
    dynamodb.create_table(
        TableName=table, BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": n, "KeyType": t} for n, t in types.items()],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in types],
    )  # fmt: skip
    for other in ("", f"{short}x"):  # of a neighbour whose name begins so
        s3.put_object(Bucket=bucket, Key=f"tenants/{other or 'any'}/1", Body=b"x")
        item = {"pk": {"S": other or "any"}, "sk": {"S": "1"}}
        dynamodb.put_item(TableName=table, Item=item)
    assert failing(look(desk)) == {}
    s3.put_object(Bucket=bucket, Key=f"tenants/{short}/1", Body=b"x")
    dynamodb.put_item(TableName=table, Item={"pk": {"S": f"{short}#1"}, "sk": {"S": "1"}})
    assert failing(look(desk)) == {
        "nothing_by_name": f"still in the cloud: dynamodb:items {table}/{short}, "
        f"s3:objects {bucket}/tenants/{short}/"
    }


def test_what_has_to_remain_is_no_fault_and_has_its_date(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    cloud, owner = runner_cloud, desk.spec["owner"]
    short, deployment = owner["short"], owner["deployment"]
    waits = key(cloud, short, deployment)
    cloud.client("kms").schedule_key_deletion(KeyId=waits, PendingWindowInDays=7)
    named_secret(cloud, short, deployment)
    manager = cloud.client("secretsmanager")
    manager.delete_secret(SecretId=f"{short}/x", RecoveryWindowInDays=10)
    named_database(cloud, short, deployment)
    rds = cloud.client("rds")
    rds.delete_db_instance(
        DBInstanceIdentifier=f"{short}-x", FinalDBSnapshotIdentifier=f"{short}-x-final"
    )
    named_table(cloud, short, deployment)
    dynamodb = cloud.client("dynamodb")
    dynamodb.create_backup(TableName=f"{short}-x", BackupName="last")
    dynamodb.delete_table(TableName=f"{short}-x")
    found = look(desk)
    assert (failing(found), found["drift"]) == ({}, [])
    remaining = {r["kind"]: r for r in found["remaining"]}
    assert set(remaining) == {
        "kms:key", "secretsmanager:secret", "rds:snapshot", "dynamodb:backup"
    }  # fmt: skip
    assert all(r["why"].endswith(".") and r["arn"].startswith("arn:") for r in remaining.values())
    assert remaining["kms:key"]["id"] == waits
    assert days_until(remaining["kms:key"]) == 7
    assert days_until(remaining["secretsmanager:secret"]) == 10
    snapshot = remaining["rds:snapshot"]
    assert (snapshot["id"], snapshot["until"]) == (f"{short}-x-final", None)
    assert len(found["remaining"]) == 4
    rds.delete_db_snapshot(DBSnapshotIdentifier=f"{short}-x-final")
    assert "rds:snapshot" not in {r["kind"] for r in look(desk)["remaining"]}


def days_until(remaining: Message) -> int:
    until = datetime.fromisoformat(remaining["until"])
    assert remaining["until"].endswith("Z")
    return round((until - datetime.now(UTC)) / timedelta(days=1))


def test_what_is_another_deployments_is_not_ours(desk: Desk, runner_cloud: CloudProcess) -> None:
    short = desk.spec["owner"]["short"]
    for make in (named_role, named_bucket, named_table, named_secret, named_parameter, named_alarm,
                 named_network, named_group, named_alias, named_logs, named_database):  # fmt: skip
        make(runner_cloud, f"{short}0", "")
    for make in (queue, key, role):
        make(runner_cloud, short, f"{desk.spec['owner']['deployment']}0")
    found = look(desk)
    assert (failing(found), found["drift"], found["remaining"]) == ({}, [], [])


# --- no answer is no proof ----------------------------------------------------------------------
@contextmanager
def refusing(cloud: CloudProcess, service: str) -> Iterator[str]:
    """Yield an endpoint of the cloud at which one service refuses everything."""

    class Door(BaseHTTPRequestHandler):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if f"/{service}/aws4_request" in self.headers.get("Authorization", ""):
                status, headers = 400, {"Content-Type": "application/x-amz-json-1.1"}
                content = b'{"__type": "AccessDeniedException", "Message": "no"}'
            else:
                answer = httpx.request(
                    self.command, cloud.endpoint + self.path, content=body, timeout=60,
                    headers={k: v for k, v in self.headers.items() if k.lower() != "host"},
                )  # fmt: skip
                status, content = answer.status_code, answer.content
                headers = {"Content-Type": answer.headers.get("Content-Type", "")}
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.mark.parametrize(
    ("service", "checks", "named"),
    [
        ("tagging", {"nothing_by_tag"}, "the tagging service (AccessDenied"),
        ("kms", {"nothing_by_tag", "nothing_by_name"}, "kms (AccessDenied"),
        ("secretsmanager", {"nothing_by_name"}, "what can be restored (AccessDenied"),
        ("dynamodb", {"nothing_by_name"}, "the Hub's table (AccessDenied"),
    ],
)
def test_a_service_that_refuses_proves_nothing(
    desk: Desk, runner_cloud: CloudProcess, service: str, checks: set[str], named: str
) -> None:
    with refusing(runner_cloud, service) as endpoint:
        desk.endpoint = endpoint
        found = look(desk)
    assert set(failing(found)) == checks
    assert all("did not respond: " in detail for detail in failing(found).values())
    assert named in found["unanswered"]


def test_a_cloud_that_is_silent_proves_nothing(desk: Desk, runner_cloud: CloudProcess) -> None:
    with silent(runner_cloud):
        found = look(desk, deadlines={"verify_seconds": 2.0})
    assert set(failing(found)) == {"nothing_by_tag", "nothing_by_name"}
    assert "not asked within the deadline" in found["unanswered"]


@pytest.mark.parametrize("service", ["s3", "dynamodb", "secretsmanager", "ssm"])
def test_a_store_that_cannot_be_counted_is_not_empty(
    desk: Desk, runner_cloud: CloudProcess, service: str
) -> None:
    desk.result("up")
    with refusing(runner_cloud, service) as endpoint:
        desk.endpoint = endpoint
        stores = desk.result("contents", has_state=True)["stores"]
    of_service = {"s3": "aws:s3/", "dynamodb": "aws:dynamodb/", "ssm": "aws:ssm/",
                  "secretsmanager": "aws:secretsmanager/"}[service]  # fmt: skip
    refused = [s for s in stores if s["type"].startswith(of_service)]
    assert refused
    assert all((s["countable"], s["items"]) == (False, None) for s in refused)
    assert all("did not respond: " in s["detail"] for s in refused)
    assert all(s["countable"] for s in stores if s not in refused)
