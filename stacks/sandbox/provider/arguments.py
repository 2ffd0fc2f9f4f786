"""The provider's own arguments: what `aws.Provider(...)` may say in the sandbox.

The SDK sends everything that is not a string as JSON text. Endpoints are not accepted: a stack
never names one, the environment does.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.compare import Act, Change, changes
from stacks.sandbox.provider.schema import (
    Fields,
    Kind,
    Problem,
    block,
    flag,
    integer,
    list_of,
    mapping,
    problems,
    set_of,
    text,
)
from stacks.sandbox.provider.wire import UNKNOWN, has_unknown

_SESSION_NAME = "tenantplane-sandbox"
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d+")
_ACCOUNT = re.compile(r"\d{12}")
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/.+")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def _region(value: str) -> str | None:
    return None if _REGION.fullmatch(value) else f"must be an AWS region, got {value!r}"


def _account(value: str) -> str | None:
    return None if _ACCOUNT.fullmatch(value) else "must be an account id of 12 digits"


def _role_arn(value: str) -> str | None:
    return None if _ROLE_ARN.fullmatch(value) else f"must be the ARN of a role, got {value!r}"


def _duration(value: str) -> str | None:
    if value and _DURATION.fullmatch(value) and 900 <= _seconds(value) <= 43_200:
        return None
    return f"must be between 15m and 12h, written like 1h or 30m, got {value!r}"


def _seconds(duration: str) -> int:
    found = _DURATION.fullmatch(duration)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    return hours * 3600 + minutes * 60 + seconds


_ROLE: Fields = {
    "roleArn": text(required=True, rule=_role_arn),
    "sessionName": text(rule=rules.matching(r"[\w+=,.@-]{2,64}", "2 to 64 of letters, _+=,.@-")),
    "externalId": text(),
    "duration": text(rule=_duration),
    "policy": text(),
}

ARGUMENTS: Fields = {
    "region": text(required=True, rule=_region),
    "allowedAccountIds": set_of(text(rule=_account)),
    "forbiddenAccountIds": set_of(text(rule=_account)),
    "assumeRoles": list_of(block(_ROLE)),
    "defaultTags": block({"tags": mapping()}),
    "accessKey": text(secret=True),
    "secretKey": text(secret=True),
    "token": text(secret=True),
    "profile": text(),
    "maxRetries": integer(default=2),
    "skipCredentialsValidation": flag(),
    "skipMetadataApiCheck": flag(),
    "skipRegionValidation": flag(),
    "skipRequestingAccountId": flag(),
    "s3UsePathStyle": flag(),
}

_ENGINE_KEYS = frozenset({"version", "pluginDownloadURL", "name", "parameterization"})


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role to assume, in the words of STS."""

    role_arn: str
    session_name: str = _SESSION_NAME
    external_id: str | None = None
    duration_seconds: int | None = None
    policy: str | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Credentials:
    """Keys of the AWS API. None of them given means: those of the environment."""

    access_key: str | None = None
    secret_key: str | None = None
    token: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProviderArguments:
    """What `Configure` was given, in plain values."""

    region: str
    allowed_account_ids: frozenset[str] = frozenset()
    forbidden_account_ids: frozenset[str] = frozenset()
    assume_roles: tuple[Role, ...] = ()
    default_tags: Mapping[str, str]
    credentials: Credentials = Credentials()
    profile: str | None = None
    max_attempts: int = 3


def unpacked(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments without the engine's own keys and with JSON texts parsed."""
    return {
        name: _parsed(name, value)
        for name, value in sent.items()
        if name not in _ENGINE_KEYS and not name.startswith("__")
    }


def _parsed(name: str, value: Any) -> Any:
    known = ARGUMENTS.get(name)
    if not isinstance(value, str) or known is None or known.kind is Kind.TEXT:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def argument_problems(sent: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield why these arguments are refused."""
    given = unpacked(sent)
    if "endpoints" in given:
        del given["endpoints"]
        yield Problem("endpoints", "is refused: the environment names it (AWS_ENDPOINT_URL)")
    yield from problems(ARGUMENTS, given)
    if (given.get("accessKey") is None) != (given.get("secretKey") is None):
        yield Problem("secretKey", "and accessKey must be set together")


def parse(sent: Mapping[str, Any]) -> ProviderArguments:
    """Return checked arguments as plain values."""
    given = unpacked(sent)
    roles = given.get("assumeRoles") or []
    return ProviderArguments(
        region=given["region"],
        allowed_account_ids=frozenset(given.get("allowedAccountIds") or ()),
        forbidden_account_ids=frozenset(given.get("forbiddenAccountIds") or ()),
        assume_roles=tuple(_role(role) for role in roles),
        default_tags=(given.get("defaultTags") or {}).get("tags") or {},
        credentials=Credentials(
            access_key=given.get("accessKey"),
            secret_key=given.get("secretKey"),
            token=given.get("token"),
        ),
        profile=given.get("profile"),
        max_attempts=1 + int(given.get("maxRetries", 2)),
    )


def _role(role: Mapping[str, Any]) -> Role:
    duration = role.get("duration")
    return Role(
        role_arn=role["roleArn"],
        session_name=role.get("sessionName") or _SESSION_NAME,
        external_id=role.get("externalId"),
        duration_seconds=_seconds(duration) if duration else None,
        policy=role.get("policy"),
    )


def argument_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return what differs between two sets of arguments.

    Another region or another account makes another provider, and with it other resources; the
    rest, default tags first of all, is an update. Credentials may rotate.
    """
    before, after = unpacked(old), unpacked(new)
    return [
        Change(change.name, change.path, change.act, _moves(change, before, after))
        for change in changes(ARGUMENTS, before, after)
    ]


def _moves(change: Change, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    if change.name == "region":
        return change.act is not Act.ADD
    if change.name not in {"allowedAccountIds", "assumeRoles"}:
        return False
    was, becomes = _accounts(before), _accounts(after)
    return bool(was and becomes) and was.isdisjoint(becomes)


def _accounts(given: Mapping[str, Any]) -> set[str]:
    """Return the account ids the arguments point at: of the last role, else the allowed ones."""
    roles = given.get("assumeRoles") or []
    if roles is not UNKNOWN and roles and not has_unknown(roles[-1]):
        found = _ROLE_ARN.fullmatch(roles[-1].get("roleArn", ""))
        if found:
            return {found[1]}
    allowed = given.get("allowedAccountIds") or []
    return set() if has_unknown(allowed) else set(allowed)
