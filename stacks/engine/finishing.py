"""What a provider does to a thing right after it has made it, done where the provider died before.

AWS puts a rule into each new security group that lets everything out, and the provider takes it
away in a request of its own. No input says that and nothing compares it, so that no later plan
would: the group stays open, and its verification fails each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.contract import Code
from stacks.engine.failures import CallFailed, name_of
from stacks.engine.identities import Client, listed
from stacks.engine.looking_up import code_of

_GROUP = "aws:ec2/securityGroup:SecurityGroup"
_ANYWHERE = frozenset({"0.0.0.0/0", "::/0"})


def finish(client: Client, resource: Mapping[str, Any], identity: str) -> None:
    """Finish what was found to exist before it enters the state; done twice it does nothing.

    A group that lists its rules itself is left to the plan that follows. Raises ``CallFailed``.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    inputs = resource.get("inputs") or {}
    if resource["type"] != _GROUP or inputs.get("egress") is not None:
        return
    wanted = [{"Name": "group-id", "Values": [identity]}]
    answer = ("describe_security_group_rules", "SecurityGroupRules")
    try:
        rules = [
            rule["SecurityGroupRuleId"]
            for rule in listed(client, "ec2", *answer, Filters=wanted)
            if _is_of_aws(rule)
        ]
        if rules:
            client("ec2").revoke_security_group_egress(GroupId=identity, SecurityGroupRuleIds=rules)
    except (BotoCoreError, ClientError) as error:
        raise CallFailed(
            Code.PENDING_UNRESOLVED,
            f"The rule that AWS puts into {name_of(resource['urn'])} could not be removed: "
            f"{code_of(error)}",
            data={"resources": [{"urn": resource["urn"], "type": resource["type"]}]},
        ) from error


def _is_of_aws(rule: Mapping[str, Any]) -> bool:
    """Tell whether a rule lets everything out, and neither a tag nor a text says whose it is."""
    network = rule.get("CidrIpv4") or rule.get("CidrIpv6")
    is_open = rule["IsEgress"] and rule["IpProtocol"] == "-1" and network in _ANYWHERE
    return is_open and not rule.get("Tags") and not rule.get("Description")
