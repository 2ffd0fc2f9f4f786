"""With IAM on, the emulated cloud lets a role reach what is its own and nothing of its neighbour.

Two roles with policies of the shape of a slice's: prefix, leading keys, key by alias, secrets by
name. Plain moto refuses both the own and the other's, or lets both through; see
``stacks/sandbox/authorization.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.stacks.cloud_process import REGION, CloudProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ACCOUNT = "123456789012"
BUCKET = "hub-data"
TENANTS = ("one", "two")
TLS_ONLY = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": f"arn:aws:s3:::{BUCKET}/*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


def arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


def role_arn(tenant: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{tenant}"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(actions: str | list[str], resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource, **more}


def role_policy(tenant: str) -> str:
    bucket = f"arn:aws:s3:::{BUCKET}"
    return document(
        allow(["s3:GetObject", "s3:PutObject"], f"{bucket}/tenants/{tenant}/*"),
        allow(
            "s3:ListBucket",
            bucket,
            Condition={"StringLike": {"s3:prefix": [f"tenants/{tenant}/*"]}},
        ),
        allow(
            [f"dynamodb:{each}" for each in ("GetItem", "PutItem", "Query", "BatchGetItem")],
            arn("dynamodb", "table/hub"),
            Condition={
                "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [tenant, f"{tenant}#*"]},
                "Null": {"dynamodb:LeadingKeys": "false"},
            },
        ),
        allow(
            ["kms:Decrypt", "kms:Encrypt"],
            arn("kms", "key/*"),
            Condition={"ForAnyValue:StringEquals": {"kms:ResourceAliases": [f"alias/{tenant}"]}},
        ),
        allow("secretsmanager:GetSecretValue", arn("secretsmanager", f"secret:{tenant}/*")),
        allow("ssm:GetParameter", arn("ssm", f"parameter/{tenant}/*")),
        allow("logs:PutLogEvents", arn("logs", f"log-group:/hub/{tenant}:*")),
    )


def key_policy(tenant: str) -> str:
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    own = {"ArnEquals": {"aws:PrincipalArn": role_arn(tenant)}}
    return document(
        allow(["kms:Encrypt", "kms:Decrypt"], "*", Principal=root, Condition=own),
        allow(["kms:DescribeKey", "kms:CreateAlias"], "*", Principal=root),
    )


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A cloud with IAM on, credentials of both tenants' roles and of a user, and ciphertexts."""

    cloud: CloudProcess
    credentials: dict[str, dict[str, str]]
    user: dict[str, str]
    ciphertexts: dict[str, bytes]

    def client(self, service: str, tenant: str) -> Any:
        return self.cloud.client(service, **self.credentials[tenant])


def credentials_of(answer: dict[str, Any]) -> dict[str, str]:
    return {
        "aws_access_key_id": answer["AccessKeyId"],
        "aws_secret_access_key": answer["SecretAccessKey"],
        "aws_session_token": answer["SessionToken"],
    }


