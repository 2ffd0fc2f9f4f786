from __future__ import annotations

import pytest

from tests.unit.policies.policy_scenarios import (
    PLAN_FORMS,
    Thing,
    Unknown,
    bucket_policy,
    cases,
    found,
    key,
    policy,
    role,
    whole_bucket,
)

RULE = "unknown_policy_document"
READ = policy({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})


def holder(kind: str, document: object) -> Thing:
    return Thing(kind, "x", {"name": "acme-x", "policy": document})


KINDS = (
    "aws_iam_policy",
    "aws_iam_role_policy",
    "aws_kms_key",
    "aws_kms_key_policy",
    "aws_secretsmanager_secret",
    "aws_secretsmanager_secret_policy",
    "aws_vpc_endpoint",
)


@cases(
    ("documents that can be read", [*whole_bucket(), role(), key()], set()),
    *((f"{kind}, known", [holder(kind, READ)], set()) for kind in KINDS),
    *(
        (f"{kind}, no JSON", [holder(kind, "{")], {(f"{kind}.x", "policy", "violated")})
        for kind in KINDS
    ),
    (
        "JSON that is no policy",
        [bucket_policy(document='{"Version": "2012-10-17"}')],
        {("aws_s3_bucket_policy.data", "policy", "violated")},
    ),
    (
        "a statement without an effect",
        [bucket_policy(document='{"Statement": [{"Action": "*"}]}')],
        {("aws_s3_bucket_policy.data", "policy", "violated")},
    ),
    ("an inline policy", [role(inline_policy=[{"name": "a", "policy": READ}])], set()),
    (
        "one of several inline policies",
        [role(inline_policy=[{"name": "a", "policy": READ}, {"name": "b", "policy": "no"}])],
        {("aws_iam_role.app", "inline_policy.policy", "violated")},
    ),
)
def test_documents(form, things, expected):
    assert found(RULE, form, things) == expected


@pytest.mark.parametrize("form", PLAN_FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_document_that_is_not_known_is_refused(form, kind):
    document = Unknown(of="aws_s3_bucket.data")
    assert found(RULE, form, [holder(kind, document)]) == {(f"{kind}.x", "policy", "violated")}


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_an_unknown_trust_or_inline_policy_is_refused(form):
    things = [role(assume_role_policy=Unknown(), inline_policy=[{"policy": Unknown()}])]
    assert found(RULE, form, things) == {
        ("aws_iam_role.app", "assume_role_policy", "violated"),
        ("aws_iam_role.app", "inline_policy.policy", "violated"),
    }


def test_a_document_that_holds_an_unknown_value_is_unknown_as_a_whole():
    text = READ.replace("*", "arn:aws:s3:::04da6b54-80e4-46f7-96ec-b56ff0331ba9/*")
    assert found(RULE, "pulumi", [holder("aws_iam_policy", text)]) == {
        ("aws_iam_policy.x", "policy", "violated")
    }


def test_a_document_given_as_an_object_is_read_with_iam_s_own_spelling():
    document = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    assert found(RULE, "pulumi", [holder("aws_iam_policy", document)]) == set()
