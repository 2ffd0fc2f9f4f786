from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from policies.evaluation import evaluate
from policies.model import Stage
from policies.state import resources_from_state
from tests.unit.policies.policy_scenarios import (
    ACCOUNT,
    FORMS,
    KEY_ARN,
    PARAMETERS,
    PLAN_FORMS,
    REGION,
    Thing,
    Unknown,
    bucket,
    bucket_policy,
    found,
    judged,
    policy,
    pulumi_plan,
)

RULE = "isolation"
SHORT = "acme-a1b2c3"
OTHER = "zenith-d4e5f6"
HUB_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-00000000000f"
SLICE = replace(PARAMETERS, slice_short=SHORT, account_id=ACCOUNT)
HUB = "arn:aws:s3:::hub-a-data-123456789012"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/hub-a-hub"
OWN_OBJECTS = f"{HUB}/tenants/{SHORT}/*"
OWN_ROLE = f"arn:aws:iam::{ACCOUNT}:role/{SHORT}-app"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def allow(
    action: Any, resource: Any, condition: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    statement = {"Sid": "S", "Effect": "Allow", "Action": action, "Resource": resource}
    return statement | ({"Condition": condition} if condition is not None else {}) | more


def trust(principal: Any, condition: Any = None, **more: Any) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return policy(statement | ({"Condition": condition} if condition else {}) | more)


TASKS = trust(
    {"Service": "ecs-tasks.amazonaws.com"}, {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
)
OWN_STATEMENTS = (
    allow("s3:GetObject", OWN_OBJECTS),
    allow("s3:ListBucket", HUB, {"StringLike": {"s3:prefix": [f"tenants/{SHORT}/*"]}}),
    allow(
        "dynamodb:GetItem",
        TABLE,
        {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [SHORT, f"{SHORT}#*"]},
            "Null": {"dynamodb:LeadingKeys": "false"},
        },
    ),
    allow(
        "kms:Decrypt",
        arn("kms", "key/*"),
        {"ForAnyValue:StringEquals": {"kms:ResourceAliases": [f"alias/{SHORT}-data"]}},
    ),
    allow("secretsmanager:GetSecretValue", arn("secretsmanager", f"secret:{SHORT}/*")),
    allow(
        "ssm:GetParameter",
        [arn("ssm", f"parameter/tenantplane/{SHORT}{end}") for end in ("", "/*")],
    ),
    allow("logs:PutLogEvents", arn("logs", f"log-group:/tenantplane/hub-a/tenants/{SHORT}/app:*")),
    {"Sid": "Never", "Effect": "Deny", "Action": "iam:*", "Resource": "*"},
)  # fmt: skip
KEY_STATEMENTS = (
    allow(["kms:DescribeKey", "kms:PutKeyPolicy"], "*", Principal={"AWS": ROOT}),
    allow(
        ["kms:Decrypt", "kms:GenerateDataKey"],
        "*",
        {"ArnEquals": {"aws:PrincipalArn": OWN_ROLE}},
        Principal={"AWS": ROOT},
    ),
    allow(
        "kms:Decrypt",
        "*",
        {
            "ArnLike": {
                "kms:EncryptionContext:SecretARN": arn("secretsmanager", f"secret:{SHORT}/*")
            }
        },
        Principal={"AWS": ROOT},
    ),
)


def role(**inputs: Any) -> Thing:
    return Thing("aws_iam_role", "app", {"name": f"{SHORT}-app", "assume_role_policy": TASKS}
                 | inputs)  # fmt: skip


def rights(*statements: Mapping[str, Any], of: Any = f"{SHORT}-app", **inputs: Any) -> Thing:
    document = {"name": "hub", "role": of, "policy": policy(*statements)}
    return Thing("aws_iam_role_policy", "app", document | inputs)


def key(*statements: Mapping[str, Any], **inputs: Any) -> Thing:
    return Thing("aws_kms_key", "data", {"policy": policy(*statements)} | inputs)


def alias(target: Any = None, name: str = f"alias/{SHORT}-data") -> Thing:
    chosen = Unknown(of="aws_kms_key.data") if target is None else target
    return Thing("aws_kms_alias", "data", {"name": name, "target_key_id": chosen})


def slice_with(*things: Thing, **parts: Thing) -> list[Thing]:
    """A sound slice; ``parts`` stand in for its own."""
    sound = {
        "role": role(),
        "rights": rights(*OWN_STATEMENTS),
        "key": key(*KEY_STATEMENTS),
        "alias": alias(),
    }
    return [*(sound | parts).values(), *things]


def breaches(form: str, things: list[Thing]) -> set[tuple[str, str, str]]:
    known = [_known(thing) for thing in things] if form == "state" else things
    return found(RULE, form, known, SLICE)


def _known(thing: Thing) -> Thing:
    """The thing as it is after the apply: the key has its ARN, and nothing is unknown."""
    inputs = {
        name: KEY_ARN if isinstance(value, Unknown) else value
        for name, value in thing.inputs.items()
    }
    if thing.kind == "aws_kms_key":
        inputs["arn"] = KEY_ARN
    return replace(thing, inputs=inputs)


POLICY_OF_APP = {("aws_iam_role_policy.app", "policy", "violated")}


@pytest.mark.parametrize("form", FORMS)
def test_a_sound_slice_is_confined(form):
    assert breaches(form, slice_with()) == set()


@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_slice_is_not_judged_as_one(form):
    things = slice_with(rights=rights(allow("*", "*")))
    assert found(RULE, form, [_known(each) for each in things], PARAMETERS) == set()


def test_an_empty_plan_leaves_nothing_to_confine():
    assert evaluate([], SLICE, rules_digest="sha256:0").passed


# --- what a role may do ----------------------------------------------------------------------
OBJECTS, LIST = "s3:GetObject", "s3:ListBucket"
ITEMS = "dynamodb:GetItem"
LEADING = "dynamodb:LeadingKeys"
BEYOND = {
    "everything": allow("*", "*"),
    "everything without a word about what": {"Effect": "Allow", "Action": "*"},
    "every object": allow(OBJECTS, f"{HUB}/*"),
    "another slice's objects": allow(OBJECTS, f"{HUB}/tenants/{OTHER}/*"),
    "a short name that begins with ours": allow(OBJECTS, f"{HUB}/tenants/{SHORT}-x/*"),
    "all that begins with the short name": allow(OBJECTS, f"{HUB}/tenants/{SHORT}*"),
    "the short name anywhere": allow(OBJECTS, f"{HUB}/*{SHORT}*"),
    "the short name below another": allow(OBJECTS, f"{HUB}/tenants/{OTHER}/{SHORT}/*"),
    "a pattern before the short name": allow(OBJECTS, f"{HUB}/tenants/*/{SHORT}/*"),
    "the short name in any bucket": allow(OBJECTS, f"arn:aws:s3:::*/tenants/{SHORT}/*"),
    "one question mark": allow(OBJECTS, f"{HUB}/tenants/{SHORT[:-1]}?/*"),
    "a variable": allow(OBJECTS, f"{HUB}/tenants/${{aws:PrincipalTag/tenant}}/{SHORT}/*"),
    "own and foreign in one list": allow(OBJECTS, [OWN_OBJECTS, f"{HUB}/tenants/{OTHER}/*"]),
    "all but": allow(OBJECTS, OWN_OBJECTS, NotAction="iam:*"),
    "all but own": {"Effect": "Allow", "Action": OBJECTS, "NotResource": OWN_OBJECTS},
    "a listing without a condition": allow(LIST, HUB),
    "a listing of all": allow(LIST, HUB, {"StringLike": {"s3:prefix": ["tenants/*"]}}),
    "a listing of whoever begins alike": allow(
        LIST, HUB, {"StringLike": {"s3:prefix": f"tenants/{SHORT}*"}}
    ),
    "a listing of own and foreign": allow(
        LIST, HUB, {"StringLike": {"s3:prefix": [f"tenants/{SHORT}/*", "tenants/*"]}}
    ),
    "a listing of all but own": allow(
        LIST, HUB, {"StringNotLike": {"s3:prefix": [f"tenants/{SHORT}/*"]}}
    ),
    "a listing if there is a prefix": allow(
        LIST, HUB, {"StringLikeIfExists": {"s3:prefix": [f"tenants/{SHORT}/*"]}}
    ),
    "a listing for all values": allow(
        LIST, HUB, {"ForAllValues:StringLike": {"s3:prefix": [f"tenants/{SHORT}/*"]}}
    ),
    "items without a condition": allow(ITEMS, TABLE),
    "items of others": allow(
        ITEMS,
        TABLE,
        {"ForAllValues:StringNotLike": {LEADING: [SHORT]}, "Null": {LEADING: "false"}},
    ),
    "items without the test that a key is there": allow(
        ITEMS, TABLE, {"ForAllValues:StringLike": {LEADING: [SHORT]}}
    ),
    "items when no key is there": allow(
        ITEMS,
        TABLE,
        {"ForAllValues:StringLike": {LEADING: [SHORT]}, "Null": {LEADING: "true"}},
    ),
    "items of which one is own": allow(
        ITEMS, TABLE, {"ForAnyValue:StringLike": {LEADING: [SHORT]}}
    ),
    "items of whoever begins alike": allow(
        ITEMS,
        TABLE,
        {"ForAllValues:StringLike": {LEADING: [f"{SHORT}*"]}, "Null": {LEADING: "false"}},
    ),
    "items if a key exists": allow(
        ITEMS,
        TABLE,
        {"ForAllValues:StringLikeIfExists": {LEADING: [SHORT]}, "Null": {LEADING: "false"}},
    ),
    "the short name in a condition that says something else": allow(
        OBJECTS, f"{HUB}/*", {"StringEquals": {"aws:RequestTag/owner": SHORT}}
    ),
    "every key": allow("kms:Decrypt", arn("kms", "key/*")),
    "the Hub's key": allow("kms:Decrypt", HUB_KEY),
    "another slice's alias": allow(
        "kms:Decrypt",
        "*",
        {"ForAnyValue:StringEquals": {"kms:ResourceAliases": [f"alias/{OTHER}-data"]}},
    ),
    "aliases by a pattern": allow(
        "kms:Decrypt",
        "*",
        {"ForAnyValue:StringLike": {"kms:ResourceAliases": [f"alias/{SHORT}-*"]}},
    ),
    "all keys but own": allow(
        "kms:Decrypt",
        "*",
        {"ForAnyValue:StringNotEquals": {"kms:ResourceAliases": [f"alias/{SHORT}-data"]}},
    ),
    "every secret": allow("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:*")),
    "secrets of another account": allow(
        "secretsmanager:GetSecretValue",
        f"arn:aws:secretsmanager:{REGION}:210987654321:secret:{SHORT}/*",
    ),
    "every parameter": allow("ssm:GetParameter", arn("ssm", "parameter/tenantplane/*")),
    "all logs": allow("logs:GetLogEvents", arn("logs", "log-group:/tenantplane/hub-a/*")),
    "a role": allow("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/{OTHER}-app"),
    "its own rights": allow("iam:PutRolePolicy", OWN_ROLE),
    "an element that IAM does not know": {
        **allow(OBJECTS, OWN_OBJECTS),
        "resource": "*",
    },
    "an effect in another spelling": allow("*", "*", Effect="allow"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", BEYOND)
def test_a_statement_that_reaches_beyond_the_slice_is_refused(form, name):
    things = slice_with(rights=rights(*OWN_STATEMENTS, BEYOND[name]))
    assert breaches(form, things) == POLICY_OF_APP


@pytest.mark.parametrize("form", FORMS)
def test_the_statement_is_named(form):
    things = slice_with(rights=rights(*OWN_STATEMENTS, allow("*", "*")))
    things = [_known(each) for each in things] if form == "state" else things
    (violation,) = [each for each in judged(form, things, SLICE).violations if each.rule == RULE]
    assert violation.reason.startswith("the statement S reaches *")


@pytest.mark.parametrize("form", FORMS)
def test_every_way_to_give_a_role_rights_is_read(form):
    wide = policy(allow("*", "*"))
    aws_policy = "arn:aws:iam::aws:policy/AdministratorAccess"
    attach = Thing(
        "aws_iam_role_policy_attachment", "a", {"role": f"{SHORT}-app", "policy_arn": aws_policy}
    )
    assert breaches(form, slice_with(attach)) == {
        ("aws_iam_role_policy_attachment.a", "policy_arn", "violated")
    }
    managed = role(managed_policy_arns=[aws_policy])
    assert breaches(form, slice_with(role=managed)) == {
        ("aws_iam_role.app", "managed_policy_arns", "violated")
    }
    inline = role(inline_policy=[{"name": "i", "policy": wide}])
    assert breaches(form, slice_with(role=inline)) == {
        ("aws_iam_role.app", "inline_policy.policy", "violated")
    }
    own = Thing("aws_iam_policy", "p", {"name": f"{SHORT}-more", "policy": wide})
    assert breaches(form, slice_with(own)) == {("aws_iam_policy.p", "policy", "violated")}
    unread = Thing("aws_iam_user_policy", "u", {"user": "u", "policy": wide})
    strange = {each for each in breaches(form, slice_with(unread)) if each[0] != "aws_iam_role.app"}
    if form == "terraform":  # in a Pulumi plan it has a token that nobody knows
        assert strange == {("aws_iam_user_policy.u", "", "violated")}


@pytest.mark.parametrize("form", FORMS)
def test_a_policy_of_the_slice_may_be_attached(form):
    own = Thing(
        "aws_iam_policy", "p", {"name": f"{SHORT}-more", "policy": policy(OWN_STATEMENTS[0])}
    )
    attach = Thing(
        "aws_iam_role_policy_attachment",
        "a",
        {"role": f"{SHORT}-app", "policy_arn": f"arn:aws:iam::{ACCOUNT}:policy/{SHORT}-more"},
    )
    assert breaches(form, slice_with(own, attach)) == set()
    foreign = replace(attach, inputs={**attach.inputs, "role": f"{OTHER}-app"})
    assert breaches(form, slice_with(own, foreign)) == {
        ("aws_iam_role_policy_attachment.a", "role", "violated")
    }


def test_a_slice_without_a_role_fails_for_there_would_be_nothing_to_check():
    assert breaches("pulumi", [bucket()]) == {("aws_s3_bucket.data", "", "violated")}


# --- who becomes the role --------------------------------------------------------------------
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "document",
    [
        trust({"AWS": "*"}),
        trust({"AWS": ROOT}),
        trust({"AWS": ACCOUNT}),
        trust({"AWS": f"arn:aws:iam::{ACCOUNT}:role/{OTHER}-app"}),
        trust({"AWS": f"arn:aws:iam::210987654321:role/{SHORT}-app"}),
        trust({"AWS": ROOT}, {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/*"}}),
        trust({"AWS": ROOT}, {"ArnEqualsIfExists": {"aws:PrincipalArn": OWN_ROLE}}),
        trust({"AWS": ROOT}, {"ArnNotEquals": {"aws:PrincipalArn": OWN_ROLE}}),
        trust({"AWS": ROOT}, {"ForAllValues:ArnEquals": {"aws:PrincipalArn": OWN_ROLE}}),
        trust({"Federated": f"arn:aws:iam::{ACCOUNT}:saml-provider/x"}),
        trust({"Service": "ecs-tasks.amazonaws.com"}),
        trust({"Service": "ecs-tasks.amazonaws.com"},
              {"StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT}}),
        trust({"Service": "ecs-tasks.amazonaws.com"},
              {"StringLike": {"aws:SourceAccount": ["*"]}}),
        trust({"Service": "ecs-tasks.amazonaws.com"},
              {"ArnLike": {"aws:SourceArn": f"arn:aws:ecs:{REGION}:*:task/*"}}),
        policy({"Effect": "Allow", "NotPrincipal": {"AWS": OWN_ROLE}, "Action": "sts:AssumeRole"}),
        policy({"Effect": "Allow", "Action": "sts:AssumeRole"}),
    ],
)  # fmt: skip
def test_nobody_else_becomes_the_slice_s_role(form, document):
    assert breaches(form, slice_with(role=role(assume_role_policy=document))) == {
        ("aws_iam_role.app", "assume_role_policy", "violated")
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "document",
    [
        trust({"Service": "ecs-tasks.amazonaws.com"},
              {"ArnLike": {"aws:SourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:*"}}),
        trust({"AWS": OWN_ROLE}),
        trust({"AWS": ROOT}, {"ArnEquals": {"aws:PrincipalArn": OWN_ROLE}}),
    ],
)  # fmt: skip
def test_own_services_and_roles_become_the_role(form, document):
    assert breaches(form, slice_with(role=role(assume_role_policy=document))) == set()


# --- keys ------------------------------------------------------------------------------------
USE = "kms:Decrypt"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "statement",
    [
        allow("kms:*", "*", Principal={"AWS": ROOT}),
        allow([USE, "kms:DescribeKey"], "*", Principal={"AWS": ROOT}),
        allow("kms:CreateGrant", "*", Principal={"AWS": ROOT}),
        allow(USE, "*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/{OTHER}-app"}),
        allow(USE, "*", Principal={"AWS": "*"}),
        allow(USE, "*", {"StringEquals": {"kms:CallerAccount": ACCOUNT}}, Principal="*"),
        allow(USE, "*", {"ArnNotLike": {"aws:PrincipalArn": OWN_ROLE}}, Principal={"AWS": ROOT}),
        allow(USE, "*", {"ArnLike": {"kms:EncryptionContext:SecretARN": "*"}},
              Principal={"AWS": ROOT}),
        allow(USE, "*", {"ArnLike": {"kms:EncryptionContext:SecretARN": [
              arn("secretsmanager", f"secret:{SHORT}/*"), arn("secretsmanager", "secret:*")]}},
              Principal={"AWS": ROOT}),
        allow(USE, "*", {"ArnLikeIfExists": {"kms:EncryptionContext:SecretARN":
              arn("secretsmanager", f"secret:{SHORT}/*")}}, Principal={"AWS": ROOT}),
        allow(USE, "*", NotPrincipal={"AWS": OWN_ROLE}),
        allow("kms:DescribeKey", "*", Principal={"AWS": "arn:aws:iam::210987654321:root"}),
    ],
)  # fmt: skip
def test_nobody_else_uses_the_slice_s_key(form, statement):
    assert breaches(form, slice_with(key=key(*KEY_STATEMENTS, statement))) == {
        ("aws_kms_key.data", "policy", "violated")
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_key_without_a_policy_has_that_of_aws(form):
    bare = Thing("aws_kms_key", "data", {"description": "data"})
    assert breaches(form, slice_with(key=bare)) == {("aws_kms_key.data", "policy", "violated")}


@pytest.mark.parametrize("form", FORMS)
def test_an_alias_of_somebody_else_s_key_would_open_it(form):
    assert breaches(form, slice_with(alias=alias(HUB_KEY))) == {
        ("aws_kms_alias.data", "target_key_id", "violated")
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("grantee", [OWN_ROLE, f"arn:aws:iam::{ACCOUNT}:role/{OTHER}-app", ROOT])
def test_a_grant_is_for_the_slice_s_own_role(form, grantee):
    things = [_known(each) for each in slice_with()]
    entries = pulumi_plan(things, region=REGION, default_tags={})
    grant = {
        "urn": "urn:grant", "type": "aws:kms/grant:Grant", "name": "g", "custom": True,
        "operation": "create",
        "inputs": {"granteePrincipal": grantee, "keyId": KEY_ARN, "operations": ["Decrypt"]},
    }  # fmt: skip
    evaluation = evaluate(
        resources_from_state([each | {"outputs": each["inputs"]} for each in [*entries, grant]]),
        SLICE,
        rules_digest="sha256:0",
        stage=Stage.STATE,
    )
    paths = [each.path for each in evaluation.violations if each.rule == RULE]
    assert paths == ([] if grantee == OWN_ROLE else ["grantee_principal"])


# --- other people's buckets, and what is not known -------------------------------------------
@pytest.mark.parametrize("form", FORMS)
def test_a_slice_does_not_touch_a_bucket_that_is_not_its_own(form):
    foreign = bucket_policy(of="hub-a-data", document=policy(
        allow("s3:GetObject", "*", Principal={"AWS": OWN_ROLE})
    ))  # fmt: skip
    assert breaches(form, slice_with(foreign)) == {
        ("aws_s3_bucket_policy.data", "bucket", "violated")
    }
    opened = bucket_policy(of=f"{SHORT}-more", document=policy(
        allow("s3:GetObject", "*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/{OTHER}-app"})
    ))  # fmt: skip
    assert breaches(form, slice_with(bucket("more", f"{SHORT}-more"), opened)) == {
        ("aws_s3_bucket_policy.data", "policy", "violated")
    }


@pytest.mark.parametrize("form", PLAN_FORMS)
@pytest.mark.parametrize(
    ("things", "expected"),
    [
        (
            slice_with(rights=rights(policy=Unknown())),
            ("aws_iam_role_policy.app", "policy", "unknown"),
        ),
        (
            slice_with(rights=rights(*OWN_STATEMENTS, of=Unknown())),
            ("aws_iam_role_policy.app", "role", "unknown"),
        ),
        (
            slice_with(role=role(assume_role_policy=Unknown())),
            ("aws_iam_role.app", "assume_role_policy", "unknown"),
        ),
        (slice_with(key=key(policy=Unknown())), ("aws_kms_key.data", "policy", "unknown")),
        (
            slice_with(role=role(managed_policy_arns=Unknown())),
            ("aws_iam_role.app", "managed_policy_arns", "unknown"),
        ),
    ],
)
def test_what_is_not_known_is_not_taken_for_confined(form, things, expected):
    assert breaches(form, things) == {expected}


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_a_role_that_the_plan_makes_is_known_by_its_reference(form):
    things = slice_with(rights=rights(*OWN_STATEMENTS, of=Unknown(of="aws_iam_role.app")))
    assert breaches(form, things) == set()


@pytest.mark.parametrize("document", ["[]", "no", json.dumps({"Statement": "x"})])
def test_a_document_that_cannot_be_read_confines_nothing(document):
    things = slice_with(rights=rights(policy=document))
    assert breaches("state", things) == POLICY_OF_APP


@pytest.mark.parametrize("form", FORMS)
def test_a_thing_of_the_hub_that_the_plan_takes_over_is_not_the_slice_s_own(form):
    """Importing the Hub's bucket into the slice's stack gives the slice no right to all of it."""
    taken = bucket("hub", "hub-a-data-123456789012")
    reading = rights(*OWN_STATEMENTS, allow("s3:GetObject", f"{HUB}/*"))
    assert breaches(form, slice_with(taken, rights=reading)) == POLICY_OF_APP
    shared = Thing("aws_iam_policy", "p", {"name": "shared", "policy": policy(OWN_STATEMENTS[0])})
    attach = Thing(
        "aws_iam_role_policy_attachment",
        "a",
        {"role": f"{SHORT}-app", "policy_arn": f"arn:aws:iam::{ACCOUNT}:policy/shared"},
    )
    assert breaches(form, slice_with(shared, attach)) == {
        ("aws_iam_role_policy_attachment.a", "policy_arn", "violated")
    }


@pytest.mark.parametrize("form", FORMS)
def test_things_that_carry_the_slice_s_name_are_its_own(form):
    reading = rights(*OWN_STATEMENTS, allow("s3:GetObject", f"arn:aws:s3:::{SHORT}-more/*"))
    assert breaches(form, slice_with(bucket("more", f"{SHORT}-more"), rights=reading)) == set()
    assert breaches(form, slice_with(rights=reading)) == POLICY_OF_APP


@pytest.mark.parametrize("form", PLAN_FORMS)
@pytest.mark.parametrize(
    ("physical", "expected"),
    [
        (f"{SHORT}-more", set()),
        ("hub-a-data", {("aws_s3_bucket_policy.p", "bucket", "unknown")}),
        (Unknown(), {("aws_s3_bucket_policy.p", "bucket", "unknown")}),
    ],
)
def test_a_reference_counts_for_as_much_as_the_name_it_leads_to(form, physical, expected):
    if form == "terraform" and physical == "hub-a-data":  # the front end puts the name in
        expected = {("aws_s3_bucket_policy.p", "bucket", "violated")}
    document = policy(allow("s3:GetObject", "*", Principal={"AWS": OWN_ROLE}))
    part = bucket_policy("p", of=Unknown(of="aws_s3_bucket.b"), document=document)
    assert breaches(form, slice_with(bucket("b", physical), part)) == expected


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_the_policy_of_one_key_is_not_that_of_another(form):
    bare = Thing("aws_kms_key", "data", {"description": "data"})
    other = Thing("aws_kms_key", "other", {"description": "other"})
    its = Thing(
        "aws_kms_key_policy",
        "p",
        {"key_id": Unknown(of="aws_kms_key.data"), "policy": policy(*KEY_STATEMENTS)},
    )
    assert breaches(form, slice_with(its, key=bare)) == set()
    assert breaches(form, slice_with(its, other, key=bare)) == {
        ("aws_kms_key.other", "policy", "violated")
    }
