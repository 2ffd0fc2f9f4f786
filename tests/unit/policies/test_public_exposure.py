from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.rules.public_exposure import is_wide
from tests.unit.policies.policy_scenarios import (
    ACCOUNT,
    FORMS,
    PARAMETERS,
    PLAN_FORMS,
    Thing,
    Unknown,
    access_block,
    bucket,
    bucket_policy,
    cases,
    database,
    found,
    key,
    policy,
    role,
    whole_bucket,
)

RULE = "public_exposure"
BLOCK = "aws_s3_bucket_public_access_block"
INGRESS = "aws_vpc_security_group_ingress_rule"


def ingress(**source: object) -> Thing:
    return Thing(INGRESS, "r", {"ip_protocol": "tcp", "from_port": 443, "to_port": 443} | source)


def group(*blocks: dict[str, object], kind: str = "aws_security_group") -> Thing:
    return Thing(kind, "g", {"name": "acme-g", "ingress": list(blocks)})


def allow(principal: object, condition: object = None, **more: object) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject",
                 "Resource": "arn:aws:s3:::acme-data/*"}  # fmt: skip
    return policy(statement | ({"Condition": condition} if condition else {}) | more)


def private(document: str) -> list[Thing]:
    return [*whole_bucket()[:3], bucket_policy(document=document)]


def public(document: str) -> tuple[list[Thing], set[tuple[str, str, str]]]:
    return private(document), {("aws_s3_bucket_policy.data", "policy", "violated")}


def default_route(**gateway: object) -> Thing:
    return Thing("aws_route", "r", {"destination_cidr_block": "0.0.0.0/0"} | gateway)


