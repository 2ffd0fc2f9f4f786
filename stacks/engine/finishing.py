"""What AWS adds to something that it makes, and a provider that died had no time to take away.

A group lets everything out when it is made, and the default group of a network lets itself in, too.
The provider takes these rules away as the last step of its creation, and nothing that the state has
of the group shows them later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from stacks.engine.identities import Client, listed
from stacks.engine.looking_up import Verdict, code_of

_GROUPS: Final = frozenset(
    {
        "aws:ec2/securityGroup:SecurityGroup",
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    }
)
_TAKEN_AWAY: Final = "what AWS lets through when it makes a group was taken away"
_EVERYWHERE: Final = ({"CidrIpv4": "0.0.0.0/0"}, {"CidrIpv6": "::/0"})

Rule = Mapping[str, Any]


def finish(client: Client, resource: Mapping[str, Any], verdict: Verdict) -> Verdict:
    """Do the last step of the creation of something that was found, and say so in the proof.

    Only the rules that AWS itself adds are taken away: they let everything out to everywhere, or in
    from the group itself, and have neither a tag nor a description. Where the cloud refuses it
    nothing is sure.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    if verdict.id is None or resource["type"] not in _GROUPS:
        return verdict
    inputs = resource.get("inputs") or {}
    try:
        added = [
            rule for rule in _added(client, verdict.id)
            if inputs.get("egress" if rule["IsEgress"] else "ingress") is None
        ]  # fmt: skip
        _take_away(client, verdict.id, added)
    except (ClientError, BotoCoreError) as error:
        proof = f"{verdict.proof}; the cloud refused the last step: {code_of(error)}"
        return replace(verdict, proof=proof, sure=False)
    return replace(verdict, proof=f"{verdict.proof}; {_TAKEN_AWAY}") if added else verdict


def _added(client: Client, group: str) -> list[Rule]:
    wanted = [{"Name": "group-id", "Values": [group]}]
    answer = ("describe_security_group_rules", "SecurityGroupRules")
    rules = listed(client, "ec2", *answer, Filters=wanted)
    return [rule for rule in rules if _is_added_by_aws(rule, group)]


def _is_added_by_aws(rule: Rule, group: str) -> bool:
    if rule.get("IpProtocol") != "-1" or rule.get("Tags") or rule.get("Description"):
        return False
    if rule["IsEgress"]:
        return any(place.items() <= rule.items() for place in _EVERYWHERE)
    return bool((rule.get("ReferencedGroupInfo") or {}).get("GroupId") == group)


def _take_away(client: Client, group: str, rules: Sequence[Rule]) -> None:
    out = [str(rule["SecurityGroupRuleId"]) for rule in rules if rule["IsEgress"]]
    into = [str(rule["SecurityGroupRuleId"]) for rule in rules if not rule["IsEgress"]]
    if out:
        client("ec2").revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=out)
    if into:
        client("ec2").revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=into)
