"""Security groups and their rules."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import ApiError, Aws
from stacks.sandbox.provider.ec2 import Ec2Type, deleted, described, tag_specifications
from stacks.sandbox.provider.schema import (
    TAGS,
    Field,
    Fields,
    block,
    flag,
    integer,
    set_of,
    text,
)
from stacks.sandbox.provider.tags import TagChange, from_pairs
from stacks.sandbox.provider.wire import Properties

_GONE = "InvalidGroup.NotFound"
_PROTOCOLS = {"all": "-1", "6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}

_INLINE_RULE: Fields = {
    "protocol": text(required=True),
    "fromPort": integer(required=True, rule=rules.between(-1, 65_535)),
    "toPort": integer(required=True, rule=rules.between(-1, 65_535)),
    "cidrBlocks": set_of(text(rule=rules.cidr_ipv4)),
    "ipv6CidrBlocks": set_of(text(rule=rules.cidr_ipv6)),
    "prefixListIds": set_of(text()),
    "securityGroups": set_of(text()),
    "self": flag(),
    "description": text(),
}


def _inline_rules() -> Field:
    return set_of(block(_INLINE_RULE), computed=True, form=_spread)


def _spread(given: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return rules in a form that does not depend on how their sources are grouped."""
    return sorted({_key(item) for rule in given for item in _single(rule)})


