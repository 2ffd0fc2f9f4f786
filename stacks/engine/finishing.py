"""What AWS adds to something that it makes, and a provider that died had no time to take away.

A group lets everything out when it is made. The provider takes that rule away as the last step of
its creation, and nothing that the state has of the group shows the rule later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from stacks.engine.identities import Client, listed
from stacks.engine.looking_up import Verdict, code_of

_GROUP: Final = "aws:ec2/securityGroup:SecurityGroup"
_TAKEN_AWAY: Final = "the rule with which AWS makes a group, all out, was taken away"
_EVERYWHERE: Final = ({"CidrIpv4": "0.0.0.0/0"}, {"CidrIpv6": "::/0"})


def finish(client: Client, resource: Mapping[str, Any], verdict: Verdict) -> Verdict:
    """Do the last step of the creation of something that was found, and say so in the proof.

    Only the rules that AWS itself adds are taken away: they let everything out to everywhere and
    have neither a tag nor a description. Where the cloud refuses it nothing is sure.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    inputs = resource.get("inputs") or {}
    if verdict.id is None or resource["type"] != _GROUP or inputs.get("egress") is not None:
        return verdict
    try:
        added = _added(client, verdict.id)
        if not added:
            return verdict
        client("ec2").revoke_security_group_egress(GroupId=verdict.id, SecurityGroupRuleIds=added)
    except (ClientError, BotoCoreError) as error:
        proof = f"{verdict.proof}; the cloud refused the last step: {code_of(error)}"
        return replace(verdict, proof=proof, sure=False)
    return replace(verdict, proof=f"{verdict.proof}; {_TAKEN_AWAY}")


def _added(client: Client, group: str) -> list[str]:
    wanted = [{"Name": "group-id", "Values": [group]}]
    answer = ("describe_security_group_rules", "SecurityGroupRules")
    rules = listed(client, "ec2", *answer, Filters=wanted)
    return [str(rule["SecurityGroupRuleId"]) for rule in rules if _is_added_by_aws(rule)]


def _is_added_by_aws(rule: Mapping[str, Any]) -> bool:
    lets_all = rule["IsEgress"] and rule.get("IpProtocol") == "-1"
    to_all = any(place.items() <= rule.items() for place in _EVERYWHERE)
    return lets_all and to_all and not rule.get("Tags") and not rule.get("Description")
