"""Policy documents and rules of networks in sentences."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies.reading import document_words, inline_rule_words, is_network_rule, rule_words


def document(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.mark.parametrize(("statement", "says"), [
    ({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::a/*"},
     "allows s3:GetObject on arn:aws:s3:::a/*"),
    ({"Sid": "Tls", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["a", "b"],
      "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
     "Tls: denies everybody s3:* on a, b, if aws:SecureTransport Bool false"),
    ({"Effect": "Allow",
      "Principal": {"AWS": ["arn:aws:iam::1:root"], "Service": "x.amazonaws.com"},
      "Action": "*", "Resource": "*"},
     "allows AWS arn:aws:iam::1:root, Service x.amazonaws.com everything on everything"),
    ({"Effect": "Allow", "NotAction": ["iam:*"], "NotResource": "arn:x"},
     "allows all but iam:* on all but arn:x"),
    ({"Effect": "Allow", "NotPrincipal": {"AWS": "1"}, "Action": "a", "Resource": "b"},
     'allows a on b; NotPrincipal {"AWS": "1"}'),
    ({"Effect": "Allow", "Action": "a", "Resource": "b", "Condition": "odd"},
     "allows a on b, if odd"),
])  # fmt: skip
def test_a_statement_is_a_sentence_and_nothing_of_it_is_left_out(
    statement: dict[str, Any], says: str
) -> None:
    assert document_words(document(**statement)) == (says,)
    assert document_words(json.loads(document(**statement))) == (says,)


@pytest.mark.parametrize(
    "value", [None, 1, "", "text", "{", "{}", "[1]", {"Statement": [1]}, "{" * 100_000]
)
def test_what_is_no_policy_has_no_sentences(value: object) -> None:
    assert document_words(value) == ()


@pytest.mark.parametrize(("kind", "inputs", "says"), [
    ("IngressRule", {"cidrIpv4": "10.0.0.0/8", "ipProtocol": "tcp", "fromPort": 443.0,
                     "toPort": 443.0}, "from 10.0.0.0/8: tcp, port 443"),
    ("EgressRule", {"referencedSecurityGroupId": "sg-1", "ipProtocol": "-1"},
     "to the group sg-1: every protocol and port"),
    ("Rule", {"type": "egress", "cidrBlocks": ["0.0.0.0/0"], "protocol": "udp", "fromPort": 1,
              "toPort": 9}, "to 0.0.0.0/0: udp, port 1 to 9"),
    ("IngressRule", {"ipProtocol": "tcp"}, "from nobody: tcp, every port"),
])  # fmt: skip
def test_a_rule_of_a_network_is_a_sentence(kind: str, inputs: dict[str, Any], says: str) -> None:
    token = f"aws:vpc/securityGroup{kind}:SecurityGroup{kind}"
    assert is_network_rule(token)
    assert rule_words(token, inputs) == says


def test_rules_inside_of_a_group_are_read_too() -> None:
    ports = {"protocol": "tcp", "fromPort": 1, "toPort": 1}
    rule = {"cidrBlocks": ["10.0.0.0/8"], "self": True, **ports}
    assert inline_rule_words("ingress[0]", rule) == (
        "from 10.0.0.0/8, the group itself: tcp, port 1",
    )
    assert inline_rule_words("egress", [rule])[0].startswith("to 10.0.0.0/8")
    assert inline_rule_words("ingress[0].protocol", "tcp") == ()
    assert inline_rule_words("tags", {"a": "b"}) == ()
