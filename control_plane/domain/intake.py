"""What the intake rules say: the sources that deliver contracts, and how a request is made of one.

Everything here is pure: a payload and a source give a request of ``POST
/v1/provisioning-requests``, or the fact that says which field cannot be made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from control_plane.domain import spellings
from control_plane.domain.intake_errors import MappingFailed
from control_plane.domain.json_paths import NOTHING, JsonPath, Several


class SourceKind(StrEnum):
    """How a source signs, and what its payload looks like."""

    DOCUSIGN = "docusign"  # Connect: JSON SIM, or the older aggregate messages
    STANDARD_WEBHOOKS = "standard_webhooks"


class EventMeaning(StrEnum):
    """What an event of a source means here."""

    SIGNED = "signed"
    VOIDED = "voided"
    DECLINED = "declined"
    IGNORED = "ignored"


class FieldKind(StrEnum):
    """What a field of a request is made of."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    LIST = "list"


_TEXT, _NUMBER, _BOOLEAN, _INSTANT, _LIST = FieldKind
CONTACT_ROLES: Final = (
    "it_admin", "executive_sponsor", "business_sponsor", "security", "billing",
)  # fmt: skip
_CONTACT_FIELDS: Final = ("name", "email", "locale")
_MOST_CONTACTS: Final = 4  # of one role
_NUMBERED: Final = tuple(
    f"{role}{suffix}"
    for role in CONTACT_ROLES
    for suffix in ("", *(f"_{number}" for number in range(2, _MOST_CONTACTS + 1)))
)
# fields of a request that a mapping may name; provider and envelope are facts of the source
TARGETS: Final[Mapping[str, FieldKind]] = {
    "contract.contract_id": _TEXT,
    "contract.signed_at": _INSTANT,
    "contract.subscription": _TEXT,
    "contract.mode": _TEXT,
    "contract.seats": _NUMBER,
    "contract.sla_uptime_min": _TEXT,
    "company.legal_name": _TEXT,
    "company.domain": _TEXT,
    "company.country": _TEXT,
    "company.time_zone": _TEXT,
    "requirements.requested_mode": _TEXT,
    "requirements.residency.zone": _TEXT,
    "requirements.residency.regions": _LIST,
    "requirements.residency.strict": _BOOLEAN,
    "requirements.cloud": _TEXT,
    "requirements.customer_managed_key": _BOOLEAN,
    "requirements.dedicated_network": _BOOLEAN,
    "requirements.ip_allow_list": _LIST,
    "requirements.data_must_stay_in_customer_cloud": _BOOLEAN,
    "requirements.regulated_sector": _TEXT,
    "requirements.sovereignty_framework": _TEXT,
    "requirements.phone_sev1": _BOOLEAN,
    "requirements.segment": _TEXT,
    "environment": _TEXT,
    **{f"contacts.{name}.{field}": _TEXT for name in _NUMBERED for field in _CONTACT_FIELDS},
}
# without these there is no contract
REQUIRED: Final = frozenset(
    {
        "contract.contract_id", "contract.signed_at", "contract.subscription",
        "company.legal_name", "company.domain", "company.country",
    }
)  # fmt: skip
_TRUTHS: Final = {"true": True, "yes": True, "false": False, "no": False}
_SHOWN: Final = 60


@dataclass(frozen=True, kw_only=True)
class FieldRule:
    """Where one field of a request comes from.

    ``values`` translates what is there, by its text without regard to case; ``default`` is taken
    where there is nothing.
    """

    target: str
    path: JsonPath | None
    values: Mapping[str, Any] | None = None
    default: Any = None
    required: bool = False
    separator: str = ","


@dataclass(frozen=True, kw_only=True)
class ReadBack:
    """How a provider is asked what was signed since ``since``.

    ``credential`` names a secret: a private key for DocuSign, else a bearer token.
    """

    url: str
    credential: str
    since: datetime
    client: str | None = None  # DocuSign: the integration key
    user: str | None = None  # DocuSign: who is impersonated


@dataclass(frozen=True, kw_only=True)
class LookRules:
    """When sources are asked, and how far back.

    ``overlap`` is asked again each time, ``grace`` is left to what is still under way, and a deal
    that was won has ``deal_hours`` to become a contract.
    """

    every: timedelta = timedelta(hours=1)
    jitter: timedelta = timedelta(minutes=10)
    overlap: timedelta = timedelta(hours=1)
    grace: timedelta = timedelta(minutes=15)
    deal_life: timedelta = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class IntakeSource:
    """One source of deliveries: whose signatures are taken, and what its events and fields mean.

    ``keys`` name secrets, all of which are active. ``accounts`` is None where the payload names no
    account.
    """

    key: str
    kind: SourceKind
    provider: str
    accounts: tuple[str, ...] | None
    keys: tuple[str, ...]
    events: Mapping[str, EventMeaning]
    account_path: JsonPath | None
    envelope_path: JsonPath
    event_path: JsonPath
    fields: tuple[FieldRule, ...]
    read_back: ReadBack | None = None

    def meaning(self, event: str) -> EventMeaning:
        """Return what an event means; one that no rule names asks for nothing."""
        return self.events.get(event, EventMeaning.IGNORED)


