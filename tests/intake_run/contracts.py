"""The contracts of a run, and what a provider does with the messages about each: from a seed alone.

A plan is the same for the same seed and number of contracts. Instants are given as seconds before
the run, so that nothing depends on when it is made.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from tests.signed import ACCOUNT, docusign, signing

DOCUSIGN, SIGNING = "docusign", "signing"
SECONDS_BEFORE: Final = 3600.0  # the oldest signature is so old when the run begins
_COUNTRIES: Final = (
    ("IT", "it", "Europe/Rome", "S.p.A."), ("DE", "de", "Europe/Berlin", "GmbH"),
    ("IE", "en", "Europe/Dublin", "Ltd"),
)  # fmt: skip
_DOCUSIGN_SHARE: Final = 0.7
_DROPPED: Final = 0.05  # never posted
_LATE: Final = 0.03  # posted after the provider was asked
_REPEATED: Final = 0.2
_MERGED: Final = 0.2  # as an aggregate message, of the events so far
_BOTH: Final = 0.3  # of those, also as the single event
_BEFORE: Final = 0.2  # envelope-sent and envelope-delivered are posted too
_DELAYED: Final = 0.3
_STALE: Final = 0.1  # signed with the old key after it was removed
_CHANGED: Final = 0.02  # the provider has another content when it is asked first
_UNKNOWN: Final = 0.02  # the provider does not find it when it is asked first


@dataclass(frozen=True, kw_only=True)
class Contract:
    """One signed contract. ``before`` is in seconds before the run begins."""

    number: int
    source: str
    before: float
    is_dropped: bool = False
    is_late: bool = False
    is_changed: bool = False
    is_unknown: bool = False

    @property
    def envelope_id(self) -> str:
        """The id that the provider gave."""
        return str(_payload(self)["data"][_ID[self.source]])

    @property
    def contract_id(self) -> str:
        """The number that the vendor gave."""
        return f"{'C-2026' if self.source == DOCUSIGN else 'S'}-{self.number:04d}"

    @property
    def is_missing(self) -> bool:
        """Whether nothing of it was posted before the provider is asked."""
        return self.is_dropped or self.is_late

    def email(self, role: str) -> str:
        """Return the address of a contact."""
        return f"{role.replace('_', '-')}@customer-{self.number}.example.com"

    def signed_at(self, begin: datetime) -> datetime:
        """Return when it was signed, by the provider's clock."""
        return begin - timedelta(seconds=self.before)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One message of a provider. ``place`` orders them; ``is_stale`` has the removed key."""

    contract: Contract
    form: str  # an event's name, or "aggregate"
    retry: int = 0
    place: float
    is_stale: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a provider does: contracts, messages in their order, and those that come late."""

    contracts: tuple[Contract, ...]
    attempts: tuple[Attempt, ...]
    late: tuple[Attempt, ...]


_ID: Final = {DOCUSIGN: "envelopeId", SIGNING: "document_id"}
CONTACTS: Final = ("it_admin", "executive_sponsor", "business_sponsor")


def planned(seed: int, count: int) -> Plan:
    """Return what a provider does with so many contracts."""
    chance = random.Random(seed)  # noqa: S311 - the same plan for the same seed
    contracts = tuple(_contract(chance, number, count) for number in range(1, count + 1))
    attempts, late = [], []
    for contract in contracts:
        if contract.is_dropped:
            continue
        found = list(_attempts(chance, contract, count))
        (late if contract.is_late else attempts).extend(found)
    return Plan(
        contracts=contracts,
        attempts=tuple(sorted(attempts, key=lambda each: each.place)),
        late=tuple(sorted(late, key=lambda each: each.place)),
    )


