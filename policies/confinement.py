"""What belongs to one slice of a shared Hub, and whether a policy statement stays within it.

A text counts as the slice's own only when every name that fits it is: the short name stands where
AWS reads it, whole, with no pattern before its end. ``*short*``, ``short*`` (another slice's short
name may begin with it) and a short name below somebody else's prefix are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from policies.documents import (
    POSITIVE,
    Condition,
    Statement,
    as_list,
    conditions,
    principals,
)

# Where the things of a slice are, below their partition. ``{short}`` and ``{account}`` are filled
# in; what stands before the short name is written out, never a pattern.
_PLACES: Final = (
    r"s3:::[a-z0-9.-]+/tenants/{short}/.*",
    r"secretsmanager:[a-z0-9-]+:{account}:secret:{short}/.+",
    r"ssm:[a-z0-9-]+:{account}:parameter/tenantplane/{short}(/.*)?",
    r"logs:[a-z0-9-]+:{account}:log-group:/tenantplane/([a-z0-9-]+/tenants/)?{short}([/:].*)?",
)
# Condition keys that say whose a thing is. Those of several values count with ``ForAllValues`` and
# a test that the key is present, or where one value is enough with ``ForAnyValue``.
_PREFIX: Final = "s3:prefix"
_LEADING_KEYS: Final = "dynamodb:leadingkeys"
_ALIASES: Final = "kms:resourcealiases"
_ENCRYPTION_CONTEXT: Final = "kms:encryptioncontext:"
_PRINCIPAL: Final = "aws:principalarn"
_KNOWN: Final = frozenset({
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource",
    "Condition",
})  # fmt: skip
_NEGATIONS: Final = ("NotAction", "NotResource", "NotPrincipal")
# What lets somebody administer a key and not use it.
_KEY_ADMINISTRATION: Final = frozenset(
    f"kms:{name}".lower()
    for name in (
        "CancelKeyDeletion", "CreateAlias", "DeleteAlias", "DescribeKey", "DisableKey",
        "DisableKeyRotation", "EnableKey", "EnableKeyRotation", "GetKeyPolicy",
        "GetKeyRotationStatus", "ListAliases", "ListGrants", "ListKeyPolicies",
        "ListKeyRotations", "ListResourceTags", "PutKeyPolicy", "RetireGrant", "RevokeGrant",
        "ScheduleKeyDeletion", "TagResource", "UntagResource", "UpdateAlias",
        "UpdateKeyDescription",
    )
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What is one slice's own: ``keys`` are ARNs, the others physical names.

    ``aliases`` begin with ``alias/``. ``account`` is empty when it is not known: then any one
    account counts.
    """

    short: str
    account: str = ""
    roles: frozenset[str] = frozenset()
    aliases: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    buckets: frozenset[str] = frozenset()
    _places: tuple[re.Pattern[str], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = {"short": re.escape(self.short), "account": self.accounts}
        places = tuple(
            re.compile(r"arn:aws[a-z-]*:" + place.format(**names), re.DOTALL) for place in _PLACES
        )
        object.__setattr__(self, "_places", places)

    @property
    def accounts(self) -> str:
        """The regular expression of the slice's account."""
        return re.escape(self.account) if self.account else r"\d{12}"

    def owns(self, arn: str) -> bool:
        """Tell whether everything that an ARN pattern fits is the slice's."""
        if "${" in arn.partition(self.short)[0]:
            return False  # a variable of the caller, filled in when it is asked
        own_bucket = re.fullmatch(r"arn:aws[a-z-]*:s3:::([a-z0-9.-]+)(/.*)?", arn, re.DOTALL)
        if own_bucket and own_bucket[1] in self.buckets:
            return True
        return arn in self.keys or any(place.fullmatch(arn) for place in self._places)

    def owns_role(self, arn: str) -> bool:
        """Tell whether an ARN is that of one role of the slice."""
        return self.name_of("role", arn) in self.roles

    def name_of(self, what: str, arn: str) -> str:
        """Return the name of a ``role`` or ``policy`` of the slice's account, '' of another."""
        found = re.fullmatch(rf"arn:aws[a-z-]*:iam::{self.accounts}:{what}/(?:.+/)?([^/]+)", arn)
        return found[1] if found else ""

    def is_account(self, principal: str) -> bool:
        """Tell whether a principal is the slice's whole account."""
        return bool(re.fullmatch(rf"(arn:aws[a-z-]*:iam::)?{self.accounts}(?(1):root)", principal))


def reaches(statement: Statement, own: Slice) -> str:
    """Return what a role's statement reaches beyond the slice, in words, or ''."""
    if statement.get("Effect") == "Deny":
        return ""
    odd = _oddity(statement)
    if odd:
        return odd
    foreign = [text for text in _texts(statement, "Resource") if not own.owns(text)]
    if not foreign and _texts(statement, "Resource"):
        return ""
    tests = tuple(conditions(statement))
    if any(_is_own_thing(test, tests, own) for test in tests):
        return ""
    return f"reaches {', '.join(foreign[:3]) or 'every resource'}, and no condition limits it"


def opens(statement: Statement, own: Slice, *, is_key: bool = False) -> str:
    """Return who else a statement of the slice's own key, role or bucket lets in, or ''."""
    if statement.get("Effect") == "Deny":
        return ""
    odd = _oddity(statement)
    if odd:
        return odd
    named = principals(statement)
    tests = tuple(conditions(statement))
    if not named:
        return "names no principal"
    actions = {text.lower() for text in _texts(statement, "Action")}
    administers = is_key and bool(actions) and actions <= _KEY_ADMINISTRATION
    for kind, name in named:
        if kind == "Service":
            confined = _is_for_account(tests, own) or (
                is_key and any(_is_own_use(test, own) for test in tests)
            )
        elif kind not in ("AWS", ""):
            confined = False
        elif own.owns_role(name):
            confined = True
        elif own.is_account(name):
            confined = administers or any(
                _is_own_role(test, own) or (is_key and _is_own_use(test, own)) for test in tests
            )
        else:
            confined = name == "*" and any(_is_own_role(test, own) for test in tests)
        if not confined:
            return f"lets in {name}, and no condition limits it to the slice's own role"
    return ""


def title_of(statement: Statement, index: int) -> str:
    """Return how a statement is called in a message: its Sid, else its number."""
    return f"the statement {statement.get('Sid') or index + 1}"


def _oddity(statement: Statement) -> str:
    """Return why nobody can tell from its text what a statement allows, or ''."""
    negations = [name for name in _NEGATIONS if name in statement]
    if negations:
        return f"allows everything except what {negations[0]} names"
    strange = sorted(set(statement) - _KNOWN)
    if strange:
        return f"has the element {strange[0]}, which IAM does not know"
    condition = statement.get("Condition", {})
    if not isinstance(condition, Mapping):
        return "has a Condition that cannot be read"
    return ""


def _texts(statement: Statement, element: str) -> tuple[str, ...]:
    return tuple(str(item) for item in as_list(statement.get(element)))


def _is_own_thing(test: Condition, tests: Sequence[Condition], own: Slice) -> bool:
    """Tell whether a test holds for things of the slice alone, and fails when the key is absent."""
    if test.operator not in POSITIVE or not test.values:
        return False
    many = test.quantifier == "forallvalues" and _is_present(test.key, tests)
    if test.key == _PREFIX:
        mine = f"tenants/{own.short}/"
        return not test.quantifier and all(text.startswith(mine) for text in test.values)
    if test.key == _LEADING_KEYS:
        return many and all(
            text == own.short or text.startswith(f"{own.short}#") for text in test.values
        )
    if test.key == _ALIASES:
        # an alias is that of one key, so one of them is enough
        return (many or test.quantifier == "foranyvalue") and set(test.values) <= own.aliases
    return False


def _is_present(key: str, tests: Sequence[Condition]) -> bool:
    return any(
        test.key == key
        and test.operator == "null"
        and not test.quantifier
        and [text.lower() for text in test.values] == ["false"]
        for test in tests
    )


def _is_strict(test: Condition) -> bool:
    return test.operator in POSITIVE and not test.quantifier and bool(test.values)


def _is_own_role(test: Condition, own: Slice) -> bool:
    return _is_strict(test) and test.key == _PRINCIPAL and all(map(own.owns_role, test.values))


def _is_own_use(test: Condition, own: Slice) -> bool:
    """Tell whether a test of a key's policy holds for things of the slice under the key alone."""
    return (
        _is_strict(test)
        and test.key.startswith(_ENCRYPTION_CONTEXT)
        and all(map(own.owns, test.values))
    )


def _is_for_account(tests: Sequence[Condition], own: Slice) -> bool:
    """Tell whether a service acts for resources of the slice's own account alone."""
    by_arn = re.compile(rf"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:{own.accounts}:.+")
    return any(
        _is_strict(test)
        and (
            (
                test.key == "aws:sourceaccount"
                and all(re.fullmatch(own.accounts, v) for v in test.values)
            )
            or (test.key == "aws:sourcearn" and all(by_arn.fullmatch(v) for v in test.values))
        )
        for test in tests
    )
