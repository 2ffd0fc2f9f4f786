"""A provisioning request that does not come through the API: read as the API reads its bodies.

The same facts give the same document, byte for byte, whichever way they came, so that a contract
that was delivered and submitted is one (``tests/contracts/test_request_form.py``).
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import idna

from control_plane.domain import spellings
from control_plane.domain.errors import InvalidInput
from control_plane.domain.facts import MOST_SEATS, Subscription
from control_plane.domain.intake import CONTACT_ROLES

MOST_CONTACTS: Final = 20
MOST_REGIONS: Final = 20
_CLOUDS: Final = ("aws", "azure", "gcp", "other")
_MODES: Final = ("A", "B", "C")
Read = Callable[[Any], Any]


def domain_name(text: str) -> str:
    """Return a domain in lower case and A-labels (RFC 5891), without a dot at its end.

    Raises ``ValueError``.
    """
    given = text.strip()
    try:
        found = idna.encode(given.removesuffix("."), uts46=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        found = ""
    labels = found.split(".")
    if len(labels) < 2 or len(found) > 253 or labels[-1].isdigit():
        raise ValueError("must be a domain such as example.com")
    return found


def time_zone(text: str) -> str:
    """Return the name of an IANA time zone. Raises ``ValueError``."""
    if text not in _zones():
        raise ValueError("must be an IANA time zone such as Europe/Rome")
    return text


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())  # walks a folder


def read_request(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request with one spelling per value and its defaults.

    Raises ``InvalidInput`` naming the first field that is wrong.
    """
    contacts = given.get("contacts", [])
    if len(contacts) > MOST_CONTACTS:
        raise InvalidInput(f"contacts: must have at most {MOST_CONTACTS}", field="contacts")
    document = {
        "contract": _read("contract", given["contract"], _CONTRACT),
        "company": _read("company", given["company"], _COMPANY),
        "contacts": [
            _read(f"contacts.{number}", contact, _CONTACT)
            for number, contact in enumerate(contacts)
        ],
        "requirements": _read("requirements", given.get("requirements", {}), _REQUIREMENTS),
        "environment": _one("environment", _ENVIRONMENT, given.get("environment", "production")),
    }
    if given.get("additional_tenant"):
        document["additional_tenant"] = True
    return document


_ABSENT: Final = object()
Field = tuple[Read, Any]  # how it is read, and what it is where there is none


def _read(path: str, given: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    found = {}
    for name, (read, default) in fields.items():
        where, value = f"{path}.{name}", given.get(name)
        if value is not None:
            found[name] = _one(where, read, value)
        elif default is _ABSENT:
            raise InvalidInput(f"{where}: is required", field=where)
        else:
            found[name] = _default(default)
    return found


def _one(where: str, read: Read, value: Any) -> Any:
    try:
        return read(value)
    except InvalidInput as error:
        raise error.renamed(lambda name: f"{where}.{name}") from error
    except ValueError as error:
        raise InvalidInput(f"{where}: {error}", field=where) from error


def _formed(pattern: str, sentence: str) -> Read:
    return lambda text: spellings.form(text, pattern, sentence)


def _among(words: tuple[str, ...]) -> Read:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return read


def _instant(text: str) -> str:
    return spellings.instant(text).isoformat().replace("+00:00", "Z")


def _seats(number: int) -> int:
    if not 0 <= number <= MOST_SEATS:
        raise ValueError(f"must be a number from 0 to {MOST_SEATS}")
    return number


def _regions(texts: list[str]) -> list[str]:
    if len(texts) > MOST_REGIONS:
        raise ValueError(f"must have at most {MOST_REGIONS} items")
    return [_REGION(text) for text in texts]


def _residency(given: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, (read, default) in _RESIDENCY.items():
        value = given.get(name)
        try:
            found[name] = read(value) if value is not None else _default(default)
        except ValueError as error:
            raise InvalidInput(f"{name}: {error}", field=name) from error
    return found


def _default(default: Any) -> Any:
    return default() if callable(default) else default


_REGION: Final = _formed(spellings.REGION, "must be an AWS region such as eu-west-1")
_ENVIRONMENT: Final = _formed(
    spellings.ENVIRONMENT,
    "must be 2 to 20 lower-case letters, digits and hyphens, such as production",
)
_RESIDENCY: Final[Mapping[str, Field]] = {
    "zone": (
        _formed(spellings.ZONE, "must be a residency zone such as eu or us_gov"), None,
    ),
    "regions": (_regions, list),
    "strict": (bool, False),
}  # fmt: skip
_CONTRACT: Final[Mapping[str, Field]] = {
    "provider": (spellings.provider, _ABSENT),
    "envelope_id": (spellings.identifier, _ABSENT),
    "contract_id": (spellings.identifier, _ABSENT),
    "signed_at": (_instant, _ABSENT),
    "subscription": (_among(tuple(map(str, Subscription))), _ABSENT),
    "mode": (_among(_MODES), None),
    "seats": (_seats, None),
    "sla_uptime_min": (
        _formed(spellings.UPTIME, 'must be a percentage as a decimal string, such as "99.9"'),
        None,
    ),
}
_COMPANY: Final[Mapping[str, Field]] = {
    "legal_name": (spellings.name, _ABSENT),
    "domain": (domain_name, _ABSENT),
    "country": (spellings.country, _ABSENT),
    "time_zone": (time_zone, "UTC"),
}
_CONTACT: Final[Mapping[str, Field]] = {
    "role": (_among(CONTACT_ROLES), _ABSENT),
    "name": (spellings.name, _ABSENT),
    "email": (spellings.email, _ABSENT),
    "locale": (spellings.language, None),
}
_REQUIREMENTS: Final[Mapping[str, Field]] = {
    "requested_mode": (_among(_MODES), None),
    "residency": (_residency, None),
    "cloud": (_among(_CLOUDS), None),
    "customer_managed_key": (bool, False),
    "dedicated_network": (bool, False),
    "ip_allow_list": (list, list),
    "data_must_stay_in_customer_cloud": (bool, False),
    "regulated_sector": (spellings.name, None),
    "sovereignty_framework": (spellings.name, None),
    "phone_sev1": (bool, False),
    "segment": (spellings.name, None),
}
