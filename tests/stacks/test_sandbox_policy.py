"""One policy document against one access: the evaluation of the IAM user guide."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.sandbox.policy import Access, Effect, UnknownOperator, evaluate

ROLE = "arn:aws:iam::123456789012:role/one"
OBJECT = "arn:aws:s3:::hub/tenants/one/a"


def says(*statements: dict[str, Any], of_resource: bool = False, **changes: Any) -> Effect:
    facts: dict[str, Any] = {
        "action": "s3:GetObject",
        "resource": OBJECT,
        "principals": (ROLE,),
        "account": "123456789012",
        **changes,
    }
    return evaluate({"Statement": statements}, Access(**facts), of_resource=of_resource)


def allow(**changes: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **changes}


DENY_ALL = {"Effect": "Deny", "Action": "*", "Resource": "*"}


@pytest.mark.parametrize(
    ("statement", "effect"),
    [
        (allow(), Effect.ALLOWED),
        (allow(Action="s3:Get*"), Effect.ALLOWED),
        (allow(Action="S3:getobject"), Effect.ALLOWED),
        (allow(Action=["s3:PutObject", "s3:DeleteObject"]), Effect.NEUTRAL),
        (allow(Action="s3:GetObjec?"), Effect.ALLOWED),
        (allow(Action="s3.GetObject"), Effect.NEUTRAL),
        (allow(Resource="arn:aws:s3:::hub/tenants/one/*"), Effect.ALLOWED),
        (allow(Resource="arn:aws:s3:::hub/tenants/two/*"), Effect.NEUTRAL),
        (allow(Resource="arn:aws:s3:::hub"), Effect.NEUTRAL),
        (allow(Resource=["arn:aws:s3:::x", "arn:aws:s3:::hub/*"]), Effect.ALLOWED),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, Effect.ALLOWED),
        ({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}, Effect.NEUTRAL),
        ({"Effect": "Allow", "Action": "*", "NotResource": OBJECT}, Effect.NEUTRAL),
        ({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::y"}, Effect.ALLOWED),
        (DENY_ALL, Effect.DENIED),
    ],
)
def test_actions_and_resources(statement: dict[str, Any], effect: Effect) -> None:
    assert says(statement) is effect


def test_a_denial_outweighs_an_allowance_wherever_it_stands() -> None:
    assert says(allow(), DENY_ALL) is Effect.DENIED
    assert says(DENY_ALL, allow()) is Effect.DENIED


def test_a_statement_for_one_resource_does_not_allow_an_unknown_one() -> None:
    assert says(allow(Resource=OBJECT), resource="*") is Effect.NEUTRAL
    assert says(allow(Resource="*"), resource="*") is Effect.ALLOWED


def test_wildcards_of_an_arn_stay_in_their_part() -> None:
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:one/app-1"
    too_short = allow(Resource="arn:aws:secretsmanager:*:secret:*")
    assert says(too_short, resource=secret) is Effect.NEUTRAL
    assert says(allow(Resource="arn:aws:secretsmanager:*:*:secret:*"), resource=secret) is (
        Effect.ALLOWED
    )


LEADING = "dynamodb:LeadingKeys"
OWN_KEYS = {
    "ForAllValues:StringLike": {LEADING: ["one", "one#*"]},
    "Null": {LEADING: "false"},
}


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringLike": {"s3:prefix": ["t/one/*"]}}, {"s3:prefix": ("t/one/a",)}, True),
        ({"StringLike": {"s3:prefix": ["t/one/*"]}}, {"s3:prefix": ("t/two/a",)}, False),
        ({"StringLike": {"s3:prefix": ["t/one/*"]}}, {}, False),
        ({"StringLikeIfExists": {"s3:prefix": ["t/one/*"]}}, {}, True),
        ({"StringNotEquals": {"aws:RequestedRegion": "eu-west-1"}}, {}, True),
        (
            {"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1", "eu-west-2"]}},
            {"aws:requestedregion": ("eu-west-2",)},
            False,
        ),
        (OWN_KEYS, {"dynamodb:leadingkeys": ("one#a", "one")}, True),
        (OWN_KEYS, {"dynamodb:leadingkeys": ("one#a", "two#a")}, False),
        (OWN_KEYS, {}, False),
        ({"ForAllValues:StringLike": {LEADING: ["one"]}}, {}, True),
        (
            {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/one"}},
            {"kms:resourcealiases": ("alias/x", "alias/one")},
            True,
        ),
        ({"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/one"}}, {}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:securetransport": ("true",)}, False),
        ({"Bool": {"aws:SecureTransport": False}}, {"aws:securetransport": ("false",)}, True),
        ({"ArnEquals": {"aws:PrincipalArn": ROLE}}, {"aws:principalarn": (ROLE,)}, True),
        (
            {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/t*"}},
            {"aws:principalarn": (ROLE,)},
            False,
        ),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, {"aws:sourceip": ("127.0.0.1",)}, True),
        ({"NumericLessThan": {"s3:max-keys": "10"}}, {"s3:max-keys": ("9",)}, True),
        (
            {"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}},
            {"aws:currenttime": ("2026-02-01T00:00:00Z",)},
            True,
        ),
        ({"Null": {"kms:ViaService": "true"}}, {}, True),
        (
            {"StringEquals": {"s3:prefix": "${aws:PrincipalTag/name}"}},
            {"s3:prefix": ("one",), "aws:principaltag/name": ("one",)},
            True,
        ),
        ({"StringEquals": {"s3:prefix": "${aws:username}"}}, {"s3:prefix": ("",)}, False),
    ],
)
def test_conditions(
    condition: dict[str, Any], context: dict[str, tuple[str, ...]], *, holds: bool
) -> None:
    effect = says(allow(Condition=condition), context=context)
    assert effect is (Effect.ALLOWED if holds else Effect.NEUTRAL)


def test_an_unknown_operator_is_refused_by_name() -> None:
    with pytest.raises(UnknownOperator, match="BinaryEquals"):
        says(allow(Condition={"BinaryEquals": {"x": "eA=="}}), context={"x": ("x",)})


@pytest.mark.parametrize(
    ("principal", "effect"),
    [
        ("*", Effect.ALLOWED),
        ({"AWS": "*"}, Effect.ALLOWED),
        ({"AWS": ROLE}, Effect.ALLOWED),
        ({"AWS": [ROLE + "2", ROLE]}, Effect.ALLOWED),
        ({"AWS": ROLE + "2"}, Effect.NEUTRAL),
        ({"AWS": "arn:aws:iam::123456789012:root"}, Effect.DELEGATED),
        ({"AWS": "123456789012"}, Effect.DELEGATED),
        ({"AWS": "arn:aws:iam::210987654321:root"}, Effect.NEUTRAL),
        ({"Service": "ecs-tasks.amazonaws.com"}, Effect.NEUTRAL),
    ],
)
def test_principals_of_a_resource_policy(principal: Any, effect: Effect) -> None:
    assert says(allow(Principal=principal), of_resource=True) is effect


def test_a_trust_policy_names_no_resource() -> None:
    trust = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "sts:AssumeRole"}
    assert says(trust, action="sts:AssumeRole", of_resource=True) is Effect.ALLOWED
