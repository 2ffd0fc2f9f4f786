"""The facts that the mode resolver looks at, as the request and later corrections state them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.errors import InvalidInput
from control_plane.domain.mode_rules import FactValue, Mode
from control_plane.domain.residency import Residency

_UPTIME: Final = re.compile(r"(?:100(?:\.0{1,4})?|[0-9]{1,2}(?:\.[0-9]{1,4})?)\Z")
_FLAGS: Final = (
    "data_must_stay_in_customer_cloud", "customer_managed_key", "dedicated_network", "phone_sev1",
)  # fmt: skip
_TEXTS: Final = ("segment", "regulated_sector", "sovereignty_framework", "cloud")
_MODES: Final = ("requested_mode", "contract_mode", "current_mode")


class Subscription(StrEnum):
    """What the customer bought."""

    LITE = "lite"
    STANDARD = "standard"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything the resolver may look at; all but the subscription may be unstated.

    ``sla_uptime_min`` is percent as a decimal string (``"99.9"``): a binary fraction would not be
    what was signed. ``current_mode`` is the mode the tenant runs in, if it runs. Raises
    ``InvalidInput`` for a value that cannot be right.
    """

    subscription: Subscription
    requested_mode: Mode | None = None
    contract_mode: Mode | None = None
    current_mode: Mode | None = None
    seats: int | None = None
    segment: str | None = None
    residency: Residency | None = None
    regulated_sector: str | None = None
    sovereignty_framework: str | None = None
    data_must_stay_in_customer_cloud: bool = False
    customer_managed_key: bool = False
    dedicated_network: bool = False
    ip_allow_list: tuple[str, ...] = ()
    sla_uptime_min: str | None = None
    phone_sev1: bool = False
    cloud: str | None = None

    def __post_init__(self) -> None:
        if self.seats is not None and (isinstance(self.seats, bool) or self.seats < 0):
            raise InvalidInput("The number of seats is 0 or more.", field="contract.seats")
        if self.sla_uptime_min is not None and not _UPTIME.match(self.sla_uptime_min):
            raise InvalidInput(
                'The least uptime is percent as a decimal string, such as "99.9".',
                field="contract.sla_uptime_min",
            )

    def scalars(self) -> dict[str, FactValue]:
        """Return every fact but the residency under its own name."""
        found: dict[str, FactValue] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, Residency):
                found[item.name] = value.value if isinstance(value, StrEnum) else value
        found.pop("residency", None)
        return found

    def to_document(self) -> dict[str, Any]:
        """Return the facts as plain JSON; ``from_document`` reads it."""
        found: dict[str, Any] = self.scalars()
        found["ip_allow_list"] = list(self.ip_allow_list)
        found["residency"] = self.residency.to_document() if self.residency else None
        return found

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Facts:
        """Return the facts of plain JSON. Raises ``InvalidInput`` naming the first wrong field."""
        unknown = sorted(set(document) - {item.name for item in fields(cls)})
        if unknown:
            raise InvalidInput(f"There is no fact {unknown[0]!r}.", field=unknown[0])
        found: dict[str, Any] = {"subscription": _subscription(document.get("subscription"))}
        for name in _MODES:
            found[name] = _mode(name, document.get(name))
        for name in _FLAGS:
            found[name] = _typed(name, document.get(name, False), bool, "true or false")
        for name in (*_TEXTS, "sla_uptime_min"):
            found[name] = _optional(name, document.get(name), str, "text")
        found["seats"] = _optional("seats", document.get("seats"), int, "a whole number")
        found["ip_allow_list"] = _texts("ip_allow_list", document.get("ip_allow_list"))
        found["residency"] = _residency(document.get("residency"))
        return cls(**found)


def _typed(name: str, value: object, kind: type, words: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidInput(f"The fact {name} must be {words}.", field=name)
    return value


def _optional(name: str, value: object, kind: type, words: str) -> Any:
    return None if value is None else _typed(name, value, kind, words)


def _texts(name: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    items = _typed(name, list(value) if isinstance(value, tuple) else value, list, "a list of text")
    return tuple(_typed(name, item, str, "a list of text") for item in items)


def _subscription(value: object) -> Subscription:
    if value not in tuple(Subscription):
        names = ", ".join(Subscription)
        raise InvalidInput(f"The subscription is one of {names}.", field="contract.subscription")
    return Subscription(str(value))


def _mode(name: str, value: object) -> Mode | None:
    if value is None:
        return None
    if value not in tuple(Mode):
        raise InvalidInput(f"The fact {name} is one of {', '.join(Mode)}.", field=name)
    return Mode(str(value))


def _residency(value: object) -> Residency | None:
    if value is None:
        return None
    document: Mapping[str, Any] = _typed("residency", value, dict, "an object")
    unknown = sorted(set(document) - {"zone", "regions", "strict"})
    if unknown:
        raise InvalidInput(f"A residency has no {unknown[0]!r}.", field=f"residency.{unknown[0]}")
    return Residency(
        zone=_optional("residency.zone", document.get("zone"), str, "text"),
        regions=_texts("residency.regions", document.get("regions")),
        strict=_typed("residency.strict", document.get("strict", False), bool, "true or false"),
    )