def _permission(rule: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Return an inline rule in the words of the API."""
    described_as = {"Description": rule["description"]} if rule.get("description") else {}
    protocol = _PROTOCOLS.get(rule["protocol"], rule["protocol"])
    ports = {} if protocol == "-1" else {"FromPort": rule["fromPort"], "ToPort": rule["toPort"]}
    groups = [*(rule.get("securityGroups") or []), *([group] if rule.get("self") else [])]
    sources = {
        "IpRanges": [{"CidrIp": cidr, **described_as} for cidr in rule.get("cidrBlocks") or []],
        "Ipv6Ranges": [
            {"CidrIpv6": cidr, **described_as} for cidr in rule.get("ipv6CidrBlocks") or []
        ],
        "PrefixListIds": [
            {"PrefixListId": name, **described_as} for name in rule.get("prefixListIds") or []
        ],
        "UserIdGroupPairs": [{"GroupId": name, **described_as} for name in groups],
    }
    return {
        "IpProtocol": protocol,
        **ports,
        **{key: value for key, value in sources.items() if value},
    }


def _inline(permissions: Iterable[Mapping[str, Any]], group: str) -> list[dict[str, Any]]:
    """Return the API's permissions as inline rules, one per description."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for permission in permissions:
        protocol = permission["IpProtocol"]
        anything = protocol == "-1"
        ports = (
            0 if anything else permission.get("FromPort", 0),
            0 if anything else permission.get("ToPort", 0),
        )
        for key, member, name in (
            ("IpRanges", "CidrIp", "cidrBlocks"),
            ("Ipv6Ranges", "CidrIpv6", "ipv6CidrBlocks"),
            ("PrefixListIds", "PrefixListId", "prefixListIds"),
            ("UserIdGroupPairs", "GroupId", "securityGroups"),
        ):
            for source in permission.get(key) or []:
                about = source.get("Description") or ""
                rule = found.setdefault(
                    (protocol, *ports, about),
                    {"protocol": protocol, "fromPort": ports[0], "toPort": ports[1]},
                )
                if about:
                    rule["description"] = about
                if source[member] == group:
                    rule["self"] = True
                else:
                    rule[name] = sorted({*rule.get(name, []), source[member]})
    return list(found.values())


class SecurityGroup(Ec2Type):
    """A security group, with rules of its own or with rules as resources, never both."""

    urn_type = "aws:ec2/securityGroup:SecurityGroup"
    label = "EC2 Security Group"
    fields: ClassVar[Fields] = {
        "name": text(
            named=True,
            computed=True,
            replaces=True,
            rule=rules.matching(r"(?!sg-).{1,255}", "at most 255 characters, not beginning sg-"),
        ),
        "description": text(default="Managed by Pulumi", replaces=True),
        "vpcId": text(computed=True, replaces=True),
        "ingress": _inline_rules(),
        "egress": _inline_rules(),
        "revokeRulesOnDelete": flag(default=False, local=True),
        **TAGS,
    }
    outputs: ClassVar[tuple[str, ...]] = ("arn", "ownerId")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Create the group; its rules follow."""
        answer = aws.call(
            "ec2",
            "create_security_group",
            GroupName=inputs["name"],
            Description=inputs.get("description") or self.fields["description"].default,
            VpcId=inputs.get("vpcId"),
            TagSpecifications=tag_specifications("security-group", inputs),
        )
        return str(answer["GroupId"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        """Take away the rule AWS adds to let everything out, then set the given rules."""
        present = self._rules(aws, identity)
        _apply(aws, identity, "egress", present["egress"], inputs.get("egress") or [])
        _apply(aws, identity, "ingress", present["ingress"], inputs.get("ingress") or [])

    def _rules(self, aws: Aws, identity: str) -> dict[str, list[dict[str, Any]]]:
        group = _describe(aws, identity)
        if group is None:
            raise ApiError("DescribeSecurityGroups", _GONE, f"{identity} does not exist")
        return {
            "ingress": _inline(group.get("IpPermissions") or [], identity),
            "egress": _inline(group.get("IpPermissionsEgress") or [], identity),
        }

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Describe the group and its rules."""
        group = _describe(aws, identity)
        if group is None:
            return None
        return {
            **_state(aws, group),
            "name": group["GroupName"],
            "description": group["Description"],
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Set the given rules in place of those that are there."""
        present = self._rules(aws, identity)
        for direction in ("ingress", "egress"):
            if direction in changed:
                _apply(aws, identity, direction, present[direction], new.get(direction) or [])

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Delete the group; AWS refuses while a rule of another group refers to it."""
        return deleted(aws, "delete_security_group", _GONE, GroupId=identity)


class DefaultSecurityGroup(SecurityGroup):
    """The group a VPC comes with: taken over with exactly the given rules, never deleted."""

    urn_type = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
    label = "EC2 Default Security Group"
    fields: ClassVar[Fields] = {
        "vpcId": text(computed=True, replaces=True),
        "ingress": _inline_rules(),
        "egress": _inline_rules(),
        "revokeRulesOnDelete": flag(default=False, local=True),
        **TAGS,
    }
    outputs = ("arn", "ownerId", "name", "description")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Find the group; there is nothing to create."""
        filters = [{"Name": "group-name", "Values": ["default"]}]
        if inputs.get("vpcId"):
            filters.append({"Name": "vpc-id", "Values": [inputs["vpcId"]]})
        groups = aws.call("ec2", "describe_security_groups", Filters=filters)["SecurityGroups"]
        if not groups:
            raise ApiError("DescribeSecurityGroups", _GONE, "the VPC has no default security group")
        return str(groups[0]["GroupId"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        """Set the rules, and the tags that could not be given at a creation."""
        super().finish(aws, identity, inputs)
        if inputs.get("tagsAll"):
            self.retag(aws, identity, inputs, TagChange(remove=[], put=inputs["tagsAll"]))

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Let go of the group: AWS does not delete it before its VPC."""
        return _describe(aws, identity) is not None


def _describe(aws: Aws, identity: str) -> dict[str, Any] | None:
    return described(aws, "describe_security_groups", "SecurityGroups", _GONE, GroupIds=[identity])


def _state(aws: Aws, group: Mapping[str, Any]) -> Properties:
    identity = group["GroupId"]
    return {
        "arn": aws.arn("ec2", f"security-group/{identity}"),
        "ownerId": group.get("OwnerId") or aws.account_id,
        "vpcId": group.get("VpcId"),
        "ingress": _inline(group.get("IpPermissions") or [], identity),
        "egress": _inline(group.get("IpPermissionsEgress") or [], identity),
        "tagsAll": from_pairs(group.get("Tags")),
    }


def _apply(
    aws: Aws,
    identity: str,
    direction: str,
    present: list[dict[str, Any]],
    wanted: list[dict[str, Any]],
) -> None:
    """Revoke rules that are not wanted and authorize those that are missing."""
    have = {_key(item): item for rule in present for item in _single(rule)}
    want = {_key(item): item for rule in wanted for item in _single(rule)}
    for verb, items in (
        ("revoke", [item for key, item in have.items() if key not in want]),
        ("authorize", [item for key, item in want.items() if key not in have]),
    ):
        if items:
            permissions = [_permission(item, identity) for item in items]
            operation = f"{verb}_security_group_{direction}"
            aws.call("ec2", operation, GroupId=identity, IpPermissions=permissions)


def _single(rule: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield an inline rule as rules with one source each."""
    shared = {
        "protocol": _PROTOCOLS.get(rule["protocol"], rule["protocol"]),
        "fromPort": rule["fromPort"],
        "toPort": rule["toPort"],
        "description": rule.get("description") or "",
    }
    for name in ("cidrBlocks", "ipv6CidrBlocks", "prefixListIds", "securityGroups"):
        for source in rule.get(name) or []:
            yield {**shared, name: [source]}
    if rule.get("self"):
        yield {**shared, "self": True}


def _key(rule: Mapping[str, Any]) -> str:
    return repr(sorted(rule.items()))


TYPES = (SecurityGroup(), DefaultSecurityGroup())
