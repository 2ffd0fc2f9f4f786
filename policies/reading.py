"""Policy documents and rules of networks as sentences for people who decide on them.

Nothing of a statement is left out: what is not understood is written as it stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from policies.documents import Statement, as_list, principals, statements

_VERBS: Final = {"Allow": "allows", "Deny": "denies"}
_KNOWN: Final = frozenset(
    {"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_RULE_TYPES: Final = ("securitygroupingressrule", "securitygroupegressrule", "securitygrouprule")
_SOURCES: Final = (
    ("cidrIpv4", "{}"), ("cidrIpv6", "{}"), ("cidrBlocks", "{}"), ("ipv6CidrBlocks", "{}"),
    ("referencedSecurityGroupId", "the group {}"), ("securityGroups", "the group {}"),
    ("sourceSecurityGroupId", "the group {}"), ("prefixListId", "the prefix list {}"),
    ("prefixListIds", "the prefix list {}"),
)  # fmt: skip


def document_words(value: object) -> tuple[str, ...]:
    """Return a sentence for each statement of a policy document, none for any other value."""
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        return ()
    try:
        found = statements(value)
    except (ValueError, RecursionError):
        return ()
    return tuple(map(_sentence, found))


def is_network_rule(kind: str) -> bool:
    """Tell whether a type of the engine is a rule of a security group."""
    return kind.rpartition(":")[2].lower() in _RULE_TYPES


def rule_words(kind: str, inputs: Mapping[str, Any]) -> str:
    """Return what a rule of a security group lets through, as a sentence."""
    name = kind.rpartition(":")[2].lower()
    is_out = "egress" in name or inputs.get("type") == "egress"
    return f"{'to' if is_out else 'from'} {_others(inputs)}: {_ports(inputs)}"


def inline_rule_words(path: str, value: object) -> tuple[str, ...]:
    """Return sentences for rules that are written inside of a security group, else none."""
    head = path.partition("[")[0].partition(".")[0]
    if head not in ("ingress", "egress"):
        return ()
    rules = value if isinstance(value, list) else [value]
    found = [each for each in rules if isinstance(each, Mapping)]
    if len(found) != len(rules):
        return ()
    return tuple(rule_words(f":SecurityGroup{head}Rule", each) for each in found)


def _sentence(statement: Statement) -> str:
    effect = str(statement["Effect"])
    whom = _principals(statement)
    verb = f"{_VERBS.get(effect, effect)} {whom}".rstrip()
    doing = _listed(statement, "Action", "NotAction", "everything")
    things = _listed(statement, "Resource", "NotResource", "")
    where = f" on {things}" if things else ""
    name = f"{statement['Sid']}: " if statement.get("Sid") else ""
    more = "".join(
        f"; {key} {_plain(value)}" for key, value in statement.items() if key not in _KNOWN
    )
    return f"{name}{verb} {doing}{where}{_conditions(statement)}{more}"


def _principals(statement: Statement) -> str:
    if "Principal" not in statement:
        return ""
    named = [
        "everybody" if text == "*" else f"{kind} {text}".strip()
        for kind, text in principals(statement)
    ]
    return ", ".join(dict.fromkeys(named))


def _listed(statement: Statement, plain: str, excluding: str, otherwise: str) -> str:
    if excluding in statement:
        return f"all but {', '.join(map(_plain, as_list(statement[excluding])))}"
    listed = [_plain(each) for each in as_list(statement.get(plain))]
    words = ["everything" if each == "*" else each for each in listed]
    return ", ".join(words) or otherwise


def _conditions(statement: Statement) -> str:
    found = statement.get("Condition")
    if found is None:
        return ""
    if not isinstance(found, Mapping):
        return f", if {_plain(found)}"
    return "".join(f", if {test}" for test in _tests(found))


def _tests(found: Mapping[str, Any]) -> Iterator[str]:
    for operator, keys in found.items():
        if not isinstance(keys, Mapping):
            yield f"{operator} {_plain(keys)}"
            continue
        for key, values in keys.items():
            yield f"{key} {operator} {' or '.join(map(_plain, as_list(values)))}"


def _others(inputs: Mapping[str, Any]) -> str:
    named = [
        text.format("[secret]" if isinstance(each, Mapping) else each)
        for key, text in _SOURCES
        for each in as_list(inputs.get(key))
        if each not in (None, "")
    ]
    if inputs.get("self"):
        named.append("the group itself")
    return ", ".join(named) or "nobody"


def _ports(inputs: Mapping[str, Any]) -> str:
    protocol = str(inputs.get("ipProtocol", inputs.get("protocol", "-1")))
    low, high = inputs.get("fromPort"), inputs.get("toPort")
    if protocol in ("-1", "all"):
        return "every protocol and port"
    if low is None and high is None:
        return f"{protocol}, every port"
    return f"{protocol}, port {_plain(low)}" + ("" if low == high else f" to {_plain(high)}")


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
