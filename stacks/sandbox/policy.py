"""IAM's evaluation of one policy document, as the IAM user guide describes it; pure functions.

What is not known here is refused loudly: an unknown condition operator raises, so that nothing is
allowed, or left undenied, for lack of understanding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

Document = Mapping[str, Any]


class UnknownOperator(NotImplementedError):
    """A condition operator that is not evaluated here."""


class Effect(Enum):
    """What one document says about one request."""

    NEUTRAL = "neutral"
    DELEGATED = "delegated"  # a resource's policy leaves it to the identity policies of the account
    ALLOWED = "allowed"
    DENIED = "denied"


@dataclass(frozen=True, kw_only=True)
class Access:
    """One action on one resource.

    Attributes:
        action: Such as ``kms:Decrypt``.
        resource: ARN, or ``*`` where it is not known: then only ``*`` matches it.
        principals: Every ARN that the caller answers to (session, role); empty when unknown.
        account: Account of the caller.
        context: Condition keys in lower case; a key that is absent is absent in AWS too.
    """

    action: str
    resource: str
    principals: tuple[str, ...] = ()
    account: str = ""
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def evaluate(document: Document, access: Access, *, of_resource: bool = False) -> Effect:
    """Return what the document says; a denial outweighs everything else in it.

    With ``of_resource`` the document is a resource's policy: its statements name principals.
    """
    found = Effect.NEUTRAL
    for statement in _listed(document.get("Statement", [])):
        who = _principal(statement, access) if of_resource else Effect.ALLOWED
        if who is Effect.NEUTRAL or not _concerns(statement, access, of_resource=of_resource):
            continue
        if statement["Effect"] == "Deny":
            return Effect.DENIED
        if found is not Effect.ALLOWED:
            found = who
    return found


def condition_keys(statement: Mapping[str, Any]) -> set[str]:
    """Return the condition keys, in lower case, that a statement looks at."""
    tests: Mapping[str, Mapping[str, Any]] = statement.get("Condition", {})
    return {key.lower() for wanted in tests.values() for key in wanted}


def _principal(statement: Mapping[str, Any], access: Access) -> Effect:
    """Tell whether a statement names the caller, the caller's account, or neither."""
    if "NotPrincipal" in statement:
        named = _principals(statement["NotPrincipal"])
        return Effect.NEUTRAL if _names(named, access) else Effect.ALLOWED
    named = _principals(statement.get("Principal", {}))
    if "*" in named or _names(named, access):
        return Effect.ALLOWED
    root = re.compile(r"arn:[\w-]+:iam::(\d{12}):root")
    accounts = {match[1] if (match := root.fullmatch(each)) else each for each in named}
    return Effect.DELEGATED if access.account in accounts else Effect.NEUTRAL


def _names(named: Iterable[str], access: Access) -> bool:
    return bool(set(named) & set(access.principals))


def _principals(element: Any) -> list[str]:
    if isinstance(element, str):
        return [element]
    return [each for kind, value in element.items() if kind == "AWS" for each in _listed(value)]


def _concerns(statement: Mapping[str, Any], access: Access, *, of_resource: bool) -> bool:
    return (
        _matches_one(statement, "Action", access, access.action, _action_like)
        # a trust policy names no resource: it is that of the role
        and (
            (of_resource and not {"Resource", "NotResource"} & set(statement))
            or _matches_one(statement, "Resource", access, access.resource, _resource_like)
        )
        and all(
            _holds(operator, wanted, access)
            for operator, wanted in statement.get("Condition", {}).items()
        )
    )


def _matches_one(
    statement: Mapping[str, Any],
    element: str,
    access: Access,
    value: str,
    like: Callable[[str, str], bool],
) -> bool:
    for name, wanted in ((element, True), (f"Not{element}", False)):
        if name in statement:
            patterns = (_substituted(each, access) for each in _listed(statement[name]))
            return wanted == any(each is not None and like(value, each) for each in patterns)
    return False


