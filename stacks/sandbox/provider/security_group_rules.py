"""Single rules of security groups as resources of their own."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import Aws
from stacks.sandbox.provider.ec2 import Ec2Type, deleted, described, tag_specifications
from stacks.sandbox.provider.schema import TAGS, Fields, Problem, integer, text
from stacks.sandbox.provider.tags import from_pairs
from stacks.sandbox.provider.wire import Properties

_SOURCES = ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")
_GONE = "InvalidSecurityGroupRuleId.NotFound"


class _Rule(Ec2Type):
    """A rule in one direction."""

    direction: ClassVar[str]
    fields: ClassVar[Fields] = {
        "securityGroupId": text(required=True, replaces=True),
        "ipProtocol": text(required=True),
        "fromPort": integer(rule=rules.between(-1, 65_535)),
        "toPort": integer(rule=rules.between(-1, 65_535)),
        "cidrIpv4": text(rule=rules.cidr_ipv4),
        "cidrIpv6": text(rule=rules.cidr_ipv6),
        "prefixListId": text(),
        "referencedSecurityGroupId": text(),
        "description": text(),
        **TAGS,
    }
    outputs = ("arn", "securityGroupRuleId")

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """One source or destination; ports unless everything is let through."""
        if sum(inputs.get(name) is not None for name in _SOURCES) != 1:
            yield Problem("", f"exactly one of {', '.join(_SOURCES)} is required")
        ports = [inputs.get("fromPort"), inputs.get("toPort")]
        if inputs.get("ipProtocol") == "-1":
            if any(port not in (None, -1) for port in ports):
                yield Problem("fromPort", "must not be given when ipProtocol is -1")
        elif isinstance(inputs.get("ipProtocol"), str) and None in ports:
            yield Problem("fromPort", "and toPort are required unless ipProtocol is -1")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        answer = aws.call(
            "ec2",
            f"authorize_security_group_{self.direction}",
            GroupId=inputs["securityGroupId"],
            IpPermissions=[_permission(inputs)],
            TagSpecifications=tag_specifications("security-group-rule", inputs),
        )
        return str(answer["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        rule = described(
            aws,
            "describe_security_group_rules",
            "SecurityGroupRules",
            _GONE,
            SecurityGroupRuleIds=[identity],
        )
        if rule is None or bool(rule["IsEgress"]) != (self.direction == "egress"):
            return None
        ports = {"fromPort": rule.get("FromPort"), "toPort": rule.get("ToPort")}
        if rule["IpProtocol"] == "-1":
            # AWS answers -1 for ports nobody gave
            ports = {name: known.get(name) for name in ports}
        return {
            "arn": aws.arn("ec2", f"security-group-rule/{identity}"),
            "securityGroupRuleId": identity,
            "securityGroupId": rule["GroupId"],
            "ipProtocol": rule["IpProtocol"],
            **ports,
            "cidrIpv4": rule.get("CidrIpv4"),
            "cidrIpv6": rule.get("CidrIpv6"),
            "prefixListId": rule.get("PrefixListId"),
            "referencedSecurityGroupId": (rule.get("ReferencedGroupInfo") or {}).get("GroupId"),
            "description": rule.get("Description"),
            "tagsAll": from_pairs(rule.get("Tags")),
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Give the rule its new content."""
        parameters = {
            "IpProtocol": new["ipProtocol"],
            "FromPort": new.get("fromPort", -1),
            "ToPort": new.get("toPort", -1),
            "CidrIpv4": new.get("cidrIpv4"),
            "CidrIpv6": new.get("cidrIpv6"),
            "PrefixListId": new.get("prefixListId"),
            "ReferencedGroupId": new.get("referencedSecurityGroupId"),
            "Description": new.get("description") or "",
        }
        rule = {name: value for name, value in parameters.items() if value is not None}
        aws.call(
            "ec2",
            "modify_security_group_rules",
            GroupId=new["securityGroupId"],
            SecurityGroupRules=[{"SecurityGroupRuleId": identity, "SecurityGroupRule": rule}],
        )

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Revoke the rule; gone with its group is gone as well."""
        if self.read(aws, identity, state) is None:
            return False
        return deleted(
            aws,
            f"revoke_security_group_{self.direction}",
            _GONE,
            GroupId=state["securityGroupId"],
            SecurityGroupRuleIds=[identity],
        )


def _permission(inputs: Mapping[str, Any]) -> dict[str, Any]:
    about = {"Description": inputs["description"]} if inputs.get("description") else {}
    permission: dict[str, Any] = {"IpProtocol": inputs["ipProtocol"]}
    for name, parameter in (("fromPort", "FromPort"), ("toPort", "ToPort")):
        if inputs.get(name) is not None:
            permission[parameter] = inputs[name]
    for name, key, member in (
        ("cidrIpv4", "IpRanges", "CidrIp"),
        ("cidrIpv6", "Ipv6Ranges", "CidrIpv6"),
        ("prefixListId", "PrefixListIds", "PrefixListId"),
        ("referencedSecurityGroupId", "UserIdGroupPairs", "GroupId"),
    ):
        if inputs.get(name) is not None:
            permission[key] = [{member: inputs[name], **about}]
    return permission


class SecurityGroupIngressRule(_Rule):
    """A rule that lets traffic in."""

    urn_type = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    label = "VPC Security Group Ingress Rule"
    direction = "ingress"


class SecurityGroupEgressRule(_Rule):
    """A rule that lets traffic out."""

    urn_type = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    label = "VPC Security Group Egress Rule"
    direction = "egress"


TYPES = (SecurityGroupIngressRule(), SecurityGroupEgressRule())
