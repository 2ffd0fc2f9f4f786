"""What was put by hand into things that a state holds: rules, routes, policies of roles.

Such a thing carries no tag and no name of the deployment. Nor does the provider compare it, since
each may be a resource of its own beside what it is in. Where the inputs of what it is in list such
things themselves, the provider does compare them, and they are left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stacks.engine.backend import State
from stacks.engine.identities import Client, listed
from stacks.engine.things import Thing

_GROUPS = frozenset(
    {
        "aws:ec2/securityGroup:SecurityGroup",
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    }
)
_ROUTE_TABLE = "aws:ec2/routeTable:RouteTable"
_ROUTE = "aws:ec2/route:Route"
_ROLE = "aws:iam/role:Role"
_ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
_ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
_AT_ONCE = 200  # values of one filter of EC2
_OF_THE_NETWORK = ("local", "vpce-")  # routes that AWS makes with a table or a gateway endpoint
_DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
_RULE_SAYS = {
    "GroupId": "securityGroupId",
    "IpProtocol": "ipProtocol",
    "FromPort": "fromPort",
    "ToPort": "toPort",
    "CidrIpv4": "cidrIpv4",
    "CidrIpv6": "cidrIpv6",
    "PrefixListId": "prefixListId",
    "Description": "description",
}

Resource = Mapping[str, Any]
Inside = Callable[[Client, State | None], Iterator[Thing]]


def _rules(client: Client, state: State | None) -> Iterator[Thing]:
    """Yield the rules of groups, but those of a direction that the group itself lists."""
    groups = {str(r["id"]): _inputs(r) for r in _of(state, *_GROUPS)}
    ids = sorted(groups)
    for start in range(0, len(ids), _AT_ONCE):
        wanted = [{"Name": "group-id", "Values": ids[start : start + _AT_ONCE]}]
        answer = ("describe_security_group_rules", "SecurityGroupRules")
        for rule in listed(client, "ec2", *answer, Filters=wanted):
            direction = "egress" if rule["IsEgress"] else "ingress"
            if groups.get(rule["GroupId"], {}).get(direction) is None:
                yield Thing(
                    "ec2:security-group-rule",
                    rule["SecurityGroupRuleId"],
                    says={"direction": direction, **_told(rule)},
                )


def _told(rule: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: rule[key] for key, name in _RULE_SAYS.items() if rule.get(key) is not None}
    referenced = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
    return {**found, "referencedSecurityGroupId": referenced} if referenced else found


def _routes(client: Client, state: State | None) -> Iterator[Thing]:
    """Yield the routes of tables that list none themselves, but those that AWS makes."""
    tables = {str(r["id"]) for r in _of(state, _ROUTE_TABLE) if _inputs(r).get("routes") is None}
    known = {
        f"{_inputs(r).get('routeTableId')}/{destination}"
        for r in _of(state, _ROUTE)
        for name, destination in _inputs(r).items()
        if name.startswith("destination")
    }
    ids = sorted(tables)
    for start in range(0, len(ids), _AT_ONCE):
        wanted = [{"Name": "route-table-id", "Values": ids[start : start + _AT_ONCE]}]
        found = listed(client, "ec2", "describe_route_tables", "RouteTables", Filters=wanted)
        for table, route in ((t["RouteTableId"], r) for t in found for r in t["Routes"]):
            destination = next((route[key] for key in _DESTINATIONS if route.get(key)), "")
            target = next(
                (str(v) for k, v in sorted(route.items()) if k.endswith("Id") and "Dest" not in k),
                "",
            )
            identity = f"{table}/{destination}"
            if identity not in known and not target.startswith(_OF_THE_NETWORK):
                says = {"routeTableId": table, "destination": destination, "target": target}
                yield Thing("ec2:route", identity, says=says)


def _role_policies(client: Client, state: State | None) -> Iterator[Thing]:
    """Yield the policies in and at roles, but what the role itself lists."""
    inline = {str(r["id"]) for r in _of(state, _ROLE_POLICY)}
    attached = {
        (_inputs(r).get("role"), _inputs(r).get("policyArn")) for r in _of(state, _ATTACHMENT)
    }
    for role in _of(state, _ROLE):
        name, lists = str(role["id"]), _inputs(role)
        for policy in _names(client, name) if lists.get("inlinePolicies") is None else ():
            if f"{name}:{policy}" not in inline:
                yield Thing("iam:role-policy", f"{name}:{policy}", says={"role": name})
        for arn in _arns(client, name) if lists.get("managedPolicyArns") is None else ():
            if (name, arn) not in attached:
                yield Thing(
                    "iam:role-policy-attachment", f"{name}/{arn}",
                    says={"role": name, "policyArn": arn},
                )  # fmt: skip


def _names(client: Client, role: str) -> Sequence[str]:
    return _of_role(client, "list_role_policies", "PolicyNames", role)


def _arns(client: Client, role: str) -> Sequence[str]:
    found = _of_role(client, "list_attached_role_policies", "AttachedPolicies", role)
    return [each["PolicyArn"] for each in found]


def _of_role(client: Client, operation: str, answer: str, role: str) -> Sequence[Any]:
    """Return what a role has; nothing of one that is gone, which is another finding."""
    try:
        return list(listed(client, "iam", operation, answer, RoleName=role))
    except client("iam").exceptions.NoSuchEntityException:
        return []


def _of(state: State | None, *types: str) -> list[Resource]:
    """Return the resources of some types that exist and are to stay."""
    resources = (state or {}).get("resources") or ()
    return [r for r in resources if r["type"] in types and r.get("id") and not r.get("delete")]


def _inputs(resource: Resource) -> Mapping[str, Any]:
    return resource.get("inputs") or {}


INSIDE: tuple[Inside, ...] = (_rules, _routes, _role_policies)
