"""Whether something lets more through than before: policy documents, and rules of networks.

Two values are compared, what was and what will be. What cannot be compared, since a value is not
known or is written in a way that is not understood, counts as wider and says so.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final

from policies.documents import (
    Condition,
    Statement,
    as_list,
    conditions,
    principals,
    statements,
)
from policies.pulumi_plan import is_unknown

_UNNAMED: Final = ("NotAction", "NotResource", "NotPrincipal")
_ALL_PORTS: Final = (0, 65535)
_NETWORKS: Final = ("cidr_ipv4", "cidr_ipv6")
_SOURCES: Final = ("referenced_security_group_id", "prefix_list_id")

Tuple = tuple[str, str, str]  # principal, action, resource


def document_is_wider(before: object, after: object) -> tuple[str, ...]:
    """Return what a policy document allows that an earlier one does not, a sentence each.

    Each allowed triple of principal, action and resource must have been allowed before, under the
    same conditions or fewer; each denial must still be there.
    """
    if before == after:
        return ()
    if is_unknown(before) or is_unknown(after):
        return ("a part of the policy is not known before the apply",)
    try:
        old, new = (_parsed(each) for each in (before, after))
    except ValueError:
        return ("one of the two policies cannot be read",)
    sentences = [
        sentence
        for statement in new
        if statement not in old
        for sentence in _more_than(statement, old)
    ]
    sentences += [
        f"denies no longer {_named(statement)}"
        for statement in old
        if statement.get("Effect") == "Deny"
        and not any(_denies_all_of(each, statement) for each in new)
    ]
    return tuple(dict.fromkeys(sentences))


def denies(document: object) -> bool:
    """Tell whether a policy document denies something, or cannot be read."""
    if is_unknown(document):
        return True
    try:
        return any(each.get("Effect") == "Deny" for each in _parsed(document))
    except ValueError:
        return True


def rule_is_wider(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return in what a rule of a security group lets more through, a sentence each.

    Both are inputs in snake case, of one rule that names one source.
    """
    sentences = []
    for name in _NETWORKS:
        old, new = before.get(name), after.get(name)
        if new is not None and new != old and not _is_inside(new, old):
            sentences.append(f"{name}: {_shown(old)} becomes {_shown(new)}")
    for name in _SOURCES:
        old, new = before.get(name), after.get(name)
        if new is not None and new != old:
            sentences.append(f"{name}: {_shown(old)} becomes {_shown(new)}")
    protocols = str(before.get("ip_protocol")), str(after.get("ip_protocol"))
    if protocols[0] != protocols[1] and protocols[0] != "-1":
        sentences.append(f"ip_protocol: {protocols[0]} becomes {protocols[1]}")
    old_ports, new_ports = _ports(before), _ports(after)
    if new_ports is None or old_ports is None:
        if _written_ports(before) != _written_ports(after):
            sentences.append("the ports cannot be compared")
    elif not (old_ports[0] <= new_ports[0] and new_ports[1] <= old_ports[1]):
        sentences.append(f"ports: {_range(old_ports)} become {_range(new_ports)}")
    return tuple(sentences)


def covers(pattern: str, text: str) -> bool:
    """Tell whether an IAM pattern covers whatever another one covers; never a wrong yes."""
    return bool(_expression(pattern).fullmatch(text))


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": r"[^*]"}
    return re.compile("".join(parts.get(each) or re.escape(each) for each in pattern), re.DOTALL)


def _parsed(document: object) -> tuple[Statement, ...]:
    return () if document in (None, "") else statements(document)


def _more_than(statement: Statement, old: Sequence[Statement]) -> Iterator[str]:
    if statement.get("Effect") == "Deny":
        return
    allowing = [each for each in old if each.get("Effect") == "Allow"]
    if any(name in statement for name in _UNNAMED):
        yield f"allows by exclusion: {_named(statement)}"
        return
    for principal, action, resource in _triples(statement):
        if not any(_allows(each, (principal, action, resource), statement) for each in allowing):
            whom = f" to {principal}" if principal else ""
            yield f"allows {action} on {resource or 'it'}{whom}"


