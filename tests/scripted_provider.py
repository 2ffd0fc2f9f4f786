"""A provider of signatures and a CRM as worlds see them: what they say is a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from control_plane.domain.errors import DomainError
from control_plane.domain.intake import ReadBack
from control_plane.domain.system_errors import SystemUnavailable
from control_plane.ports.systems import SignedDeal, SignedEnvelope
from control_plane.workflows.core import Core
from tests.signed import ACCOUNT


def envelope(payload: Mapping[str, Any], changed_at: datetime) -> SignedEnvelope:
    """Return what DocuSign says of the envelope of an event that it would post."""
    summary = {**payload["data"]["envelopeSummary"], "statusChangedDateTime": f"{changed_at}"}
    payload = {"event": payload["event"], "data": {**payload["data"], "envelopeSummary": summary}}
    return SignedEnvelope(
        envelope_id=payload["data"]["envelopeId"], account=ACCOUNT, event=payload["event"],
        changed_at=changed_at, payload=payload,
    )  # fmt: skip


@dataclass
class ScriptedProvider:
    """The port ``Signatures``. ``stops_after`` envelopes it is down; ``asked`` are the instants."""

    source: str = "docusign"
    has: list[SignedEnvelope] = field(default_factory=list)
    stops_after: int | None = None
    asked: list[datetime] = field(default_factory=list)
    searched: list[str] = field(default_factory=list)

    def changed_since(self, instant: datetime) -> Iterator[SignedEnvelope]:
        self.asked.append(instant)
        ordered = sorted(self.has, key=lambda each: each.changed_at)
        for place, each in enumerate(each for each in ordered if each.changed_at >= instant):
            if place == self.stops_after:
                raise self._down()
            yield each
        if self.stops_after is not None:
            raise self._down()

    def find(self, envelope_id: str) -> SignedEnvelope | None:
        self.searched.append(envelope_id)
        found = [each for each in self.has if each.envelope_id == envelope_id]
        return found[-1] if found else None

    def _down(self) -> DomainError:
        return SystemUnavailable("the provider answers 503", system="provider")


@dataclass
class ScriptedDeals:
    """What a look asks of the port ``Crm``."""

    system: str = "crm"
    won: list[SignedDeal] = field(default_factory=list)

    def won_since(self, instant: datetime) -> Iterator[SignedDeal]:
        ordered = sorted(self.won, key=lambda deal: deal.won_at)
        yield from (deal for deal in ordered if deal.won_at >= instant)

    def upsert_company(self, company: object) -> Any:
        raise NotImplementedError("a look changes nothing in a CRM")


def asking(core: Core, provider: ScriptedProvider, since: datetime, crm: Any = None) -> Core:
    """Return a core whose rules say that a provider is asked."""
    intake = core.rules.intake
    source = replace(
        intake.sources[provider.source],
        read_back=ReadBack(url="https://provider.example.com", credential="x", since=since),
    )
    intake = replace(intake, sources={**intake.sources, provider.source: source})
    return replace(
        core,
        rules=replace(core.rules, intake=intake),
        systems=replace(core.systems, signatures=(provider,), crm=crm),
    )
