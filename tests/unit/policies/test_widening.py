"""Whether a policy document, or a rule of a security group, lets more through than before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies.widening import covers, denies, document_is_wider, rule_is_wider

MARK = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
ROLE = "arn:aws:iam::123456789012:role/app"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any = "s3:GetObject", resource: Any = "arn:aws:s3:::data/*", **more: Any) -> Any:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "s3:*", resource: Any = "*", **more: Any) -> Any:
    return {**allow(action, resource, **more), "Effect": "Deny"}


TLS = {"Bool": {"aws:SecureTransport": "false"}}
NARROWER = [
    (allow("s3:*"), allow("s3:GetObject")),
    (allow("s3:Get*"), allow("s3:getobject")),  # actions have no case
    (allow(["s3:GetObject", "s3:PutObject"]), allow("s3:PutObject")),
    (allow(resource="*"), allow(resource="arn:aws:s3:::data/a")),
    (allow(resource="arn:aws:s3:::data/*"), allow(resource="arn:aws:s3:::data/tenants/*")),
    (allow(Principal="*"), allow(Principal={"AWS": ROLE})),
    (allow(Principal={"AWS": "*"}), allow(Principal={"AWS": ROLE})),
    (allow(), allow(Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}})),
    (
        allow(Condition={"StringEquals": {"aws:SourceVpc": ["vpc-1", "vpc-2"]}}),
        allow(Condition={"StringEquals": {"aws:SourceVpc": "vpc-2"}}),
    ),
    (
        allow(Condition={"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}),
        allow(Condition={"StringNotEquals": {"aws:SourceVpc": ["vpc-1", "vpc-2"]}}),
    ),
    (deny("s3:GetObject"), deny("s3:*")),
]
WIDER = [
    (allow("s3:GetObject"), allow("s3:Get*"), "allows s3:Get*"),
    (allow("s3:GetObject"), allow(["s3:GetObject", "s3:PutObject"]), "allows s3:PutObject"),
    (allow(), allow(resource="*"), "on *"),
    (allow(resource="arn:aws:s3:::data/a"), allow(resource="arn:aws:s3:::data/?"), "data/?"),
    (allow(Principal={"AWS": ROLE}), allow(Principal="*"), "to *"),
    (allow(Principal={"AWS": ROLE}), allow(Principal={"Service": "ec2.amazonaws.com"}), "Service"),
    (allow(Principal={"AWS": "*"}), allow(Principal={"Service": "x.amazonaws.com"}), "Service"),
    (allow(Condition=TLS), allow(), "allows s3:GetObject"),
    (
        allow(Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}}),
        allow(Condition={"StringLike": {"aws:SourceVpc": "vpc-1"}}),
        "allows",
    ),
    (
        allow(Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}}),
        allow(Condition={"StringEquals": {"aws:SourceVpc": ["vpc-1", "vpc-2"]}}),
        "allows",
    ),
    (
        allow(Condition={"StringNotEquals": {"aws:SourceVpc": ["vpc-1", "vpc-2"]}}),
        allow(Condition={"StringNotEquals": {"aws:SourceVpc": "vpc-2"}}),
        "allows",
    ),
    (deny("s3:*"), deny("s3:GetObject"), "denies no longer"),
    (deny(), deny(Condition=TLS), "denies no longer"),
    (allow(), {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, "by exclusion"),
]


@pytest.mark.parametrize(("before", "after"), NARROWER)
def test_what_is_the_same_or_narrower_is_not_wider(before: Any, after: Any) -> None:
    assert document_is_wider(document(before), document(after)) == ()
    assert document_is_wider(document(before), document(before)) == ()


@pytest.mark.parametrize(("before", "after", "says"), WIDER)
def test_what_lets_more_through_is_named(before: Any, after: Any, says: str) -> None:
    found = document_is_wider(document(before), document(after))
    assert found
    assert any(says in sentence for sentence in found), found


@pytest.mark.parametrize(("before", "after", "_"), WIDER)
def test_the_other_way_round_of_a_narrowing_is_wider(before: Any, after: Any, _: str) -> None:
    """Both ways of one change are never both narrower, or the comparison would say nothing."""
    both = (
        document_is_wider(document(before), document(after)),
        document_is_wider(document(after), document(before)),
    )
    assert any(both)


def test_a_statement_may_be_covered_by_several_together() -> None:
    before = document(allow("s3:GetObject"), allow("s3:PutObject"))
    assert document_is_wider(before, document(allow(["s3:PutObject", "s3:GetObject"]))) == ()


def test_layout_and_order_change_nothing() -> None:
    one = {"Version": "2012-10-17", "Statement": [allow(), deny(Condition=TLS)]}
    other = {"Statement": [deny(Condition=TLS), allow()], "Version": "2012-10-17"}
    assert document_is_wider(one, json.dumps(other, indent=2)) == ()


def test_a_statement_that_goes_narrows_and_a_denial_that_goes_widens() -> None:
    both = document(allow(), deny())
    assert document_is_wider(both, document(deny())) == ()
    assert document_is_wider(both, document(allow())) == ("denies no longer Action (s3:*)",)


@pytest.mark.parametrize("after", [f'{{"Statement": "{MARK}"}}', MARK, "no json", "[]", "{}"])
def test_what_cannot_be_compared_counts(after: str) -> None:
    (sentence,) = document_is_wider(document(allow()), after)
    assert "not known" in sentence or "cannot be read" in sentence
    assert denies(after)


def test_a_pattern_covers_no_wider_one() -> None:
    assert covers("s3:*", "s3:Get*")
    assert covers("a?c", "abc")
    assert not covers("a?c", "a*c")
    assert not covers("s3:Get*", "s3:*")
    assert not covers("a.c", "abc")  # a dot is a dot


def rule(**changes: Any) -> dict[str, Any]:
    return {"cidr_ipv4": "10.0.0.0/16", "ip_protocol": "tcp", "from_port": 443, "to_port": 443,
            **changes}  # fmt: skip


RULES_WIDER = [
    ({"cidr_ipv4": "10.0.0.0/8"}, "cidr_ipv4: 10.0.0.0/16 becomes 10.0.0.0/8"),
    ({"cidr_ipv4": "192.168.0.0/24"}, "192.168.0.0/24"),  # smaller, and somewhere else
    ({"cidr_ipv4": MARK}, "not known yet"),
    ({"cidr_ipv4": None, "cidr_ipv6": "::/0"}, "cidr_ipv6: nothing becomes ::/0"),
    ({"cidr_ipv4": None, "referenced_security_group_id": "sg-2"}, "referenced_security_group_id"),
    ({"from_port": 80}, "ports: 443 become 80 to 443"),
    ({"ip_protocol": "-1", "from_port": None, "to_port": None}, "ip_protocol: tcp becomes -1"),
    ({"from_port": None, "to_port": None}, "ports: 443 become 0 to 65535"),
    ({"to_port": MARK}, "the ports cannot be compared"),
]


@pytest.mark.parametrize(("changes", "says"), RULES_WIDER)
def test_a_rule_that_lets_more_through_is_named(changes: dict[str, Any], says: str) -> None:
    found = rule_is_wider(rule(), rule(**changes))
    assert any(says in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({}, {"cidr_ipv4": "10.0.7.0/24"}),
        ({"from_port": 80}, {}),
        ({"ip_protocol": "-1", "from_port": None, "to_port": None}, {}),
        ({"cidr_ipv6": "fd00::/8"}, {"cidr_ipv6": "fd00::/64"}),
        ({}, {"description": "other words"}),
    ],
)  # fmt: skip
def test_a_rule_that_lets_less_through_is_not_wider(before: Any, after: Any) -> None:
    assert rule_is_wider(rule(**before), rule(**after)) == ()
