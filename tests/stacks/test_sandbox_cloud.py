"""The emulated cloud keeps what was acknowledged, over any end."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stacks.sandbox.journal import Journal, JournalUnusable
from tests.stacks.cloud_process import CloudProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"},
        ],
    }
)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "cloud.journal"


@pytest.fixture(scope="module")
def shared_journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared") / "cloud.journal"


@pytest.fixture(scope="module")
def cloud(shared_journal: Path) -> Iterator[CloudProcess]:
    """One cloud for the tests that neither end nor reset it."""
    with CloudProcess(shared_journal) as running:
        yield running


def build_something_of_everything(cloud: CloudProcess) -> dict[str, Any]:
    """Create resources in nine services; return what is needed to look at them again."""
    ec2, kms, iam = cloud.client("ec2"), cloud.client("kms"), cloud.client("iam")
    s3, secrets = cloud.client("s3"), cloud.client("secretsmanager")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{i}.0/24", AvailabilityZone=f"eu-west-1{z}")
        for i, z in enumerate("ab")
    ]
    subnet_ids = [each["Subnet"]["SubnetId"] for each in subnets]
    ec2.create_key_pair(KeyName="rsa")
    ec2.create_key_pair(KeyName="ed25519", KeyType="ed25519")
    key = kms.create_key(Description="data")["KeyMetadata"]["KeyId"]
    signing = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"][
        "KeyId"
    ]
    cipher = kms.encrypt(KeyId=key, Plaintext=b"kept")["CiphertextBlob"]
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=TRUST)
    user_key = iam.create_user(UserName="ada") and iam.create_access_key(UserName="ada")
    s3.create_bucket(Bucket="memory", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_versioning(Bucket="memory", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="memory", Key="a/ü", Body=b"x" * 100_000, Metadata={"under_score": "1"})
    secrets.create_secret(Name="app", SecretString="s3cret")
    cloud.client("rds").create_db_instance(
        DBInstanceIdentifier="hub", DBInstanceClass="db.t4g.small", Engine="postgres",
        AllocatedStorage=20, MasterUsername="hub", ManageMasterUserPassword=True,
    )  # fmt: skip
    cloud.client("dynamodb").create_table(
        TableName="hub",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    cloud.client("dynamodb").put_item(TableName="hub", Item={"pk": {"S": "one"}})
    cloud.client("logs").create_log_group(logGroupName="/hub")
    cloud.client("ssm").put_parameter(Name="/hub/size", Value="9", Type="SecureString")
    return {
        "vpc": vpc,
        "subnets": subnet_ids,
        "key": key,
        "signing": signing,
        "cipher": cipher,
        "access_key": user_key["AccessKey"]["AccessKeyId"],
    }


def look_at_everything(cloud: CloudProcess, made: dict[str, Any]) -> dict[str, Any]:
    """Read everything back."""
    ec2, kms, iam = cloud.client("ec2"), cloud.client("kms"), cloud.client("iam")
    s3, secrets = cloud.client("s3"), cloud.client("secretsmanager")
    seen = {
        "vpcs": ec2.describe_vpcs()["Vpcs"],
        "subnets": ec2.describe_subnets()["Subnets"],
        "groups": ec2.describe_security_groups()["SecurityGroups"],
        "key pairs": ec2.describe_key_pairs()["KeyPairs"],
        "key": kms.describe_key(KeyId=made["key"])["KeyMetadata"],
        "signing key": kms.get_public_key(KeyId=made["signing"])["PublicKey"],
        "aws key": kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"],
        "plain": kms.decrypt(CiphertextBlob=made["cipher"])["Plaintext"],
        "role": iam.get_role(RoleName="reader")["Role"],
        "access keys": iam.list_access_keys(UserName="ada")["AccessKeyMetadata"],
        "object": s3.get_object(Bucket="memory", Key="a/ü")["Body"].read(),
        "versions": s3.list_object_versions(Bucket="memory")["Versions"],
        "metadata": s3.head_object(Bucket="memory", Key="a/ü")["Metadata"],
        "secret": secrets.describe_secret(SecretId="app"),
        "secret value": secrets.get_secret_value(SecretId="app")["SecretString"],
        "database": cloud.client("rds").describe_db_instances()["DBInstances"],
        "table": cloud.client("dynamodb").describe_table(TableName="hub")["Table"],
        "items": cloud.client("dynamodb").scan(TableName="hub")["Items"],
        "log groups": cloud.client("logs").describe_log_groups()["logGroups"],
        "parameter": cloud.client("ssm").get_parameter(Name="/hub/size")["Parameter"],
        "elsewhere": cloud.client("ec2", region="us-west-2").describe_vpcs()["Vpcs"],
    }
    seen["secret"].pop("ResponseMetadata")
    for database in seen["database"]:
        database.pop("LatestRestorableTime")  # it is the present time, in AWS too
    return seen


def test_after_a_kill_every_answer_is_the_same(journal: Path) -> None:
    with CloudProcess(journal) as first:
        made = build_something_of_everything(first)
        before = look_at_everything(first, made)
        first.kill()
    with CloudProcess(journal) as second:
        assert second.ready["replayed"] > 20
        assert second.ready["differing"] == 0
        assert look_at_everything(second, made) == before
        assert before["plain"] == b"kept"
        # and it goes on as if nothing had been
        second.client("s3").put_object(Bucket="memory", Key="b", Body=b"later")
        after = look_at_everything(second, made)
        second.kill()
    with CloudProcess(journal) as third:
        assert third.ready["differing"] == 0
        assert look_at_everything(third, made) == after


def test_two_clouds_do_not_make_the_same_secrets(tmp_path: Path) -> None:
    material = []
    for name in ("one", "two"):
        with CloudProcess(tmp_path / name) as cloud:
            kms = cloud.client("kms")
            key = kms.create_key()["KeyMetadata"]["KeyId"]
            for _ in range(2):
                data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
                material.append(data_key["Plaintext"])
    assert len(set(material)) == 4


def test_eight_concurrent_clients_lose_nothing(journal: Path) -> None:
    def work(cloud: CloudProcess, worker: int) -> None:
        s3, secrets = cloud.client("s3"), cloud.client("secretsmanager")
        for number in range(12):
            name = f"w{worker}-{number}"
            s3.create_bucket(
                Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
            )
            secrets.create_secret(Name=name, SecretString=name)
            s3.list_buckets()

    with CloudProcess(journal) as cloud:
        with ThreadPoolExecutor(max_workers=8) as workers:
            for done in [workers.submit(work, cloud, number) for number in range(8)]:
                done.result(timeout=120)
        before = cloud.client("secretsmanager").list_secrets(MaxResults=100)["SecretList"]
        cloud.kill()
    with CloudProcess(journal) as again:
        assert again.ready["differing"] == 0
        assert len(again.client("s3").list_buckets()["Buckets"]) == 96
        assert again.client("secretsmanager").list_secrets(MaxResults=100)["SecretList"] == before
        assert len(before) == 96


def test_a_torn_last_line_is_cut_off(journal: Path) -> None:
    with CloudProcess(journal) as cloud:
        cloud.client("sqs").create_queue(QueueName="kept")
        cloud.kill()
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole.splitlines(keepends=True)[-1][:-20])
    with CloudProcess(journal) as cloud:
        assert cloud.ready["differing"] == 0
        assert len(cloud.client("sqs").list_queues()["QueueUrls"]) == 1
        cloud.client("sqs").create_queue(QueueName="later")
        cloud.kill()
    with CloudProcess(journal) as cloud:
        assert cloud.ready["differing"] == 0
        assert len(cloud.client("sqs").list_queues()["QueueUrls"]) == 2


def test_a_damaged_line_in_the_middle_is_refused_and_nothing_is_cut(journal: Path) -> None:
    with CloudProcess(journal) as cloud:
        for name in ("one", "two", "three"):
            cloud.client("sqs").create_queue(QueueName=name)
    lines = journal.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:2], lines[2][:-30] + b"\n", *lines[3:]])
    journal.write_bytes(damaged)
    result = run_to_its_end("--journal", str(journal))
    assert result.returncode == 1
    assert "Line 3 of the journal" in result.stderr
    assert result.stderr.count("\n") == 1
    assert journal.read_bytes() == damaged


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("do not lose this")
    with pytest.raises(JournalUnusable, match="move it away"):
        Journal(notes, moto_version="5.2.5", account="123456789012")
    assert notes.read_text() == "do not lose this"


def test_a_reset_survives_a_restart(journal: Path) -> None:
    with CloudProcess(journal) as cloud:
        cloud.client("sqs").create_queue(QueueName="gone")
        cloud.client("ec2").describe_vpcs()
        cloud.post("/moto-api/reset")
        cloud.client("sqs").create_queue(QueueName="there")
        before = cloud.client("ec2").describe_vpcs()["Vpcs"]
        cloud.kill()
    with CloudProcess(journal) as cloud:
        assert cloud.ready["differing"] == 0
        urls = cloud.client("sqs").list_queues()["QueueUrls"]
        assert [url.rsplit("/", 1)[1] for url in urls] == ["there"]
        assert cloud.client("ec2").describe_vpcs()["Vpcs"] == before


def test_access_logs_written_by_reads_survive(journal: Path) -> None:
    where = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    with CloudProcess(journal) as cloud:
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket="data", **where)
        s3.create_bucket(Bucket="logs", **where)
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "logging.s3.amazonaws.com"},
                    "Action": "s3:PutObject",
                    "Resource": "arn:aws:s3:::logs/*",
                }
            ],
        }
        s3.put_bucket_policy(Bucket="logs", Policy=json.dumps(policy))
        target = {"TargetBucket": "logs", "TargetPrefix": "l/"}
        s3.put_bucket_logging(Bucket="data", BucketLoggingStatus={"LoggingEnabled": target})
        s3.list_objects_v2(Bucket="data")
        before = s3.list_objects_v2(Bucket="logs")["Contents"]
        cloud.kill()
    with CloudProcess(journal) as cloud:
        assert cloud.ready["differing"] == 0
        assert cloud.client("s3").list_objects_v2(Bucket="logs")["Contents"] == before


def test_without_a_journal_it_forgets() -> None:
    with CloudProcess() as cloud:
        cloud.client("sqs").create_queue(QueueName="gone")
    with CloudProcess() as cloud:
        assert cloud.ready["replayed"] == 0
        assert "QueueUrls" not in cloud.client("sqs").list_queues()


def test_the_journal_is_readable_by_its_owner_only(
    cloud: CloudProcess, shared_journal: Path
) -> None:
    assert stat.S_IMODE(shared_journal.stat().st_mode) == 0o600


def test_what_moto_lacks_is_named_in_the_protocol_of_the_request(cloud: CloudProcess) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "securityhub: PATCH /accounts": lambda: cloud.client(
            "securityhub"
        ).update_security_hub_configuration(AutoEnableControls=True),
        "ec2: DescribeNetworkInsightsAnalyses": lambda: cloud.client(
            "ec2"
        ).describe_network_insights_analyses(),
        "route53: GET /2013-04-01/trafficpolicies": lambda: cloud.client(
            "route53"
        ).list_traffic_policies(),
        "logs: ListAnomalies": lambda: cloud.client("logs").list_anomalies(),
    }
    for name, call in calls.items():
        with pytest.raises(ClientError) as refused:
            call()
        answer = refused.value.response
        assert answer["Error"]["Code"] == "NotImplemented", answer
        assert answer["Error"]["Message"] == f"The emulated cloud does not support {name}"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_instance_types_of_a_region_are_still_known(cloud: CloudProcess) -> None:
    found = cloud.client("ec2").describe_instance_type_offerings(
        Filters=[{"Name": "instance-type", "Values": ["t3.micro"]}]
    )
    assert [each["InstanceType"] for each in found["InstanceTypeOfferings"]] == ["t3.micro"]


def test_managed_policies_can_be_attached(cloud: CloudProcess) -> None:
    iam = cloud.client("iam")
    iam.create_role(RoleName="execution", AssumeRolePolicyDocument=TRUST)
    arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
    iam.attach_role_policy(RoleName="execution", PolicyArn=arn)
    attached = iam.list_attached_role_policies(RoleName="execution")["AttachedPolicies"]
    assert [each["PolicyArn"] for each in attached] == [arn]


def run_to_its_end(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stacks.sandbox.cloud", "--port", "0", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL
    )


def test_a_taken_port_is_refused_in_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_to_its_end("--port", str(port))
    assert result.returncode == 5
    assert result.stdout == ""
    assert f"port {port}" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_journal_in_use_is_refused_in_one_sentence(
    cloud: CloudProcess, shared_journal: Path
) -> None:
    result = run_to_its_end("--journal", str(shared_journal))
    assert result.returncode == 5
    assert "in use by another emulated cloud" in result.stderr
    assert result.stderr.count("\n") == 1


def test_another_account_needs_another_journal(journal: Path) -> None:
    with CloudProcess(journal):
        pass
    result = run_to_its_end("--journal", str(journal), "--account", "210987654321")
    assert result.returncode == 1
    assert "version and account" in result.stderr


@pytest.mark.parametrize("arguments", [("--port", "70000"), ("--account", "12"), ("--port", "x")])
def test_wrong_arguments_are_usage_errors(arguments: tuple[str, ...]) -> None:
    result = run_to_its_end(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_it_listens_on_loopback_only(cloud: CloudProcess) -> None:
    port = int(cloud.endpoint.rsplit(":", 1)[1])
    assert cloud.endpoint == f"http://127.0.0.1:{port}"
    listening = Path("/proc/net/tcp")
    if not listening.exists():
        pytest.skip("this system has no /proc/net/tcp to read listening addresses from")
    wanted = f":{port:04X}"
    local = [line.split()[1] for line in listening.read_text().splitlines()[1:]]
    assert {each for each in local if each.endswith(wanted)} == {f"0100007F{wanted}"}
