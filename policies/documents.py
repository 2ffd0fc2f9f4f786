"""Reading IAM policy documents: statements, who is let in, whether TLS is enforced."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.catalog import CATALOG
from policies.model import UNKNOWN, Resource, Unknown

Statement = Mapping[str, Any]

# Operators that hold for the values that are named alone, and not when the key is absent.
POSITIVE: Final = frozenset({"stringequals", "stringlike", "arnequals", "arnlike"})
# Condition keys that tie an open principal to somebody in particular, in lower case, and the values
# that really do so. No pattern may stand where a value says who: before the end of the account.
_ACCOUNT: Final = re.compile(r"\d{12}\Z")
_ORGANIZATION: Final = re.compile(r"o-[a-z0-9]{10,32}\Z")
_OF_ACCOUNT: Final = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:\d{12}:.")
_OF_SOMEBODY: Final = re.compile(
    rf"{_OF_ACCOUNT.pattern}|arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]{{2,62}}(/|\Z)"
)
_NARROWING: Final[Mapping[str, re.Pattern[str]]] = {
    "aws:principalaccount": _ACCOUNT,
    "aws:principalarn": _OF_ACCOUNT,
    "aws:principalorgid": _ORGANIZATION,
    "aws:principalorgpaths": re.compile(r"o-[a-z0-9]{10,32}/"),
    "aws:sourceaccount": _ACCOUNT,
    "aws:sourcearn": _OF_SOMEBODY,
    "aws:sourceorgid": _ORGANIZATION,
    "aws:sourcevpc": re.compile(r"vpc-[0-9a-f]{8,17}\Z"),
    "aws:sourcevpce": re.compile(r"vpce-[0-9a-f]{8,17}\Z"),
    "kms:calleraccount": _ACCOUNT,
}
_PRINCIPAL: Final = re.compile(r"(?:arn:aws[a-z-]*:(?:iam|sts)::)?(\d{12})(?::|\Z)")
_ALL_S3: Final = frozenset({"*", "s3:*"})


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One test: quantifier (``foranyvalue``, ``forallvalues`` or none), operator and key.

    All three are in lower case. One of ``values`` must fit.
    """

    quantifier: str
    operator: str
    key: str
    values: tuple[str, ...]


def documents_of(resource: Resource) -> Iterator[tuple[str, Any]]:
    """Yield the path and value (text, object, ``UNKNOWN``) of every policy document it holds."""
    facts = CATALOG.get(resource.kind)
    for path in facts.policies if facts else ():
        outer, _, inner = path.rpartition(".")
        blocks = resource.body.blocks(outer) if outer else (resource.body,)
        if isinstance(blocks, Unknown):
            yield path, UNKNOWN
            continue
        for block in blocks:
            value = block.value(inner)
            if value not in (None, ""):
                yield path, value


def statements(document: object) -> tuple[Statement, ...]:
    """Return the statements of a policy document given as JSON text or as an object.

    Raises ``ValueError`` when it is not a policy document.
    """
    value = json.loads(document) if isinstance(document, str) else document
    if not isinstance(value, Mapping) or "Statement" not in value:
        raise ValueError("not a policy document")
    found = as_list(value["Statement"])
    if not all(isinstance(item, Mapping) and "Effect" in item for item in found):
        raise ValueError("not a policy document")
    return tuple(found)


def is_public(statement: Statement) -> bool:
    """Tell whether a statement lets in anybody: an open principal and nothing that narrows it."""
    if statement.get("Effect") == "Deny":
        return False
    if "NotPrincipal" not in statement and not _is_pattern(principals(statement)):
        return False
    return not any(map(narrows, conditions(statement)))


def enforces_tls(statement: Statement, bucket: str) -> bool:
    """Tell whether a statement denies everybody everything in a bucket without TLS."""
    found = list(conditions(statement))
    if statement.get("Effect") != "Deny" or not has_open_principal(statement):
        return False
    if not _ALL_S3 & {str(item) for item in as_list(statement.get("Action"))}:
        return False
    if len(found) != 1:
        return False  # more conditions would deny less
    only = found[0]
    if only.quantifier or only.key != "aws:securetransport":
        return False
    if only.operator not in ("bool", "boolifexists"):
        return False
    if [text.lower() for text in only.values] != ["false"]:
        return False
    covered = {str(item) for item in as_list(statement.get("Resource"))}
    arn = re.compile(rf"arn:aws[a-z-]*:s3:::{re.escape(bucket)}(/\*)?\Z")
    parts = {match.group(1) for match in map(arn.match, covered) if match}
    return "*" in covered or parts == {None, "/*"}


def has_open_principal(statement: Statement) -> bool:
    """Tell whether the principal is everybody, in one of its spellings."""
    return any(text == "*" for _, text in principals(statement))


def principals(statement: Statement) -> tuple[tuple[str, str], ...]:
    """Return the kind (``AWS``, ``Service`` ..., empty for a bare text) and name of principals."""
    principal = statement.get("Principal")
    by_kind = principal if isinstance(principal, Mapping) else {"": principal}
    return tuple((str(kind), str(name)) for kind, v in by_kind.items() for name in as_list(v))


def accounts(statement: Statement) -> frozenset[str]:
    """Return the accounts of the AWS principals, single ones named, that a statement lets in."""
    if statement.get("Effect") == "Deny":
        return frozenset()
    named = (name for kind, name in principals(statement) if kind in ("AWS", ""))
    return frozenset(match[1] for match in map(_PRINCIPAL.match, named) if match)


def conditions(statement: Statement) -> Iterator[Condition]:
    """Yield every test of a statement's condition; all of them must hold."""
    block = statement.get("Condition")
    for operator, keys in block.items() if isinstance(block, Mapping) else ():
        quantifier, _, name = str(operator).lower().rpartition(":")
        for key, values in keys.items() if isinstance(keys, Mapping) else ():
            texts = tuple(str(value) for value in as_list(values))
            yield Condition(quantifier=quantifier, operator=name, key=key.lower(), values=texts)


def narrows(condition: Condition) -> bool:
    """Tell whether a test ties an open principal to somebody in particular.

    The operator must be positive and must fail when the key is absent: ``...IfExists`` and
    ``ForAllValues`` pass then. Every value must name one account, organization, network or
    resource: the values are alternatives, so the widest of them counts.
    """
    if condition.operator not in POSITIVE or condition.quantifier == "forallvalues":
        return False
    names_one = _NARROWING.get(condition.key)
    return bool(
        names_one and condition.values and all(names_one.match(each) for each in condition.values)
    )


def _is_pattern(named: Sequence[tuple[str, str]]) -> bool:
    return any("*" in text or "?" in text for _, text in named)


def as_list(value: object) -> Sequence[Any]:
    """Return what IAM allows to be one item or a list of items as a list."""
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)
