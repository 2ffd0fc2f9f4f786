"""A private network: no internet gateway, no NAT, no public address."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws.ec2 import DefaultSecurityGroup, RouteTable, RouteTableAssociation, Subnet, Vpc

from stacks import spec
from stacks.components.naming import Names
from stacks.components.tags import tags

_SUBNET_PREFIX = 20
_LEAST_CUT = 2  # bits: a network too small for /20 subnets is cut into quarters


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Where the network lies and how it is cut."""

    names: Names
    network: spec.Network


class Network(pulumi.ComponentResource):
    """VPC, one private subnet per zone, one route table without a way out."""

    vpc_id: pulumi.Output[str]
    subnet_ids: Sequence[pulumi.Output[str]]
    route_table_id: pulumi.Output[str]

    def __init__(
        self, name: str, config: NetworkConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:components:Network", name, None, opts)
        names = config.names
        child = pulumi.ResourceOptions(parent=self)
        vpc = Vpc(
            "vpc",
            cidr_block=config.network.cidr,
            enable_dns_hostnames=True,  # private names of interface endpoints need both
            enable_dns_support=True,
            tags=tags(names.of("vpc")),
            opts=child,
        )
        # AWS makes this group with every VPC, open between its members; here it stays empty.
        DefaultSecurityGroup(
            "default-unused",
            vpc_id=vpc.id,
            tags=tags(names.of("vpc-default-unused")),
            opts=child,
        )
        routes = RouteTable("private", vpc_id=vpc.id, tags=tags(names.of("private")), opts=child)
        subnets = []
        for zone, cidr in subnet_cidrs(config.network).items():
            letter = zone[-1]
            subnet = Subnet(
                f"private-{letter}",
                vpc_id=vpc.id,
                availability_zone=zone,
                cidr_block=cidr,
                map_public_ip_on_launch=False,
                tags=tags(names.of(f"private-{zone}")),
                opts=child,
            )
            RouteTableAssociation(
                f"private-{letter}", route_table_id=routes.id, subnet_id=subnet.id, opts=child
            )
            subnets.append(subnet.id)
        self.vpc_id = vpc.id
        self.subnet_ids = subnets
        self.route_table_id = routes.id
        self.register_outputs({"vpc_id": self.vpc_id, "subnet_ids": subnets})


def subnet_cidrs(network: spec.Network) -> dict[str, str]:
    """Return zone -> network of its subnet, in the order of the zones."""
    whole = ipaddress.IPv4Network(network.cidr)
    cut = max(_SUBNET_PREFIX - whole.prefixlen, _LEAST_CUT)
    parts = whole.subnets(prefixlen_diff=cut)
    return {zone: str(part) for zone, part in zip(network.zones, parts, strict=False)}
