"""The networks that may reach a Hub: every one that is taken can be built."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.errors import InvalidInput
from control_plane.domain.facts import Facts, Subscription
from control_plane.domain.networks import MOST_NETWORKS, allowed_networks
from stacks.spec import Network


def allowed(*given: str) -> tuple[str, ...]:
    return allowed_networks(given, field="ip_allow_list")


def test_networks_are_taken_in_one_spelling_and_may_overlap() -> None:
    assert allowed("203.0.113.7", "10.0.0.0/8", "10.1.0.0/16") == (
        "203.0.113.7/32", "10.0.0.0/8", "10.1.0.0/16",
    )  # fmt: skip
    assert allowed("192.0.2.0/255.255.255.0", " 198.51.100.0/24 ") == (
        "192.0.2.0/24", "198.51.100.0/24",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("everybody", "is not an IPv4 network"),
        ("", "is not an IPv4 network"),
        ("10.0.0.0/33", "is not an IPv4 network"),
        ("010.0.0.0/8", "is not an IPv4 network"),
        ("10.0.0.1/8", "has host bits set; the network is 10.0.0.0/8"),
        ("0.0.0.0/0", "is wider than /8"),
        ("10.0.0.0/7", "is wider than /8"),
        ("2001:db8::/32", "is IPv6"),
        ("::1", "is IPv6"),
        ("::ffff:10.0.0.0/104", "write the IPv4 address 10.0.0.0 as itself"),
        ("fe80::1%eth0", "is IPv6"),
        ("127.0.0.1/32", "nobody can reach a Hub"),
        ("0.0.0.0/8", "nobody can reach a Hub"),
        ("169.254.0.0/16", "nobody can reach a Hub"),
        ("224.0.0.0/8", "nobody can reach a Hub"),
        ("255.255.255.255", "nobody can reach a Hub"),
        ("10.1.0.0/16", "repeats the network 10.1.0.0/16"),
        ("10.1.0.0/255.255.0.0", "repeats the network 10.1.0.0/16"),
    ],
)
def test_what_no_stack_can_build_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        allowed("10.1.0.0/16", text)
    assert refused.value.data["field"] == "ip_allow_list.1"


def test_more_networks_than_rules_in_a_group_are_refused() -> None:
    networks = [f"203.0.113.{number}" for number in range(MOST_NETWORKS + 1)]
    assert len(allowed(*networks[:-1])) == MOST_NETWORKS
    with pytest.raises(InvalidInput, match="at most 60 networks") as refused:
        allowed(*networks)
    assert refused.value.data["field"] == "ip_allow_list"


@given(
    st.lists(
        st.ip_addresses(v=4).flatmap(lambda ip: st.integers(0, 32).map(lambda n: f"{ip}/{n}"))
        | st.ip_addresses().map(str),
        max_size=5,
    )
)
def test_a_spec_takes_every_list_of_networks_that_is_taken(given: list[str]) -> None:
    try:
        found = allowed(*given)
    except InvalidInput:
        return
    spec = Network(cidr="10.80.0.0/16", zones=("eu-west-1a", "eu-west-1b"), client_cidrs=found)
    assert len({ipaddress.ip_network(each) for each in spec.client_cidrs}) == len(given)


def test_the_facts_hold_networks_in_one_spelling() -> None:
    facts = Facts(subscription=Subscription.ENTERPRISE, ip_allow_list=("203.0.113.7",))
    assert facts.ip_allow_list == ("203.0.113.7/32",)
    assert Facts.from_document(facts.to_document()) == facts