def prepare(cloud: CloudProcess) -> Setting:
    s3, kms, iam = cloud.client("s3"), cloud.client("kms"), cloud.client("iam")
    dynamodb, logs = cloud.client("dynamodb"), cloud.client("logs")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_policy(Bucket=BUCKET, Policy=document(TLS_ONLY))
    dynamodb.create_table(
        TableName="hub",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    boundary = iam.create_policy(
        PolicyName="boundary",
        PolicyDocument=document(
            allow("*", "*"),
            {
                "Effect": "Deny",
                "Action": "*",
                "Resource": "*",
                "Condition": {"StringNotEquals": {"aws:RequestedRegion": [REGION]}},
            },
        ),
    )["Policy"]["Arn"]
    trust = document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    )
    ciphertexts, credentials = {}, {}
    for tenant in TENANTS:
        s3.put_object(Bucket=BUCKET, Key=f"tenants/{tenant}/a", Body=b"a")
        dynamodb.put_item(TableName="hub", Item={"pk": {"S": f"{tenant}#a"}})
        key = kms.create_key(Policy=key_policy(tenant))["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=f"alias/{tenant}", TargetKeyId=key)
        ciphertexts[tenant] = kms.encrypt(KeyId=key, Plaintext=b"a")["CiphertextBlob"]
        cloud.client("secretsmanager").create_secret(Name=f"{tenant}/app", SecretString="a")
        cloud.client("ssm").put_parameter(Name=f"/{tenant}/a", Value="a", Type="String")
        logs.create_log_group(logGroupName=f"/hub/{tenant}")
        logs.create_log_stream(logGroupName=f"/hub/{tenant}", logStreamName="a")
        iam.create_role(
            RoleName=tenant, AssumeRolePolicyDocument=trust, PermissionsBoundary=boundary
        )
        iam.put_role_policy(RoleName=tenant, PolicyName="hub", PolicyDocument=role_policy(tenant))
        answer = cloud.client("sts").assume_role(RoleArn=role_arn(tenant), RoleSessionName="test")
        credentials[tenant] = credentials_of(answer["Credentials"])
    iam.create_user(UserName="operator")
    iam.put_user_policy(
        UserName="operator",
        PolicyName="all",
        PolicyDocument=document(allow(["sts:*", "kms:*"], "*")),
    )
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    user = {
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
    }
    cloud.post("/moto-api/reset-auth", "0")
    return Setting(cloud=cloud, credentials=credentials, user=user, ciphertexts=ciphertexts)


@pytest.fixture(scope="module")
def setting() -> Iterator[Setting]:
    with CloudProcess() as cloud:
        yield prepare(cloud)


Act = Callable[[Setting, str, str], Any]

# what -> how the role of one tenant (second argument) touches what is the third's
ACTS: dict[str, Act] = {
    "read an object": lambda s, by, of: s.client("s3", by).get_object(
        Bucket=BUCKET, Key=f"tenants/{of}/a"
    ),
    "look at an object": lambda s, by, of: s.client("s3", by).head_object(
        Bucket=BUCKET, Key=f"tenants/{of}/a"
    ),
    "write an object": lambda s, by, of: s.client("s3", by).put_object(
        Bucket=BUCKET, Key=f"tenants/{of}/b", Body=b"b"
    ),
    "copy an object to its own": lambda s, by, of: s.client("s3", by).copy_object(
        Bucket=BUCKET,
        Key=f"tenants/{by}/copied",
        CopySource={"Bucket": BUCKET, "Key": f"tenants/{of}/a"},
    ),
    "list objects": lambda s, by, of: s.client("s3", by).list_objects_v2(
        Bucket=BUCKET, Prefix=f"tenants/{of}/"
    ),
    "read an item": lambda s, by, of: s.client("dynamodb", by).get_item(
        TableName="hub", Key={"pk": {"S": f"{of}#a"}}
    ),
    "write an item": lambda s, by, of: s.client("dynamodb", by).put_item(
        TableName="hub", Item={"pk": {"S": f"{of}#b"}}
    ),
    "query items": lambda s, by, of: s.client("dynamodb", by).query(
        TableName="hub",
        KeyConditionExpression="#k = :v",
        ExpressionAttributeNames={"#k": "pk"},
        ExpressionAttributeValues={":v": {"S": f"{of}#a"}},
    ),
    "read items of both": lambda s, by, of: s.client("dynamodb", by).batch_get_item(
        RequestItems={"hub": {"Keys": [{"pk": {"S": f"{t}#a"}} for t in {by, of}]}}
    ),
    "decrypt": lambda s, by, of: s.client("kms", by).decrypt(CiphertextBlob=s.ciphertexts[of]),
    "encrypt": lambda s, by, of: s.client("kms", by).encrypt(KeyId=f"alias/{of}", Plaintext=b"b"),
    "read a secret": lambda s, by, of: s.client("secretsmanager", by).get_secret_value(
        SecretId=f"{of}/app"
    ),
    "read a parameter": lambda s, by, of: s.client("ssm", by).get_parameter(Name=f"/{of}/a"),
    "write a log": lambda s, by, of: s.client("logs", by).put_log_events(
        logGroupName=f"/hub/{of}",
        logStreamName="a",
        logEvents=[{"timestamp": 1_800_000_000_000, "message": "a"}],
    ),
}


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as error:
        call()
    return str(error.value.response["Error"]["Code"])


@pytest.mark.parametrize("what", ACTS)
def test_a_role_reaches_its_own_and_not_its_neighbours(what: str, setting: Setting) -> None:
    act = ACTS[what]
    for by, of in (TENANTS, TENANTS[::-1]):
        act(setting, by, by)
        assert refused(partial(act, setting, by, of)) in {
            "AccessDenied",
            "AccessDeniedException",
            "403",  # a HEAD has no body to name the error in
        }


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("scan", lambda s: s.client("dynamodb", "one").scan(TableName="hub")),
        ("list all", lambda s: s.client("s3", "one").list_objects_v2(Bucket=BUCKET)),
        ("list secrets", lambda s: s.client("secretsmanager", "one").list_secrets()),
        ("change rights", lambda s: s.client("iam", "one").delete_role_policy(
            RoleName="two", PolicyName="hub")),
        ("become the other", lambda s: s.client("sts", "one").assume_role(
            RoleArn=role_arn("two"), RoleSessionName="test")),
    ],
)  # fmt: skip
def test_what_nobody_allowed_is_refused(
    what: str, call: Callable[[Setting], Any], setting: Setting
) -> None:
    assert refused(lambda: call(setting)).startswith("AccessDenied"), what