@cases(
    ("a whole bucket", whole_bucket(), set()),
    ("a bucket without a block", [bucket()], {("aws_s3_bucket.data", "", "violated")}),
    (
        "the block is another bucket's",
        [bucket(), access_block(of="other")],
        {("aws_s3_bucket.data", "", "violated")},
    ),
    *(
        (
            f"{switch} is off",
            [bucket(), access_block(**{switch: False})],
            {(f"{BLOCK}.data", switch, "violated")},
        )
        for switch in (
            "block_public_acls",
            "block_public_policy",
            "ignore_public_acls",
            "restrict_public_buckets",
        )
    ),
    (
        "an access list for everybody",
        [*whole_bucket()[1:], bucket(acl="public-read")],
        {("aws_s3_bucket.data", "acl", "violated")},
    ),
    ("clients of a private network", [ingress(cidr_ipv4="10.20.0.0/16")], set()),
    ("clients of one public address", [ingress(cidr_ipv4="203.0.113.7/32")], set()),
    ("another security group", [ingress(referenced_security_group_id="sg-1")], set()),
    (
        "the internet",
        [ingress(cidr_ipv4="0.0.0.0/0")],
        {(f"{INGRESS}.r", "cidr_ipv4", "violated")},
    ),
    (
        "the internet in IPv6",
        [ingress(cidr_ipv6="::/0")],
        {(f"{INGRESS}.r", "cidr_ipv6", "violated")},
    ),
    (
        "half of the internet",
        [ingress(cidr_ipv4="128.0.0.0/1")],
        {(f"{INGRESS}.r", "cidr_ipv4", "violated")},
    ),
    (
        "no network at all",
        [ingress(cidr_ipv4="anywhere")],
        {(f"{INGRESS}.r", "cidr_ipv4", "violated")},
    ),
    ("a group with a private source", [group({"cidr_blocks": ["10.0.0.0/8"]})], set()),
    (
        "one of several sources in a group",
        [group({"cidr_blocks": ["10.0.0.0/8", "0.0.0.0/0"]}, {"ipv6_cidr_blocks": ["::/0"]})],
        {
            ("aws_security_group.g", "cidr_blocks", "violated"),
            ("aws_security_group.g", "ipv6_cidr_blocks", "violated"),
        },
    ),
    (
        "the default group of a network",
        [group({"cidr_blocks": ["0.0.0.0/0"]}, kind="aws_default_security_group")],
        {("aws_default_security_group.g", "cidr_blocks", "violated")},
    ),
    (
        "a group may send anywhere",
        [Thing("aws_vpc_security_group_egress_rule", "e", {"cidr_ipv4": "0.0.0.0/0"})],
        set(),
    ),
    ("a private database", [database()], set()),
    (
        "a public database",
        [database(publicly_accessible=True)],
        {("aws_db_instance.db", "publicly_accessible", "violated")},
    ),
    ("a database that says nothing is private", [database(publicly_accessible=None)], set()),
    (
        "a subnet of public addresses",
        [Thing("aws_subnet", "a", {"map_public_ip_on_launch": True})],
        {("aws_subnet.a", "map_public_ip_on_launch", "violated")},
    ),
    ("any principal", *public(allow("*"))),
    ("any principal of AWS", *public(allow({"AWS": "*"}))),
    ("any principal in a list", *public(allow({"AWS": ["arn:aws:iam::1:root", "*"]}))),
    ("anybody but one", *public(allow(None, NotPrincipal={"AWS": "arn:aws:iam::1:root"}))),
    (
        "a condition that narrows nothing",
        *public(allow("*", {"Bool": {"aws:SecureTransport": "true"}})),
    ),
    (
        "a pattern that everybody fits",
        *public(allow("*", {"StringLike": {"aws:PrincipalOrgID": "*"}})),
    ),
    (
        "a condition on who it is not",
        *public(allow("*", {"StringNotEquals": {"aws:PrincipalAccount": "1"}})),
    ),
    *(
        (f"what does not narrow: {operator} {key}: {value}", *public(allow(
            "*", {operator: {key: value}}
        )))
        for operator, key, value in (
            ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/*"),
            ("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::*:role/app"),
            ("StringLike", "aws:PrincipalArn", "arn:aws:iam::12345678901?:role/*"),
            ("StringLike", "aws:PrincipalArn", "*:role/acme-app"),
            ("StringLike", "aws:PrincipalArn", "arn:*:123456789012:role/app"),
            ("StringLike", "aws:PrincipalArn", "arn:aws:iam::${aws:PrincipalAccount}:role/app"),
            ("ArnLike", "aws:PrincipalArn", [f"arn:aws:iam::{ACCOUNT}:role/a", "arn:aws:iam::*:*"]),
            ("ArnNotLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:role/a"),
            ("ArnLikeIfExists", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:role/a"),
            ("ForAllValues:ArnLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:role/a"),
            ("StringEqualsIfExists", "aws:PrincipalAccount", ACCOUNT),
            ("ForAllValues:StringEquals", "aws:PrincipalAccount", ACCOUNT),
            ("StringLike", "aws:PrincipalAccount", "1234*"),
            ("StringLike", "aws:PrincipalAccount", "????????????"),
            ("StringEquals", "aws:PrincipalAccount", [ACCOUNT, "*"]),
            ("StringEquals", "aws:PrincipalAccount", []),
            ("StringEquals", "aws:PrincipalAccount", "${aws:PrincipalAccount}"),
            ("StringNotLike", "aws:PrincipalOrgID", "o-a1b2c3d4e5"),
            ("StringLike", "aws:PrincipalOrgID", "o-*"),
            ("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", "*/ou-1/"),
            ("IpAddress", "aws:SourceIp", "0.0.0.0/0"),
            ("IpAddress", "aws:SourceIp", ["203.0.113.0/24", "::/0"]),
            ("NotIpAddress", "aws:SourceIp", "203.0.113.0/24"),
            ("ArnLike", "aws:SourceArn", "arn:aws:s3:*:*:*"),
            ("ArnLike", "aws:SourceArn", "arn:aws:s3:::*"),
            ("ArnLike", "aws:SourceArn", "arn:aws:s3:::acme-*"),
            ("ArnLike", "aws:SourceArn", "arn:aws:sns:eu-west-1:*:topic"),
            ("StringLike", "aws:SourceVpce", "vpce-*"),
            ("StringLike", "aws:SourceVpc", "*"),
            ("StringLike", "kms:CallerAccount", "*"),
            ("Null", "aws:PrincipalAccount", "false"),
            ("Bool", "aws:PrincipalIsAWSService", "false"),
        )
    ),
    *(
        (f"what narrows: {operator} {key}: {value}", private(allow(
            "*", {operator: {key: value}}
        )), set())
        for operator, key, value in (
            ("ArnLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:role/*"),
            ("StringLike", "aws:principalarn", [f"arn:aws:iam::{ACCOUNT}:*"]),
            ("StringEquals", "aws:PrincipalOrgID", "o-a1b2c3d4e5"),
            ("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", "o-a1b2c3d4e5/r-ab12/*"),
            ("ArnLike", "aws:SourceArn", f"arn:aws:logs:eu-west-1:{ACCOUNT}:*"),
            ("ArnEquals", "aws:SourceArn", "arn:aws:s3:::acme-data"),
            ("StringEquals", "aws:SourceVpce", "vpce-0123456789abcdef0"),
            ("StringEquals", "aws:SourceAccount", [ACCOUNT, "210987654321"]),
        )
    ),
    ("any account's root by a pattern", *public(allow({"AWS": "arn:aws:iam::*:root"}))),
    (
        "any principal of one account",
        private(allow("*", {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}})),
        set(),
    ),
    (
        "a service",
        private(allow({"Service": "logging.s3.amazonaws.com"})),
        set(),
    ),
    (
        "a key for anybody",
        [Thing("aws_kms_key", "k", {"policy": allow("*", Action="kms:*", Resource="*")})],
        {("aws_kms_key.k", "policy", "violated")},
    ),
    (
        "a role that anybody assumes",
        [role(assume_role_policy=allow({"AWS": "*"}, Action="sts:AssumeRole"))],
        {("aws_iam_role.app", "assume_role_policy", "violated")},
    ),
    (
        "what an endpoint lets through opens nothing",
        [Thing("aws_vpc_endpoint", "e", {"policy": allow("*", Resource="*")})],
        set(),
    ),
    (
        "gateways and addresses",
        [
            Thing("aws_internet_gateway", "i", {}),
            Thing("aws_nat_gateway", "n", {}),
            Thing("aws_eip", "a", {}),
            Thing("aws_egress_only_internet_gateway", "o", {}),
        ],
        {
            ("aws_internet_gateway.i", "", "violated"),
            ("aws_nat_gateway.n", "", "violated"),
            ("aws_eip.a", "", "violated"),
            ("aws_egress_only_internet_gateway.o", "", "violated"),
        },
    ),
    (
        "a route to the internet",
        [default_route(gateway_id="igw-1")],
        {("aws_route.r", "gateway_id", "violated")},
    ),
    (
        "a route to a private gateway",
        [default_route(gateway_id="vgw-1", destination_cidr_block="10.0.0.0/8")],
        set(),
    ),
    *(
        (
            f"everything goes to a {target}",
            [default_route(**{target: "x-1"})],
            {("aws_route.r", target, "violated")},
        )
        for target in (
            "carrier_gateway_id",
            "core_network_arn",
            "egress_only_gateway_id",
            "gateway_id",
            "local_gateway_id",
            "nat_gateway_id",
            "network_interface_id",
            "transit_gateway_id",
            "vpc_peering_connection_id",
        )
    ),
    ("everything goes to an endpoint", [default_route(vpc_endpoint_id="vpce-1")], set()),
    (
        "a target nobody knows",
        [default_route()],
        {("aws_route.r", "destination_cidr_block", "violated")},
    ),
    (
        "a peer's network",
        [default_route(vpc_peering_connection_id="pcx-1", destination_cidr_block="10.0.0.0/8")],
        set(),
    ),
    (
        "what a prefix list holds goes out",
        [Thing("aws_route", "r", {"destination_prefix_list_id": "pl-1", "nat_gateway_id": "n"})],
        {("aws_route.r", "destination_prefix_list_id", "unknown")},
    ),
    (
        "what a prefix list holds comes in",
        [ingress(prefix_list_id="pl-1"), group({"prefix_list_ids": ["pl-1"]})],
        {
            (f"{INGRESS}.r", "prefix_list_id", "unknown"),
            ("aws_security_group.g", "prefix_list_ids", "unknown"),
        },
    ),
    (
        "a route inside a table",
        [
            Thing(
                "aws_route_table",
                "t",
                {"route": [{"cidr_block": "10.0.0.0/8", "gateway_id": "local"},
                           {"cidr_block": "0.0.0.0/0", "nat_gateway_id": "nat-1"}]},
            )
        ],
        {("aws_route_table.t", "nat_gateway_id", "violated")},
    ),
)  # fmt: skip
def test_openings(form, things, expected):
    assert found(RULE, form, things) == expected


