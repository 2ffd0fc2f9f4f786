"""The facts that the mode resolver looks at, as the request and later corrections state them.

``Facts`` is the one list of them: each field says how its value is read and, when it is signed,
under which name the contract has it. What rules may look at (``STATED_FACTS``), what an architect
may not edit (``CONTRACT_FACTS``) and what the request is taken apart into follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

from control_plane.domain import spellings
from control_plane.domain.errors import InvalidInput
from control_plane.domain.mode_rules import FactValue, Mode
from control_plane.domain.networks import allowed_networks
from control_plane.domain.residency import Residency


class Subscription(StrEnum):
    """What the customer bought."""

    LITE = "lite"
    STANDARD = "standard"
    ENTERPRISE = "enterprise"


Read = Callable[[str, Any], Any]  # from a fact's name and its value as plain JSON
MOST_SEATS: Final = 10_000_000


def _fact(read: Read, *, contract: str | None = None) -> Mapping[str, Any]:
    """Describe a fact: how it is read, and its name in the contract if it is signed."""
    return {"read": read, "contract": contract}


def _refused(name: str, words: str) -> InvalidInput:
    return InvalidInput(f"The fact {name} {words}.", field=name)


def _spelled(read: Callable[[str], str]) -> Read:
    def fact(name: str, value: object) -> str:
        if not isinstance(value, str):
            raise _refused(name, "must be text")
        try:
            return read(value)
        except ValueError as error:
            raise _refused(name, str(error)) from error

    return fact


def _word(name: str, value: object) -> str:
    return str(_spelled(spellings.name)(name, value))


def _uptime(name: str, value: object) -> str:
    words = 'must be a percentage as a decimal string, such as "99.9"'
    return str(_spelled(lambda text: spellings.form(text, spellings.UPTIME, words))(name, value))


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _refused(name, "must be true or false")
    return value


def _seats(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_SEATS:
        raise _refused(name, f"must be a whole number from 0 to {MOST_SEATS}")
    return value


def _one_of(kind: type[StrEnum]) -> Read:
    def fact(name: str, value: object) -> StrEnum:
        if not isinstance(value, str) or value not in tuple(kind):
            raise _refused(name, f"must be one of {', '.join(kind)}")
        return kind(value)

    return fact


def _texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise _refused(name, "must be a list of text")
    return tuple(value)


def _networks(name: str, value: object) -> tuple[str, ...]:
    return allowed_networks(_texts(name, value), field=name)


def _residency(name: str, value: object) -> Residency:
    if isinstance(value, Residency):
        return value
    if not isinstance(value, Mapping):
        raise _refused(name, "must be an object")
    unknown = sorted(set(value) - {"zone", "regions", "strict"})
    if unknown:
        where = f"{name}.{unknown[0]}"
        raise InvalidInput(f"Unknown field {unknown[0]!r} of a residency.", field=where)
    zone, regions = value.get("zone"), value.get("regions")
    return Residency(
        zone=None if zone is None else _word(f"{name}.zone", zone),
        regions=() if regions is None else _texts(f"{name}.regions", regions),
        strict=_flag(f"{name}.strict", value.get("strict", False)),
    )


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything the resolver may look at; all but the subscription may be unstated.

    ``sla_uptime_min`` is percent as a decimal string (``"99.9"``): a binary fraction would not be
    what was signed. ``current_mode`` is the mode the tenant runs in, if it runs. Raises
    ``InvalidInput`` naming the first fact whose value cannot be right.
    """

    subscription: Subscription = field(
        metadata=_fact(_one_of(Subscription), contract="subscription")
    )
    requested_mode: Mode | None = field(default=None, metadata=_fact(_one_of(Mode)))
    contract_mode: Mode | None = field(default=None, metadata=_fact(_one_of(Mode), contract="mode"))
    current_mode: Mode | None = field(default=None, metadata=_fact(_one_of(Mode)))
    seats: int | None = field(default=None, metadata=_fact(_seats, contract="seats"))
    segment: str | None = field(default=None, metadata=_fact(_word))
    residency: Residency | None = field(default=None, metadata=_fact(_residency))
    regulated_sector: str | None = field(default=None, metadata=_fact(_word))
    sovereignty_framework: str | None = field(default=None, metadata=_fact(_word))
    data_must_stay_in_customer_cloud: bool = field(default=False, metadata=_fact(_flag))
    customer_managed_key: bool = field(default=False, metadata=_fact(_flag))
    dedicated_network: bool = field(default=False, metadata=_fact(_flag))
    ip_allow_list: tuple[str, ...] = field(default=(), metadata=_fact(_networks))
    sla_uptime_min: str | None = field(
        default=None, metadata=_fact(_uptime, contract="sla_uptime_min")
    )
    phone_sev1: bool = field(default=False, metadata=_fact(_flag))
    cloud: str | None = field(default=None, metadata=_fact(_word))

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None:
                value = item.metadata["read"](item.name, value)
            elif item.default is MISSING:
                raise _refused(item.name, "is missing")
            else:
                value = item.default
            object.__setattr__(self, item.name, value)  # the class is frozen for everybody else

    def scalars(self) -> dict[str, FactValue]:
        """Return every fact but the residency under its own name."""
        found: dict[str, FactValue] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name != "residency":
                found[item.name] = value.value if isinstance(value, StrEnum) else value
        return found

    def to_document(self) -> dict[str, Any]:
        """Return the facts as plain JSON; ``from_document`` reads it."""
        found: dict[str, Any] = self.scalars()
        found["ip_allow_list"] = list(self.ip_allow_list)
        found["residency"] = self.residency.to_document() if self.residency else None
        return found

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Facts:
        """Return the facts of plain JSON; null is unstated.

        Raises ``InvalidInput`` naming the first wrong field.
        """
        unknown = sorted(set(document) - _NAMES)
        if unknown:
            raise InvalidInput(f"Unknown fact {unknown[0]!r}.", field=unknown[0])
        return cls(**{"subscription": None, **document})


_NAMES: Final = frozenset(item.name for item in fields(Facts))
# what was signed, by the contract's own names; an architect cannot edit it
CONTRACT_FACTS: Final[Mapping[str, str]] = {
    item.name: item.metadata["contract"] for item in fields(Facts) if item.metadata["contract"]
}
STATED_FACTS: Final = (_NAMES - {"residency"}) | {
    f"residency.{item.name}" for item in fields(Residency)
}


def submitted_as(name: str) -> str:
    """Return where a provisioning request has a fact: ``contract.seats`` for ``seats``."""
    first, dot, rest = name.partition(".")
    if first in CONTRACT_FACTS:
        return f"contract.{CONTRACT_FACTS[first]}{dot}{rest}"
    return f"requirements.{name}"