def _contract(chance: random.Random, number: int, count: int) -> Contract:
    source = DOCUSIGN if chance.random() < _DOCUSIGN_SHARE else SIGNING
    kind = chance.random()
    bounds = (_DROPPED, _LATE, _CHANGED, _UNKNOWN)
    edges = [sum(bounds[: place + 1]) for place in range(len(bounds))]
    at = next((place for place, edge in enumerate(edges) if kind < edge), None)
    return Contract(
        number=number, source=source,
        before=SECONDS_BEFORE * (1 - number / (count + 1)),  # signed one after the other
        is_dropped=at == 0, is_late=at == 1, is_changed=at == 2, is_unknown=at == 3,
    )  # fmt: skip


def _attempts(chance: random.Random, contract: Contract, count: int) -> Iterator[Attempt]:
    at = float(contract.number)

    def delayed() -> float:
        return at + (chance.uniform(0, count / 3) if chance.random() < _DELAYED else 0.0)

    signed = "envelope-completed" if contract.source == DOCUSIGN else "document.signed"
    forms = [signed]
    if contract.source == DOCUSIGN and chance.random() < _MERGED:
        forms = ["aggregate", signed] if chance.random() < _BOTH else ["aggregate"]
    elif contract.source == DOCUSIGN and chance.random() < _BEFORE:
        forms = ["envelope-sent", "envelope-delivered", signed]
        chance.shuffle(forms)
    times = chance.randint(2, 5) if chance.random() < _REPEATED else 1
    for form in forms:
        for retry in range(times):
            yield Attempt(
                contract=contract, form=form, retry=retry, place=delayed(),
                is_stale=chance.random() < _STALE,
            )  # fmt: skip


# --- payloads ----------------------------------------------------------------------------------
def body_of(attempt: Attempt, begin: datetime) -> dict[str, Any]:
    """Return what a provider posts in an attempt."""
    if attempt.form == "aggregate":
        found = _payload(attempt.contract, begin)["data"]
        return {**found["envelopeSummary"], "sender": {"accountId": ACCOUNT}}
    return _payload(attempt.contract, begin, event=attempt.form, retry=attempt.retry)


def listed(contract: Contract, begin: datetime, *, is_changed: bool) -> dict[str, Any]:
    """Return what the provider says of a signed contract; one that was changed has other seats."""
    found = _payload(contract, begin, seats=999 if is_changed else 120)
    at = contract.signed_at(begin).isoformat()
    if contract.source == SIGNING:
        return {"changed_at": at, "event": found}
    return {**found["data"]["envelopeSummary"], "statusChangedDateTime": at}


def _payload(
    contract: Contract, begin: datetime | None = None, *, event: str = "", retry: int = 0,
    seats: int = 120,
) -> dict[str, Any]:  # fmt: skip
    number = contract.number
    country, language, zone, form = _COUNTRIES[number % len(_COUNTRIES)]
    company = {"legal_name": f"Customer {number} {form}", "country": country, "time_zone": zone,
               "domain": f"customer-{number}.example.com"}  # fmt: skip
    at = contract.signed_at(begin).isoformat().replace("+00:00", "Z") if begin else ""
    if contract.source == SIGNING:
        found = signing(number, event=event or "document.signed")
        found["timestamp"] = found["data"]["signed_at"] = at
        found["data"]["contract"]["seats"] = seats
        found["data"]["company"] = company
        found["data"]["contacts"] = [
            {"role": role, "name": f"Person {number}", "email": contract.email(role),
             "locale": language}
            for role in CONTACTS
        ]  # fmt: skip
        return found
    fields: Mapping[str, str] = {
        "Legal entity": company["legal_name"], "Domain": company["domain"], "Country": country,
        "Time zone": zone, "Language": language, "Seats": str(seats),
        "IT admin": f"Person {number}", "IT admin e-mail": contract.email("it_admin"),
        "Executive sponsor": f"Person {number}",
        "Executive sponsor e-mail": contract.email("executive_sponsor"),
        "Business sponsor": f"Person {number}",
        "Business sponsor e-mail": contract.email("business_sponsor"),
    }  # fmt: skip
    found = docusign(number, event=event or "envelope-completed", retry=retry, **fields)
    found["data"]["envelopeSummary"]["completedDateTime"] = at
    return found
