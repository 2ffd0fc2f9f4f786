"""What a provider without an API of its own kind says was signed: a small listing.

``GET URL?since=…&cursor=…`` answers ``{"items": [{"changed_at": …, "event": {…}}], "next": …}``,
oldest first; ``event`` is what the provider posts, ``next`` the cursor of the page that follows or
null. ``GET URL/ENVELOPE`` answers one item, or 404. docs/intake.md has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from control_plane.adapters.intake.http_reading import Missing, Unauthorized, ask, require_https
from control_plane.domain import spellings
from control_plane.domain.intake import IntakeSource, ReadBack
from control_plane.domain.intake_errors import DeliveryUnreadable
from control_plane.domain.payloads import event_of
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from control_plane.ports.systems import SignedEnvelope


@dataclass(frozen=True)
class ListingReading:
    """The port ``Signatures`` over a listing."""

    rules: IntakeSource
    read_back: ReadBack
    token: Callable[[], str]

    @property
    def source(self) -> str:
        """The source of the intake rules."""
        return self.rules.key

    def changed_since(self, instant: datetime) -> Iterator[SignedEnvelope]:
        """Yield what was signed, voided or declined since, oldest first."""
        params = {"since": instant.isoformat().replace("+00:00", "Z")}
        last = instant
        while True:
            answer = self._ask("", params)
            items, cursor = answer.get("items"), answer.get("next")
            if not isinstance(items, list) or not (cursor is None or isinstance(cursor, str)):
                raise SystemUnavailable(f"{self.source} gave half a page", system=self.source)
            for item in items:
                envelope = self._envelope(item)
                if envelope.changed_at < last:
                    raise SystemRefused(
                        f"{self.source} does not list the oldest change first", system=self.source
                    )
                last = envelope.changed_at
                yield envelope
            if cursor is None:
                return
            if params.get("cursor") == cursor:
                raise SystemRefused(f"{self.source} repeats a page", system=self.source)
            params["cursor"] = cursor

    def find(self, envelope_id: str) -> SignedEnvelope | None:
        """Return an envelope, None if the provider does not know it."""
        try:
            return self._envelope(self._ask(f"/{quote(envelope_id, safe='')}", {}))
        except Missing:
            return None

    def _ask(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        url = f"{require_https(self.read_back.url)}{path}"
        try:
            return ask(self.source, "GET", url, token=self.token(), params=params)
        except Unauthorized:
            raise SystemRefused(
                f"{self.source} does not take our token", system=self.source
            ) from None

    def _envelope(self, item: Any) -> SignedEnvelope:
        try:
            changed, payload = spellings.instant(str(item["changed_at"])), item["event"]
            event = event_of(self.rules, json.dumps(payload).encode())
        except (KeyError, TypeError, ValueError, DeliveryUnreadable):
            raise SystemUnavailable(
                f"{self.source} gave half an item", system=self.source
            ) from None
        return SignedEnvelope(
            envelope_id=event.envelope_id, account=event.account, event=event.name,
            changed_at=changed, payload=payload,
        )  # fmt: skip
