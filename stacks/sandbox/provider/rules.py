"""Limits on single values: each rule returns what is wrong, as the end of a sentence, or None.

They are the limits AWS itself (or the official plugin) enforces and the emulator does not.
"""

import ipaddress
import json
import re
from collections.abc import Callable
from typing import Any, TypeAlias

Rule: TypeAlias = Callable[[Any], str | None]
"""Returns what is wrong with a known value, as the end of a sentence, or None."""

LOG_RETENTION_DAYS = (
    *(0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)


def one_of(*allowed: Any) -> Rule:
    """Return the rule that a value is one of these."""

    def rule(value: Any) -> str | None:
        if value in allowed:
            return None
        return f"must be one of {', '.join(map(str, allowed))}"

    return rule


def between(low: float, high: float) -> Rule:
    """Return the rule that a number lies between two others, both included."""
    return lambda value: None if low <= value <= high else f"must be between {low} and {high}"


def matching(pattern: str, described: str) -> Rule:
    """Return the rule that a whole text matches a regular expression, described in words."""
    compiled = re.compile(pattern)
    return lambda value: None if compiled.fullmatch(value) else f"must be {described}"


def some(value: Any) -> str | None:
    """Refuse an empty list or text."""
    return None if value else "must not be empty"


def cidr_ipv4(value: str) -> str | None:
    """Refuse what is not an IPv4 network in CIDR notation."""
    try:
        ipaddress.IPv4Network(value)
    except ValueError as error:
        return f"must be an IPv4 CIDR block: {error}"
    return None if "/" in value else "must be an IPv4 CIDR block with a prefix length"


def cidr_ipv6(value: str) -> str | None:
    """Refuse what is not an IPv6 network in CIDR notation."""
    try:
        ipaddress.IPv6Network(value)
    except ValueError as error:
        return f"must be an IPv6 CIDR block: {error}"
    return None


def policy(value: str) -> str | None:
    """Refuse what is not a JSON policy document with statements."""
    try:
        document = json.loads(value)
    except ValueError as error:
        return f"must be a JSON policy document: {error}"
    if not isinstance(document, dict) or "Statement" not in document:
        return "must be a JSON policy document with a Statement"
    statements = document["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        if not isinstance(statement, dict) or statement.get("Effect") not in {"Allow", "Deny"}:
            return "must have statements whose Effect is Allow or Deny"
    return None


arn = matching(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:(?:\d{12}|aws)?:.+", "an ARN")
bucket_name = matching(
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    "3 to 63 lower-case letters, digits, dots and hyphens, with a letter or digit at both ends",
)
iam_path = matching(r"/(?:[\x21-\x7e]{1,510}/)?", "a path that begins and ends with /")