def _action_like(action: str, pattern: str) -> bool:
    return _like(pattern.lower(), action.lower())


def _resource_like(resource: str, pattern: str) -> bool:
    return pattern == "*" or _arn_like(resource, pattern)


# --- conditions -------------------------------------------------------------------------------
def _holds(operator: str, wanted: Mapping[str, Any], access: Access) -> bool:
    """Evaluate one operator over all its keys (they are joined by AND)."""
    quantifier, _, name = operator.rpartition(":")
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    for key, values in wanted.items():
        present = access.context.get(key.lower())
        expected = [_substituted(str(each), access) for each in _listed(values)]
        if name == "Null":
            holds = (present is None) == (str(_listed(values)[0]).lower() == "true")
        elif present is None and if_exists:
            holds = True
        else:
            holds = _compared(name, quantifier, present, [e for e in expected if e is not None])
        if not holds:
            return False
    return True


def _compared(
    name: str, quantifier: str, present: Sequence[str] | None, expected: Sequence[str]
) -> bool:
    negated = name in _NEGATED
    test = _OPERATORS.get(_NEGATED.get(name, name))
    if test is None:
        raise UnknownOperator(f"condition operator {name}")

    def matches(value: str) -> bool:
        return negated != any(test(value, each) for each in expected)

    if quantifier == "ForAllValues":
        return all(matches(each) for each in present or ())
    if quantifier == "ForAnyValue":
        return any(matches(each) for each in present or ())
    if quantifier:
        raise UnknownOperator(f"condition qualifier {quantifier}")
    if not present:  # an absent key fails a test and passes its negation
        return negated
    return all(matches(each) for each in present)


def _like(pattern: str, value: str) -> bool:
    return _pattern(pattern).fullmatch(value) is not None


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    wild = "".join(_WILD.get(each, re.escape(each)) for each in text)
    return re.compile(wild, re.DOTALL)


def _arn_like(value: str, pattern: str) -> bool:
    """Compare ARNs part by part: a ``*`` does not reach over a colon, but in the last part."""
    parts, wanted = value.split(":", 5), pattern.split(":", 5)
    return len(parts) == len(wanted) and all(
        _like(each, part) for part, each in zip(parts, wanted, strict=True)
    )


def _in_network(value: str, network: str) -> bool:
    return ip_address(value) in ip_network(network, strict=False)


def _moment(text: str) -> datetime:
    if text.isdecimal():
        return datetime.fromtimestamp(int(text), UTC)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_WILD = {"*": ".*", "?": "."}
_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": lambda value, wanted: _like(wanted, value),
    "ArnEquals": _arn_like,  # the IAM user guide: identical to ArnLike
    "ArnLike": _arn_like,
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "IpAddress": _in_network,
    "NumericEquals": lambda value, wanted: float(value) == float(wanted),
    "NumericLessThan": lambda value, wanted: float(value) < float(wanted),
    "NumericLessThanEquals": lambda value, wanted: float(value) <= float(wanted),
    "NumericGreaterThan": lambda value, wanted: float(value) > float(wanted),
    "NumericGreaterThanEquals": lambda value, wanted: float(value) >= float(wanted),
    "DateLessThan": lambda value, wanted: _moment(value) < _moment(wanted),
    "DateGreaterThan": lambda value, wanted: _moment(value) > _moment(wanted),
}
_NEGATED: Mapping[str, str] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
}

_VARIABLE = re.compile(r"\$\{([^}]+)\}")


def _substituted(text: str, access: Access) -> str | None:
    """Fill policy variables in; None when one has no value, which matches nothing."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        key, _, default = match[1].partition(",")
        if key in {"*", "?", "$"}:
            return key
        found = access.context.get(key.strip().lower(), ())
        if len(found) != 1 and not default:
            missing = True
            return ""
        return found[0] if len(found) == 1 else default.strip().strip("'")

    filled = _VARIABLE.sub(value, text)
    return None if missing else filled


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