@dataclass(frozen=True, kw_only=True)
class IntakeRules:
    """The intake rules document."""

    digest: str
    sources: Mapping[str, IntakeSource]
    looks: LookRules = LookRules()


def request_of(
    source: IntakeSource, payload: Mapping[str, Any], envelope_id: str
) -> dict[str, Any]:
    """Return the request that a payload asks for, its values not yet checked one by one.

    Raises ``MappingFailed`` with the first field that cannot be made.
    """
    request: dict[str, Any] = {
        "contract": {"provider": source.provider, "envelope_id": envelope_id},
        "company": {},
    }
    contacts: dict[str, dict[str, Any]] = {}
    for rule in source.fields:
        value = _value(rule, payload)
        if value is None:
            continue
        first, *rest = rule.target.split(".")
        if first == "contacts":
            contacts.setdefault(rest[0], {})[rest[1]] = value
        else:
            _put(request, (first, *rest), value)
    if contacts:
        request["contacts"] = list(_contacts(source, contacts))
    return request


def _contacts(
    source: IntakeSource, found: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the contacts in the order of roles. Raises ``MappingFailed`` for half of one."""
    for name in _NUMBERED:
        if name not in found:
            continue
        for needed in ("name", "email"):
            if needed not in found[name]:
                target = f"contacts.{name}.{needed}"
                rules = [rule for rule in source.fields if rule.target == target]
                path = rules[0].path if rules else None
                raise _failed(target, path, "nothing, though the contact has other fields")
        role = next(role for role in CONTACT_ROLES if name.startswith(role))
        yield {"role": role, **found[name]}


def _put(request: dict[str, Any], names: tuple[str, ...], value: Any) -> None:
    place = request
    for name in names[:-1]:
        place = place.setdefault(name, {})
    place[names[-1]] = value


def _value(rule: FieldRule, payload: Mapping[str, Any]) -> Any:
    """Return the value of a field, None where it has none. Raises ``MappingFailed``."""
    found: Any = NOTHING
    if rule.path is not None:
        try:
            found = rule.path.of(payload)
        except Several as several:
            raise _failed(rule.target, rule.path, f"{several.count} values") from None
    if found is None or (isinstance(found, str) and not found.strip()):
        found = NOTHING  # an optional field that nobody filled in
    if found is NOTHING:
        if rule.default is None and (rule.required or rule.target in REQUIRED):
            raise _failed(rule.target, rule.path, "nothing")
        return rule.default
    if rule.values is not None:
        return _translated(rule, found)
    return _READERS[TARGETS[rule.target]](rule, found)


def _translated(rule: FieldRule, found: Any) -> Any:
    word = str(found).strip().casefold() if isinstance(found, str | int) else ""
    known = {text.casefold(): value for text, value in (rule.values or {}).items()}
    if word not in known:
        texts = ", ".join(repr(text) for text in rule.values or ())
        raise _failed(rule.target, rule.path, f"{_shown(rule, found)}, which is none of {texts}")
    return known[word]


def _text(rule: FieldRule, found: Any) -> str:
    if isinstance(found, str):
        return found.strip()
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    raise _failed(rule.target, rule.path, f"{_shown(rule, found)}, not a text")


def _number(rule: FieldRule, found: Any) -> int:
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    if isinstance(found, str) and re.fullmatch(r"[0-9]{1,15}", found.strip(), re.ASCII):
        return int(found)
    raise _failed(rule.target, rule.path, f"{_shown(rule, found)}, not a whole number")


def _boolean(rule: FieldRule, found: Any) -> bool:
    if isinstance(found, bool):
        return found
    if isinstance(found, str) and found.strip().casefold() in _TRUTHS:
        return _TRUTHS[found.strip().casefold()]
    raise _failed(rule.target, rule.path, f"{_shown(rule, found)}, neither yes nor no")


def _instant(rule: FieldRule, found: Any) -> str:
    if isinstance(found, str):
        try:
            return spellings.instant(found.strip()).isoformat().replace("+00:00", "Z")
        except ValueError:
            pass
    raise _failed(rule.target, rule.path, f"{_shown(rule, found)}, not an instant (RFC 3339)")


def _list(rule: FieldRule, found: Any) -> list[str]:
    parts = found.split(rule.separator) if isinstance(found, str) else found
    if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
        return [part.strip() for part in parts if part.strip()]
    raise _failed(rule.target, rule.path, f"{_shown(rule, found)}, not a list of texts")


_READERS: Final = {
    _TEXT: _text, _NUMBER: _number, _BOOLEAN: _boolean, _INSTANT: _instant, _LIST: _list,
}  # fmt: skip


def _shown(rule: FieldRule, found: Any) -> str:
    """Return what was found for a message; what may name a person is only described."""
    if isinstance(found, str):
        if rule.target.startswith("contacts."):
            return f"a text of {len(found)} characters"
        return f"the text {found[:_SHOWN]!a}"
    if found is None or isinstance(found, bool | int):
        return f"the value {found}"
    return "an object" if isinstance(found, Mapping) else "a list"


def _failed(target: str, path: JsonPath | None, found: str) -> MappingFailed:
    where = path.text if path is not None else "no path"
    return MappingFailed(
        f"{target} cannot be made: {where} holds {found}",
        field=target, source_path=where, found=found,
    )  # fmt: skip
