"""An amendment of a contract: what was agreed later about it, kept as it was signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Final

from control_plane.domain import spellings
from control_plane.domain.errors import AmendmentRefused, InvalidInput

AMENDED_FACTS: Final = ("subscription", "seats", "sla_uptime_min")  # what a contract signs
_DATES: Final = ("effective_on", "ends_on", "retention_until")


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an amendment says; None where it leaves things as they are.

    ``ends_on`` is the last day of the contract, ``retention_until`` the day before which nothing of
    the tenant is deleted.
    """

    number: str
    signed_at: datetime
    effective_on: date | None = None
    ends_on: date | None = None
    retention_until: date | None = None
    subscription: str | None = None
    seats: int | None = None
    sla_uptime_min: str | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Terms:
        """Return the terms of plain JSON. Raises ``InvalidInput`` naming the first wrong field."""
        unknown = sorted(set(document) - {each.name for each in fields(cls)})
        if unknown:
            raise InvalidInput("is not a field of an amendment", field=f"amendment.{unknown[0]}")
        read = dict(document)
        for name in _DATES:
            if read.get(name) is not None:
                read[name] = _read(name, read[name], date.fromisoformat)
        read["number"] = _read("number", read.get("number"), spellings.identifier)
        read["signed_at"] = _read("signed_at", read.get("signed_at"), spellings.instant)
        return cls(**read)

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that it gives other values."""
        found = {name: getattr(self, name) for name in AMENDED_FACTS}
        return {name: value for name, value in found.items() if value is not None}


def _read(name: str, value: object, read: Any) -> Any:
    try:
        return read(value if isinstance(value, str) else "")
    except ValueError as error:
        raise InvalidInput(
            f"{name} of an amendment cannot be read: {error}", field=f"amendment.{name}"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Amendment(Terms):
    """An amendment that was accepted; never changed. ``contract_ref`` is the contract's row."""

    id: str
    tenant_id: str
    contract_ref: str
    amended_by: str
    amended_at: datetime

    def says(self, terms: Terms) -> bool:
        """Tell whether it says the same."""
        return all(getattr(self, each.name) == getattr(terms, each.name) for each in fields(terms))


def in_force(amendments: Sequence[Amendment], name: str) -> Any:
    """Return what the last amendment that says something of ``name`` says, None where none does."""
    said = (getattr(each, name) for each in reversed(amendments))
    return next((value for value in said if value is not None), None)


def known_as(amendments: Sequence[Amendment], terms: Terms) -> Amendment | None:
    """Return the amendment of that number if it was accepted before.

    ``amendments`` are those of the contract, oldest first. Raises ``AmendmentRefused`` where that
    one says something else, or where an earlier date of retention would be given up: what was
    promised to be kept is kept.
    """
    for each in amendments:
        if each.number == terms.number:
            if each.says(terms):
                return each
            raise AmendmentRefused(
                f"amendment {terms.number} was accepted before, and says something else",
                field="amendment.number",
            )
    present, wanted = in_force(amendments, "retention_until"), terms.retention_until
    if present is not None and wanted is not None and wanted < present:
        raise AmendmentRefused(
            f"the data is kept until {present}, and {wanted} is earlier",
            field="amendment.retention_until",
            present=present.isoformat(), wanted=wanted.isoformat(),
        )  # fmt: skip
    return None