@pytest.mark.parametrize("form", PLAN_FORMS)
@pytest.mark.parametrize(
    ("things", "path"),
    [
        ([ingress(cidr_ipv4=Unknown())], "cidr_ipv4"),
        ([group({"cidr_blocks": ["10.0.0.0/8", Unknown()]})], "cidr_blocks"),
        ([Thing("aws_security_group", "g", {"ingress": Unknown()})], "ingress"),
        ([database(publicly_accessible=Unknown())], "publicly_accessible"),
        ([bucket(), access_block(of=Unknown())], "bucket"),
        ([access_block(block_public_acls=Unknown()), bucket()], "block_public_acls"),
        ([role(assume_role_policy=Unknown())], "assume_role_policy"),
        (
            [default_route(nat_gateway_id="n", destination_cidr_block=Unknown())],
            "destination_cidr_block",
        ),
        ([ingress(prefix_list_id=Unknown())], "prefix_list_id"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_not_taken_for_closed(form, things, path):
    assert found(RULE, form, things) == {(things[0].address, path, "unknown")}


@pytest.mark.parametrize("form", PLAN_FORMS)
@pytest.mark.parametrize("target", ["gateway_id", "nat_gateway_id", "network_interface_id"])
def test_everything_goes_somewhere_else_whatever_the_target_will_be(form, target):
    expected = {("aws_route.r", target, "violated")}
    assert found(RULE, form, [default_route(**{target: Unknown()})]) == expected


FOREIGN = "210987654321"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("principal", "is_let_in"),
    [
        (f"arn:aws:iam::{FOREIGN}:root", True),
        (FOREIGN, True),
        ([f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:sts::{FOREIGN}:assumed-role/a/b"], True),
        (f"arn:aws:iam::{ACCOUNT}:root", False),
        (ACCOUNT, False),
    ],
)
def test_another_account_is_let_in_nowhere(form, principal, is_let_in):
    own = replace(PARAMETERS, account_id=ACCOUNT)
    document = allow({"AWS": principal}, Action="*", Resource="*")
    things = [
        Thing("aws_kms_key", "k", {"policy": document}),
        Thing("aws_secretsmanager_secret_policy", "s", {"secret_arn": "x", "policy": document}),
        role(assume_role_policy=document),
        bucket_policy(document=document),
    ]
    policies = {
        ("aws_kms_key.k", "policy", "violated"),
        ("aws_secretsmanager_secret_policy.s", "policy", "violated"),
        ("aws_iam_role.app", "assume_role_policy", "violated"),
        ("aws_s3_bucket_policy.data", "policy", "violated"),
    }
    assert found(RULE, form, things, own) == (policies if is_let_in else set())
    assert found(RULE, form, things) == set()  # nobody said which account is its own


@pytest.mark.parametrize("form", FORMS)
def test_another_account_may_be_refused_by_name(form):
    own = replace(PARAMETERS, account_id=ACCOUNT)
    denied = allow({"AWS": FOREIGN}, Effect="Deny", Action="*", Resource="*")
    assert found(RULE, form, [bucket_policy(document=denied)], own) == set()


@pytest.mark.parametrize("form", FORMS)
def test_outbound_through_nat_may_be_chosen(form):
    chosen = replace(PARAMETERS, internet_egress="nat")
    things = [
        Thing("aws_internet_gateway", "i", {}),
        Thing("aws_nat_gateway", "n", {}),
        default_route(nat_gateway_id="nat-1"),
    ]
    assert found(RULE, form, things, chosen) == set()
    assert found(RULE, form, [ingress(cidr_ipv4="0.0.0.0/0")], chosen) != set()


@settings(deadline=None)
@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_a_network_is_wide_by_its_length_alone(address, length):
    assert is_wide(f"{address}/{length}", PARAMETERS) is (length < 8)


def test_a_key_without_a_policy_of_its_own_has_that_of_aws():
    assert found(RULE, "pulumi", [key()]) == set()
