from __future__ import annotations

import pytest

from tests.unit.policies.policy_scenarios import (
    PLAN_FORMS,
    Unknown,
    bucket,
    bucket_policy,
    cases,
    found,
    policy,
    tls_statement,
    whole_bucket,
)

RULE = "tls_not_enforced"
NONE = {("aws_s3_bucket.data", "", "violated")}
NO_TLS = {"aws:SecureTransport": "false"}
DELIVERY = {"Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"},
            "Action": "s3:PutObject", "Resource": "*"}  # fmt: skip


def with_policy(*statements: object) -> list[object]:
    return [bucket(), bucket_policy(document=policy(*statements))]


def weaker(**changes: object) -> list[object]:
    return with_policy(tls_statement("acme-data", **changes))


@cases(
    ("a whole bucket", whole_bucket(), set()),
    ("no policy", [bucket()], NONE),
    ("the policy is another bucket's", [bucket(), bucket_policy(of="other")], NONE),
    ("the statement names another bucket", with_policy(tls_statement("other")), NONE),
    ("beside other statements", with_policy(DELIVERY, tls_statement("acme-data")), set()),
    ("the principal as an object", weaker(Principal={"AWS": "*"}), set()),
    ("everything of every service", weaker(Action=["*"]), set()),
    ("every resource", weaker(Resource="*"), set()),
    ("the value as a boolean", weaker(Condition={"Bool": {"aws:SecureTransport": False}}), set()),
    (
        "the key in another spelling",
        weaker(Condition={"Bool": {"AWS:securetransport": ["false"]}}),
        set(),
    ),
    ("an allow", weaker(Effect="Allow"), NONE),
    ("one principal only", weaker(Principal={"AWS": "arn:aws:iam::1:root"}), NONE),
    ("reading only", weaker(Action="s3:GetObject"), NONE),
    ("everything but", weaker(Action=None, NotAction="s3:GetObject"), NONE),
    ("the objects only", weaker(Resource="arn:aws:s3:::acme-data/*"), NONE),
    ("the bucket only", weaker(Resource="arn:aws:s3:::acme-data"), NONE),
    (
        "a folder only",
        weaker(Resource=["arn:aws:s3:::acme-data", "arn:aws:s3:::acme-data/a/*"]),
        NONE,
    ),
    ("with TLS", weaker(Condition={"Bool": {"aws:SecureTransport": "true"}}), NONE),
    ("another comparison", weaker(Condition={"StringEquals": NO_TLS}), NONE),
    ("another key", weaker(Condition={"Bool": {"aws:ViaAWSService": "false"}}), NONE),
    ("no condition", weaker(Condition={}), NONE),
    (
        "one more condition",
        weaker(Condition={"Bool": NO_TLS, "StringEquals": {"aws:PrincipalAccount": "1"}}),
        NONE,
    ),
    ("one more key", weaker(Condition={"Bool": NO_TLS | {"aws:ViaAWSService": "false"}}), NONE),
    ("not a policy document", [bucket(), bucket_policy(document="no")], NONE),
)  # fmt: skip
def test_tls(form, things, expected):
    assert found(RULE, form, things) == expected


@pytest.mark.parametrize("form", PLAN_FORMS)
@pytest.mark.parametrize(
    ("things", "path"),
    [
        ([bucket(), bucket_policy(document=Unknown())], "policy"),
        ([bucket(), bucket_policy(of=Unknown())], "bucket"),
        ([bucket(physical=Unknown()), bucket_policy()], "policy"),
    ],
)
def test_what_is_not_known_is_undecided(form, things, path):
    assert found(RULE, form, things) == {("aws_s3_bucket.data", path, "unknown")}


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_a_policy_that_refers_to_the_bucket_is_that_bucket_s(form):
    things = [bucket(), bucket_policy(of=Unknown(of="aws_s3_bucket.data"))]
    assert found(RULE, form, things) == set()
