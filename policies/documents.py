"""Reading IAM policy documents: statements, who is let in, whether TLS is enforced."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from policies.catalog import CATALOG
from policies.model import UNKNOWN, Resource, Unknown

Statement = Mapping[str, Any]

# Condition keys that tie an open principal to somebody in particular, in lower case.
_NARROWING: Final = frozenset({
    "aws:principalaccount", "aws:principalarn", "aws:principalorgid", "aws:principalorgpaths",
    "aws:sourceaccount", "aws:sourcearn", "aws:sourceorgid", "aws:sourcevpc", "aws:sourcevpce",
    "kms:calleraccount",
})  # fmt: skip
_POSITIVE: Final = frozenset({"stringequals", "stringlike", "arnequals", "arnlike"})
_ALL_S3: Final = frozenset({"*", "s3:*"})


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
        raise ValueError("no policy document")
    found = as_list(value["Statement"])
    if not all(isinstance(item, Mapping) and "Effect" in item for item in found):
        raise ValueError("no policy document")
    return tuple(found)


def is_public(statement: Statement) -> bool:
    """Tell whether a statement lets in anybody: an open principal and nothing that narrows it."""
    if statement.get("Effect") != "Allow":
        return False
    if "NotPrincipal" not in statement and not has_open_principal(statement):
        return False
    return not any(
        operator.lower() in _POSITIVE
        and key.lower() in _NARROWING
        and not any(str(item) == "*" for item in as_list(values))
        for operator, keys in _conditions(statement)
        for key, values in keys.items()
    )


def enforces_tls(statement: Statement, bucket: str) -> bool:
    """Tell whether a statement denies everybody everything in a bucket without TLS."""
    conditions = list(_conditions(statement))
    if statement.get("Effect") != "Deny" or not has_open_principal(statement):
        return False
    if not _ALL_S3 & {str(item) for item in as_list(statement.get("Action"))}:
        return False
    if len(conditions) != 1 or len(conditions[0][1]) != 1:
        return False  # more conditions would deny less
    operator, keys = conditions[0]
    key, values = next(iter(keys.items()))
    if operator.lower() not in ("bool", "boolifexists") or key.lower() != "aws:securetransport":
        return False
    if [str(item).lower() for item in as_list(values)] != ["false"]:
        return False
    covered = {str(item) for item in as_list(statement.get("Resource"))}
    arn = re.compile(rf"arn:aws[a-z-]*:s3:::{re.escape(bucket)}(/\*)?\Z")
    parts = {match.group(1) for match in map(arn.match, covered) if match}
    return "*" in covered or parts == {None, "/*"}


def has_open_principal(statement: Statement) -> bool:
    """Tell whether the principal is everybody, in one of its spellings."""
    principal = statement.get("Principal")
    named = principal.values() if isinstance(principal, Mapping) else [principal]
    return any("*" in as_list(value) for value in named)


def as_list(value: object) -> Sequence[Any]:
    """Return what IAM allows to be one item or a list of items as a list."""
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)


def _conditions(statement: Statement) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for operator, keys in (statement.get("Condition") or {}).items():
        yield operator, keys if isinstance(keys, Mapping) else {}
