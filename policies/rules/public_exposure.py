"""Nothing can be reached from the internet, and nobody outside is let in."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

from policies.buckets import parts_by_bucket
from policies.documents import accounts, documents_of, is_public, statements
from policies.model import (
    UNKNOWN,
    Block,
    Finding,
    Parameters,
    Resource,
    Rule,
    Unknown,
    undecided,
    violated,
)

_BLOCK: Final = "aws_s3_bucket_public_access_block"
_SWITCHES: Final = (
    "block_public_acls",
    "block_public_policy",
    "ignore_public_acls",
    "restrict_public_buckets",
)
_GATEWAYS: Final = {
    "aws_eip": "a public address",
    "aws_egress_only_internet_gateway": "a route to the internet",
    "aws_internet_gateway": "a route to the internet",
    "aws_nat_gateway": "a route to the internet",
}
_ROUTES: Final = {"aws_route": "", "aws_route_table": "route", "aws_default_route_table": "route"}
_DESTINATIONS: Final = (
    "cidr_block", "destination_cidr_block", "ipv6_cidr_block", "destination_ipv6_cidr_block",
)  # fmt: skip
_TARGETS: Final = (
    "carrier_gateway_id", "core_network_arn", "egress_only_gateway_id", "gateway_id",
    "local_gateway_id", "nat_gateway_id", "network_interface_id", "transit_gateway_id",
    "vpc_peering_connection_id",
)  # fmt: skip
_INLINE_GROUPS: Final = ("aws_security_group", "aws_default_security_group")
# What an endpoint lets through narrows and never opens.
_FILTERS: Final = ("aws_vpc_endpoint",)
_FLAGS: Final = {
    "aws_db_instance": "publicly_accessible",
    "aws_subnet": "map_public_ip_on_launch",
}


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:
    """Yield every opening to the internet or to any principal, and what cannot be decided."""
    yield from _access_blocks(resources)
    for resource in resources:
        yield from _flags(resource)
        yield from _ingress(resource, parameters)
        yield from _policies(resource, parameters)
        if parameters.internet_egress != "nat":
            yield from _ways_out(resource, parameters)


def _access_blocks(resources: Sequence[Resource]) -> Iterator[Finding]:
    for parts in parts_by_bucket(resources, _BLOCK):
        if not parts.found and parts.maybe_more:
            yield undecided(
                parts.bucket, "bucket", "Set the bucket of the public access block by name."
            )
        elif not parts.found:
            yield violated(
                parts.bucket,
                "has no public access block",
                f"Add an {_BLOCK} that names the bucket and sets all four switches.",
            )
        for part in parts.found:
            for switch in _SWITCHES:
                yield from _wanted(part, switch, wanted=True)


def _flags(resource: Resource) -> Iterator[Finding]:
    flag = _FLAGS.get(resource.kind)
    if flag:
        yield from _wanted(resource, flag, wanted=False)
    acl = resource.value("acl") if resource.kind == "aws_s3_bucket" else None
    if acl is UNKNOWN:
        yield undecided(resource, "acl", "Remove it.")
    elif isinstance(acl, str) and acl.startswith(("public", "authenticated")):
        yield violated(resource, "has an access list that admits anybody", "Remove it.", "acl")


def _wanted(resource: Resource, path: str, *, wanted: bool) -> Iterator[Finding]:
    value = resource.value(path)
    words = str(wanted).lower()
    if value is UNKNOWN:
        yield undecided(resource, path, f"Set it to {words} as a literal value.")
    elif (value is True) is not wanted:
        reason = f"does not set {path}" if wanted else f"sets {path}"
        yield violated(resource, reason, f"Set {path} to {words}.", path)


def _ingress(resource: Resource, parameters: Parameters) -> Iterator[Finding]:
    if resource.kind == "aws_vpc_security_group_ingress_rule":
        yield from _sources(resource, resource.body, ("cidr_ipv4", "cidr_ipv6"), parameters)
        yield from _lists(resource, resource.body, "prefix_list_id")
    elif resource.kind in _INLINE_GROUPS:
        blocks = resource.body.blocks("ingress")
        if isinstance(blocks, Unknown):
            yield undecided(resource, "ingress", "Write the sources as a literal value.")
            return
        for block in blocks:
            yield from _sources(resource, block, ("cidr_blocks", "ipv6_cidr_blocks"), parameters)
            yield from _lists(resource, block, "prefix_list_ids")


def _lists(resource: Resource, block: Block, path: str) -> Iterator[Finding]:
    """Yield that the sources behind a prefix list, which may be anybody, are unknown."""
    lists, more = block.texts(path)
    if lists or more:
        yield undecided(resource, path, "Name the networks that clients come from.")


def _sources(
    resource: Resource, block: Block, paths: Sequence[str], parameters: Parameters
) -> Iterator[Finding]:
    for path in paths:
        networks, more = block.texts(path)
        if more:
            yield undecided(resource, path, "Write the sources as a literal value.")
        for network in networks:
            if is_wide(network, parameters):
                yield violated(
                    resource,
                    f"admits {network}",
                    "Name the clients' networks, or another security group.",
                    path,
                )


def is_wide(network: str, parameters: Parameters) -> bool:
    """Tell whether a network is so wide that it stands for the internet, or is not a network."""
    try:
        parsed = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return True
    return parsed.prefixlen < parameters.widest_ingress_prefix.get(f"ipv{parsed.version}", 8)


def _policies(resource: Resource, parameters: Parameters) -> Iterator[Finding]:
    if resource.kind in _FILTERS:
        return
    for path, document in documents_of(resource):
        if document is UNKNOWN:
            yield undecided(resource, path, "Compose it from names, account and region.")
            continue
        try:
            found = statements(document)
        except ValueError:
            continue  # the rule about policy documents says so
        if any(map(is_public, found)):
            yield violated(
                resource,
                f"has a {path} that admits any principal",
                "Name the principals, or restrict the statement to an account or endpoint.",
                path,
            )
        own = parameters.account_id
        foreign = {each for statement in found for each in accounts(statement)} - {own}
        if own and foreign:
            yield violated(
                resource,
                f"has a {path} that lets in the account {', '.join(sorted(foreign))}",
                "Let in principals of the deployment's own account alone.",
                path,
            )


def _ways_out(resource: Resource, parameters: Parameters) -> Iterator[Finding]:
    if resource.kind in _GATEWAYS:
        yield violated(
            resource,
            f"is {_GATEWAYS[resource.kind]}",
            "Use VPC endpoints for AWS services, or set internet_egress in the policy parameters.",
        )
    if resource.kind not in _ROUTES:
        return
    path = _ROUTES[resource.kind]
    blocks = resource.body.blocks(path) if path else (resource.body,)
    if isinstance(blocks, Unknown):
        yield undecided(resource, path, "Write the routes as a literal value.")
        return
    for block in blocks:
        yield from _route(resource, block, parameters)


def _route(resource: Resource, block: Block, parameters: Parameters) -> Iterator[Finding]:
    """Judge one route: where anything wide goes, it is unknown from here that it goes no further.

    A target that is not known yet is one all the same; only a destination may leave it open.
    """
    targets = [path for path in _TARGETS if block.value(path) not in (None, "")]
    if block.value("gateway_id") == "local" or block.value("vpc_endpoint_id") not in (None, ""):
        return
    for path in _DESTINATIONS:
        networks, more = block.texts(path)
        if any(is_wide(network, parameters) for network in networks):
            yield violated(
                resource, "routes to the internet", "Take the route out.", (targets or [path])[0]
            )
        elif more:
            yield undecided(resource, path, "Write the destination in plain text.")
    if block.value("destination_prefix_list_id") not in (None, ""):
        remedy = "Name the networks: what a prefix list holds cannot be seen in a plan."
        yield undecided(resource, "destination_prefix_list_id", remedy)


RULE: Final = Rule(
    id="public_exposure", title="Nothing is open to the internet or to anybody", check=check
)