def _allows(old: Statement, triple: Tuple, new: Statement) -> bool:
    if any(name in old for name in _UNNAMED) or not _conditions_hold(old, new):
        return False
    return any(_covers_triple(known, triple) for known in _triples(old))


def _covers_triple(wide: Tuple, narrow: Tuple) -> bool:
    is_principal = (
        wide[0] in ("*", narrow[0])
        or (wide[0] == "AWS:*" and narrow[0].startswith("AWS:"))
    )  # fmt: skip
    return (
        is_principal
        and covers(wide[1].lower(), narrow[1].lower())
        and covers(wide[2], narrow[2])
    )  # fmt: skip


def _denies_all_of(new: Statement, old: Statement) -> bool:
    """Tell whether a statement still denies what an earlier one denied."""
    if new == old:
        return True
    if new.get("Effect") != "Deny" or any(name in s for name in _UNNAMED for s in (new, old)):
        return False
    if not _conditions_hold(new, old):  # more conditions would deny less
        return False
    now = list(_triples(new))
    return all(any(_covers_triple(each, triple) for each in now) for triple in _triples(old))


def _conditions_hold(wide: Statement, narrow: Statement) -> bool:
    """Tell whether what passes the tests of one statement passes those of another too."""
    tests = list(conditions(narrow))
    return _is_read(wide) and all(
        any(_implies(test, each) for test in tests) for each in conditions(wide)
    )


def _implies(narrow: Condition, wide: Condition) -> bool:
    """Tell whether one test holds only where another one does."""
    if narrow == wide:
        return True
    which = attrgetter("quantifier", "operator", "key")
    if which(narrow) != which(wide) or narrow.operator == "null":
        return False
    few, many = set(narrow.values), set(wide.values)
    return few >= many if "not" in narrow.operator else few <= many


def _is_read(statement: Statement) -> bool:
    condition = statement.get("Condition")
    return condition is None or (
        isinstance(condition, Mapping) and all(isinstance(v, Mapping) for v in condition.values())
    )


def _triples(statement: Statement) -> Iterator[Tuple]:
    whom = [
        f"{kind}:{name}" if kind else name for kind, name in principals(statement) if name != "None"
    ] or [""]
    actions = [str(each) for each in as_list(statement.get("Action"))] or [""]
    things = [str(each) for each in as_list(statement.get("Resource"))] or [""]
    yield from itertools.product(whom, actions, things)


def _named(statement: Statement) -> str:
    for name in ("Action", "NotAction"):
        if name in statement:
            listed = ", ".join(str(each) for each in as_list(statement[name])[:3])
            return f"{statement.get('Sid') or name} ({listed})"
    return str(statement.get("Sid") or "a statement")


def _is_inside(new: object, old: object) -> bool:
    if not isinstance(new, str) or not isinstance(old, str) or is_unknown(new) or is_unknown(old):
        return False
    try:
        inner, outer = ipaddress.ip_network(new), ipaddress.ip_network(old)
    except ValueError:
        return False
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def _written_ports(rule: Mapping[str, Any]) -> tuple[Any, Any]:
    return rule.get("from_port"), rule.get("to_port")


def _ports(rule: Mapping[str, Any]) -> tuple[int, int] | None:
    if str(rule.get("ip_protocol")) == "-1":
        return _ALL_PORTS
    low, high = _written_ports(rule)
    if low is None and high is None:
        return _ALL_PORTS
    if not all(isinstance(each, int | float) for each in (low, high)):
        return None
    return (int(low), int(high)) if int(low) != -1 else _ALL_PORTS


def _range(ports: tuple[int, int]) -> str:
    return str(ports[0]) if ports[0] == ports[1] else f"{ports[0]} to {ports[1]}"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    return "a value that is not known yet" if is_unknown(value) else str(value)