def test_the_boundary_keeps_a_role_in_its_region(setting: Setting) -> None:
    elsewhere = setting.cloud.client("kms", region="us-east-1", **setting.credentials["one"])
    assert refused(elsewhere.list_keys) == "AccessDeniedException"


def test_a_key_that_does_not_name_the_user_is_closed_to_an_allowed_user(setting: Setting) -> None:
    kms = setting.cloud.client("kms", **setting.user)
    assert kms.describe_key(KeyId="alias/one")["KeyMetadata"]["Enabled"]
    code = refused(lambda: kms.decrypt(CiphertextBlob=setting.ciphertexts["one"]))
    assert code == "AccessDeniedException"


def test_the_trust_policy_is_asked(setting: Setting) -> None:
    sts = setting.cloud.client("sts", **setting.user)
    code = refused(lambda: sts.assume_role(RoleArn=role_arn("one"), RoleSessionName="test"))
    assert code == "AccessDenied"


def test_keys_that_nobody_gave_out_are_refused(setting: Setting) -> None:
    assert refused(lambda: setting.cloud.client("s3").list_buckets()) == "InvalidAccessKeyId"


def test_who_one_is_can_always_be_asked(setting: Setting) -> None:
    who = setting.client("sts", "one").get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/one/test"


def test_a_refusal_names_who_what_and_where(setting: Setting) -> None:
    with pytest.raises(ClientError) as error:
        ACTS["read a secret"](setting, "one", "two")
    message = error.value.response["Error"]["Message"]
    assert "assumed-role/one/test is not authorized to perform" in message
    assert "secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager" in message


def test_plain_moto_still_needs_this() -> None:
    with CloudProcess(module="tests.stacks.plain_moto") as plain:
        s3, iam = plain.client("s3"), plain.client("iam")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_policy(Bucket=BUCKET, Policy=document(TLS_ONLY))
        put = partial(s3.put_object, Bucket=BUCKET, Key="a", Body=b"a")
        assert refused(put) == "403", "moto is mended: it looks at conditions of bucket policies"
        key = plain.client("kms").create_key()["KeyMetadata"]
        iam.create_user(UserName="user")
        own_key = document(allow("kms:DescribeKey", key["Arn"]))
        iam.put_user_policy(UserName="user", PolicyName="own", PolicyDocument=own_key)
        access_key = iam.create_access_key(UserName="user")["AccessKey"]
        plain.post("/moto-api/reset-auth", "0")
        kms = plain.client(
            "kms",
            aws_access_key_id=access_key["AccessKeyId"],
            aws_secret_access_key=access_key["SecretAccessKey"],
        )
        look = partial(kms.describe_key, KeyId=key["KeyId"])
        assert refused(look) == "403", "moto is mended: it knows the resource of a call to KMS"
