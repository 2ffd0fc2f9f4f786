"""Signs in a plan: protection that goes, rights that grow, rights on a whole account."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies.priced import priced_of
from policies.risk_signs import ACCOUNT_WIDE, PROTECTION, WIDENING, Sign, signs_of

MARK = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
TYPES = {
    "group": "aws:ec2/securityGroup:SecurityGroup",
    "ingress": "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    "bucket": "aws:s3/bucket:Bucket",
    "bucket_policy": "aws:s3/bucketPolicy:BucketPolicy",
    "block": "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    "versioning": "aws:s3/bucketVersioning:BucketVersioning",
    "db": "aws:rds/instance:Instance",
    "key": "aws:kms/key:Key",
    "table": "aws:dynamodb/table:Table",
    "logs": "aws:cloudwatch/logGroup:LogGroup",
    "role": "aws:iam/role:Role",
    "role_policy": "aws:iam/rolePolicy:RolePolicy",
    "policy": "aws:iam/policy:Policy",
    "attachment": "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "endpoint": "aws:ec2/vpcEndpoint:VpcEndpoint",
    "secret": "aws:secretsmanager/secret:Secret",
    "parameter": "aws:ssm/parameter:Parameter",
}


def change(path: str, before: Any, after: Any, kind: str = "update", **more: Any) -> dict[str, Any]:
    return {"path": path, "kind": kind, "before": before, "after": after, **more}


class Plan:
    """A plan of a few operations, with the inputs that they lead to."""

    def __init__(self) -> None:
        self.operations: list[dict[str, Any]] = []
        self.resources: list[dict[str, Any]] = []

    def does(
        self,
        op: str,
        what: str,
        *changes: dict[str, Any],
        options: tuple[str, ...] = (),
        protect: bool = False,
        **inputs: Any,
    ) -> Plan:
        kind, urn = TYPES[what], f"urn:pulumi:s::p::{TYPES[what]}::{what}{len(self.operations)}"
        self.operations.append(
            {"urn": urn, "type": kind, "name": what, "op": op, "changes": list(changes),
             "options": list(options)}
        )  # fmt: skip
        self.resources.append(
            {"urn": urn, "type": kind, "name": what, "operation": op, "protect": protect,
             "inputs": {**{c["path"]: c["after"] for c in changes if "." not in c["path"]},
                        **inputs}}
        )  # fmt: skip
        return self

    def signs(self) -> tuple[Sign, ...]:
        return signs_of(self.operations, self.resources)

    def sign(self) -> tuple[str, str]:
        (found,) = self.signs()
        assert found.address == self.operations[-1]["urn"]
        assert found.detail
        return found.risk, found.path


def policy(action: str = "s3:GetObject", resource: Any = "arn:aws:s3:::a/*", **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


PROTECTING = [
    ("same", "db", [], {"options": ("protect",)}, "protect"),
    ("update", "bucket", [], {"options": ("retainOnDelete",), "protect": True}, "retainOnDelete"),
    ("update", "db", [change("deletionProtection", True, False)], {}, "deletionProtection"),
    ("update", "table", [change("deletionProtectionEnabled", True, None)], {},
     "deletionProtectionEnabled"),
    ("update", "db", [change("skipFinalSnapshot", False, True)], {}, "skipFinalSnapshot"),
    ("update", "db", [change("backupRetentionPeriod", 14, 7)], {}, "backupRetentionPeriod"),
    ("update", "bucket", [change("forceDestroy", False, True)], {}, "forceDestroy"),
    ("update", "key", [change("deletionWindowInDays", 30, 7)], {}, "deletionWindowInDays"),
    ("update", "secret", [change("recoveryWindowInDays", 30, 0)], {}, "recoveryWindowInDays"),
    ("update", "logs", [change("retentionInDays", 365, 30)], {}, "retentionInDays"),
    ("update", "versioning",
     [change("versioningConfiguration.status", "Enabled", "Suspended")], {},
     "versioningConfiguration.status"),
    ("delete", "versioning", [], {}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("op", "what", "changes", "more", "path"), PROTECTING)
def test_what_protects_less_is_a_sign(
    op: str, what: str, changes: Any, more: Any, path: str
) -> None:
    assert Plan().does(op, what, *changes, **more).sign() == (PROTECTION, path)


@pytest.mark.parametrize(
    ("what", "found", "more"),
    [
        ("db", change("deletionProtection", False, True), {}),
        ("db", change("backupRetentionPeriod", 7, 14), {}),
        ("logs", change("retentionInDays", 30, 365), {}),
        ("logs", change("retentionInDays", 30, 0), {}),  # for ever
        ("key", change("deletionWindowInDays", 7, 30), {}),
        ("db", change("instanceClass", "db.t4g.medium", "db.r6g.large"), {}),
        ("parameter", change("value", "a", "b"), {}),
        ("bucket", change("tags", {"a": "1"}, {"a": "2"}), {"options": ("protect",),
                                                           "protect": True}),
    ],
)  # fmt: skip
def test_what_protects_as_much_or_more_is_none(what: str, found: Any, more: Any) -> None:
    assert Plan().does("update", what, found, **more).signs() == ()


WIDENING_CASES = [
    ("update", "ingress", [change("cidrIpv4", "10.0.0.0/16", "0.0.0.0/0")],
     {"ipProtocol": "tcp", "fromPort": 443, "toPort": 443}, ""),
    ("replace", "ingress", [change("fromPort", 443, 22)],
     {"cidrIpv4": "10.0.0.0/16", "ipProtocol": "tcp", "toPort": 443}, ""),
    ("create", "ingress", [], {"securityGroupId": "sg-1", "cidrIpv4": "10.0.0.0/16"}, ""),
    ("update", "group", [change("ingress[0].cidrBlocks[0]", "10.0.0.0/16", "0.0.0.0/0")], {},
     "ingress[0].cidrBlocks[0]"),
    ("update", "role_policy", [change("policy", policy(), policy("s3:*"))], {}, "policy"),
    ("update", "role", [change("assumeRolePolicy",
                               policy("sts:AssumeRole", [], Principal={"AWS": "1"}),
                               policy("sts:AssumeRole", [], Principal={"AWS": "2"}))], {},
     "assumeRolePolicy"),
    ("update", "role", [change("permissionsBoundary", "arn:a", None, "delete")], {},
     "permissionsBoundary"),
    ("update", "role", [change("inlinePolicies[1]", None, {"policy": policy()}, "add")], {},
     "inlinePolicies[1]"),
    ("update", "key", [change("policy", policy(), MARK)], {}, "policy"),
    ("update", "key", [change("policy", None, policy(), before_known=False)], {}, "policy"),
    ("update", "endpoint", [change("policy", policy(), None, "delete")], {}, "policy"),
    ("delete", "bucket_policy", [], {"policy": policy(Effect="Deny"), "bucket": "a"}, "policy"),
    ("create", "bucket_policy", [], {"policy": policy(), "bucket": "a"}, "policy"),
    ("create", "role_policy", [], {"policy": policy(), "role": "app"}, "policy"),
    ("create", "role_policy", [], {"policy": MARK, "role": "app"}, "policy"),
    ("create", "role_policy", [], {"role": "app"}, "policy"),
    ("update", "block", [change("blockPublicAcls", True, False)], {}, "blockPublicAcls"),
    ("delete", "block", [], {"bucket": "a"}, ""),
    ("update", "db", [change("publiclyAccessible", False, True)], {}, "publiclyAccessible"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "what", "changes", "inputs", "path"), WIDENING_CASES)
def test_what_lets_more_through_is_a_sign(
    op: str, what: str, changes: Any, inputs: Any, path: str
) -> None:
    assert Plan().does(op, what, *changes, **inputs).sign() == (WIDENING, path)


@pytest.mark.parametrize(
    ("op", "what", "changes", "inputs"),
    [
        ("update", "ingress", [change("cidrIpv4", "10.0.0.0/8", "10.0.0.0/16")],
         {"ipProtocol": "tcp", "fromPort": 443, "toPort": 443}),
        ("update", "ingress", [change("description", "a", "b")], {"cidrIpv4": "10.0.0.0/16"}),
        ("delete", "ingress", [], {"cidrIpv4": "0.0.0.0/0", "securityGroupId": "sg-1"}),
        ("create", "ingress", [], {"securityGroupId": MARK, "cidrIpv4": "10.0.0.0/16"}),
        ("update", "role_policy", [change("policy", policy("s3:*"), policy())], {}),
        ("delete", "role_policy", [], {"policy": policy(), "role": "app"}),
        ("create", "role_policy", [], {"policy": policy("s3:*", Effect="Deny"), "role": "app"}),
        ("create", "bucket_policy", [], {"policy": policy(Effect="Deny"), "bucket": "a"}),
        ("update", "group", [change("ingress[1]", {"protocol": "tcp"}, None, "delete")], {}),
        ("update", "block", [change("blockPublicAcls", False, True)], {}),
        ("same", "role_policy", [], {"policy": policy("*", "*")}),
    ],
)  # fmt: skip
def test_what_lets_less_through_is_none(op: str, what: str, changes: Any, inputs: Any) -> None:
    assert Plan().does(op, what, *changes, **inputs).signs() == ()


def test_rights_of_what_the_plan_creates_widen_nothing() -> None:
    made = Plan().does("create", "role", name="app", assumeRolePolicy=policy("sts:AssumeRole", []))
    assert made.does("create", "role_policy", role="app", policy=policy()).signs() == ()
    replaced = Plan().does("replace", "role", change("name", "app", "app-2"), name="app-2")
    assert [s.risk for s in replaced.does("create", "role_policy", role="app",
                                          policy=policy()).signs()] == [WIDENING]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "inputs", "says"),
    [
        ("role_policy", {"role": MARK, "policy": policy("s3:*", "*")}, "allows s3:* on *"),
        ("role_policy", {"role": MARK, "policy": policy("s3:*", "arn:aws:s3:::*")}, "s3:::*"),
        ("role_policy", {"role": MARK, "policy": policy("kms:Decrypt",
                         "arn:aws:kms:eu-west-1:123456789012:key/*")}, "key/*"),
        ("policy", {"name": "p", "policy": policy("*", "*")}, "allows * on *"),
        ("attachment", {"role": MARK, "policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"},
         "ReadOnlyAccess"),
        ("role", {"name": "r", "inlinePolicies": [{"policy": policy("s3:*", "*")}]}, "s3:*"),
    ],
)  # fmt: skip
def test_rights_on_a_whole_account_are_a_sign(what: str, inputs: Any, says: str) -> None:
    (found,) = Plan().does("create", what, **inputs).signs()
    assert found.risk == ACCOUNT_WIDE
    assert says in found.detail


@pytest.mark.parametrize(
    "document",
    [
        policy("logs:DescribeLogGroups", "*"),  # AWS has no narrower resource for a listing
        policy("s3:GetObject", "arn:aws:s3:::data/tenants/*"),
        policy("s3:*", "*", Effect="Deny"),
        policy("kms:Decrypt", "arn:aws:kms:eu-west-1:123456789012:key/*",
               Condition={"ForAnyValue:StringEquals": {"kms:ResourceAliases": ["alias/a"]}}),
    ],
)  # fmt: skip
def test_narrow_rights_are_none(document: str) -> None:
    assert Plan().does("create", "role_policy", role=MARK, policy=document).signs() == ()


def test_a_boundary_gives_no_right() -> None:
    plan = Plan().does("create", "policy", name="boundary", policy=policy("*", "*"))
    assert plan.does("create", "role", name="app", permissionsBoundary=MARK).signs() == ()


def test_what_has_a_price_is_read_with_its_size_before_and_after() -> None:
    grown = change("instanceClass", "db.t4g.medium", "db.r6g.large")
    plan = Plan().does("update", "db", grown, multiAz=True, allocatedStorage=200)
    (found,) = priced_of(plan.operations, plan.resources)
    assert found.before is not None
    assert found.after is not None
    assert (found.before.instance_class, found.before.count) == ("db.t4g.medium", 2)
    assert (found.after.instance_class, found.after.storage_gb) == ("db.r6g.large", 200)
    gone = Plan().does("delete", "db", instanceClass="db.t4g.medium")
    assert priced_of(gone.operations, gone.resources)[0].after is None
    tags = Plan().does("update", "db", change("tags", {}, {"a": "1"}), instanceClass="db.x")
    assert priced_of(tags.operations, tags.resources) == ()
